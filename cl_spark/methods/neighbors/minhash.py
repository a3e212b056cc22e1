"""Pairs of texts that are nearly the same, found by MinHash and bands, and verified exactly.

Source: Broder, "On the resemblance and containment of documents", 1997 (shingles, MinHash); Leskovec,
Rajaraman, Ullman, "Mining of Massive Datasets", section 3.4 (bands).
"""

import logging
import math
import sys

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from cl_spark.errors import ConfigurationError
from cl_spark.evidence.partitions import partitions_for
from cl_spark.evidence.storage import Storage
from cl_spark.methods.neighbors.components import A, B
from cl_spark.tables.columns import quoted

logger = logging.getLogger(__name__)

DISTANCE, IS_EXACT = "distance", "is_exact"
"""Column of a pair: 1 - the Jaccard similarity of its texts."""

DEFAULT_THRESHOLD = 0.13
"""Distance below which texts are nearly the same: one word in 50 changed is 0.12 away."""

GREATEST_THRESHOLD = 0.9
"""Texts further apart share so little that bands would find every text alike."""

WORDS_PER_SHINGLE = 3

MISS_PROBABILITY = 0.001
"""Greatest probability that a pair at the threshold shares no band."""

MAX_HASHES = 64
"""Most hashes of a shingle, where more than one row per band are chosen: time grows with them."""

FEW_WANTED = 250_000
"""Rows that every Spark task is sent, to look up others by, instead of shuffling the others."""

MAX_MEMBERS = 64
"""Most texts of a bucket that are all compared with each other: 2,016 pairs."""

NARROW_ROWS = 4
"""A text, its shingles or its hashes take the room of so many narrow rows, by which partitions are chosen."""

_OF_WORDS = r"\p{L}\p{M}\p{N}"
"""Signs of words in a regular expression: letters, marks such as vowel signs, digits."""

_ID, _TEXT, _KEY, _CHECK, _FIRST = "_id", "_text", "_key", "_check", "_first"
_SHINGLE, _SHINGLES, _BANDS, _BUCKET = "_shingle", "_shingles", "_bands", "_bucket"
_MEMBERS, _LEAST, _GREATEST, _BEFORE, _OTHER = "_members", "_least", "_greatest", "_before", "_other"
_KEY_A, _KEY_B = "_key_a", "_key_b"


def find_similar_texts(
    df: DataFrame,
    *,
    id_col: str,
    text_col: str,
    threshold: float = DEFAULT_THRESHOLD,
    storage: Storage,
) -> DataFrame:
    """Find pairs of texts whose sets of shingles are nearly the same.

    Texts are compared in lower case, with one space for anything between words; a word is a run of letters,
    marks and digits. A shingle is three words in a row; a shorter text is one shingle. Nulls and texts
    without a word have no pairs: they are missing, not alike.

    - Copies, that is texts which are equal so compared, are paired with the copy of the smallest id, at
      distance 0, and not with each other. That copy stands for all of them in other pairs.
    - Texts are candidates if they agree in all hashes of a band (`choose_bands`). Each candidate is verified
      by its shingles, so that no pair is wrong. A pair at the threshold is missed with a probability of at
      most `MISS_PROBABILITY`, a closer one with less. Hashes are fixed: the same texts give the same pairs.
    - In a bucket of more than `MAX_MEMBERS` texts, each is compared with two others alone: the one with the
      least hash, and the one before it in the order of all their bands. Where all are near the first, as
      copies of a form letter are, they are connected through it; texts that agree in most bands are
      neighbours in that order. Other pairs are found if they share a smaller bucket too. Those that do not
      are missed, with a probability that has no bound, and components that only they connect
      fall apart. A warning in the log tells where there are such buckets.

    Args:
        df: the texts.
        id_col: column of the id, of any plain type; each is there once.
        text_col: column of the text.
        threshold: Jaccard distance below which a pair counts, from 0 (copies alone) to 0.9.
        storage: persists hashes and pairs.

    Returns:
        Pairs: `a` and `b`, with a < b, `distance`, and `is_exact`, whether they are copies; each pair once.

    Raises:
        ConfigurationError: the threshold cannot be used.

    Example:
        >>> texts = [(1, "To be or not to be!"), (2, "to be, or not to be"), (3, "That is the question")]
        >>> pairs = find_similar_texts(
        ...     spark.createDataFrame(texts, "id int, text string"),
        ...     id_col="id",
        ...     text_col="text",
        ...     storage=Storage(),
        ... )
        >>> [tuple(pair) for pair in pairs.collect()]
        [(1, 2, 0.0, True)]
    """
    if isinstance(threshold, bool) or not 0 <= threshold <= GREATEST_THRESHOLD:
        raise ConfigurationError(
            f"threshold: it is a Jaccard distance from 0 to {GREATEST_THRESHOLD}, got {threshold!r}"
        )
    texts = _normalize(df, id_col, text_col)
    num_texts = df.count()
    known = storage.cut(_find_first_copies(texts, partitions_for(num_texts)))
    copies = known.where(F.col(_ID) != F.col(_FIRST)).select(
        F.col(_FIRST).alias(A), F.col(_ID).alias(B), F.lit(0.0).alias(DISTANCE), F.lit(True).alias(IS_EXACT)
    )
    if threshold == 0:
        return storage.cut(copies)
    num_bands, num_rows = choose_bands(threshold)
    num_partitions = partitions_for(NARROW_ROWS * num_texts)
    signatures = storage.cut(_hash_bands(texts, num_bands, num_rows, num_partitions))
    in_buckets = signatures.select(F.explode(_BANDS).alias(_BUCKET), _KEY)
    in_buckets = in_buckets.repartition(partitions_for(num_bands * num_texts), _BUCKET)
    candidates = _find_candidates(in_buckets, signatures, num_partitions, storage)
    first = known.where(F.col(_ID) == F.col(_FIRST)).select(_ID, _KEY)
    near = _verify(candidates, texts, first, num_partitions, storage).where(F.col(DISTANCE) < threshold)
    return storage.cut(copies.unionByName(near))


def choose_bands(threshold: float) -> tuple[int, int]:
    """Choose the number of bands b, and of hashes in each, r.

    Two texts of similarity s agree in a hash with probability s, in a band of r hashes with s^r, and in none
    of b bands with (1 - s^r)^b. For each r, b is the least number of bands for which that is at most
    `MISS_PROBABILITY` at the threshold. The more hashes a band has, the fewer dissimilar texts become
    candidates: r is the greatest that needs no more than `MAX_HASHES` hashes in all.

    Args:
        threshold: greatest distance, 1 - s, above 0 and at most 0.9.

    Returns:
        b and r.

    Example:
        >>> choose_bands(0.13), choose_bands(0.5)
        ((11, 5), (25, 2))
    """
    similarity, chosen = 1 - threshold, (1, 1)
    for num_rows in range(1, MAX_HASHES + 1):
        miss_of_band = max(1 - similarity**num_rows, sys.float_info.min)  # not 0, which has no logarithm
        num_bands = max(math.ceil(math.log(MISS_PROBABILITY) / math.log(miss_of_band)), 1)
        # b never falls as r rises, so that from the first product on that is too large all are
        if num_rows > 1 and num_bands * num_rows > MAX_HASHES:
            break
        chosen = num_bands, num_rows
    return chosen


def _normalize(df: DataFrame, id_col: str, text_col: str) -> DataFrame:
    """Select ids and texts as they are compared, each with two hashes of the text.

    Texts are taken for equal if both hashes are, 128 bits. The first alone is the key of a text: a collision
    in it would blur the bands of two texts, but never make a pair that is wrong.
    """
    given = F.col(quoted(text_col)).cast("string")
    text = F.trim(F.regexp_replace(F.lower(given), rf"[^{_OF_WORDS}]+", " "))
    # the text as it is given is looked at: Spark would normalise texts once more to leave out the empty ones
    has_word = given.rlike(f"[{_OF_WORDS}]")
    named = df.where(F.col(quoted(id_col)).isNotNull() & has_word)
    texts = named.select(F.col(quoted(id_col)).alias(_ID), text.alias(_TEXT))
    return texts.withColumns({_KEY: F.xxhash64(_TEXT), _CHECK: F.xxhash64(F.lit(1), _TEXT)})


def _find_first_copies(texts: DataFrame, num_partitions: int) -> DataFrame:
    """Find the smallest id of the texts that are equal to each."""
    narrow = texts.select(_ID, _KEY, _CHECK).repartition(num_partitions, _KEY, _CHECK)
    first = F.min(_ID).over(Window.partitionBy(_KEY, _CHECK))
    return narrow.select(_ID, _KEY, first.alias(_FIRST))


def _select_shingles(text: Column) -> Column:
    """Array of the hashes of a text's shingles; never empty."""
    # as the one element of an array the words are split once: Spark would put the text's splitting in the
    # place of each mention of them, once per word of each shingle
    return F.get(F.transform(F.array(F.split(text, " ")), _hash_shingles), F.lit(0))


def _hash_shingles(words: Column) -> Column:
    starts = F.sequence(F.lit(0), F.greatest(F.size(words) - WORDS_PER_SHINGLE, F.lit(0)))
    return F.transform(starts, lambda start: _hash_shingle(words, start))


def _hash_shingle(words: Column, start: Column) -> Column:
    """Hash three words one after the other, so that 'ab c' and 'a bc' differ; `xxhash64` passes over the
    nulls behind the end of a short text.
    """
    return F.xxhash64(*[F.get(words, start + i) for i in range(WORDS_PER_SHINGLE)])


def _hash_bands(texts: DataFrame, num_bands: int, num_rows: int, num_partitions: int) -> DataFrame:
    """Compute the buckets of each text's bands: its key, and an array of a hash of each band.

    The hashes are minima over exploded rows, which Spark compiles; functions of arrays it interprets. All
    copies of a text are in one partition, and become one row.
    """
    shingles = texts.select(_KEY, _TEXT).repartition(num_partitions, _KEY)
    # the outer kind: of the other, Spark computes each array once more to see that it is not empty
    exploded = shingles.select(_KEY, F.explode_outer(_select_shingles(F.col(_TEXT))).alias(_SHINGLE))
    hashes = [f"_hash_{i}" for i in range(num_bands * num_rows)]
    least = [F.min(F.xxhash64(F.lit(i), _SHINGLE)).alias(name) for i, name in enumerate(hashes)]
    bands = [hashes[i * num_rows : (i + 1) * num_rows] for i in range(num_bands)]
    # the number of the band is hashed too: buckets of different bands stay apart
    buckets = [F.xxhash64(F.lit(i), *band) for i, band in enumerate(bands)]
    return exploded.groupBy(_KEY).agg(*least).select(_KEY, F.array(*buckets).alias(_BANDS))


def _find_candidates(
    in_buckets: DataFrame, signatures: DataFrame, num_partitions: int, storage: Storage
) -> DataFrame:
    """Find pairs of keys that share a bucket, each pair once.

    Args:
        in_buckets: a row per bucket and key, partitioned by bucket.
        signatures: keys and their bands, partitioned by key.
        num_partitions: number of partitions of the signatures.
        storage: persists buckets and pairs.
    """
    members = [
        F.count(F.lit(1)).alias(_MEMBERS),
        F.min(_KEY).alias(_LEAST),
        F.max(_KEY).alias(_GREATEST),
    ]
    buckets = storage.cut(in_buckets.groupBy(_BUCKET).agg(*members).where(F.col(_MEMBERS) > 1))
    is_pair, is_large = F.col(_MEMBERS) == 2, F.col(_MEMBERS) > MAX_MEMBERS
    all_pairs = F.col(_MEMBERS) * (F.col(_MEMBERS) - 1) / 2
    counts = buckets.agg(
        F.count(F.when(~is_pair, True)).alias("shared"),
        F.coalesce(F.sum(F.when(~is_pair, F.col(_MEMBERS))), F.lit(0)).alias("sharing"),
        F.count(F.when(is_large, True)).alias("large"),
        F.max(_MEMBERS).alias("most"),
        F.coalesce(F.sum(F.when(is_large, 2 * F.col(_MEMBERS)).otherwise(all_pairs)), F.lit(0)).alias(
            "pairs"
        ),
    ).collect()[0]
    if counts.large:
        logger.warning(
            "%s buckets of similar texts have more than %s members, the largest %s: there each text is "
            "compared with two others alone, and further pairs may be missed. Texts that share long "
            "passages, such as a header, make such buckets: remove the passages, or lower the threshold "
            "(large_text_buckets)",
            *(f"{counts.large:,}", MAX_MEMBERS, f"{counts.most:,}"),
        )
    pairs = buckets.where(is_pair).select(F.col(_LEAST).alias(_KEY_A), F.col(_GREATEST).alias(_KEY_B))
    if counts.shared:
        wanted = buckets.where(~is_pair).select(_BUCKET, _MEMBERS, _LEAST)
        if counts.shared <= FEW_WANTED:
            wanted = F.broadcast(wanted)
        shared = in_buckets.join(wanted, _BUCKET).repartition(partitions_for(counts.sharing), _BUCKET)
        shared = storage.cut(shared)
        pairs = pairs.unionByName(_pair_all(shared))
        if counts.large:
            pairs = pairs.unionByName(_pair_neighbors(shared, signatures, num_partitions))
    return storage.cut(pairs.repartition(partitions_for(int(counts.pairs)), _KEY_A, _KEY_B).distinct())


def _pair_all(shared: DataFrame) -> DataFrame:
    """Pair the members of each bucket that is not large with each other."""
    few = shared.where(F.col(_MEMBERS) <= MAX_MEMBERS)
    left = few.select(_BUCKET, F.col(_KEY).alias(_KEY_A))
    right = few.select(_BUCKET, F.col(_KEY).alias(_KEY_B))
    return left.join(right, _BUCKET).where(F.col(_KEY_A) < F.col(_KEY_B)).select(_KEY_A, _KEY_B)


def _pair_neighbors(shared: DataFrame, signatures: DataFrame, num_partitions: int) -> DataFrame:
    """Pair each member of a large bucket with the least one, and with the one before it in the order of all
    bands: a number of pairs that grows with the members, not with their square.
    """
    large = shared.where(F.col(_MEMBERS) > MAX_MEMBERS).select(_BUCKET, _KEY, _LEAST)
    placed = large.repartition(num_partitions, _KEY).join(signatures, _KEY)
    before = F.lag(_KEY).over(Window.partitionBy(_BUCKET).orderBy(_BANDS, _KEY))
    placed = placed.repartition(num_partitions, _BUCKET).select(_KEY, _LEAST, before.alias(_BEFORE))
    other = F.explode(F.array(_LEAST, _BEFORE)).alias(_OTHER)
    pairs = placed.select(_KEY, other).where(F.col(_OTHER) != F.col(_KEY))
    return pairs.select(F.least(_KEY, _OTHER).alias(_KEY_A), F.greatest(_KEY, _OTHER).alias(_KEY_B))


def _verify(
    candidates: DataFrame, texts: DataFrame, first: DataFrame, num_partitions: int, storage: Storage
) -> DataFrame:
    """Compute the distance of each candidate.

    Sets of shingles are compared by their hashes of 64 bits: of two sets of 100, some two different shingles
    have equal hashes with a probability of 1e-15.

    Args:
        candidates: pairs of keys.
        texts: the texts.
        first: ids and keys of the texts that stand for their copies.
        num_partitions: number of partitions of all texts.
        storage: persists the shingles of candidates.
    """
    num_pairs = candidates.count()
    num_sides = partitions_for(NARROW_ROWS * num_pairs)
    ends = candidates.select(F.explode(F.array(_KEY_A, _KEY_B)).alias(_KEY))
    keys = ends.repartition(num_sides, _KEY).distinct()
    few = 2 * num_pairs <= FEW_WANTED
    wanted = _keep_wanted(first, keys, _KEY, num_partitions, few=few).select(_ID)
    compared = _keep_wanted(texts.select(_ID, _KEY, _TEXT), wanted, _ID, num_partitions, few=few)
    compared = compared.repartition(num_sides, _KEY)
    shingles = F.array_distinct(_select_shingles(F.col(_TEXT)))
    sets = storage.cut(compared.select(_ID, _KEY, shingles.alias(_SHINGLES)))
    pairs = candidates
    for key, side in ((_KEY_A, "a"), (_KEY_B, "b")):
        names = [F.col(_ID).alias(f"_id_{side}"), F.col(_SHINGLES).alias(f"_shingles_{side}")]
        pairs = pairs.repartition(num_sides, key).join(sets.select(F.col(_KEY).alias(key), *names), key)
    both = F.size(F.array_intersect("_shingles_a", "_shingles_b"))
    either = F.size("_shingles_a") + F.size("_shingles_b") - both
    found = pairs.select(
        F.least("_id_a", "_id_b").alias(A),
        F.greatest("_id_a", "_id_b").alias(B),
        (1 - both / either).alias(DISTANCE),
        F.lit(False).alias(IS_EXACT),  # texts that differ may have the same shingles
    )
    return found.coalesce(num_sides)  # a join may have the session's number of partitions


def _keep_wanted(
    rows: DataFrame, wanted: DataFrame, col: str, num_partitions: int, *, few: bool
) -> DataFrame:
    """Keep the rows whose value of a column is among some that are wanted."""
    if few:
        return rows.join(F.broadcast(wanted), col, "left_semi")
    sides = [table.repartition(num_partitions, col) for table in (rows, wanted)]
    return sides[0].join(sides[1], col, "left_semi")
