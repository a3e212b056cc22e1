"""Pairs of similar texts: what counts as the same, exact distances, and what is found."""

import itertools
import re
from collections.abc import Iterable

import numpy as np
import pandas as pd
import pytest
from pyspark.sql import SparkSession

from cl_spark.errors import ConfigurationError
from cl_spark.evidence.storage import Storage
from cl_spark.methods.neighbors import minhash
from cl_spark.methods.neighbors.minhash import choose_bands, find_similar_texts

pytestmark = pytest.mark.matrix


def find_pairs(
    spark: SparkSession, texts: Iterable[tuple[object, str | None]], **options: float
) -> dict[tuple[object, object], float]:
    frame = pd.DataFrame(texts, columns=["key", "the text"])
    storage = Storage()
    df = spark.createDataFrame(
        frame, f"key {'string' if isinstance(frame['key'][0], str) else 'long'}, `the text` string"
    )
    pairs = find_similar_texts(
        df.repartition(3), id_col="key", text_col="the text", storage=storage, **options
    )
    assert pairs.columns == ["a", "b", "distance", "is_exact"]
    rows = pairs.collect()
    storage.release()
    found = {(row.a, row.b): row.distance for row in rows}
    assert len(found) == len(rows)
    return found


def shingles(text: str) -> set[tuple[str, ...]]:
    words = re.sub(r"[\W_]+", " ", text.lower()).split()
    return {tuple(words[i : i + 3]) for i in range(max(len(words) - 2, 1))}


def distance(one: str, other: str) -> float:
    a, b = shingles(one), shingles(other)
    return 1 - len(a & b) / len(a | b)


def make_texts(seed: int, num: int, family: int = 4) -> list[tuple[int, str]]:
    """Make families of texts of 60 words, of which each has some words changed."""
    rng = np.random.default_rng(seed)
    texts = []
    for i in range(num):
        if i % family == 0:
            first = rng.integers(0, 500, 60)
        words = first.copy()
        changed = rng.choice(60, i % family, replace=False)
        words[changed] = rng.integers(500, 600, len(changed))
        texts.append((int(i * 7919 % 100_003), " ".join(f"w{word}" for word in words)))
    return texts


def test_every_pair_below_the_threshold_is_found_with_its_exact_distance(spark: SparkSession) -> None:
    texts = make_texts(0, 240)
    every = {
        (min(i, j), max(i, j)): distance(one, other)
        for (i, one), (j, other) in itertools.combinations(texts, 2)
    }
    for threshold in (0.13, 0.4):
        expected = {pair: far for pair, far in every.items() if far < threshold}
        assert len(expected) > 50
        assert find_pairs(spark, texts, threshold=threshold) == pytest.approx(expected)


def test_texts_are_compared_by_their_words(spark: SparkSession) -> None:
    texts = [
        ("k3", "To be, or NOT to be!"),
        ("k1", "  to be or\tnot to be"),
        ("k2", "To be; or not-to-be"),
        ("k4", "to be or not two bee"),
        ("s1", "Yes."),
        ("s2", "yes"),
        ("s3", "yes no"),
        ("s4", "yesno"),
        ("e1", ""),
        ("e2", " ?! "),
        ("e3", None),
        ("u1", "Größe über क्षितिज 7"),
        ("u2", "größe, über क्षितिज: 7"),
    ]
    copies = {("k1", "k2"): 0.0, ("k1", "k3"): 0.0, ("s1", "s2"): 0.0, ("u1", "u2"): 0.0}
    assert find_pairs(spark, texts) == copies
    assert find_pairs(spark, texts, threshold=0) == copies


def test_large_buckets_connect_their_texts_without_all_pairs(
    spark: SparkSession, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(minhash, "MAX_MEMBERS", 8)
    letter = " ".join(f"w{i}" for i in range(200))
    texts = [(i, f"{letter} number {i % 60}") for i in range(120)]
    pairs = find_pairs(spark, texts)
    assert "large_text_buckets" in caplog.text
    copies = {pair for pair, far in pairs.items() if far == 0}
    assert copies == {(i, i + 60) for i in range(60)}
    near = pairs.keys() - copies
    assert len(near) < 60 * 59 / 2 / 2
    groups = {i: {i} for i in range(60)}
    for a, b in near:
        if groups[a] is not groups[b]:
            groups[a] |= groups[b]
            for member in groups[b]:
                groups[member] = groups[a]
    assert groups[0] == set(range(60))


def test_bands_find_a_pair_at_the_threshold() -> None:
    for threshold in (1e-9, 0.01, 0.13, 0.3, 0.5, 0.8, 0.9):
        num_bands, num_rows = choose_bands(threshold)
        similarity = 1 - threshold
        assert (1 - similarity**num_rows) ** num_bands <= 0.001
        assert num_bands * num_rows <= 100
    assert choose_bands(0.13) == (11, 5)


@pytest.mark.parametrize("threshold", [-0.1, 0.95, True, float("nan")])
def test_thresholds_that_are_no_distance_are_refused(spark: SparkSession, threshold: float) -> None:
    with pytest.raises(ConfigurationError, match="threshold"):
        find_pairs(spark, [(1, "a")], threshold=threshold)
