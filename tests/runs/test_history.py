"""History: how two runs differ, and which run a run is compared with."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pyspark.sql import Row, SparkSession

from cl_spark import InputError, read_run
from cl_spark.runs import history
from cl_spark.runs.history import compare, past_runs, set_baseline
from cl_spark.tables.finished_run import Run
from cl_spark.tasks.label_audit.task import LABEL_AUDIT
from tests.frames import audit, baseline_of, ids

NOWHERE: Any = None  # no tables: past runs are read from their rows in `runs`


def test_each_past_run_is_compared_with_the_one_before_of_its_task_and_source(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rows = [
        Row(run_id="5", task="label_audit", source="a", overall_health=0.875),
        Row(run_id="4", task="repeated_texts", source="a", overall_health=0.25),
        Row(run_id="3", task="label_audit", source="b", overall_health=None),
        Row(run_id="2", task="label_audit", source="b", overall_health=0.5),
        Row(run_id="1", task="label_audit", source="a", overall_health=0.75),
    ]
    read = SimpleNamespace(limit=lambda number: SimpleNamespace(collect=lambda: rows[:number]))
    monkeypatch.setattr(history, "finished_runs", lambda tables: read)
    assert [(past.run.run_id, past.change) for past in past_runs(NOWHERE)] == [
        ("5", 0.125),
        ("4", None),
        ("3", None),
        ("2", None),
        ("1", None),
    ]
    assert [past.run.run_id for past in past_runs(NOWHERE, last=2)] == ["5", "4"]
    assert past_runs(NOWHERE, last=4)[0].change == 0.125, "the run before the last ones is read too"


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
    assert baseline_of(tables, "another source", "3") is None
