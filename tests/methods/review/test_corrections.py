"""Corrections: into a new table or in place, once, only where the label still is the one that was judged; and
taken back exactly.
"""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from cl_spark import ColumnTypeError, ConfigurationError, InputError, MissingColumnError, OutputError
from cl_spark.methods.review.corrections import Corrections, apply_corrections
from cl_spark.methods.review.undo import undo_corrections
from cl_spark.methods.review.verdicts import decide_verdicts
from cl_spark.tables.delta_table import name_table

pytestmark = pytest.mark.tables

LABELS = [(i, "cat" if i % 2 else "dog", f"text {i}") for i in range(1, 9)]
"""Ids 1 to 8; odd ones are cats."""

VERDICTS = pd.DataFrame(
    [
        (1, "cat", "correct", "dog"),
        (2, "dog", "prune", None),
        (3, "cat", "not_an_error", "cat"),
        (4, "dog", "non_agreement", None),
        (5, "dog", "correct", "eel"),  # it is a cat now: someone changed it
        (99, "cat", "prune", None),
        (7, "cat", "prune", None),
        (7, "cat", "correct", "dog"),
    ],
    columns=["id", "given_label", "verdict", "corrected_label"],
)
OUTCOMES = {
    1: "corrected",
    2: "pruned",
    3: "kept",
    4: "pruned",
    5: "conflict",
    99: "unknown_id",
    7: "repeated_id",
}
COUNTS = {
    "corrected": 1,
    "pruned": 2,
    "kept": 1,
    "already_done": 0,
    "conflict": 1,
    "unknown_id": 1,
    "repeated_id": 2,
    "null_id": 0,
}
OWN = ["previous_label", "correction", "corrected_by", "corrected_at", "correction_run"]


def frame(
    spark: SparkSession, rows: Any = LABELS, schema: str = "id long, label string, text string"
) -> DataFrame:
    return spark.createDataFrame(rows, schema).repartition(2)


@pytest.fixture
def table(spark: SparkSession, tmp_path: Path) -> str:
    """A Delta table of the labels."""
    path = str(tmp_path / "labels")
    frame(spark).write.format("delta").save(path)
    return path


def read(spark: SparkSession, path: str, version: int | None = None) -> DataFrame:
    reader = spark.read.format("delta")
    return (reader if version is None else reader.option("versionAsOf", version)).load(path)


def rows(df: DataFrame) -> list[Any]:
    return sorted(map(tuple, df.collect()), key=repr)


def latest(spark: SparkSession, path: str) -> int:
    return int(spark.sql(f"DESCRIBE HISTORY delta.`{path}` LIMIT 1").collect()[0].version)


def verdicts(spark: SparkSession, table: pd.DataFrame = VERDICTS) -> DataFrame:
    return spark.createDataFrame(
        [tuple(None if pd.isna(part) else part for part in row) for row in table.itertuples(index=False)],
        "id long, given_label string, verdict string, corrected_label string",
    )


def outcomes(done: Corrections) -> dict[int, str]:
    return {row.id: row.correction for row in done.corrections.collect()}


@pytest.mark.parametrize("kind", ["delta", "parquet"])
@pytest.mark.matrix
def test_a_new_table_has_every_row_with_the_old_label_beside(
    spark: SparkSession, tmp_path: Path, kind: str
) -> None:
    out = str(tmp_path / "corrected")
    options: dict[str, Any] = {"output": out, "output_format": kind, "run_id": "june", "corrected_by": "ann"}
    done = apply_corrections(frame(spark), verdicts(spark), **options)
    found = spark.read.format(kind).load(out)
    assert found.columns == ["id", "label", "text", *OWN]
    kept = {i: (label, label, "conflict" if i in (5, 7) else "kept", None, None) for i, label, _ in LABELS}
    assert {row.id: (row.label, row.previous_label, row.correction, row.corrected_by, row.correction_run)
            for row in found.collect()} == kept | {
        1: ("dog", "cat", "corrected", "ann", "june"),
        2: ("dog", "dog", "pruned", "ann", "june"),
        4: ("dog", "dog", "pruned", "ann", "june"),
    }  # fmt: skip
    assert found.where("corrected_at IS NOT NULL").count() == 3
    assert (outcomes(done), dict(done.counts), done.in_place) == (OUTCOMES, COUNTS, False)
    before = rows(found)
    again = apply_corrections(frame(spark), verdicts(spark), **options)
    assert (again.was_applied, dict(again.counts)) == (True, COUNTS)
    assert rows(spark.read.format(kind).load(out)) == before
    with pytest.raises(OutputError, match="is there already"):
        apply_corrections(frame(spark), verdicts(spark), **{**options, "run_id": "july"})


@pytest.mark.slow
def test_a_directory_that_holds_tables_is_not_overwritten(spark: SparkSession, tmp_path: Path) -> None:
    lake, begun = tmp_path / "lake", tmp_path / "begun"
    frame(spark).write.parquet(str(lake / "digits"))
    keys: dict[str, Any] = {"output_format": "parquet", "run_id": "june"}
    with pytest.raises(OutputError, match="is there already"):
        apply_corrections(frame(spark), verdicts(spark), output=str(lake), **keys)
    assert spark.read.parquet(str(lake / "digits")).count() == len(LABELS)
    # of a writer that was killed
    (begun / "_temporary" / "0").mkdir(parents=True)
    (begun / "_temporary" / "0" / "part-0.parquet").write_bytes(b"PAR1")
    assert not apply_corrections(frame(spark), verdicts(spark), output=str(begun), **keys).was_applied


@pytest.mark.slow
def test_a_parquet_table_is_of_the_run_that_has_written_it(spark: SparkSession, tmp_path: Path) -> None:
    first, out = str(tmp_path / "first"), str(tmp_path / "out")
    keys: dict[str, Any] = {"output_format": "parquet"}
    apply_corrections(frame(spark), verdicts(spark), output=first, run_id="may", **keys)
    labels = spark.read.parquet(first)
    for was_applied in (False, True):  # also where the labels have rows of an earlier run
        kept = verdicts(spark, VERDICTS[2:3])
        done = apply_corrections(labels, kept, output=out, run_id="july", **keys)
        assert done.was_applied == was_applied
    # also where it has changed nothing of its own
    before = rows(spark.read.parquet(out))
    for run_id in ("may", "august"):
        with pytest.raises(OutputError, match=f"run '{run_id}' has not written it"):
            apply_corrections(labels, verdicts(spark), output=out, run_id=run_id, **keys)
    assert rows(spark.read.parquet(out)) == before
    # a copy is of nobody
    spark.read.parquet(out).limit(1).write.parquet(f"{out}_copy")
    with pytest.raises(OutputError, match="is there already"):
        apply_corrections(labels, verdicts(spark), output=f"{out}_copy", run_id="july", **keys)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["delta", "parquet", "in place"])
def test_the_same_run_with_other_verdicts_tells_what_its_table_holds(
    spark: SparkSession, table: str, tmp_path: Path, kind: str
) -> None:
    new = {"output": str(tmp_path / "out"), "output_format": kind}
    keys: dict[str, Any] = {"run_id": "june", **({} if kind == "in place" else new)}
    first = pd.DataFrame([(1, "cat", "correct", "dog"), (2, "dog", "prune", None)], columns=VERDICTS.columns)
    other = pd.DataFrame(
        [(4, "dog", "correct", "cat"), (2, "dog", "correct", "cat")], columns=VERDICTS.columns
    )
    assert outcomes(apply_corrections(table, verdicts(spark, first), **keys)) == {1: "corrected", 2: "pruned"}
    again = apply_corrections(table, verdicts(spark, other), **keys)
    assert (again.was_applied, outcomes(again)) == (True, {2: "conflict", 4: "conflict"})
    assert {row.label for row in again.corrections.collect()} == {"dog"}


@pytest.mark.matrix
def test_in_place_one_commit_changes_the_rows_and_no_others(spark: SparkSession, table: str) -> None:
    done = apply_corrections(table, verdicts(spark), run_id="june")
    assert done.version == latest(spark, table)
    found = {row.id: row for row in read(spark, table).collect()}
    assert {
        i: (row.label, row.previous_label, row.correction) for i, row in found.items() if row.correction
    } == {
        1: ("dog", "cat", "corrected"),
        2: ("dog", "dog", "pruned"),
        4: ("dog", "dog", "pruned"),
    }
    assert {row.correction_run for row in found.values()} == {"june", None}
    assert found[1].corrected_by
    assert abs((found[1].corrected_at - pd.Timestamp.now()).total_seconds()) < 3_600
    untouched = [tuple(found[i])[:3] for i in (3, 5, 6, 7, 8)]
    assert untouched == [row for row in LABELS if row[0] in (3, 5, 6, 7, 8)]
    assert (outcomes(done), dict(done.counts)) == (OUTCOMES, COUNTS)
    assert {
        row.id: (row.previous_label, row.label, row.verdict)
        for row in done.corrections.where("id <> 7").collect()
    } == {
        1: ("cat", "dog", "correct"),
        2: ("dog", "dog", "prune"),
        3: ("cat", "cat", "not_an_error"),
        4: ("dog", "dog", "non_agreement"),
        5: ("dog", "cat", "correct"),
        99: ("cat", None, "prune"),
    }
    assert read(spark, table).where(done.where).count() == 6
    assert any("2 pruned examples are still in" in notice for notice in done.notices)
    assert "still in" in done._repr_html_()
    assert rows(read(spark, table, 0)) == sorted(LABELS, key=repr)


@pytest.mark.slow
@pytest.mark.matrix
def test_the_same_run_again_changes_nothing(spark: SparkSession, table: str) -> None:
    first = apply_corrections(table, verdicts(spark), run_id="june")
    before = rows(read(spark, table))
    again = apply_corrections(table, verdicts(spark), run_id="june")
    assert (again.was_applied, again.version, dict(again.counts)) == (True, first.version, COUNTS)
    assert (latest(spark, table), rows(read(spark, table))) == (first.version, before)
    # also where a later run has changed all its rows, and the labels would be the given ones again
    there, back = (
        verdicts(spark, pd.DataFrame([(1, given, "correct", target)], columns=VERDICTS.columns))
        for given, target in (("dog", "eel"), ("eel", "dog"))
    )
    apply_corrections(table, there, run_id="july")
    august = apply_corrections(table, back, run_id="august")
    apply_corrections(table, there, run_id="july")
    assert latest(spark, table) == august.version


@pytest.mark.slow
@pytest.mark.parametrize("how", ["overwrite", "insert", "replace", "time"])
def test_a_run_whose_table_was_replaced_is_made_again(spark: SparkSession, table: str, how: str) -> None:
    name = "replaced_labels" if how == "replace" else table
    writer = frame(spark).write.format("delta").mode("overwrite").option("overwriteSchema", True)
    if how == "replace":
        writer.saveAsTable(name)
    before = spark.sql(f"DESCRIBE HISTORY {name_table(spark, name)}").first()
    keys: dict[str, Any] = {"run_id": "june", "corrected_by": "ann"}
    assert not apply_corrections(name, verdicts(spark), **keys).was_applied
    if how == "time":
        spark.sql(f"RESTORE delta.`{table}` TO TIMESTAMP AS OF '{before.timestamp}'").collect()
    elif how == "insert":
        fresh = frame(spark).selectExpr("*", *[f"null AS {col}" for col in OWN])
        fresh.write.format("delta").mode("overwrite").save(table)
    elif how == "replace":
        writer.saveAsTable(name)
    else:
        writer.save(table)
    undone = undo_corrections(name, "june")
    assert (undone.how, undone.num_restored, undone.num_left) == ("nothing", 0, 0)
    again = apply_corrections(name, verdicts(spark), **keys)
    assert (again.was_applied, again.was_undone, dict(again.counts)) == (False, True, COUNTS)
    now = spark.sql(f"SELECT * FROM {name_table(spark, name)}")
    assert {row.id: row.label for row in now.collect()}[1] == "dog"
    assert apply_corrections(name, verdicts(spark), **keys).was_applied
    if how == "replace":
        spark.sql(f"DROP TABLE {name}")
    elif how == "insert":  # a copy of the corrected rows still holds them
        now.localCheckpoint().write.format("delta").mode("overwrite").save(table)
        assert apply_corrections(table, verdicts(spark), **keys).was_applied


@pytest.mark.slow
def test_a_whole_parquet_table_stays_whatever_became_of_the_labels(
    spark: SparkSession, tmp_path: Path
) -> None:
    keys: dict[str, Any] = {"output": str(tmp_path / "out"), "output_format": "parquet", "run_id": "june"}
    apply_corrections(frame(spark), verdicts(spark), **keys)
    before = rows(spark.read.parquet(keys["output"]))
    for labels in (frame(spark, LABELS[:3]), frame(spark, [*LABELS, (20, "cat", "new")])):
        assert apply_corrections(labels, verdicts(spark), **keys).was_applied
        assert rows(spark.read.parquet(keys["output"])) == before
    (tmp_path / "out" / "_SUCCESS").unlink()  # of a writer that was killed
    next((tmp_path / "out").glob("part-*")).unlink()
    assert not apply_corrections(frame(spark), verdicts(spark), **keys).was_applied
    assert len(rows(spark.read.parquet(keys["output"]))) == len(before)


@pytest.mark.slow
def test_what_vacuum_has_removed_is_told(spark: SparkSession, table: str) -> None:
    apply_corrections(table, verdicts(spark), run_id="june")
    spark.sql(f"DELETE FROM delta.`{table}` WHERE id = 8").collect()
    files = read(spark, table).select("_metadata.file_name").distinct().collect()
    for path in set(Path(table).glob("*.parquet")) - {Path(table) / row.file_name for row in files}:
        path.unlink()  # as VACUUM does, after some days
    before = rows(read(spark, table))
    with pytest.raises(InputError, match="the corrections of run 'june' already, and the rows as that run"):
        apply_corrections(table, verdicts(spark), run_id="june")
    with pytest.raises(OutputError, match="labels: cannot change"):
        undo_corrections(table, "june")
    assert rows(read(spark, table)) == before


@pytest.mark.matrix
def test_undo_restores_the_table_where_nothing_came_after(spark: SparkSession, table: str) -> None:
    files = sorted(read(spark, table).inputFiles())
    apply_corrections(table, verdicts(spark), run_id="june")
    undone = undo_corrections(table, "june")
    assert (undone.how, undone.num_restored, undone.num_left) == ("restored", 3, 0)
    assert undone.version == latest(spark, table)
    assert rows(read(spark, table)) == sorted(LABELS, key=repr) == rows(read(spark, table, 0))
    assert read(spark, table).columns == ["id", "label", "text"]
    assert sorted(read(spark, table).inputFiles()) == files
    again = undo_corrections(table, "june")
    assert (again.how, again.num_restored, again.left.count()) == ("nothing", 0, 0)
    assert latest(spark, table) == undone.version
    # and it can be made again
    assert not apply_corrections(table, verdicts(spark), run_id="june").was_applied
    assert rows(read(spark, table).select("id", "correction").where("correction IS NOT NULL")) == [
        (1, "corrected"),
        (2, "pruned"),
        (4, "pruned"),
    ]
    assert undo_corrections(table, "june").how == "restored"


@pytest.mark.matrix
def test_undo_after_later_commits_sets_back_the_rows_nobody_changed(spark: SparkSession, table: str) -> None:
    apply_corrections(table, verdicts(spark), run_id="june")
    spark.sql(f"UPDATE delta.`{table}` SET label = 'fox' WHERE id = 2")
    spark.sql(f"UPDATE delta.`{table}` SET text = 'new' WHERE id = 1")
    frame(spark, [(20, "cow", "x"), (4, "hen", "x")]).write.format("delta").mode("append").save(table)
    undone = undo_corrections(table, "june")
    assert (undone.how, undone.num_restored, undone.num_left) == ("reversed", 2, 1)
    assert [row.id for row in undone.left.collect()] == [2]
    assert undone.version == latest(spark, table)
    # a row that others have added, with an id of the run's, is not the run's
    others = F.expr("text = 'x' AND id = 4")
    assert read(spark, table).where(others).collect()[0].label == "hen"
    found = {row.id: tuple(row)[1:5] for row in read(spark, table).where(~others).collect()}
    assert found[1] == ("cat", "new", None, None)
    assert found[4] == ("dog", "text 4", None, None)
    assert found[2] == ("fox", "text 2", "dog", "pruned")
    assert found[20][0] == "cow"
    assert undo_corrections(table, "june").how == "nothing"


@pytest.mark.slow
def test_undo_of_the_second_run_brings_back_what_the_first_one_recorded(
    spark: SparkSession, table: str
) -> None:
    apply_corrections(table, verdicts(spark), run_id="june", corrected_by="ann")
    before = rows(read(spark, table).where("id < 5"))
    second = pd.DataFrame([(1, "dog", "correct", "eel")], columns=VERDICTS.columns)
    apply_corrections(table, verdicts(spark, second), run_id="july")
    spark.sql(f"DELETE FROM delta.`{table}` WHERE id = 8")
    assert undo_corrections(table, "july").num_restored == 1
    assert rows(read(spark, table).where("id < 5")) == before
    # of the first run, all rows are as it left them
    assert undo_corrections(table, "june").num_restored == 3


@pytest.mark.slow
def test_a_row_that_a_later_run_changed_is_left_to_it(spark: SparkSession, table: str) -> None:
    apply_corrections(table, verdicts(spark), run_id="june")
    second = pd.DataFrame([(1, "dog", "correct", "eel")], columns=VERDICTS.columns)
    apply_corrections(table, verdicts(spark, second), run_id="july")
    undone = undo_corrections(table, "june")
    assert (undone.num_restored, [row.id for row in undone.left.collect()]) == (2, [1])
    assert read(spark, table).where("id = 1").collect()[0].label == "eel"


@pytest.mark.slow
def test_rows_that_an_undoing_had_to_leave_are_set_back_once_they_can_be(
    spark: SparkSession, table: str
) -> None:
    two = pd.DataFrame(
        [(1, "cat", "correct", "dog"), (2, "dog", "correct", "cat"), (4, "dog", "correct", "cat")],
        columns=VERDICTS.columns,
    )
    apply_corrections(table, verdicts(spark, two), run_id="june")
    later = pd.DataFrame([(2, "cat", "correct", "eel")], columns=VERDICTS.columns)
    apply_corrections(table, verdicts(spark, later), run_id="july")
    spark.sql(f"UPDATE delta.`{table}` SET label = 'fox' WHERE id = 4")
    assert undo_corrections(table, "june").num_left == 2
    still = undo_corrections(table, "june")
    assert (still.how, still.num_left, [row.id for row in still.left.collect()]) == ("nothing", 1, [4])
    assert undo_corrections(table, "july").num_restored == 1
    undone = undo_corrections(table, "june")
    assert (undone.how, undone.num_restored, undone.num_left) == ("reversed", 1, 1)
    assert undone.version == latest(spark, table)
    found = {row.id: tuple(row)[1:6] for row in read(spark, table).collect()}
    assert found[2] == ("dog", "text 2", None, None, None)
    assert found[4][0] == "fox"
    assert undo_corrections(table, "june").how == "nothing"
    assert latest(spark, table) == undone.version


@pytest.mark.slow
def test_what_another_run_has_done_already_is_no_conflict(spark: SparkSession, table: str) -> None:
    apply_corrections(table, verdicts(spark), run_id="june")
    version, before = latest(spark, table), rows(read(spark, table))
    again = apply_corrections(table, verdicts(spark), run_id="july")
    assert dict(again.counts) == {**COUNTS, "corrected": 0, "pruned": 0, "already_done": 3}
    assert (latest(spark, table), rows(read(spark, table))) == (version, before)


@pytest.mark.slow
def test_a_run_that_is_made_again_after_it_was_undone_says_so(
    spark: SparkSession, table: str, caplog: pytest.LogCaptureFixture
) -> None:
    apply_corrections(table, verdicts(spark), run_id="june")
    undo_corrections(table, "june")
    assert "had been undone" not in caplog.text
    again = apply_corrections(table, verdicts(spark), run_id="june")
    assert again.was_undone
    assert "the run june had been undone, and is made again" in caplog.text


@pytest.mark.slow
def test_a_label_that_changes_during_the_correction_is_not_touched(
    spark: SparkSession, table: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cl_spark.tables.delta_table import DeltaTable

    merge = DeltaTable.merge

    def late(self: DeltaTable, *arguments: Any) -> None:
        spark.sql(f"UPDATE delta.`{table}` SET label = 'fox' WHERE id = 1")
        merge(self, *arguments)

    monkeypatch.setattr(DeltaTable, "merge", late)
    done = apply_corrections(table, verdicts(spark), run_id="june")
    assert outcomes(done)[1] == "conflict"
    assert dict(done.counts) == {**COUNTS, "corrected": 0, "conflict": 2}
    assert read(spark, table).where("id = 1").collect()[0].label == "fox"
    assert undo_corrections(table, "june").how == "restored"
    assert read(spark, table).where("id = 1").collect()[0].label == "fox"


@pytest.mark.slow
def test_a_commit_that_comes_between_is_not_undone(
    spark: SparkSession, table: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cl_spark.tables.delta_table import DeltaTable

    apply_corrections(table, verdicts(spark), run_id="june")
    restore, calls = DeltaTable.restore, []

    def late(self: DeltaTable, version: int) -> int:
        if not calls:
            spark.sql(f"UPDATE delta.`{table}` SET text = 'late' WHERE id = 8")
        calls.append(version)
        return restore(self, version)

    monkeypatch.setattr(DeltaTable, "restore", late)
    undone = undo_corrections(table, "june")
    assert (undone.how, undone.num_restored, calls) == ("reversed", 3, [0, 2])
    assert read(spark, table).where("id = 8").collect()[0].text == "late"
    assert rows(read(spark, table).select("id", "label")) == sorted((i, label) for i, label, _ in LABELS)


@pytest.mark.slow
@pytest.mark.parametrize(("action", "changed"), [("correct", "corrected"), ("prune", "pruned")])
def test_issues_are_corrected_or_pruned(
    spark: SparkSession, tmp_path: Path, action: str, changed: str
) -> None:
    issues = spark.createDataFrame(
        [(1, "cat", "dog", 1), (None, "cat", "dog", 2)],
        "id long, given_label string, suggested_label string, rank long",
    )
    done = apply_corrections(frame(spark), issues, output=str(tmp_path / "out"), action=action)
    assert done.run_id.startswith("corrections-")
    assert outcomes(done) == {1: changed, None: "null_id"}
    first = read(spark, done.table).where("id = 1").collect()[0]
    assert (first.label, first.correction) == ("dog" if action == "correct" else "cat", changed)


@pytest.mark.slow
@pytest.mark.parametrize("judged", ["issues", "verdicts"])
def test_a_suggestion_that_is_the_given_label_changes_nothing(
    spark: SparkSession, tmp_path: Path, judged: str
) -> None:
    same = spark.createDataFrame(
        [(1, "cat", "cat"), (5, "dog", "dog")], "id long, given_label string, suggested_label string"
    )
    if judged == "verdicts":
        columns = {"verdict": F.lit("correct"), "corrected_label": F.col("suggested_label")}
        same = same.withColumns(columns)
    done = apply_corrections(frame(spark), same, output=str(tmp_path / "out"), output_format="parquet")
    assert outcomes(done) == {1: "kept", 5: "conflict"}
    assert spark.read.parquet(done.table).where("correction_run IS NOT NULL").count() == 0


@pytest.mark.slow
@pytest.mark.parametrize("sets", [False, True])
def test_an_unknown_id_may_be_beyond_the_type_of_the_labels(
    spark: SparkSession, tmp_path: Path, *, sets: bool
) -> None:
    far = 3_000_000_000
    labels = spark.createDataFrame([(1, ["cat"])], "id int, label array<string>")
    schema = "id long, class string, given_label string, suggested_label string"
    issues = spark.createDataFrame(
        [(1, "dog", "absent", "present"), (far, "dog", "absent", "present")], schema
    )
    keys: dict[str, Any] = {"id_col": ["id", "class"], "output": str(tmp_path / "out")}
    if not sets:
        labels = labels.withColumn("label", F.element_at("label", 1))
        issues = issues.withColumns({"given_label": F.lit("cat"), "suggested_label": F.lit("dog")})
        keys["id_col"] = "id"
    done = apply_corrections(
        labels, issues.drop(*([] if sets else ["class"])), output_format="parquet", **keys
    )
    assert outcomes(done) == {1: "corrected", far: "unknown_id"}
    assert dict(spark.read.parquet(done.table).dtypes)["id"] == "int"


@pytest.mark.slow
def test_repeated_ids_of_the_labels_are_reported_and_not_touched(spark: SparkSession, tmp_path: Path) -> None:
    path = str(tmp_path / "labels")
    frame(spark, [*LABELS, (1, "cat", "twin")]).write.format("delta").save(path)
    done = apply_corrections(path, verdicts(spark), run_id="june")
    assert outcomes(done)[1] == "repeated_id"
    assert read(spark, path).where("id = 1 AND label = 'cat' AND correction IS NULL").count() == 2


@pytest.mark.parametrize(
    ("kind", "values", "class_names"),
    [
        ("tinyint", (0, 1), None),
        ("bigint", (0, 1), None),
        ("boolean", (False, True), None),
        ("double", (0.0, 1.0), None),
        ("decimal(3,0)", (0, 1), None),
        ("string", ("cat", "dog"), ["cat", "dog"]),
    ],
)
@pytest.mark.matrix
def test_indices_are_compared_and_written_as_the_labels_have_them(
    spark: SparkSession, tmp_path: Path, kind: str, values: tuple[Any, Any], class_names: list[str] | None
) -> None:
    labels = (
        spark.createDataFrame(
            [(1, values[0]), (2, values[1])],
            "id long, label "
            + (
                "string"
                if kind == "string"
                else "boolean"
                if kind == "boolean"
                else "double"
                if kind == "double"
                else "int"
            ),
        )
        if kind != "decimal(3,0)"
        else spark.createDataFrame([(1, 0), (2, 1)], "id long, label int")
    )
    labels = labels.withColumn("label", F.col("label").cast(kind))
    path = str(tmp_path / "labels")
    labels.write.format("delta").save(path)
    issues = spark.createDataFrame([(1, 0, 1), (2, 0, 1)], "id long, given_label int, suggested_label int")
    done = apply_corrections(path, issues, run_id="june", class_names=class_names)
    assert outcomes(done) == {1: "corrected", 2: "conflict"}
    found = read(spark, path)
    assert [row.label for row in found.orderBy("id").collect()] == [values[1]] * 2
    assert dict(found.dtypes)["previous_label"] == kind == dict(found.dtypes)["label"]


@pytest.mark.slow
def test_names_become_indices_by_the_names_of_classes(spark: SparkSession, tmp_path: Path) -> None:
    labels = spark.createDataFrame([(1, 0), (2, 1)], "id long, label int")
    issues = spark.createDataFrame([(1, "cat", "dog")], "id long, given_label string, suggested_label string")
    with pytest.raises(ConfigurationError, match="pass class_names"):
        apply_corrections(labels, issues, output=str(tmp_path / "none"))
    with pytest.raises(InputError, match="no class of the labels, such as 'dog'"):
        apply_corrections(labels, issues, output=str(tmp_path / "none"), class_names=["cat", "eel"])
    assert not (tmp_path / "none").exists()
    done = apply_corrections(labels, issues, output=str(tmp_path / "out"), class_names=["cat", "dog"])
    assert outcomes(done) == {1: "corrected"}


@pytest.mark.slow
def test_a_second_new_table_keeps_what_the_first_correction_recorded(
    spark: SparkSession, tmp_path: Path
) -> None:
    first, second = str(tmp_path / "first"), str(tmp_path / "second")
    apply_corrections(frame(spark), verdicts(spark), output=first, run_id="june")
    more = pd.DataFrame([(6, "dog", "correct", "eel"), (2, "cat", "prune", None)], columns=VERDICTS.columns)
    apply_corrections(first, verdicts(spark, more), output=second, run_id="july")
    found = {row.id: (row.label, row.previous_label, row.correction, row.correction_run)
             for row in read(spark, second).collect()}  # fmt: skip
    assert found[1] == ("dog", "cat", "corrected", "june")
    assert found[2] == ("dog", "dog", "pruned", "june")
    assert found[5] == ("cat", "cat", "kept", None)
    assert found[6] == ("eel", "dog", "corrected", "july")


@pytest.mark.slow
def test_what_reviewers_decided_can_be_applied_as_it_is(spark: SparkSession, tmp_path: Path) -> None:
    queue = pd.DataFrame({"id": [1, 2], "given_label": ["cat", "dog"], "suggested_label": ["dog", "cat"]})
    answers = pd.DataFrame({"id": [1, 2], "annotator": "a", "answer": ["suggested", "given"]})
    decided = decide_verdicts(answers, queue, quorum=1, spark=spark)
    done = apply_corrections(frame(spark), decided, output=str(tmp_path / "out"))
    assert outcomes(done) == {1: "corrected", 2: "kept"}


@pytest.mark.matrix
def test_columns_ids_and_names_of_tables_may_be_odd(spark: SparkSession) -> None:
    spark.sql("DROP TABLE IF EXISTS odd_labels")
    named = frame(spark).select(
        F.col("id").alias("my id"), F.col("id").cast("int").alias("part"), F.col("label").alias("The.Label`")
    )
    writer = named.writeTo("odd_labels").using("delta").tableProperty("delta.columnMapping.mode", "name")
    writer.create()
    judged = verdicts(spark).select(
        F.col("id").alias("my id"), F.col("id").alias("part"), "given_label", "verdict", "corrected_label"
    )
    keys: dict[str, Any] = {"id_col": ["my id", "part"], "label_col": "the.label`"}
    done = apply_corrections("odd_labels", judged, run_id="june", **keys)
    assert dict(done.counts) == COUNTS
    assert spark.table("odd_labels").where("correction = 'corrected'").collect()[0]["The.Label`"] == "dog"
    assert undo_corrections("odd_labels", "june", **keys).how == "restored"
    spark.sql("DROP TABLE odd_labels")


@pytest.mark.slow
def test_what_cannot_be_corrected_is_refused_and_nothing_changes(
    spark: SparkSession, table: str, tmp_path: Path
) -> None:
    plain = str(tmp_path / "plain")
    frame(spark).write.parquet(plain)
    good, out = verdicts(spark), str(tmp_path / "out")
    own = frame(spark).withColumn("correction", F.lit(1))
    unknown = verdicts(spark, VERDICTS.assign(verdict="perhaps"))
    no_label = verdicts(spark, VERDICTS.assign(corrected_label=None))
    cases: list[tuple[Any, Any, dict[str, Any], type[Exception], str]] = [
        (frame(spark), good, {}, ConfigurationError, "name their Delta table"),
        (plain, good, {}, ConfigurationError, "no Delta table"),
        (str(tmp_path / "nowhere"), good, {}, ConfigurationError, "no Delta table"),
        (table, good, {"action": "delete"}, ConfigurationError, "action"),
        (table, good, {"run_id": "a/b"}, ConfigurationError, "run_id"),
        (table, good, {"class_names": "cat"}, ConfigurationError, "class_names"),
        (table, good, {"label_col": "labels"}, MissingColumnError, "label_col"),
        (table, good, {"id_col": "nr"}, MissingColumnError, "nr"),
        (table, good.drop("given_label"), {}, MissingColumnError, "given_label"),
        (table, good.withColumn("id", F.col("id").cast("string")), {}, ColumnTypeError, "do not compare"),
        (table, good.withColumn("given_label", F.array("given_label")), {}, ConfigurationError, "label_col"),
        (table, unknown, {}, InputError, "unknown verdict, such as 'perhaps'"),
        (table, no_label, {}, InputError, "none to put in its place"),
        (table, good, {"output": table}, ConfigurationError, "same place"),
        (
            table,
            good,
            {"output_format": "parquet"},
            ConfigurationError,
            "corrected in place: name the output",
        ),
        (own, good, {"output": out}, ConfigurationError, "rename these columns"),
        (frame(spark), good, {"output": out, "output_format": "csv"}, ConfigurationError, "output_format"),
        (
            frame(spark),
            good,
            {"output": "t", "output_format": "parquet"},
            ConfigurationError,
            "goes to a path",
        ),
        (frame(spark), good, {"output": plain}, OutputError, "is no Delta table"),
        (frame(spark), good, {"output": plain, "output_format": "parquet"}, OutputError, "is there already"),
    ]
    for labels, judged, values, error, text in cases:
        with pytest.raises(error, match=text):
            apply_corrections(labels, judged, **values)
    assert latest(spark, table) == 0
    assert not (tmp_path / "out").exists()
    with pytest.raises(InputError, match="holds no corrections of a run 'june'"):
        undo_corrections(table, "june")
    with pytest.raises(ConfigurationError, match="no Delta table"):
        undo_corrections(plain, "june")
