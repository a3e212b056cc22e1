"""History: how two runs differ, and which run a run is compared with."""

from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import Row, SparkSession

from cl_spark import InputError, read_run
from cl_spark.runs.history import compare, past_runs, set_baseline
from cl_spark.tables.finished_run import Run
from cl_spark.tables.results import ResultTables, new_attempt
from cl_spark.tables.schema import RUNS
from cl_spark.tasks.label_audit.task import LABEL_AUDIT
from tests.frames import audit, baseline_of, ids

pytestmark = pytest.mark.tables

NOWHERE: Any = None  # no tables: past runs are read from their rows in `runs`


@pytest.mark.matrix
def test_each_past_run_is_compared_with_the_one_before_of_its_task_and_source(
    spark: SparkSession, tmp_path: Path
) -> None:
    tables = ResultTables(spark, str(tmp_path), "parquet")
    schema = "finished timestamp, status string, task string, source string, overall_health double"
    for run_id, task, source, health in (
        ("1", "label_audit", "a", 0.75),
        ("2", "label_audit", "b", 0.5),
        ("3", "label_audit", "b", None),
        ("4", "repeated_texts", "a", 0.25),
        ("5", "label_audit", "a", 0.875),
    ):
        row = (datetime(2026, 1, int(run_id), tzinfo=timezone.utc), "finished", task, source, health)
        tables.write(RUNS, spark.createDataFrame([row], schema), run_id, new_attempt(row[0]))
    changes = [("5", 0.125), ("4", None), ("3", None), ("2", None), ("1", None)]
    assert [(past.run.run_id, past.change) for past in past_runs(tables)] == changes
    assert [(past.run.run_id, past.change) for past in past_runs(tables, last=1)] == changes[:1], (
        "the run before may be any number of runs earlier"
    )
    told = past_runs(tables, last=1)[0]
    assert told.run.record.asDict().keys() >= {"run_id", "source"}
    assert told.run.record.finished.astimezone(timezone.utc).isoformat() == "2026-01-05T00:00:00+00:00"


def test_runs_of_several_tasks_do_not_compare() -> None:
    runs = [Run(name, Row(task=name), NOWHERE) for name in ("label_audit", "drift")]
    with pytest.raises(InputError, match="of the task 'label_audit', run 'drift' of 'drift': they do not"):
        compare(*runs, LABEL_AUDIT)


@pytest.mark.matrix
def test_a_run_is_compared_with_the_run_before_that_is_not_excluded(
    spark: SparkSession, table: str, tmp_path: Path
) -> None:
    out = str(tmp_path / "out")
    first = audit(spark, table, out, run_id="1")
    more = audit(spark, table, out, run_id="2", filter_by="predicted_neq_given")
    found = [ids(one.issues()) for one in (first, more)]
    tables = first.tables
    change = compare(read_run(out, "1", spark=spark), read_run(out, "2", spark=spark), LABEL_AUDIT)
    assert ids(change.new) == found[1] - found[0]
    assert ids(change.resolved) == found[0] - found[1]
    assert ids(change.persisting) == found[0] & found[1]
    source = read_run(out, "1", spark=spark).record.source
    assert baseline_of(tables, source, "3").run_id == "2"  # type: ignore[union-attr]
    set_baseline(tables, "2", False)
    assert baseline_of(tables, source, "3").run_id == "1"  # type: ignore[union-attr]
    set_baseline(tables, "2", True)
    assert baseline_of(tables, source, "3").run_id == "2"  # type: ignore[union-attr]
    rows = tables.read(RUNS).collect()
    set_baseline(tables, "2", False)
    assert tables.read(RUNS).collect() == rows, "marks have a table of their own"
    assert [past.summary()["baseline"] for past in past_runs(tables)] == [False, True]
    audit(spark, table, out, run_id="2")
    assert baseline_of(tables, source, "3").run_id == "2", "running it again takes the mark off"  # type: ignore[union-attr]
    assert baseline_of(tables, "another source", "3") is None
