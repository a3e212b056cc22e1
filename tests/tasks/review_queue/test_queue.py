"""The review queue of a finished run: which rows it has, and that chance alone decides of the random ones."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import DataFrame, Row, SparkSession
from pyspark.sql import functions as F

from cl_spark import (
    ColumnTypeError,
    ConfigurationError,
    CrossValidationConfig,
    InputError,
    MissingColumnError,
    Run,
    SourceChangedError,
    review_queue,
    run_cross_validation,
)
from tests.frames import audit
from tests.methods.learning.frames import blobs, training_frame
from tests.tasks.review_queue.frames import OPTIONS, audited, with_notes

pytestmark = pytest.mark.slow

COLUMNS = [
    "id", "given_label", "suggested_label", "label_quality", "issue_rank", "place", "stratum",
    "inclusion_probability", "note", "source",
]  # fmt: skip


@pytest.fixture(scope="module")
def scored(spark: SparkSession, df: DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """An audit that wrote `label_scores`."""
    return audited(spark, with_notes(df), tmp_path_factory.mktemp("scored"), label_scores=True)


@pytest.fixture(scope="module")
def unscored(spark: SparkSession, df: DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The same audit without."""
    return audited(spark, with_notes(df), tmp_path_factory.mktemp("unscored"))


def rows(queue: DataFrame, stratum: str | None = None) -> list[Row]:
    """The rows of a queue, or of a stratum, by place."""
    return [row for row in queue.orderBy("place").collect() if stratum in (None, row.stratum)]


def ranks(queue: DataFrame, stratum: str) -> list[int]:
    return sorted(row.issue_rank for row in rows(queue, stratum))


def test_it_has_the_worst_issues_and_random_rows_of_both_kinds(scored: Run) -> None:
    queue = review_queue(scored, 20, random_share=0.2)
    assert queue.columns == COLUMNS
    found = rows(queue)
    assert [row.place for row in found] == list(range(1, 21))
    assert ranks(queue, "top") == list(range(1, 13))
    issues, examples = scored.record.num_issues, scored.record.num_examples
    assert all(rank > 12 for rank in ranks(queue, "flagged"))
    assert [len(rows(queue, stratum)) for stratum in ("top", "flagged", "unflagged")] == [12, 4, 4]
    shares = {row.stratum: row.inclusion_probability for row in found}
    assert shares == {"top": 1.0, "flagged": 4 / (issues - 12), "unflagged": 4 / (examples - issues)}


def test_a_row_has_the_values_of_the_audit_and_the_review_columns_of_the_input(
    scored: Run, df: DataFrame
) -> None:
    queue = review_queue(scored, 60, random_share=0.5)
    scores = {row.id: row for row in scored.table("label_scores").collect()}
    issues = {row.id: row for row in scored.issues.collect()}
    sources = {row.id: row.source for row in df.collect()}
    for row in rows(queue):
        assert (row.given_label, row.label_quality) == (
            scores[row.id].given_label,
            scores[row.id].label_quality,
        )
        assert (row.note, row.source) == (f"note {row.id}", sources[row.id])
        assert (row.issue_rank is None) == (row.id not in issues) == (row.stratum == "unflagged")
        if row.id in issues:
            assert row.suggested_label == issues[row.id].suggested_label
            assert row.issue_rank == issues[row.id]["rank"]


def test_labels_do_not_tell_which_rows_are_no_issues(scored: Run) -> None:
    joint = scored.table("confident_joint").where("given_label != true_label").collect()
    most: dict[int, tuple[float, int]] = {}
    for cell in joint:
        ours = (-cell.calibrated_count, cell.true_label)
        most[cell.given_label] = min(most.get(cell.given_label, ours), ours)
    found = rows(review_queue(scored, 60, random_share=0.5), "unflagged")
    assert len(found) == 30
    for row in found:
        assert row.suggested_label == most[row.given_label][1] != row.given_label


def test_all_issues_are_there_if_they_fit(scored: Run) -> None:
    queue = review_queue(scored, 190)
    assert ranks(queue, "top") == list(range(1, scored.record.num_issues + 1))
    assert rows(queue, "flagged") == []
    assert len(rows(queue, "unflagged")) == 19


def test_without_random_share_only_issues_by_rank_are_there(scored: Run) -> None:
    queue = review_queue(scored, 10, random_share=0)
    assert ranks(queue, "top") == list(range(1, 11))
    assert queue.count() == 10


def test_at_most_so_many_issues_of_a_class_are_taken_by_rank(
    scored: Run, caplog: pytest.LogCaptureFixture
) -> None:
    queue = review_queue(scored, 20, per_class=2, random_share=0.2)
    assert "per_class: the queue has 16 of the 20 rows that budget allows" in caplog.text
    top = rows(queue, "top")
    assert Counter(row.given_label for row in top) == dict.fromkeys(range(4), 2)
    issues = scored.issues.orderBy("rank").collect()
    worst = [rank for k in range(4) for rank in [one["rank"] for one in issues if one.given_label == k][:2]]
    assert sorted(row.issue_rank for row in top) == sorted(worst)
    assert len(rows(queue, "flagged")) == 4


@pytest.mark.parametrize("columns", ["given_label", ["source", "given_label"]])
def test_values_of_a_column_take_turns_worst_first(scored: Run, columns: str | list[str]) -> None:
    names = [columns] if isinstance(columns, str) else columns
    by_value: dict[Any, list[int]] = {}
    for row in scored.issues.orderBy("rank").collect():
        by_value.setdefault(tuple(row[name] for name in names), []).append(row["rank"])
    turns = sorted((turn, rank) for ranks_ in by_value.values() for turn, rank in enumerate(ranks_))
    queue = review_queue(scored, 12, diversify_by=columns, random_share=0.1)
    assert ranks(queue, "top") == sorted(rank for _, rank in turns[:10])


def test_a_limit_and_turns_go_together(scored: Run) -> None:
    queue = review_queue(scored, 9, per_class=2, diversify_by="source", random_share=0)
    top = rows(queue, "top")
    assert max(Counter(row.given_label for row in top).values()) <= 2
    assert {row.source for row in top} == {"a", "b"}


def test_the_same_seed_gives_the_same_queue_whatever_the_partitioning(
    spark: SparkSession, df: DataFrame, scored: Run, tmp_path: Path
) -> None:
    shuffled = audited(spark, with_notes(df).repartition(7, F.rand(1)), tmp_path, label_scores=True)
    expected = rows(review_queue(scored, 30, diversify_by="source"))
    assert rows(review_queue(scored, 30, diversify_by="source")) == expected
    assert rows(review_queue(shuffled, 30, diversify_by="source")) == expected


def test_another_seed_draws_other_rows_in_another_order(scored: Run) -> None:
    first, second = (review_queue(scored, 30, random_share=0.3, seed=seed) for seed in (0, 1))
    assert ranks(first, "top") == ranks(second, "top")
    for stratum in ("flagged", "unflagged"):
        assert {row.id for row in rows(first, stratum)} != {row.id for row in rows(second, stratum)}
    assert [row.id for row in rows(first)] != [row.id for row in rows(second)]


def test_place_tells_nothing_of_a_row(scored: Run) -> None:
    strata = [
        [row.stratum for row in rows(review_queue(scored, 40, random_share=0.3, seed=s))] for s in range(9)
    ]
    for third in (slice(0, 13), slice(13, 26), slice(26, 40)):
        seen = Counter(stratum for one in strata for stratum in one[third])
        assert all(seen[stratum] > 6 for stratum in ("top", "flagged", "unflagged"))


def test_every_row_that_is_no_issue_is_drawn_about_as_often(scored: Run) -> None:
    draws = [review_queue(scored, 40, random_share=0.5, seed=seed) for seed in range(5)]
    seen = Counter(row.id for queue in draws for row in rows(queue, "unflagged"))
    size = scored.record.num_examples - scored.record.num_issues
    assert sum(seen.values()) == 5 * min(20, size)
    assert len(seen) > 0.8 * size * (1 - (1 - 20 / size) ** 5)


def test_without_scores_the_input_is_scored_again_with_the_same_result(scored: Run, unscored: Run) -> None:
    assert rows(review_queue(unscored, 40)) == rows(review_queue(scored, 40))


@pytest.mark.parametrize("label_scores", [True, False])
def test_an_input_that_has_changed_is_an_error_that_says_what_to_do(
    spark: SparkSession, df: DataFrame, tmp_path: Path, label_scores: bool
) -> None:
    run = audited(spark, with_notes(df), tmp_path, label_scores=label_scores)
    with_notes(df).limit(3).write.mode("append").parquet(str(tmp_path / "in"))
    way_out = (
        "random_share to 0: label_scores keeps" if label_scores else r"label_scores: true \(--label-scores\)"
    )
    with pytest.raises(SourceChangedError, match=rf"which has changed since: it was \d.* {way_out}"):
        review_queue(run, 20)
    assert review_queue(run, 20, random_share=0).count() == 20


def test_scores_do_without_the_input_if_nothing_else_of_it_is_shown(
    spark: SparkSession, df: DataFrame, tmp_path: Path
) -> None:
    run = audited(spark, df, tmp_path, label_scores=True, review_columns=[])
    expected = rows(review_queue(run, 20))
    df.limit(3).write.mode("overwrite").parquet(str(tmp_path / "in"))
    assert rows(review_queue(run, 20)) == expected


def test_a_delta_table_is_read_at_the_version_that_was_audited(
    spark: SparkSession, df: DataFrame, unscored: Run, tmp_path: Path
) -> None:
    path, labels = str(tmp_path / "predictions"), str(tmp_path / "labels")
    with_notes(df).drop("label").write.format("delta").save(path)
    df.select("id", "label").write.format("delta").save(labels)
    run = audit(spark, path, tmp_path / "out", labels=labels, **OPTIONS).run
    for table in (path, labels):
        spark.read.format("delta").load(table).limit(5).write.format("delta").mode("overwrite").save(table)
    assert rows(review_queue(run, 40)) == rows(review_queue(unscored, 40))


def test_an_input_that_is_gone_is_an_error_that_says_what_to_do(
    spark: SparkSession, df: DataFrame, tmp_path: Path
) -> None:
    run = audited(spark, with_notes(df), tmp_path)
    (tmp_path / "in").rename(tmp_path / "elsewhere")
    with pytest.raises(InputError, match=r"and it cannot be read: .* label_scores: true"):
        review_queue(run, 20)


@pytest.mark.parametrize("label_scores", [True, False])
def test_a_cross_validation_has_a_queue_too(spark: SparkSession, tmp_path: Path, label_scores: bool) -> None:
    features, labels = blobs(90)
    labels[:9] = (labels[:9] + 1) % 3
    data = training_frame(spark, features, labels, note=[f"n{i}" for i in range(90)])
    names = F.element_at(F.array(*map(F.lit, ("cat", "dog", "eel"))), F.col("label").cast("int") + 1)
    data.withColumn("label", names).write.parquet(str(tmp_path / "data"))
    config = CrossValidationConfig(
        data=str(tmp_path / "data"), output=str(tmp_path / "out"), format="parquet", folds=3,
        estimator="sklearn.naive_bayes.GaussianNB", review_columns=["note"], label_scores=label_scores,
    )  # fmt: skip
    run = run_cross_validation(spark, config).run
    queue = review_queue(run, 12, random_share=0.5)
    assert (
        ranks(queue, "top") == list(range(1, min(7, run.record.num_issues + 1)))[: len(ranks(queue, "top"))]
    )
    unflagged = rows(queue, "unflagged")
    assert len(unflagged) == 6
    for row in unflagged:
        assert row.note == f"n{row.id}"
        assert {row.given_label, row.suggested_label} < {"cat", "dog", "eel"}
        assert row.given_label != row.suggested_label


def test_composite_keys_and_columns_of_odd_names(spark: SparkSession, df: DataFrame, tmp_path: Path) -> None:
    odd = df.withColumns({"the `part`": F.col("id") % 3, "a.note": F.concat(F.lit("n"), "id")})
    keys = ["the `part`", "id"]
    run = audited(spark, odd, tmp_path, id_col=keys, review_columns=["a.note"])
    queue = review_queue(run, 20, diversify_by="a.note")
    assert queue.columns[:2] == keys
    for row in rows(queue):
        assert (row["the `part`"], row["a.note"]) == (row.id % 3, f"n{row.id}")


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"budget": 0}, ConfigurationError, "budget must be"),
        ({"diversify_by": "colour"}, MissingColumnError, "diversify_by: no column 'colour' in the table of"),
        ({"diversify_by": ["source", "Source"]}, ConfigurationError, "names a column twice: source, Source"),
    ],
)
def test_arguments_that_cannot_be_used_are_errors(
    scored: Run, arguments: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        review_queue(scored, **{"budget": 10, **arguments})


def test_values_without_an_order_cannot_take_turns(
    spark: SparkSession, df: DataFrame, tmp_path: Path
) -> None:
    run = audited(spark, df.withColumn("tags", F.array("source")), tmp_path, review_columns=["tags"])
    with pytest.raises(ColumnTypeError, match=r"diversify_by: column 'tags' is array<string>"):
        review_queue(run, 10, diversify_by="tags")


def test_a_column_called_like_one_of_the_queue_is_an_error(
    spark: SparkSession, df: DataFrame, tmp_path: Path
) -> None:
    run = audited(spark, df.withColumn("Place", F.lit(1)), tmp_path, review_columns=["Place"])
    with pytest.raises(ConfigurationError, match="'Place', which is the name of a column of the review"):
        review_queue(run, 10)


def test_an_id_called_like_a_column_of_answers_is_an_error(
    spark: SparkSession, df: DataFrame, tmp_path: Path
) -> None:
    keys = {"id_col": ["id", "annotator"], "review_columns": []}
    run = audited(spark, df.withColumn("annotator", F.lit("ann")), tmp_path, **keys)
    with pytest.raises(ConfigurationError, match="'annotator', which is the name of a column of answers"):
        review_queue(run, 10)


def test_no_row_has_the_same_label_twice_whatever_the_filter(
    spark: SparkSession, df: DataFrame, tmp_path: Path
) -> None:
    run = audited(spark, with_notes(df), tmp_path, filter_by="low_self_confidence", num_issues=120)
    same = run.issues.where("given_label = suggested_label").count()
    assert same > 0  # "cat or cat?" would tell that it is an issue
    queue = review_queue(run, 150)
    assert queue.columns == COLUMNS
    assert queue.where("stratum = 'top'").count() >= 110
    assert queue.where("given_label = suggested_label").count() == 0
