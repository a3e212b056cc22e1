"""Estimates from samples of strata: unbiased, and covered by their intervals as often as they promise."""

from collections.abc import Callable
from math import comb
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pyspark.sql import DataFrame, SparkSession

from cl_spark import ConfigurationError, EmptyTableError, InputError, MissingColumnError
from cl_spark.methods.review.estimates import (
    Estimate,
    Stratum,
    estimate_errors,
    estimate_recall,
    estimate_share,
    find_share_interval,
    list_ks,
)
from cl_spark.methods.review.validated_quality import ValidatedQuality, validated_quality
from cl_spark.methods.review.verdicts import decide_verdicts

DRAWS = 1_500
TABLES = {
    "issues beyond the budget": [(80, 80, 50), (420, 40, 120), (9_500, 50, 30)],
    "many wrong labels that are no issues": [(80, 80, 50), (420, 40, 120), (9_500, 50, 190)],
    "all issues are looked at": [(30, 30, 20), (0, 0, 0), (970, 100, 5)],
    "a large table": [(400, 400, 200), (4_600, 100, 1_000), (95_000, 200, 500)],
    "hardly an issue is wrong": [(400, 400, 200), (4_600, 100, 46), (95_000, 200, 95)],
    "nothing beyond the issues": [(400, 400, 200), (600, 100, 590), (95_000, 200, 0)],
    "most of a small table": [(80, 80, 10), (20, 15, 10), (900, 300, 90)],
}
"""Rows, sample and errors of the strata top, flagged and unflagged."""

Draw = tuple[list[Stratum], list[Stratum]]


def draw(table: list[tuple[int, int, int]], rng: np.random.Generator) -> Draw:
    top, flagged, unflagged = (
        Stratum(rows, n, int(rng.hypergeometric(errors, rows - errors, n)) if n else 0)
        for rows, n, errors in table
    )
    return [top, flagged], [unflagged]


@pytest.mark.slow
@pytest.mark.parametrize("name", TABLES)
def test_intervals_cover_the_truth_and_estimates_are_unbiased(name: str) -> None:
    table = TABLES[name]
    (top, _, in_top), (flagged, _, in_flagged), (_, _, in_others) = table
    errors = in_top + in_flagged + in_others
    estimates: dict[str, tuple[Callable[[Draw], Estimate], float]] = {
        "precision": (lambda drawn: estimate_share(drawn[0]), (in_top + in_flagged) / (top + flagged)),
        "errors": (lambda drawn: estimate_errors([*drawn[0], *drawn[1]]), errors),
        "recall": (lambda drawn: estimate_recall(*drawn), (in_top + in_flagged) / errors),
    }
    rng = np.random.default_rng(7)
    drawn = [draw(table, rng) for _ in range(DRAWS)]
    for metric, (estimate, truth) in estimates.items():
        found = [estimate(one) for one in drawn]
        values, lower, upper = (
            np.array([getattr(one, part) for one in found]) for part in ("value", "lower", "upper")
        )
        assert np.all((lower <= values + 1e-9) & (values <= upper + 1e-9))
        covered = np.mean((lower - 1e-9 <= truth) & (truth <= upper + 1e-9))
        assert covered >= 0.93, (metric, covered)
        if metric != "recall":  # a ratio, which is unbiased in large samples only
            assert abs(values.mean() - truth) <= 4 * values.std() / DRAWS**0.5 + 1e-9, metric


@pytest.mark.slow
def test_a_sample_without_errors_leaves_doubt_and_a_whole_stratum_none() -> None:
    for errors in (0, 50):
        share, lower, upper = find_share_interval(Stratum(1_000, 50, errors))
        assert upper - lower > 0.05
        assert lower <= share <= upper
    assert find_share_interval(Stratum(50, 50, 20)) == (0.4, 0.4, 0.4)
    # errors that were found are there, and rows that were found right are not wrong
    _, lower, upper = find_share_interval(Stratum(10, 9, 4))
    assert (lower, upper) == (0.4, 0.5)


@pytest.mark.slow
def test_an_interval_without_a_finite_population_is_that_of_agresti_and_coull() -> None:
    _, lower, upper = find_share_interval(Stratum(10**12, 100, 30))
    centre = (30 + 1.959964**2 / 2) / (100 + 1.959964**2)
    reach = 1.959964 * (centre * (1 - centre) / (100 + 1.959964**2)) ** 0.5
    assert (lower, upper) == pytest.approx((centre - reach, centre + reach), abs=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize(("rows", "n"), [(10, 9), (10, 5), (20, 18), (50, 45), (100, 51), (1_000, 960)])
def test_intervals_of_strata_of_which_few_rows_are_left_cover_every_truth(rows: int, n: int) -> None:
    for errors in range(0, rows + 1, max(rows // 50, 1)):
        covered = 0.0
        for x in range(max(0, n - rows + errors), min(n, errors) + 1):
            _, lower, upper = find_share_interval(Stratum(rows, n, x))
            if lower <= errors / rows + 1e-12 and errors / rows <= upper + 1e-12:
                covered += comb(errors, x) * comb(rows - errors, n - x) / comb(rows, n)
        assert covered >= 0.95, errors


@pytest.mark.slow
def test_an_interval_is_about_that_of_the_exact_test() -> None:
    """The exact upper end: the most errors with which 2.5 % of the samples have so few."""
    rows, n, found = 200, 40, 3
    most = max(
        k for k in range(rows)
        if sum(comb(k, x) * comb(rows - k, n - x) for x in range(found + 1)) / comb(rows, n) >= 0.025
    )  # fmt: skip
    assert find_share_interval(Stratum(rows, n, found))[2] == pytest.approx(most / rows, abs=0.02)


@pytest.mark.slow
def test_what_no_sample_tells_is_not_known() -> None:
    unknown = Estimate(None, None, None, 10)
    assert estimate_share([Stratum(10, 10, 5), Stratum(90, 0, 0)]) == unknown
    assert estimate_recall([Stratum(10, 10, 5)], [Stratum(90, 0, 0)]) == unknown
    assert estimate_recall([Stratum(10, 10, 0)], [Stratum(0, 0, 0)]) == unknown
    assert estimate_share([Stratum(0, 0, 0)]).value is None
    assert estimate_errors([Stratum(10, 10, 5), Stratum(0, 0, 0)]) == Estimate(5, 5, 5, 10)


@pytest.mark.slow
def test_precision_is_told_at_few_ks() -> None:
    assert list_ks(5) == []
    assert list_ks(1_000) == [10, 20, 50, 100, 200, 500, 1_000]


def queue() -> pd.DataFrame:
    """A queue of 30 top issues, 20 of 70 others, and 40 of 400 that are no issues."""
    strata = ["top"] * 30 + ["flagged"] * 20 + ["unflagged"] * 40
    ranks = [*range(1, 31), *range(31, 101, 3)[:20], *[None] * 40]
    probabilities = [1.0] * 30 + [20 / 70] * 20 + [0.1] * 40
    return pd.DataFrame(
        {
            "id": range(90), "given_label": "cat", "suggested_label": "dog", "label_quality": 0.5,
            "issue_rank": pd.array(ranks, dtype="Int64"), "stratum": strata,
            "inclusion_probability": probabilities,
        }
    )  # fmt: skip


def judged(spark: SparkSession, errors: set[int], rows: pd.DataFrame | None = None) -> DataFrame:
    frame = queue() if rows is None else rows
    kinds = ["prune", "correct", "non_agreement"]
    frame["verdict"] = [kinds[i % 3] if i in errors else "not_an_error" for i in frame["id"]]
    return spark.createDataFrame(frame.astype(object).where(frame.notna(), None), schema_of(frame))


def schema_of(frame: pd.DataFrame) -> str:
    kinds = {"id": "long", "label_quality": "double", "issue_rank": "long", "inclusion_probability": "double"}
    return ", ".join(f"{name} {kinds.get(name, 'string')}" for name in frame.columns)


@pytest.fixture
def asked(spark: SparkSession) -> DataFrame:
    frame = queue()
    return spark.createDataFrame(frame.astype(object).where(frame.notna(), None), schema_of(frame))


def estimates(quality: ValidatedQuality) -> dict[str, Any]:
    return {name: one.value for name, one in quality.estimates.items()}


@pytest.mark.matrix
def test_quality_follows_from_the_verdicts_of_a_queue(spark: SparkSession, asked: DataFrame) -> None:
    # 24 of the top 30, 5 of 20 other issues, 2 of 40 that are no issues
    errors = {*range(24), *range(30, 35), 50, 51}
    quality = validated_quality(judged(spark, errors), asked)
    flagged, others = 24 + 70 * 5 / 20, 400 * 2 / 40
    assert quality.strata == {
        "top": Stratum(30, 30, 24), "flagged": Stratum(70, 20, 5), "unflagged": Stratum(400, 40, 2)
    }  # fmt: skip
    assert quality.precision.value == pytest.approx(flagged / 100)
    assert quality.estimated_errors.value == pytest.approx(flagged + others)
    assert quality.recall.value == pytest.approx(flagged / (flagged + others))
    at = quality.precision_at
    assert list(at) == [10, 20, 50, 100]
    assert (at[10], at[20]) == (Estimate(1, 1, 1, 10), Estimate(1, 1, 1, 20))
    # of ranks 31 to 50, seven were drawn (31, 34, ..., 49), and five of them are wrong
    assert at[50].value == pytest.approx((24 + 20 * 5 / 7) / 50)
    assert at[100] == quality.precision
    table = quality.to_spark(spark)
    assert table.columns == ["metric", "value", "lower", "upper", "examples"]
    assert [row.metric for row in table.collect()][:4] == [
        "precision",
        "recall",
        "estimated_errors",
        "precision_at_10",
    ]
    assert "precision at 50" in quality._repr_html_()


@pytest.mark.slow
def test_sizes_may_be_given_and_without_unflagged_rows_recall_is_not_known(
    spark: SparkSession, asked: DataFrame
) -> None:
    verdicts = judged(spark, {0, 30, 50})
    given = validated_quality(verdicts, asked, num_top=30, num_flagged=70, num_unflagged=400, ks=[7])
    told = validated_quality(verdicts, asked, ks=[7])
    assert estimates(given) == estimates(told)
    assert given.precision_at.keys() == {7}
    without = validated_quality(
        verdicts.where("stratum <> 'unflagged'"), asked.where("stratum <> 'unflagged'")
    )
    assert without.precision == told.precision
    assert (without.recall.value, without.estimated_errors.value) == (None, None)
    all_flagged = validated_quality(
        verdicts.where("stratum <> 'unflagged'"), asked.where("stratum <> 'unflagged'"), num_unflagged=0
    )
    assert all_flagged.recall.value == 1


@pytest.mark.slow
def test_pending_rows_count_as_left_out_by_chance(spark: SparkSession) -> None:
    rows = queue()
    answered = [(int(i), "a", "suggested" if i % 2 else "given") for i in rows["id"] if i % 3]
    answers = spark.createDataFrame(answered, "id long, annotator string, answer string")
    asked = spark.createDataFrame(rows.astype(object).where(rows.notna(), None), schema_of(rows))
    quality = validated_quality(decide_verdicts(answers, asked, quorum=1))
    assert quality.strata["top"] == Stratum(30, 20, 10)
    assert quality.precision_at[10].examples == 6
    assert quality.precision_at[10].lower is not None
    assert quality.precision_at[10].lower < quality.precision_at[10].upper  # type: ignore[operator]


@pytest.mark.slow
def test_all_issues_of_an_audit_may_be_the_queue(spark: SparkSession) -> None:
    issues = pd.DataFrame(
        {"id": range(20), "given_label": "cat", "suggested_label": "dog", "rank": range(1, 21)}
    )
    answers = pd.DataFrame({"id": range(20), "annotator": "a", "answer": ["suggested"] * 15 + ["given"] * 5})
    quality = validated_quality(decide_verdicts(answers, issues, quorum=1, spark=spark))
    assert quality.precision == Estimate(0.75, 0.75, 0.75, 20)
    assert quality.precision_at[10].value == 1
    assert quality.recall.value is None


@pytest.mark.slow
def test_what_cannot_be_estimated_is_refused(spark: SparkSession, asked: DataFrame) -> None:
    verdicts = judged(spark, {0})
    cases: list[tuple[DataFrame, DataFrame | None, dict[str, Any], type[Exception], str]] = [
        (verdicts, None, {}, ConfigurationError, "pass the queue"),
        (verdicts, asked, {"num_top": -1}, ConfigurationError, "num_top"),
        (verdicts, asked, {"num_top": True}, ConfigurationError, "num_top"),
        (verdicts, asked, {"num_top": 29}, InputError, "more than the 29"),
        (verdicts, asked, {"ks": [0]}, ConfigurationError, "ks: 0"),
        (verdicts, asked, {"ks": [101]}, ConfigurationError, "ks: 101"),
        (verdicts.where("id < 0"), asked, {}, EmptyTableError, "nobody has decided"),
        (verdicts.replace("prune", "perhaps"), asked, {}, InputError, "another verdict"),
        (verdicts.drop("stratum"), asked, {}, MissingColumnError, "stratum"),
        (verdicts, asked.drop("inclusion_probability"), {}, MissingColumnError, "inclusion_probability"),
        (verdicts, asked.replace(1.0, 0.0), {}, InputError, "30 rows have an inclusion_probability"),
    ]
    for judgements, rows, values, error, text in cases:
        with pytest.raises(error, match=text):
            validated_quality(judgements, rows, **values)
