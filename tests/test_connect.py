"""The library on a Spark Connect session: a real server, in a process of its own because a process has one
kind of session.
"""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

ON_CONNECT = """
import io, logging, os, re, sys
from pyspark.sql import SparkSession
from rich.console import Console
from cl_spark import InputError, LabelAudit, find_label_issues, read_run
from cl_spark.tasks.label_audit.config import AuditConfig
from cl_spark.methods.classification.filters import FILTERS
from cl_spark.tasks.label_audit.task import run_audit
from cl_spark.tasks.label_audit.scoring import score_new
from cl_spark.terminal import progress
from cl_spark.runs.steps import Steps
from tests.frames import by_class, dense, ids, predictions
from tests.oracle import reference
from tests.oracle.datasets import dataset
from tests.methods.classification.test_fallbacks import crossed

# a server else tells of its stages every two seconds: of none of those of a quick step
quick = {"spark.sql.shuffle.partitions": "2", "spark.databricks.delta.snapshotPartitions": "2",
         "spark.connect.progress.reportInterval": "20ms"}
spark = SparkSession.builder.remote("local[2]").config(map=quick).getOrCreate()
assert "connect" in type(spark).__module__
for data in (dataset(71, 200, 5, digits=2), crossed()):
    with LabelAudit(predictions(spark, data.labels, data.probs)) as audit:
        for filter_by in FILTERS:
            found = ids(audit.find_label_issues(filter_by=filter_by))
            assert found == reference.issues(data.labels, data.probs, filter_by)
        assert (dense(audit.confident_joint(calibrate=False), "count", data.classes)
                == reference.raised_joint(data.labels, data.probs)).all()
        assert by_class(audit.noise_rates().prior, "prior").sum().round(9) == 1
        assert audit.label_quality_scores(method="confidence_weighted_entropy").count() == len(data.labels)
        assert audit.health_summary().class_health.count() == data.classes
        assert audit.rejected().count() == 0
names = list("abcde")
data = dataset(71, 200, 5, digits=2)
assert find_label_issues(predictions(spark, data.labels, data.probs), class_names=names).count()
result = run_audit(spark, AuditConfig(sample="digits", output=sys.argv[1], run_id="c", label_scores=True))
assert result.num_issues == result.issues().count() > 50
again = run_audit(spark, AuditConfig(sample="digits", output=sys.argv[1], run_id="d", slice_by=["true_label"],
                                     gates=["issues_new <= 0", "overall_health > 0.99"]))
assert len(again.failed_gates) == 1
assert read_run(sys.argv[1], spark=spark).table("slice_health").count() == 10
kept = run_audit(spark, AuditConfig(sample="digits", output=sys.argv[1], run_id="e",
                                    evidence_path=sys.argv[1] + "/evidence"))
assert kept.num_issues == result.num_issues and not os.listdir(sys.argv[1] + "/evidence")
assert "label issues" in kept._repr_html_() + read_run(sys.argv[1], "e", spark=spark)._repr_html_()
logs, progress.LINE_EVERY = io.StringIO(), 0.0
logging.getLogger("cl_spark").setLevel("INFO")
logging.getLogger("cl_spark").addHandler(logging.StreamHandler(logs))
with progress.show_progress(spark, Console(quiet=True)) as tell:
    steps = Steps(tell)
    run_audit(spark, AuditConfig(sample="digits", output=sys.argv[1], run_id="f", report=True), steps)
assert re.search(r"scanning the data: \\d+ of \\d+ tasks", logs.getvalue()), logs.getvalue()
assert "run f: finished in" in logs.getvalue()
assert "scanning the data" in steps.seconds and os.path.exists(sys.argv[1] + "/reports/f.html")
batch, scored, issues, rejected = score_new(spark, sys.argv[1], "cl_spark/sample/digits.parquet")
assert (scored, rejected) == (1797, 0) and issues > 50
for predictions_, told in (("./no/such", "there is no path"), ("no_such", "there is no catalog table")):
    try:
        run_audit(spark, AuditConfig(predictions=predictions_, output=sys.argv[1]))
        raise SystemExit("unreadable input must be refused")
    except InputError as error:
        assert told in str(error), error
print("all of it on Spark Connect")
"""


@pytest.mark.slow
def test_everything_works_on_spark_connect(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", textwrap.dedent(ON_CONNECT), str(tmp_path / "out")],
        cwd=ROOT, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-4000:]
    assert "all of it on Spark Connect" in done.stdout
