"""History: how two runs differ, and which run a run is compared with."""

from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from cl_spark import read_run
from cl_spark.runs.history import compare, set_baseline
from cl_spark.tasks.label_audit.task import LABEL_AUDIT
from tests.frames import audit, baseline_of, ids

pytestmark = pytest.mark.matrix


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
