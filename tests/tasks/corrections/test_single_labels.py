"""Sets of labels corrected as a run: from the verdicts of a queue of single labels to the true sets."""

from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession

from cl_spark import CorrectionsConfig, ReviewQueueConfig, VerdictsConfig, run_corrections, run_review_queue
from cl_spark import run_verdicts as decide
from cl_spark.tasks.corrections.task import undo_run
from tests.tasks.review_queue.photos import IDS, answer_by_truth, audit_photos, photo_frame, photos

pytestmark = [pytest.mark.matrix, pytest.mark.tables]


@pytest.fixture(scope="module")
def judged(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> str:
    """An audit, its queue, and the verdicts of somebody who knows the truth."""
    home = tmp_path_factory.mktemp("photos")
    audit_photos(spark, photo_frame(spark), home)
    out = str(home / "out")
    keys: dict[str, Any] = {"run_location": out, "output": out, "format": "parquet", "id_col": IDS}
    queue = run_review_queue(spark, ReviewQueueConfig(**keys, budget=60, run_id="queue"))
    answers = str(home / "answers")
    answer_by_truth(queue.run.table("review_queue"), photo_frame(spark)).write.parquet(answers)
    decide(spark, VerdictsConfig(**keys, answers=[answers], quorum=1, run_id="verdicts"))
    return out


@pytest.fixture
def labels(spark: SparkSession, tmp_path: Path) -> str:
    path = str(tmp_path / "labels")
    photo_frame(spark).select("id", "labels").write.format("delta").save(path)
    return path


def config(judged: str, labels: str, output: Path, **values: Any) -> CorrectionsConfig:
    keys = {"run_location": judged, "labels": labels, "output": str(output), "format": "parquet"}
    keys |= {"run_id": "june", "label_col": "labels"}
    return CorrectionsConfig.model_validate({**keys, "id_col": IDS, **values})


def find_differences(df: DataFrame) -> int:
    """Count the single labels that are not as they are in truth."""
    true = photos().set_index("id")["true_labels"]
    return sum(len({*row.labels} ^ {*true[row.id]}) for row in df.where("labels IS NOT NULL").collect())


def test_reviewed_single_labels_are_as_in_truth_afterwards(
    spark: SparkSession, judged: str, labels: str, tmp_path: Path
) -> None:
    before = spark.read.format("delta").load(labels)
    wrong, rows = find_differences(before), sorted(map(str, before.collect()))
    done = run_corrections(spark, config(judged, labels, tmp_path / "out", report=True))
    record, after = done.run.record, spark.read.format("delta").load(labels)
    assert record.num_labels_corrected > 20
    assert find_differences(after) == wrong - record.num_labels_corrected
    assert after.where("correction_run = 'june'").count() <= record.num_labels_corrected
    assert (record.num_conflicts, record.num_labels_corrected + record.num_kept) == (0, 60)
    table = done.run.table("corrections").where("correction = 'corrected'")
    assert {(row.previous_label, row.label) for row in table.collect()} == {
        ("present", "absent"),
        ("absent", "present"),
    }
    assert done.run.id_columns == IDS
    again = run_corrections(spark, config(judged, labels, tmp_path / "out"))
    assert again.run.record.num_labels_corrected == record.num_labels_corrected
    undone = undo_run(done.tables, "june")
    assert undone.how == "restored"
    restored = spark.read.format("delta").load(labels)
    assert sorted(map(str, restored.collect())) == rows


def test_a_new_table_is_the_same_and_issues_of_the_audit_do_as_well(
    spark: SparkSession, judged: str, labels: str, tmp_path: Path
) -> None:
    new = {"corrected_format": "parquet", "run": "night"}
    out = str(tmp_path / "corrected")
    done = run_corrections(spark, config(judged, labels, tmp_path / "out", corrected_output=out, **new))
    corrected = spark.read.parquet(out)
    assert done.run.record.num_labels_corrected == done.num_issues
    wrong = find_differences(spark.read.format("delta").load(labels))
    assert find_differences(corrected) < wrong
