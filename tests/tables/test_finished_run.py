"""Finished runs, of this version and of earlier ones."""

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import Row, SparkSession

from cl_spark.errors import InputError
from cl_spark.tables.finished_run import Run, finished_run, finished_runs, read_run
from cl_spark.tables.results import ResultTables
from cl_spark.tables.schema import RUNS

NOWHERE: Any = None  # no tables: these tests read the row in `runs` only


def run(**values: Any) -> Run:
    return Run("r1", Row(**values), NOWHERE)


def test_the_configuration_and_the_ids_of_a_run_are_read_from_its_row() -> None:
    parameters = {"id_col": ["id", "part"], "frac_noise": 0.5}
    assert run(parameters=json.dumps(parameters)).parameters == parameters
    assert run(parameters=json.dumps(parameters)).id_columns == ["id", "part"]


@pytest.mark.parametrize(("written", "gates"), [(None, []), ("", []), ("a: 1\nb: 2", ["a: 1", "b: 2"])])
def test_failed_gates_are_written_one_per_line(written: str | None, gates: list[str]) -> None:
    assert run(failed_gates=written).failed_gates == gates


def test_columns_that_earlier_versions_lacked_are_null_and_the_latest_run_comes_first(
    spark: SparkSession, tmp_path: Path
) -> None:
    tables = ResultTables(spark, str(tmp_path), "parquet")
    for run_id, day, status in (("a", 1, "finished"), ("b", 2, "finished"), ("c", 3, "began")):
        row = [(datetime(2026, 1, day), status)]
        tables.write(RUNS, spark.createDataFrame(row, "finished timestamp, status string"), run_id)
    runs = finished_runs(tables)
    assert {column.name for column in RUNS.columns} == set(runs.columns)
    rows = runs.collect()
    assert [row.run_id for row in rows] == ["b", "a"], "the third has not finished"
    assert all(row.baseline is None and row.num_issues is None for row in rows)
    assert [row.task for row in rows] == ["label_audit"] * 2, "earlier versions had no other task"
    assert runs.schema["num_issues"].dataType.simpleString() == "bigint"
    assert read_run(str(tmp_path), spark=spark).run_id == "b"
    assert finished_run(tables, "a").task == "label_audit"
    assert finished_run(tables, task="label_audit").run_id == "b"
    with pytest.raises(InputError, match="no finished run 'c' in"):
        finished_run(tables, "c")
    with pytest.raises(InputError, match="no finished run 'a' of the task 'drift' in"):
        finished_run(tables, "a", task="drift")
