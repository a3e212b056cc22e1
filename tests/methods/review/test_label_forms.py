"""Sets of labels, corrected by verdicts about single labels: as a new table, in place, again, and undone."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from cl_spark import (
    ColumnTypeError,
    ConfigurationError,
    InputError,
    apply_corrections,
    undo_corrections,
)

pytestmark = [pytest.mark.matrix, pytest.mark.tables]

IDS = ["id", "class"]
SETS: list[tuple[int, list[str] | None]] = [
    (1, ["dog", "car"]), (2, ["sea"]), (3, []), (4, ["sea", "car"]), (5, None), (6, ["dog"]), (7, ["dog"]),
    (7, ["car"]),
]  # fmt: skip
VERDICTS = [
    (1, "bird", "absent", "present", "correct"),
    (1, "car", "present", "absent", "correct"),
    (1, "sea", "absent", "present", "not_an_error"),
    (2, "car", "present", "absent", "correct"),  # it does not have it any more
    (2, "dog", "absent", "present", "correct"),
    (3, "sea", "absent", "present", "non_agreement"),
    (3, "dog", "absent", "present", "correct"),
    (4, "car", "present", "absent", "not_an_error"),
    (5, "dog", "absent", "present", "correct"),  # nobody has looked
    (6, "dog", "absent", "present", "correct"),  # it has got it meanwhile
    (7, "dog", "absent", "present", "correct"),
    (8, "dog", "absent", "present", "correct"),
]
OUTCOMES = {
    (1, "bird"): "corrected", (1, "car"): "corrected", (1, "sea"): "kept", (2, "car"): "already_done",
    (2, "dog"): "corrected", (3, "sea"): "pruned", (3, "dog"): "corrected", (4, "car"): "kept",
    (5, "dog"): "conflict", (6, "dog"): "already_done", (7, "dog"): "repeated_id", (8, "dog"): "unknown_id",
}  # fmt: skip
CORRECTED = {
    1: (["dog", "bird"], ["dog", "car"], "corrected"),
    2: (["sea", "dog"], ["sea"], "corrected"),
    3: (["dog"], [], "pruned"),
}
"""The sets that change: now, before, and their mark."""


@pytest.fixture
def sets(spark: SparkSession) -> DataFrame:
    return spark.createDataFrame(SETS, "id int, tags array<string>").repartition(3)


@pytest.fixture
def verdicts(spark: SparkSession) -> DataFrame:
    schema = "id long, class string, given_label string, suggested_label string, verdict string"
    corrected = F.expr(
        "CASE verdict WHEN 'correct' THEN suggested_label WHEN 'not_an_error' THEN given_label END"
    )
    return spark.createDataFrame(VERDICTS, schema).withColumn("corrected_label", corrected).repartition(2)


def outcomes(done: Any) -> dict[tuple[int, str], str]:
    rows = done.corrections.collect()
    assert len(rows) == len(VERDICTS)
    return {(row.id, row["class"]): row.correction for row in rows}


def changed(df: DataFrame) -> dict[int, tuple[list[str], list[str], str]]:
    rows = df.where("correction_run = 'june'").collect()
    return {row.id: (row.tags, row.previous_label, row.correction) for row in rows}


def test_a_new_table_has_the_sets_with_all_their_changes(
    spark: SparkSession, sets: DataFrame, verdicts: DataFrame, tmp_path: Path
) -> None:
    out = str(tmp_path / "corrected")
    keys: dict[str, Any] = {"id_col": IDS, "label_col": "tags", "output_format": "parquet", "run_id": "june"}
    done = apply_corrections(sets, verdicts, output=out, **keys)
    assert outcomes(done) == OUTCOMES
    written = spark.read.parquet(out)
    assert changed(written) == CORRECTED
    marks = {row.id: row.correction for row in written.collect()}
    assert marks == {
        1: "corrected", 2: "corrected", 3: "pruned", 4: "kept", 5: "conflict", 6: "kept", 7: "conflict",
    }  # fmt: skip
    assert written.count() == len(SETS)
    labels = {(row.id, row["class"]): (row.previous_label, row.label) for row in done.corrections.collect()}
    assert labels[1, "bird"] == ("absent", "present")
    assert labels[2, "car"] == ("present", "absent")
    assert labels[5, "dog"] == ("absent", None)


@pytest.mark.slow
def test_in_place_a_run_is_made_once_and_can_be_undone(
    spark: SparkSession, sets: DataFrame, verdicts: DataFrame, tmp_path: Path
) -> None:
    path = str(tmp_path / "sets")
    sets.write.format("delta").save(path)
    before = sorted(map(str, spark.read.format("delta").load(path).collect()))
    for was_applied in (False, True):
        done = apply_corrections(path, verdicts, id_col=IDS, label_col="tags", run_id="june")
        made = spark.sql(f"DESCRIBE HISTORY delta.`{path}` LIMIT 1").collect()[0].version
        assert (done.was_applied, done.version) == (was_applied, made)
        assert made in (1, 2)  # on Spark 3.5 a commit before it adds the columns
        assert outcomes(done) == OUTCOMES
        assert changed(spark.read.format("delta").load(path)) == CORRECTED
    again = apply_corrections(path, verdicts, id_col=IDS, label_col="tags", run_id="july")
    done_before = {key: "already_done" for key, name in OUTCOMES.items() if name in ("corrected", "pruned")}
    assert outcomes(again) == {**OUTCOMES, **done_before}
    assert again.version is None
    undone = undo_corrections(path, "june", id_col=IDS, label_col="tags")
    assert (undone.how, undone.num_restored) == ("restored", 3)
    assert sorted(map(str, spark.read.format("delta").load(path).collect())) == before


@pytest.mark.slow
def test_an_example_stays_pruned_whatever_later_runs_correct_in_it(
    spark: SparkSession, tmp_path: Path
) -> None:
    path = str(tmp_path / "sets")
    spark.createDataFrame([(5, ["bird", "car", None])], "id int, tags array<string>").write.format(
        "delta"
    ).save(path)
    keys: dict[str, Any] = {"id_col": IDS, "label_col": "tags"}
    schema = "id long, class string, given_label string, suggested_label string"
    bird, car = (spark.createDataFrame([(5, name, "present", "absent")], schema) for name in ("bird", "car"))
    apply_corrections(path, bird, run_id="june", action="prune", **keys)
    (pruned,) = spark.read.format("delta").load(path).collect()
    done = apply_corrections(path, car, run_id="july", **keys)
    assert done.counts["corrected"] == 1
    (now,) = spark.read.format("delta").load(path).collect()
    assert (now.tags, now.correction, now.correction_run) == (["bird", None], "pruned", "july")
    assert [row.label for row in done.corrections.collect()] == ["absent"]
    out = f"{path}_new"
    apply_corrections(path, bird, run_id="august", output=out, output_format="parquet", **keys)
    (new,) = spark.read.parquet(out).collect()
    assert (new.tags, new.correction) == ([None], "pruned")
    spark.sql(f"INSERT INTO delta.`{path}` (id, tags) VALUES (6, array('sea'))")
    assert undo_corrections(path, "july", **keys).how == "reversed"
    (restored,) = spark.read.format("delta").load(path).where("id = 5").collect()
    assert restored == pruned


def test_classes_are_converted_to_those_of_the_sets(spark: SparkSession, tmp_path: Path) -> None:
    sets = spark.createDataFrame([(1, [0, 2]), (2, [])], "id long, labels array<int>")
    issues = pd.DataFrame(
        {"id": [1, 1, 2], "class": ["c", "b", "a"], "given_label": ["present", "absent", "absent"],
         "suggested_label": ["absent", "present", "present"]}
    )  # fmt: skip
    keys: dict[str, Any] = {"id_col": IDS, "label_col": "labels", "output_format": "parquet", "spark": spark}
    with pytest.raises(ConfigurationError, match="pass class_names"):
        apply_corrections(sets, issues, output=str(tmp_path / "none"), **keys)
    out = str(tmp_path / "out")
    apply_corrections(sets, issues, output=out, class_names=["a", "b", "c"], **keys)
    assert {row.id: row.labels for row in spark.read.parquet(out).collect()} == {1: [0, 1], 2: [0]}
    with pytest.raises(InputError, match="1 rows have a class that is none of the labels, such as 'c'"):
        apply_corrections(sets, issues, output=str(tmp_path / "none"), class_names=["a", "b"], **keys)
    indexed = issues.assign(**{"class": [2, 1, 0]})
    apply_corrections(sets, indexed, output=f"{out}_again", **keys)
    assert {row.id: row.labels for row in spark.read.parquet(f"{out}_again").collect()} == {1: [0, 1], 2: [0]}


@pytest.mark.parametrize(
    ("values", "error", "message"),
    [
        ({"id_col": "id"}, ConfigurationError, r"id_col=\[id, class\]"),
        (
            {"label_col": "bird"},
            ColumnTypeError,
            "'bird' is boolean: name the array .* make an array of them",
        ),
        (
            {"label_col": "numbers"},
            ColumnTypeError,
            "'numbers' is array<double>; a set of labels is an array",
        ),
    ],
)
def test_what_holds_no_sets_of_single_labels_is_refused(
    sets: DataFrame, verdicts: DataFrame, tmp_path: Path, values: Any, error: type[Exception], message: str
) -> None:
    others = {"bird": F.array_contains("tags", "bird"), "numbers": F.array(F.lit(0.5))}
    keys: dict[str, Any] = {"id_col": IDS, "label_col": "tags", "output": str(tmp_path / "out"), **values}
    with pytest.raises(error, match=message):
        apply_corrections(sets.withColumns(others), verdicts, **keys)


def test_verdicts_about_classes_do_not_correct_sets(
    sets: DataFrame, verdicts: DataFrame, tmp_path: Path
) -> None:
    other = verdicts.withColumn("given_label", F.lit("dog"))
    with pytest.raises(InputError, match="rows have other labels than 'present' and 'absent'"):
        apply_corrections(sets, other, id_col=IDS, label_col="tags", output=str(tmp_path / "out"))
