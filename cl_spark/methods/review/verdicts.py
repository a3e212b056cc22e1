"""`decide_verdicts`: from the answers of several people to one verdict about each example they looked at."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import IntegralType, NumericType, StringType

from cl_spark.errors import ColumnTypeError, ConfigurationError, InputError
from cl_spark.methods.review import columns as q
from cl_spark.methods.review.answer_checks import ANSWER_OF, REASON_OF, check_answers
from cl_spark.tables import columns as c
from cl_spark.tables.card import card
from cl_spark.tables.columns import quoted, resolve_columns
from cl_spark.tables.example_ids import ExampleIds
from cl_spark.tables.ids import lacks_id
from cl_spark.tables.pandas_frames import to_spark

QUORUM = 3
"""Votes that decide, of the five that the paper asks for."""

VERDICT, CORRECTED_LABEL, NUM_ANSWERS = "verdict", "corrected_label", "num_answers"
VOTES = {answer: f"{answer}_votes" for answer in q.ANSWERS}
"""Columns of votes, by answer."""

NOT_AN_ERROR, CORRECT, PRUNE, NON_AGREEMENT = "not_an_error", "correct", "prune", "non_agreement"
VERDICTS = (NOT_AN_ERROR, CORRECT, PRUNE, NON_AGREEMENT)
ERRORS = (CORRECT, PRUNE, NON_AGREEMENT)
"""Verdicts that say that the given label is wrong."""

VERDICT_OF = {q.GIVEN: NOT_AN_ERROR, q.SUGGESTED: CORRECT, q.BOTH: PRUNE, q.NEITHER: PRUNE}
"""Verdicts by the answer that decides."""

QUEUED, DECIDED, PENDING = "queued", "decided", "pending"
"""Columns of `Verdicts.progress`."""

_QUALITY, _WEIGHT = "quality", "_weight"
_WEIGHT_TYPE = "decimal(18,12)"
"""Of weights: their sums are exact, so that they do not depend on the order of rows."""


@dataclass(frozen=True)
class Verdicts:
    """Verdicts about the examples of a review queue, and what became of every answer.

    Attributes:
        verdicts: a row for each decided example: the id columns, given_label, suggested_label, verdict
            ("not_an_error", "correct", "prune" or "non_agreement"), corrected_label (the given label of
            "not_an_error", the suggested one of "correct", else null), num_answers, given_votes,
            suggested_votes, both_votes, neither_votes (sums of qualities where votes are weighted), stratum,
            inclusion_probability, issue_rank and label_quality (null where the queue does not have them).
        rejected: a row for each answer that cannot be used: the id columns, reason, row (as JSON).
        progress: a row for each stratum: stratum, queued (rows of the queue), decided, pending.
        queue: the queue: id columns, given_label, suggested_label, stratum, inclusion_probability,
            issue_rank, label_quality.
        rejected_answers: number of rejected answers by reason.
        num_read: answers read: accepted and rejected ones.
        num_accepted: answers that count.
        num_queued: rows of the queue.
        num_pending: rows of the queue that have too few answers for a verdict.
        counts: number of verdicts of each kind.
    """

    verdicts: DataFrame
    rejected: DataFrame
    progress: DataFrame
    queue: DataFrame
    rejected_answers: Mapping[str, int]
    num_read: int
    num_accepted: int
    num_queued: int
    num_pending: int
    counts: Mapping[str, int]

    @property
    def num_decided(self) -> int:
        """Rows of the queue that have a verdict."""
        return self.num_queued - self.num_pending

    def _repr_html_(self) -> str:
        return card(
            "Verdicts",
            {
                **{verdict.replace("_", " "): self.counts[verdict] for verdict in VERDICTS},
                "pending": self.num_pending,
                "answers": self.num_accepted,
                "rejected answers": self.num_read - self.num_accepted,
            },
            notes=[f"rejected answers, {reason}: {rows:,}" for reason, rows in self.rejected_answers.items()],
        )


def decide_verdicts(
    answers: DataFrame | pd.DataFrame,
    queue: DataFrame | pd.DataFrame,
    *,
    id_col: str | Sequence[str] = "id",
    annotator_col: str = q.ANNOTATOR,
    answer_col: str = q.ANSWER,
    quorum: int = QUORUM,
    num_reviewers: int | None = None,
    answer_names: Mapping[str, str] | None = None,
    annotator_quality: DataFrame | pd.DataFrame | None = None,
    spark: SparkSession | None = None,
) -> Verdicts:
    """Decide about each example by the answers of the people who looked at it.

    An answer decides if it has at least `quorum` votes, and more than any other answer. "given" decides that
    the label is not an error, "suggested" that the suggested label is right, "both" and "neither" (each
    counted for itself) that the label is an error without one right label: prune it. An example that no
    answer decides is a non-agreement: an error to prune, too. An example with fewer answers than `quorum`
    (or `num_reviewers`) that is not decided has no verdict yet: it is pending, like one without any answer.

    Where given and suggested label are the same class, as of rows that no filter chose, the answers
    "suggested" and "both" say that the given label is right: they count as "given".

    With `annotator_quality`, a vote weighs as much as the quality of its annotator. The weights of the n
    answers to an example are scaled so that they sum to n; then the same rule holds. So an answer decides if
    its share of all weights is at least `quorum` / n. Weights of 1 give the verdicts of no weights.

    Every answer is accepted, or rejected with one reason: "null id", "null annotator", "skipped: null
    answer", "unknown answer", "example that the queue does not have", "suggestion that the row does not
    have", "several answers by one annotator to one example" (different ones: all of them), "answer that its
    annotator gave before" (equal ones: all but one), "annotator without a quality".

    Of single labels (does this example have this class?), the queue has the labels "present" and "absent".
    There "present" and "absent" are answers too: each counts as "given" or "suggested", whichever of the two
    labels it names. Name the class among the id columns: ``id_col=["id", "class"]``.

    The class that an annotator chose (`label`) is not read: verdicts follow the published rule, which knows
    four answers only. It stays in the answers, for you to use.

    Args:
        answers: a row per answer: ids, annotator (text or a number), answer. Other columns are ignored.
        queue: a row per example that people were asked about: ids, given_label, suggested_label; and stratum,
            inclusion_probability, issue_rank, label_quality, as `review_queue` has them. The issues of an
            audit do as well: their rank is the issue_rank, and all of them count as asked for certain
            (stratum "top", inclusion_probability 1).
        id_col: id column of both tables, or the columns of a composite key.
        annotator_col: column of the annotator.
        answer_col: column of the answer: "given", "suggested", "both", "neither", of single labels also
            "present" and "absent", or null for a skipped row.
            Case, and spaces around it, are ignored.
        quorum: votes that decide, 1 or more. Default 3, of five reviewers, as in the paper.
        num_reviewers: answers that each example will get in the end; undecided examples with fewer are
            pending. Default: `quorum`, as fewer answers can decide nothing.
        answer_names: other names of answers, as in {"guessed": "suggested"}. The four names stay known.
        annotator_quality: table of annotator and quality (0 or more, such as CROWDLAB's), a row per
            annotator. Qualities count to 12 decimal places.
        spark: the session that turns pandas DataFrames into Spark's; default the active one.

    Raises:
        ConfigurationError: an argument cannot be used.
        MissingColumnError: a column is missing.
        ColumnTypeError: a column is of a type that cannot be used.
        InputError: rows of the queue have no id or share one, or annotators have no or several qualities.

    Source: Northcutt, Athalye, Mueller, "Pervasive Label Errors in Test Sets Destabilize Machine Learning
    Benchmarks", NeurIPS 2021 (Datasets and Benchmarks), section 4.

    Example:
        >>> queue = pd.DataFrame({"id": [1, 2], "given_label": ["cat", "dog"],
        ...                       "suggested_label": ["dog", "cat"]})
        >>> votes = {1: ["given", "given", "given"], 2: ["suggested", "suggested", "suggested", "neither"]}
        >>> rows = [(i, f"r{n}", answer) for i, given in votes.items() for n, answer in enumerate(given)]
        >>> answers = pd.DataFrame(rows, columns=["id", "annotator", "answer"])
        >>> found = decide_verdicts(answers, queue).verdicts.orderBy("id")
        >>> {row.id: (row.verdict, row.corrected_label) for row in found.collect()}
        {1: ('not_an_error', 'cat'), 2: ('correct', 'cat')}
    """
    least = _check_quorum(quorum, num_reviewers)
    ids = ExampleIds.of(id_col)
    asked = to_spark(queue, spark, argument="queue")
    given = to_spark(answers, asked.sparkSession, argument="answers")
    ids.check({"queue": asked, "answers": given})
    rows = _select_queue(asked, ids)
    weights = None if annotator_quality is None else _read_qualities(annotator_quality, given.sparkSession)
    checked = check_answers(
        given, rows, ids, annotator_col=annotator_col, answer_col=answer_col, names=answer_names,
        weights=weights,
    )  # fmt: skip
    keys = ids.names
    votes = _count_votes(checked, keys, weighted=weights is not None)
    decided = _decide(rows.join(votes, keys), quorum, least, weighted=weights is not None)
    verdicts = decided.select(
        *ids.restore(asked),
        c.GIVEN_LABEL,
        c.SUGGESTED_LABEL,
        VERDICT,
        F.when(F.col(VERDICT) == NOT_AN_ERROR, F.col(c.GIVEN_LABEL))
        .when(F.col(VERDICT) == CORRECT, F.col(c.SUGGESTED_LABEL))
        .alias(CORRECTED_LABEL),
        NUM_ANSWERS,
        *VOTES.values(),
        q.STRATUM,
        q.INCLUSION_PROBABILITY,
        q.ISSUE_RANK,
        c.LABEL_QUALITY,
    )
    by_stratum = verdicts.groupBy(q.STRATUM).agg(
        *[F.count(F.when(F.col(VERDICT) == verdict, 1)).alias(verdict) for verdict in VERDICTS],
        F.count(F.lit(1)).alias(DECIDED),
    )
    queued = rows.groupBy(q.STRATUM).agg(F.count(F.lit(1)).alias(QUEUED))
    found = {row[q.STRATUM]: row for row in by_stratum.collect()}
    progress = [
        (row[q.STRATUM], row[QUEUED], found[row[q.STRATUM]][DECIDED] if row[q.STRATUM] in found else 0)
        for row in queued.collect()
    ]
    reasons = {row[0]: row[1] for row in checked.groupBy(REASON_OF).count().collect()}
    accepted = reasons.pop(None, 0)
    schema = f"{q.STRATUM} string, {QUEUED} long, {DECIDED} long, {PENDING} long"
    table = [(stratum, n, done, n - done) for stratum, n, done in progress]
    table.sort(key=lambda row: _place(row[0]))
    return Verdicts(
        verdicts=verdicts,
        rejected=checked.where(F.col(REASON_OF).isNotNull()).select(
            *ids.restore(given), F.col(REASON_OF).alias(c.REASON), c.ROW
        ),
        progress=asked.sparkSession.createDataFrame(table, schema),
        queue=rows.select(
            *ids.restore(asked), c.GIVEN_LABEL, c.SUGGESTED_LABEL, q.STRATUM, q.INCLUSION_PROBABILITY,
            q.ISSUE_RANK, c.LABEL_QUALITY,
        ),
        rejected_answers=dict(sorted(reasons.items())),
        num_read=accepted + sum(reasons.values()),
        num_accepted=accepted,
        num_queued=sum(n for _, n, _ in progress),
        num_pending=sum(n - done for _, n, done in progress),
        counts={verdict: sum(row[verdict] for row in found.values()) for verdict in VERDICTS},
    )  # fmt: skip


def _place(stratum: str | None) -> tuple[int, str]:
    """Order strata as they are looked at."""
    known = (q.TOP, q.FLAGGED, q.UNFLAGGED)
    return (known.index(stratum) if stratum in known else len(known), stratum or "")


def _check_quorum(quorum: Any, num_reviewers: Any) -> int:
    """Check both numbers, and return the number of answers below which an example is pending."""
    least = quorum if num_reviewers is None else num_reviewers
    for name, value in (("quorum", quorum), ("num_reviewers", least)):
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ConfigurationError(f"{name} must be a whole number from 1 on, got {value!r}")
    if least < quorum:
        raise ConfigurationError(
            f"num_reviewers: {least} reviewers never give the {quorum} equal answers of quorum: lower quorum"
        )
    return int(least)


def _select_queue(queue: DataFrame, ids: ExampleIds) -> DataFrame:
    """Select keys, labels and what is known of the sample from a queue, or from the issues of an audit.

    Raises:
        MissingColumnError: a column is missing.
        ColumnTypeError: the labels are of two types.
        InputError: rows have no id, or share one.
    """
    given, suggested = (
        resolve_columns(queue, "queue", {"queue": col})["queue"] for col in (c.GIVEN_LABEL, c.SUGGESTED_LABEL)
    )
    kinds = {field.name: field.dataType for field in queue.schema.fields}
    both_whole = isinstance(kinds[given], IntegralType) and isinstance(kinds[suggested], IntegralType)
    if kinds[given] != kinds[suggested] and not both_whole:
        raise ColumnTypeError(
            f"queue: {c.GIVEN_LABEL!r} is {kinds[given].simpleString()} and {c.SUGGESTED_LABEL!r} is "
            f"{kinds[suggested].simpleString()}: cast one of them"
        )
    there = {name.casefold(): name for name in queue.columns}
    is_sample = q.STRATUM in there
    if is_sample != (q.INCLUSION_PROBABILITY in there):
        raise InputError(
            f"queue: columns {q.STRATUM!r} and {q.INCLUSION_PROBABILITY!r} belong together, and one of them "
            "is missing"
        )
    rank = there.get(q.ISSUE_RANK, there.get(c.RANK))
    sampled = {
        q.STRATUM: F.col(q.STRATUM).cast("string") if is_sample else F.lit(q.TOP),
        q.INCLUSION_PROBABILITY: F.col(q.INCLUSION_PROBABILITY).cast("double") if is_sample else F.lit(1.0),
        q.ISSUE_RANK: (F.lit(None) if rank is None else F.col(quoted(rank))).cast("long"),
        c.LABEL_QUALITY: (F.col(c.LABEL_QUALITY) if c.LABEL_QUALITY in there else F.lit(None)).cast("double"),
    }
    rows = queue.select(
        *ids.select(queue),
        F.col(quoted(given)).alias(c.GIVEN_LABEL),
        F.col(quoted(suggested)).alias(c.SUGGESTED_LABEL),
        *[column.alias(name) for name, column in sampled.items()],
    )
    keys = ids.names
    without, shared = (
        rows.groupBy(*keys)
        .count()
        .agg(
            F.coalesce(F.sum(F.when(lacks_id(rows, keys), F.col("count"))), F.lit(0)),
            F.coalesce(F.sum(F.when(~lacks_id(rows, keys) & (F.col("count") > 1), F.col("count"))), F.lit(0)),
        )
        .collect()[0]
    )
    if without or shared:
        raise InputError(
            f"queue: {without:,} rows have no id, and {shared:,} rows share theirs with another one: each "
            "row that people are asked about needs an id of its own"
        )
    return rows


def _read_qualities(annotator_quality: DataFrame | pd.DataFrame, spark: SparkSession) -> DataFrame:
    """Read the weight of each annotator, as an exact decimal.

    Raises:
        MissingColumnError: a column is missing.
        ColumnTypeError: the quality is no number.
        InputError: an annotator has several qualities, or one that cannot be a weight.
    """
    table = to_spark(annotator_quality, spark, argument="annotator_quality")
    found = resolve_columns(table, "annotator_quality", {"annotator": q.ANNOTATOR, "quality": _QUALITY})
    kind = table.select(quoted(found["quality"])).schema.fields[0].dataType
    if not isinstance(kind, NumericType):
        raise ColumnTypeError(f"annotator_quality: column 'quality' is {kind.simpleString()}: give numbers")
    quality = F.col(quoted(found["quality"])).cast("double")
    rows = table.select(
        F.col(quoted(found["annotator"])).cast(StringType()).alias(q.ANNOTATOR),
        F.when(quality.between(0, 1e5), quality).cast(_WEIGHT_TYPE).alias(_WEIGHT),
    )
    faults = rows.groupBy(q.ANNOTATOR).agg(F.count(F.lit(1)).alias("rows"), F.count(_WEIGHT).alias("usable"))
    bad = faults.where("rows > 1 OR usable < rows OR annotator IS NULL")
    number, example = bad.agg(F.count(F.lit(1)), F.min(q.ANNOTATOR)).collect()[0]
    if number:
        raise InputError(
            f"annotator_quality: {number:,} annotators (such as {example!r}) have several rows, or a quality "
            "that is no number from 0 to 100,000: give one row per annotator"
        )
    return rows


def _count_votes(checked: DataFrame, keys: Sequence[str], *, weighted: bool) -> DataFrame:
    """Sum the votes for each answer, by example: whole numbers, or exact decimals of weights."""
    accepted = checked.where(F.col(REASON_OF).isNull())
    vote = F.col(_WEIGHT) if weighted else F.lit(1)
    zero = F.lit(0).cast(_WEIGHT_TYPE if weighted else "long")
    return accepted.groupBy(*keys).agg(
        F.count(F.lit(1)).alias(NUM_ANSWERS),
        *[
            F.sum(F.when(F.col(ANSWER_OF) == answer, vote).otherwise(zero)).alias(col)
            for answer, col in VOTES.items()
        ],
    )


def _decide(rows: DataFrame, quorum: int, least: int, *, weighted: bool) -> DataFrame:
    """Add the verdict; examples without one are left out."""
    votes = {answer: F.col(col).cast("double") for answer, col in VOTES.items()}
    total = sum(votes.values(), F.lit(0.0))
    leading = F.greatest(*votes.values())
    # scaled, weights sum to the number of answers: leading * n / total >= quorum. The slack is that of
    # rounding; votes without weights are whole numbers, to which it makes no difference
    is_enough = leading * F.col(NUM_ANSWERS) >= total * quorum * (1 - 1e-9)
    leaders = sum((F.when(vote == leading, 1).otherwise(0) for vote in votes.values()), F.lit(0))
    decides = (total > 0) & is_enough & (leaders == 1) & (F.col(NUM_ANSWERS) >= quorum)
    verdict: Column = F.when(F.lit(False), F.lit(NON_AGREEMENT))
    for answer, vote in votes.items():
        verdict = verdict.when(decides & (vote == leading), VERDICT_OF[answer])
    verdict = verdict.when(F.col(NUM_ANSWERS) >= least, NON_AGREEMENT)
    shown = {col: F.col(col).cast("double" if weighted else "long") for col in VOTES.values()}
    return rows.withColumn(VERDICT, verdict).where(F.col(VERDICT).isNotNull()).withColumns(shown)
