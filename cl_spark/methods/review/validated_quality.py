"""`validated_quality`: what verdicts on a sample tell of the whole table."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from cl_spark.errors import ConfigurationError, EmptyTableError, InputError
from cl_spark.methods.review import columns as q
from cl_spark.methods.review.estimates import (
    Estimate,
    Stratum,
    estimate_errors,
    estimate_recall,
    estimate_share,
    list_ks,
)
from cl_spark.methods.review.verdicts import ERRORS, VERDICT, VERDICTS, Verdicts
from cl_spark.tables import columns as c
from cl_spark.tables.card import card
from cl_spark.tables.columns import resolve_columns
from cl_spark.tables.pandas_frames import to_spark

METRIC, VALUE, EXAMPLES = "metric", "value", c.EXAMPLES
PRECISION, RECALL, ESTIMATED_ERRORS = "precision", "recall", "estimated_errors"
"""Columns and metrics of the table."""

SCHEMA = f"{METRIC} string, {VALUE} double, {c.LOWER} double, {c.UPPER} double, {EXAMPLES} long"

STRATA = (q.TOP, q.FLAGGED, q.UNFLAGGED)

_DECIDED, _ERRORS = "decided", "errors"


@dataclass(frozen=True)
class ValidatedQuality:
    """How good the flags of an audit are, by verdicts of people on a sample, with 95 % intervals.

    Attributes:
        precision: share of all issues whose label is wrong.
        recall: share of all wrong labels of the table that are among the issues.
        estimated_errors: number of wrong labels in the whole table.
        precision_at: by k, share of the k issues of lowest label quality whose label is wrong.
        strata: by name, rows in the whole table, rows with a verdict, and errors among these.
    """

    precision: Estimate
    recall: Estimate
    estimated_errors: Estimate
    precision_at: Mapping[int, Estimate]
    strata: Mapping[str, Stratum]

    @property
    def estimates(self) -> dict[str, Estimate]:
        """All estimates by the name of their metric."""
        return {
            PRECISION: self.precision,
            RECALL: self.recall,
            ESTIMATED_ERRORS: self.estimated_errors,
            **{f"precision_at_{k}": estimate for k, estimate in self.precision_at.items()},
        }

    def to_spark(self, spark: SparkSession) -> DataFrame:
        """Return a row per estimate: metric, value, lower, upper, examples."""
        rows = [(name, one.value, one.lower, one.upper, one.examples) for name, one in self.estimates.items()]
        return spark.createDataFrame(rows, SCHEMA)

    def _repr_html_(self) -> str:
        shown = {name: show_estimate(one, name) for name, one in self.estimates.items()}
        return card("Validated quality", {name.replace("_", " "): text for name, text in shown.items()})


def validated_quality(
    verdicts: Verdicts | DataFrame | pd.DataFrame,
    queue: DataFrame | pd.DataFrame | None = None,
    *,
    num_top: int | None = None,
    num_flagged: int | None = None,
    num_unflagged: int | None = None,
    ks: Sequence[int] | None = None,
    spark: SparkSession | None = None,
) -> ValidatedQuality:
    """Estimate from verdicts how many issues are wrong labels, and how many wrong labels are no issues.

    A label is wrong by the verdicts "correct", "prune" and "non_agreement". Each stratum of a review queue is
    a simple random sample of its rows in the whole table, or all of them ("top"); so the estimates are
    corrected for how likely a row was to be asked about. Intervals are at 95 %, and have a width also where
    all or none of the examined labels are wrong; `cl_spark.methods.review.estimates` has methods and
    sources.

    Rows of the queue without a verdict count as if they had been left out by chance. People should decide
    about all of them, or work in the order of `place`, which is random.

    Args:
        verdicts: what `decide_verdicts` returns, or its table.
        queue: the queue; needed only where `verdicts` is a table.
        num_top: rows of the stratum "top" in the whole table. Default: those of the queue.
        num_flagged: rows of the stratum "flagged" in the whole table, from which some were drawn. Default: as
            the inclusion probabilities tell; 0 without such rows.
        num_unflagged: the same of the stratum "unflagged". Without a sample of it, how many wrong labels are
            no issues is not known: recall and the number of errors are null.
        ks: numbers of issues, by label quality, whose precision is told. Default 10, 20, 50, 100, ...
        spark: the session that turns pandas DataFrames into Spark's; default the active one.

    Raises:
        ConfigurationError: a number cannot be used, or there is no queue.
        InputError: a verdict or stratum is unknown, or a stratum has fewer rows than were decided.
        EmptyTableError: there is no verdict.

    Source: Horvitz, Thompson, "A generalization of sampling without replacement from a finite universe",
    Journal of the American Statistical Association 47 (1952).

    Example:
        >>> queue = pd.DataFrame({
        ...     "id": range(6), "given_label": "cat", "suggested_label": "dog",
        ...     "issue_rank": [1, 2, 3, 4, None, None],
        ...     "stratum": ["top"] * 2 + ["flagged"] * 2 + ["unflagged"] * 2,
        ...     "inclusion_probability": [1, 1, 0.1, 0.1, 0.02, 0.02]})
        >>> verdicts = queue.assign(verdict=["correct", "prune", "correct"] + ["not_an_error"] * 3)
        >>> found = validated_quality(verdicts, queue)
        >>> round(found.precision.value, 2), found.estimated_errors.value, found.recall.value
        (0.55, 12.0, 1.0)
    """
    if isinstance(verdicts, Verdicts):
        asked, decided = verdicts.queue, verdicts.verdicts
    elif queue is None:
        raise ConfigurationError(
            "queue: a table of verdicts does not tell what was asked: pass the queue, too"
        )
    else:
        asked = to_spark(queue, spark, argument="queue")
        decided = to_spark(verdicts, asked.sparkSession, argument="verdicts")
    given = {q.TOP: num_top, q.FLAGGED: num_flagged, q.UNFLAGGED: num_unflagged}
    for name, number in given.items():
        if number is not None and (isinstance(number, bool) or not isinstance(number, int) or number < 0):
            raise ConfigurationError(f"num_{name} must be a number of rows, got {number!r}")
    found = _count_decided(decided)
    rows = _count_rows(asked, given)
    strata = {name: Stratum(rows[name], *found.get(name, (0, 0))) for name in STRATA}
    for name, stratum in strata.items():
        if stratum.examined > stratum.rows:
            raise InputError(
                f"num_{name}: {stratum.examined:,} rows of the stratum {name!r} have a verdict, more than "
                f"the {stratum.rows:,} it is said to have"
            )
    flagged, others = [strata[q.TOP], strata[q.FLAGGED]], [strata[q.UNFLAGGED]]
    knows_others = others[0].rows > 0 or num_unflagged == 0
    nothing = Estimate(None, None, None, sum(part.examined for part in strata.values()))
    wanted = list_ks(flagged[0].rows + flagged[1].rows) if ks is None else sorted(set(ks))
    return ValidatedQuality(
        precision=estimate_share(flagged),
        recall=estimate_recall(flagged, others) if knows_others else nothing,
        estimated_errors=estimate_errors([*flagged, *others]) if knows_others else nothing,
        precision_at=_estimate_precision_at(decided, asked, strata, wanted),
        strata=strata,
    )


def show_estimate(estimate: Estimate, metric: str) -> str:
    """Write an estimate with its interval.

    Example:
        >>> show_estimate(Estimate(0.5, 0.4, 0.6, 100), "precision")
        '50.0 % (40.0 % to 60.0 %)'
        >>> show_estimate(Estimate(1200.0, 900.0, 1500.4, 100), "estimated_errors")
        '1,200 (900 to 1,500)'
    """
    if estimate.value is None or estimate.lower is None or estimate.upper is None:
        return "not known"
    ends = (estimate.value, estimate.lower, estimate.upper)
    texts = [f"{end:,.0f}" if metric == ESTIMATED_ERRORS else f"{100 * end:.1f} %" for end in ends]
    return f"{texts[0]} ({texts[1]} to {texts[2]})"


def _count_decided(verdicts: DataFrame) -> dict[str, tuple[int, int]]:
    """Count verdicts and errors by stratum.

    Raises:
        InputError: a verdict or stratum is unknown.
        EmptyTableError: there is no verdict.
    """
    for name in (VERDICT, q.STRATUM):
        resolve_columns(verdicts, "verdicts", {"verdicts": name})
    known = F.col(VERDICT).isin(*VERDICTS) & F.col(q.STRATUM).isin(*STRATA)
    is_error = F.col(VERDICT).isin(*ERRORS)
    rows = (
        verdicts.groupBy(q.STRATUM)
        .agg(
            F.count(F.lit(1)).alias(_DECIDED),
            F.count(F.when(is_error, 1)).alias(_ERRORS),
            F.count(F.when(~F.coalesce(known, F.lit(False)), 1)).alias("unknown"),
        )
        .collect()
    )
    unknown = sum(row["unknown"] for row in rows)
    if unknown:
        raise InputError(
            f"verdicts: {unknown:,} rows have another verdict than {', '.join(VERDICTS)}, or another stratum "
            f"than {', '.join(STRATA)}"
        )
    if not rows:
        raise EmptyTableError("verdicts has no rows: nobody has decided about an example yet")
    return {row[q.STRATUM]: (row[_DECIDED], row[_ERRORS]) for row in rows}


def _count_rows(queue: DataFrame, given: Mapping[str, int | None]) -> dict[str, int]:
    """Count the rows of each stratum in the whole table: as given, or by Horvitz and Thompson.

    Raises:
        InputError: an inclusion probability is none.
    """
    resolve_columns(queue, "queue", {"queue": q.STRATUM})
    resolve_columns(queue, "queue", {"queue": q.INCLUSION_PROBABILITY})
    probability = F.col(q.INCLUSION_PROBABILITY)
    is_probability = (probability > 0) & (probability <= 1)
    found = queue.groupBy(q.STRATUM).agg(
        F.sum(F.when(is_probability, 1 / probability)).alias("rows"),
        F.count(F.when(~F.coalesce(is_probability, F.lit(False)), 1)).alias("unknown"),
    )
    rows = found.collect()
    unknown = sum(row["unknown"] for row in rows)
    if unknown:
        raise InputError(
            f"queue: {unknown:,} rows have an inclusion_probability that is none: it is above 0 and at most 1"
        )
    told = {row[q.STRATUM]: round(row["rows"]) for row in rows}
    numbers = {name: given[name] for name in STRATA}
    return {name: told.get(name, 0) if number is None else number for name, number in numbers.items()}


def _estimate_precision_at(
    verdicts: DataFrame, queue: DataFrame, strata: Mapping[str, Stratum], ks: Sequence[Any]
) -> dict[int, Estimate]:
    """Estimate the precision of the first k issues by rank.

    Of these, rows of the stratum "top" are known from the queue, as all of them are in it. The rest are of
    the stratum "flagged", of which those among the first k are a random sample, too.
    """
    whole = strata[q.TOP].rows + strata[q.FLAGGED].rows
    for k in ks:
        if isinstance(k, bool) or not isinstance(k, int) or not 1 <= k <= whole:
            raise ConfigurationError(f"ks: {k!r} is no number of issues from 1 to {whole:,}")
    there = {name.casefold() for name in verdicts.columns} & {name.casefold() for name in queue.columns}
    if not ks or q.ISSUE_RANK not in there:
        return {}
    rank, stratum = F.col(q.ISSUE_RANK), F.col(q.STRATUM)
    is_error = F.col(VERDICT).isin(*ERRORS)
    tops = queue.agg(*[F.count(F.when((stratum == q.TOP) & (rank <= k), 1)).alias(f"{k}") for k in ks])
    counts = verdicts.agg(
        *[
            F.count(F.when((stratum == name) & (rank <= k) & condition, 1)).alias(f"{name}_{kind}_{k}")
            for k in ks
            for name in (q.TOP, q.FLAGGED)
            for kind, condition in ((_DECIDED, F.lit(True)), (_ERRORS, is_error))
        ]
    )
    in_top, seen = tops.collect()[0], counts.collect()[0]
    return {
        k: estimate_share(
            [
                Stratum(rows, seen[f"{name}_{_DECIDED}_{k}"], seen[f"{name}_{_ERRORS}_{k}"])
                for name, rows in ((q.TOP, in_top[f"{k}"]), (q.FLAGGED, k - in_top[f"{k}"]))
            ]
        )
        for k in ks
    }
