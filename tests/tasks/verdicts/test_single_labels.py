"""Verdicts about single labels of sets: answers say whether an example has a class."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from cl_spark import (
    ConfigurationError,
    ReviewQueueConfig,
    Run,
    VerdictsConfig,
    decide_verdicts,
    export_review_csv,
    read_review_csv,
    run_review_queue,
    run_verdicts,
    validated_quality,
)
from tests.tasks.review_queue.photos import (
    IDS,
    NAMES,
    NUM_PHOTOS,
    answer_by_truth,
    audit_photos,
    photo_frame,
    photos,
)

pytestmark = [pytest.mark.matrix, pytest.mark.tables]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("judged")


@pytest.fixture(scope="module")
def audit(spark: SparkSession, home: Path) -> Run:
    return audit_photos(spark, photo_frame(spark), home)


@pytest.fixture(scope="module")
def queue(spark: SparkSession, audit: Run, home: Path) -> DataFrame:
    """All issues, and as many other single labels."""
    out = str(home / "out")
    keys = {"run_location": out, "budget": 200, "random_share": 0.5, "output": out, "format": "parquet"}
    config = ReviewQueueConfig.model_validate({**keys, "id_col": IDS, "run_id": "queue"})
    return run_review_queue(spark, config).run.table("review_queue")


def config(home: Path, answers: Any, output: Path, **values: Any) -> VerdictsConfig:
    keys = {"run_location": str(home / "out"), "answers": answers, "output": str(output), "quorum": 1}
    return VerdictsConfig.model_validate({**keys, "format": "parquet", "id_col": IDS, **values})


def is_wrong(id_: int, class_: str) -> bool:
    row = photos().iloc[id_]
    return (class_ in row["labels"]) != (class_ in row["true_labels"])


def lines(df: DataFrame) -> list[str]:
    return sorted(map(str, df.collect()))


@pytest.mark.slow
def test_verdicts_tell_how_many_single_labels_are_wrong(
    spark: SparkSession, audit: Run, queue: DataFrame, home: Path, tmp_path: Path
) -> None:
    answers = str(tmp_path / "answers")
    answer_by_truth(queue, photo_frame(spark)).write.parquet(answers)
    done = run_verdicts(spark, config(home, answers, tmp_path / "out", report=True))
    for row in done.run.table("verdicts").collect():
        assert row.verdict == ("correct" if is_wrong(row.id, row["class"]) else "not_an_error")
        true = "present" if row["class"] in photos().iloc[row.id]["true_labels"] else "absent"
        assert row.corrected_label == true
    record = done.run.record
    issues = audit.table("class_issues").collect()
    found = sum(is_wrong(row.id, row["class"]) for row in issues)
    every = sum(is_wrong(i, name) for i in range(NUM_PHOTOS - 2) for name in NAMES)
    assert queue.where("stratum = 'top'").count() == len(issues)
    assert record.precision == pytest.approx(found / len(issues))
    assert record.recall_lower <= found / every
    assert record.estimated_errors <= record.estimated_errors_upper
    assert every <= record.estimated_errors_upper
    assert done.overall_health == pytest.approx(1 - record.estimated_errors / ((NUM_PHOTOS - 2) * len(NAMES)))


def test_a_spreadsheet_and_a_table_give_the_same_verdicts(
    spark: SparkSession, queue: DataFrame, tmp_path: Path
) -> None:
    answers = answer_by_truth(queue, photo_frame(spark))
    path = str(tmp_path / "review.csv")
    export_review_csv(queue, path, id_col=IDS)
    filled = pd.read_csv(path, dtype=str)
    assert set(filled["class"]) == {f"'{name}" for name in NAMES}
    said = {(row.id, row["class"]): row.answer for row in answers.collect()}
    keys = zip(filled["id"].astype(int), filled["class"].str.removeprefix("'"), strict=True)
    filled["answer"] = [said[key].capitalize() for key in keys]
    filled["annotator"] = "ann"
    filled.to_csv(path, index=False)
    expected = decide_verdicts(answers, queue, id_col=IDS, quorum=1)
    found = decide_verdicts(read_review_csv(path, queue, id_col=IDS), queue, id_col=IDS, quorum=1)
    assert lines(found.verdicts) == lines(expected.verdicts)
    assert found.num_accepted == queue.count()
    assert found.counts["correct"] > 0
    assert validated_quality(found).precision == validated_quality(expected).precision


def test_answers_may_name_the_label_or_one_of_the_two(spark: SparkSession) -> None:
    queue = spark.createDataFrame(
        [(1, "car", "absent", "present"), (1, "dog", "present", "absent"), (2, "car", "present", "absent")],
        "id long, class string, given_label string, suggested_label string",
    )
    answers = spark.createDataFrame(
        [
            (1, "car", "ann", "Present "), (1, "car", "bob", "suggested"), (1, "dog", "ann", "yes"),
            (1, "dog", "bob", "given"), (2, "car", "ann", "neither"), (2, "car", "bob", "cat"),
            (2, "car", "cat", None), (3, "car", "ann", "absent"), (2, "dog", "ann", "present"),
        ],
        "id long, class string, annotator string, answer string",
    )  # fmt: skip
    found = decide_verdicts(answers, queue, id_col=IDS, quorum=1, answer_names={"yes": "present"})
    verdicts = {
        (row.id, row["class"]): (row.verdict, row.corrected_label) for row in found.verdicts.collect()
    }
    assert verdicts == {
        (1, "car"): ("correct", "present"),
        (1, "dog"): ("not_an_error", "present"),
        (2, "car"): ("prune", None),
    }
    assert found.rejected_answers == {
        "unknown answer": 1, "skipped: null answer": 1, "example that the queue does not have": 2,
    }  # fmt: skip


def test_present_is_no_answer_where_labels_are_classes(spark: SparkSession) -> None:
    queue = pd.DataFrame({"id": [1], "given_label": ["cat"], "suggested_label": ["dog"]})
    answers = pd.DataFrame({"id": [1], "annotator": ["ann"], "answer": ["present"]})
    found = decide_verdicts(answers, queue, quorum=1, spark=spark)
    assert found.rejected_answers == {"unknown answer": 1}


def test_all_issues_of_an_audit_may_be_the_queue(
    spark: SparkSession, audit: Run, home: Path, tmp_path: Path
) -> None:
    answers = str(tmp_path / "answers")
    answer_by_truth(audit.table("class_issues"), photo_frame(spark)).write.parquet(answers)
    done = run_verdicts(spark, config(home, answers, tmp_path / "out", run="night"))
    assert done.run.record.num_queued == audit.table("class_issues").count()
    assert done.run.record.precision == done.run.record.precision_lower
    with pytest.raises(ConfigurationError, match=r"say id_col: \[id, class\]"):
        run_verdicts(spark, config(home, answers, tmp_path / "none", run="night", id_col=["id"]))


def test_the_verdicts_of_a_queue_do_not_depend_on_its_partitioning(
    spark: SparkSession, queue: DataFrame
) -> None:
    answers = answer_by_truth(queue, photo_frame(spark))
    shuffled = answers.repartition(5, F.rand(2)), queue.repartition(4, F.rand(3))
    expected = decide_verdicts(answers, queue, id_col=IDS, quorum=1)
    assert lines(decide_verdicts(*shuffled, id_col=IDS, quorum=1).verdicts) == lines(expected.verdicts)
