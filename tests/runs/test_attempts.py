"""Two attempts at one run: whatever their order, readers see one of them, whole."""

from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path

import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from cl_spark import ConfigurationError, InputError, RunError, read_run
from cl_spark.runs.run import Plan, _reconcile, _record, _write_tables, plan_run, run_task
from cl_spark.runs.steps import Steps
from cl_spark.runs.task import RowCounts
from cl_spark.tables.finished_run import finished_runs
from cl_spark.tables.results import ResultTables, new_attempt
from cl_spark.tables.schema import REJECTED
from cl_spark.tasks.label_audit.config import AuditConfig
from cl_spark.tasks.label_audit.tables import CLASS_HEALTH, ISSUES, LABEL_SCORES, TABLES
from cl_spark.tasks.label_audit.task import LABEL_AUDIT, AuditExecution
from tests import frames
from tests.frames import audit
from tests.runs.toy_task import REPEATED_TEXTS, RepeatedConfig

pytestmark = [pytest.mark.matrix, pytest.mark.tables]


class Driven:
    """A run whose steps a test takes by hand."""

    def __init__(self, spark: SparkSession, table: str, out: str, kind: str, **values: object) -> None:
        config = AuditConfig(predictions=table, output=out, format=kind, run_id="x", **values)  # type: ignore[arg-type]
        self.execution: AuditExecution = LABEL_AUDIT.open(spark, config)
        plan = plan_run(spark, LABEL_AUDIT, config, datetime.now(timezone.utc))
        self.plan: Plan = plan.settle(self.execution)
        self.counts: RowCounts = self.execution.count_rows()

    def write(self) -> None:
        _write_tables(self.execution, self.plan, self.counts, Steps())

    def record(self) -> None:
        record = _reconcile(self.execution, self.plan, self.counts)
        _record(
            self.execution,
            self.plan,
            {**record, "started": self.plan.started, "parameters": '{"id_col": ["id"]}', "warnings": []},
        )


def content(tables: ResultTables, run_id: str) -> dict[str, list[str]]:
    """The rows of a run in the tables where it has some: another run may have made further tables."""
    return {name: rows for name, rows in frames.content(tables, run_id).items() if rows}


def issues_of(spark: SparkSession, out: str) -> int:
    run = read_run(out, "x", spark=spark)
    assert run.issues.count() == run.record.num_issues
    assert run.table("class_health").count() == 4
    return int(run.record.num_issues)


@pytest.mark.parametrize("kind", ["delta", "parquet"])
def test_a_zombie_never_mixes_with_its_retry(
    spark: SparkSession, table: str, tmp_path: Path, kind: str
) -> None:
    """The first attempt sleeps between its tables and its row in `runs`, while the second runs."""
    out = str(tmp_path / "out")
    first = Driven(spark, table, out, kind, filter_by="predicted_neq_given")
    first.write()
    second = audit(spark, table, out, format=kind, run_id="x")
    expected = content(second.tables, "x")
    for one in (ISSUES, REJECTED, CLASS_HEALTH):
        rows = second.tables.read(one).select("attempt").distinct()
        assert rows.count() <= 1, "rows of the first, which has not finished, are removed"
    with pytest.raises(RunError, match="started again while it ran"):
        first.record()
    assert content(second.tables, "x") == expected
    assert issues_of(spark, out) == second.num_issues
    assert second.tables.read(ISSUES).count() == second.num_issues, "rows of the first are removed"


def test_what_attempts_left_outside_the_tables_goes_once_another_is_recorded(
    spark: SparkSession, table: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, removed = str(tmp_path / "out"), []

    def remove(_: AuditExecution, run_id: str, attempt: str) -> None:
        assert ResultTables.at(spark, out).recorded_attempt(run_id) == attempt
        removed.append(attempt)

    monkeypatch.setattr(AuditExecution, "remove_earlier", remove)
    zombie = Driven(spark, table, out, "parquet")
    zombie.write()
    retry = audit(spark, table, out, format="parquet", run_id="x").run.record.attempt
    assert removed == [retry]
    with pytest.raises(RunError, match="started again while it ran"):
        zombie.record()
    assert removed == [retry, retry], "the zombie removes what it left itself"
    audit(spark, table, out, format="parquet", run_id="y")
    assert removed == [retry, retry], "nothing was there before"


@pytest.mark.parametrize("kind", ["delta", "parquet"])
def test_rows_that_a_zombie_writes_late_are_never_shown(
    spark: SparkSession, table: str, tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first attempt looks for a later one just before that is recorded."""
    out = str(tmp_path / "out")
    first = Driven(spark, table, out, kind, filter_by="predicted_neq_given", label_scores=True)
    second = audit(spark, table, out, format=kind, run_id="x")
    expected = content(second.tables, "x")
    first.write()
    assert content(second.tables, "x") == expected
    with monkeypatch.context() as patched:
        patched.setattr(ResultTables, "recorded_attempt", lambda *_: None)
        first.record()
    assert second.tables.read("runs").where("run_id = 'x'").count() == 2
    assert finished_runs(second.tables).count() == 1
    assert content(second.tables, "x") == expected
    assert issues_of(spark, out) == second.num_issues
    third = audit(spark, table, out, format=kind, run_id="x")
    assert content(third.tables, "x") == expected
    assert third.tables.read("runs").count() == 1, "rows of both earlier attempts are removed"
    assert third.tables.read(LABEL_SCORES).count() == 0


@pytest.mark.parametrize("kind", ["delta", "parquet"])
def test_a_run_can_be_read_until_its_next_attempt_is_recorded(
    spark: SparkSession, table: str, tmp_path: Path, kind: str
) -> None:
    out = str(tmp_path / "out")
    before = audit(spark, table, out, format=kind, run_id="x").num_issues
    again = Driven(spark, table, out, kind, filter_by="predicted_neq_given")
    again.write()
    assert issues_of(spark, out) == before
    opened = read_run(out, "x", spark=spark)
    again.record()
    with pytest.raises(InputError, match="has been run again since it was opened"):
        _ = replace(opened, opened=-1e9).issues
    assert issues_of(spark, out) == again.plan.read_written(ISSUES).count() != before
    for one in TABLES:
        if again.plan.tables.has(one):
            assert again.plan.tables.read(one).select("attempt").distinct().count() <= 1


def test_the_name_of_another_sources_run_is_refused_before_the_scan(
    spark: SparkSession, table: str, tmp_path: Path
) -> None:
    out = str(tmp_path / "out")
    audit(spark, table, out, run_id="x")
    spark.read.parquet(table).where("id > 9").write.parquet(str(tmp_path / "other"))
    with pytest.raises(ConfigurationError, match=r"run_id: 'x' is a run of the source .* choose another"):
        audit(spark, str(tmp_path / "other"), out, run_id="x")
    assert audit(spark, str(tmp_path / "other"), out, run_id="y").num_examples == 190


def test_attempts_are_ordered_whatever_the_clocks_say() -> None:
    ahead = new_attempt(datetime(2026, 2, 1, tzinfo=timezone.utc))
    late = new_attempt(datetime(2026, 1, 1, tzinfo=timezone.utc), ahead)
    assert ahead < late < new_attempt(datetime(2026, 3, 1, tzinfo=timezone.utc), late)
    assert new_attempt(datetime(2026, 1, 1)) != new_attempt(datetime(2026, 1, 1))


def test_ids_of_another_type_are_refused_and_earlier_runs_stay_readable(
    spark: SparkSession, table: str, tmp_path: Path
) -> None:
    text_ids, rows = str(tmp_path / "text_ids"), spark.read.parquet(table)
    rows.withColumn("id", F.concat(F.lit("row "), "id")).write.parquet(text_ids)
    names = ["a", "b", "c", "d"]
    for kind in ("delta", "parquet"):
        out = str(tmp_path / kind)
        one = audit(spark, table, out, format=kind, run_id="one")
        expected = content(one.tables, "one")
        with pytest.raises(ConfigurationError, match="hold 'id' as bigint, and this run has string: choose"):
            audit(spark, text_ids, out, format=kind)
        with pytest.raises(ConfigurationError, match="hold 'given_label' as int, and this run has string"):
            audit(spark, table, out, format=kind, class_names=names)
        assert content(one.tables, "one") == expected


def test_ids_of_another_type_than_rejected_rows_of_another_task_are_refused(
    spark: SparkSession, table: str, tmp_path: Path
) -> None:
    """Delta would make 7 of the text 007."""
    texts, wide = str(tmp_path / "texts"), str(tmp_path / "wide")
    rows = spark.range(4).selectExpr("id", "if(id < 3, 'a', null) as text")
    rows.withColumn("id", F.format_string("%03d", "id")).write.parquet(texts)
    rows.withColumn("id", F.col("id").cast("int")).write.parquet(wide)
    out = str(tmp_path / "out")
    audit(spark, table, out, format="delta", run_id="bigint")
    config = RepeatedConfig(texts=texts, output=out, max_rejected_fraction=1)
    with pytest.raises(ConfigurationError, match="hold 'id' as bigint, and this run has string: choose"):
        run_task(spark, REPEATED_TEXTS, config)
    if spark.version < "4":  # whose Delta tables take whole numbers of their own width alone
        with pytest.raises(ConfigurationError, match="this run has int"):
            run_task(spark, REPEATED_TEXTS, config.model_copy(update={"texts": wide}))
        return
    other_width = run_task(spark, REPEATED_TEXTS, config.model_copy(update={"texts": wide}))
    assert [row.id for row in other_width.run.table("rejected").collect()] == [3]


def test_a_location_that_an_earlier_version_poisoned_is_readable_per_run(
    spark: SparkSession, table: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = str(tmp_path / "out")
    one = audit(spark, table, out, run_id="one")
    expected = content(one.tables, "one")
    monkeypatch.setattr("cl_spark.runs.run._check_types", lambda *_: None)
    two = audit(spark, table, out, run_id="two", class_names=["a", "b", "c", "d"], label_scores=True)
    assert content(one.tables, "one") == expected
    assert read_run(out, "two", spark=spark).issues.count() == two.num_issues
    assert read_run(out, "two", spark=spark).issues.first().given_label in "abcd"  # type: ignore[union-attr]
