"""Result tables: writers at once, what Delta tables say of themselves, and tables of earlier versions."""

import json
import shutil
import threading
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from cl_spark import ConfigurationError, read_run
from cl_spark.runs.history import compare, set_baseline
from cl_spark.tables.finished_run import finished_runs
from cl_spark.tables.results import ResultTables
from cl_spark.tables.schema import REJECTED, RUNS
from cl_spark.tasks.label_audit.config import AuditConfig
from cl_spark.tasks.label_audit.tables import ISSUES
from cl_spark.tasks.label_audit.task import LABEL_AUDIT, run_audit
from cl_spark.terminal.command_line import exit_code
from tests.frames import audit, baseline_of

pytestmark = [pytest.mark.matrix, pytest.mark.tables]


@pytest.mark.parametrize("kind", ["parquet", "delta"])
@pytest.mark.parametrize("name", ["out[v2]", "2026-01-31T02:00", "a b{c}", "50%41*"])
def test_results_go_to_paths_of_any_characters(
    spark: SparkSession, tmp_path: Path, name: str, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    rows = spark.range(3).selectExpr("id", "'x' as reason", "'{}' as row")
    tables = ResultTables(spark, f"{tmp_path}/{name}", kind)
    tables.check_writable()
    for run_id in ("a", "b"):
        tables.write(REJECTED, rows, run_id)
    assert tables.read_run(REJECTED, "a").count() == 3
    assert (tmp_path / name / REJECTED.name).is_dir()
    # what is here needs no slash
    assert ResultTables(spark, name, kind).read(REJECTED).count() == 6


@pytest.mark.parametrize("kind", ["parquet", "delta"])
def test_tables_of_the_other_format_are_found_whether_a_run_has_finished_or_not(
    spark: SparkSession, tmp_path: Path, kind: str
) -> None:
    rows, other = spark.range(3), {"parquet": "delta", "delta": "parquet"}[kind]
    for number, (table, attempt) in enumerate([(ISSUES, "20260131"), (RUNS, "20260131"), (RUNS, None)]):
        tables = [ResultTables(spark, f"{tmp_path}/[{number}]", one) for one in (kind, other)]
        for one in tables:
            one.check_format((RUNS, ISSUES))
        tables[0].write(table, rows, "a", attempt)
        tables[0].check_format((RUNS, ISSUES))
        with pytest.raises(ConfigurationError, match=f"holds {kind} tables, and format is '{other}': say"):
            tables[1].check_format((RUNS, ISSUES))


@pytest.mark.slow
def test_two_writers_of_the_same_delta_tables_both_succeed(
    spark: SparkSession, table: str, tmp_path: Path
) -> None:
    out, found, failures = str(tmp_path / "out"), {}, []

    def one(run_id: str) -> None:
        try:
            found[run_id] = audit(spark, table, out, format="delta", run_id=run_id).num_issues
        except Exception as error:
            failures.append(error)

    for number in range(3):  # the first pair makes the tables
        pair = [threading.Thread(target=one, args=(f"{name}{number}",)) for name in "ab"]
        [thread.start() for thread in pair]
        [thread.join() for thread in pair]
    assert not failures
    tables = ResultTables(spark, out, "delta")
    assert finished_runs(tables).count() == len(found) == 6
    for run_id, number in found.items():
        assert tables.read_run(ISSUES, run_id).count() == number > 0


@pytest.mark.slow
def test_writers_may_make_the_same_table_at_once(spark: SparkSession, tmp_path: Path) -> None:
    rows = spark.range(3).selectExpr("id", "'x' as reason", "'{}' as row")
    for number in range(5):
        tables, failures = ResultTables(spark, f"{tmp_path}/{number}", "delta"), []

        def one(name: str, tables: ResultTables = tables, failures: list[Exception] = failures) -> None:
            try:
                tables.write(REJECTED, rows, name)
            except Exception as error:
                failures.append(error)

        writers = [threading.Thread(target=one, args=(name,)) for name in "abc"]
        [writer.start() for writer in writers]
        [writer.join() for writer in writers]
        assert not failures
        assert {(row.run_id, row.id) for row in tables.read(REJECTED).collect()} == {
            (n, i) for n in "abc" for i in range(3)
        }


@pytest.mark.slow
def test_delta_tables_explain_themselves(spark: SparkSession, table: str, tmp_path: Path) -> None:
    out = str(tmp_path / "out")
    audit(spark, table, out, format="delta")
    described = {
        row.col_name: row.comment for row in spark.sql(f"DESCRIBE TABLE delta.`{out}/issues`").collect()
    }
    assert described["rank"].startswith("1 is the most suspicious")
    assert described["id"].startswith("The example")
    detail = spark.sql(f"DESCRIBE DETAIL delta.`{out}/issues`").first()
    assert detail.properties["cl_spark.source"] == table
    assert detail.partitionColumns == ["run_id"]
    assert detail.description == f"One row per {ISSUES.row}"
    assert spark.sql(f"DESCRIBE HISTORY delta.`{out}/issues`").count() == 1, "created with its first rows"


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["delta", "parquet"])
def test_tables_of_earlier_versions_stay_readable_and_take_new_runs(
    spark: SparkSession, tmp_path: Path, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The fixture holds an audit of the sample by the version before gates, baselines and column comments."""
    out = str(tmp_path / "out")
    shutil.copytree(Path(__file__).parents[1] / "fixtures" / "runs_without_gates" / kind, out)
    old = read_run(out, spark=spark)
    assert (old.run_id, old.record.baseline, old.issues.count()) == ("old", None, old.record.num_issues)
    look_at_old_run(out, capsys)
    values = {"sample": "digits", "output": out, "format": kind, "gates": ["issues_new <= 0"]}
    new = run_audit(spark, AuditConfig(**values, run_id="new"))
    look_at_old_run(out, capsys)
    assert not new.failed_gates, "the same sample has the same issues"
    assert {row.run_id: row.baseline for row in finished_runs(new.tables).collect()} == {
        "old": None,
        "new": True,
    }
    assert (
        compare(old, read_run(out, "new", spark=spark), LABEL_AUDIT).persisting.count()
        == old.record.num_issues
    )
    set_baseline(new.tables, "old", False)
    assert baseline_of(new.tables, "sample digits", "new") is None


def look_at_old_run(out: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Every way to look at a run works for one that lacks the columns of later versions."""
    for name in ("show", "report"):
        assert exit_code([name, out, "old"]) == 0
    capsys.readouterr()
    assert exit_code(["history", out, "--json"]) == 0
    old = json.loads(capsys.readouterr().out)[-1]
    assert (old["run_id"], old["task"], old["worst_class"]) == ("old", "label_audit", 8)
    assert exit_code(["history", out]) == 0
    assert "Run old" in read_run(out, "old")._repr_html_()
