"""History and gates: which run a run is compared with, and what fails it."""

import re
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from cl_spark import (
    ConfigurationError,
    read_run,
)
from cl_spark.runs.gates import Gate, find_failed_gates, parse_gates
from cl_spark.runs.history import compare, set_baseline
from cl_spark.tasks.label_audit.task import LABEL_AUDIT
from tests.frames import audit, baseline_of

pytestmark = pytest.mark.matrix


def test_gates_compare_with_the_run_before_that_is_not_excluded(
    spark: SparkSession, table: str, tmp_path: Path
) -> None:
    out = str(tmp_path / "out")
    first = audit(spark, table, out, run_id="1", gates=["issues_new <= 0", "overall_health > 0.999"])
    assert [gate.split(":")[0] for gate in first.failed_gates] == ["overall_health > 0.999"], (
        "nothing to compare with"
    )
    more = audit(
        spark,
        table,
        out,
        run_id="2",
        filter_by="predicted_neq_given",
        gates=["issues_new <= 0", "health_drop <= 0"],
    )
    ids = [{row.id for row in one.issues().collect()} for one in (first, more)]
    assert more.failed_gates == [f"issues_new <= 0: it is {len(ids[1] - ids[0])}, since run 1"]
    tables = first.tables
    change = compare(read_run(out, "1", spark=spark), read_run(out, "2", spark=spark), LABEL_AUDIT)
    assert {row.id for row in change.new.collect()} == ids[1] - ids[0]
    assert {row.id for row in change.resolved.collect()} == ids[0] - ids[1]
    assert {row.id for row in change.persisting.collect()} == ids[0] & ids[1]
    source = read_run(out, "1", spark=spark).record.source
    assert baseline_of(tables, source, "3").run_id == "2"  # type: ignore[union-attr]
    set_baseline(tables, "2", False)
    assert baseline_of(tables, source, "3").run_id == "1"  # type: ignore[union-attr]
    set_baseline(tables, "2", True)
    assert baseline_of(tables, source, "3").run_id == "2"  # type: ignore[union-attr]
    assert baseline_of(tables, "another source", "3") is None
    run = read_run(out, "2", spark=spark)
    gates = [Gate.parse("class_health.examples >= 1000"), Gate.parse("num_examples >= 1")]
    failed = find_failed_gates(gates, LABEL_AUDIT, run, None)
    assert len(failed) == 1
    assert re.search(r"not so for 4 classes: \d \(\d+\)", failed[0])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("health >= 1", "'health' is no metric"),
        ("overall_health = 1", "no comparison"),
        ("", "no comparison"),
    ],
)
def test_gates_that_mean_nothing_are_refused(text: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        parse_gates([text], LABEL_AUDIT)
