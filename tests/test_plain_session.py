"""The library in a session as people build it, with nothing tuned: in a process of its own, as this one's is
tuned.
"""

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tests.environment import plain_environment

ROOT = Path(__file__).resolve().parents[1]

IN_A_PLAIN_SESSION = """
from pyspark.sql import SparkSession
from cl_spark import DataAudit, LabelAudit
from cl_spark.methods.classification.filters import FILTERS
from tests.methods.checks.frames import digits
from tests.methods.classification.test_fallbacks import crossed
from tests.frames import dense, ids, predictions
from tests.oracle import reference
from tests.oracle.datasets import dataset

spark = SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false").getOrCreate()
settings = {row.key: row.value for row in spark.sql("SET -v").collect()}
assert settings["spark.sql.shuffle.partitions"] == "200"
tables = ((dataset(71, 200, 5, digits=2), "double"), (crossed(), "double"), (dataset(72, 400, 80), "float"))
for data, element in tables:  # the last has arrays so long that most of them stay in Spark
    probs = data.probs.astype("float32" if element == "float" else "float64")
    with LabelAudit(predictions(spark, data.labels, probs, element=element)) as audit:
        for filter_by in FILTERS:
            found = ids(audit.find_label_issues(filter_by=filter_by))
            assert found == reference.issues(data.labels, probs, filter_by), (filter_by, data.classes)
        counted = dense(audit.confident_joint(calibrate=False), "count", data.classes)
        assert (counted == reference.raised_joint(data.labels, probs)).all()
        assert audit.label_quality_scores(method="confidence_weighted_entropy").count() == len(probs)
        partitions = audit.find_label_issues().rdd.getNumPartitions()
        assert partitions < 10, "chosen by size, not by the session's default"
with DataAudit(digits(), order_col="at", spark=spark) as audit:
    assert audit.find_issues().count() == audit.scores().where("is_issue").count() > 0
    assert audit.scores().rdd.getNumPartitions() <= 2 * len(audit.issue_types), "by size"
    assert audit.find_issues().rdd.getNumPartitions() == 1
assert settings == {row.key: row.value for row in spark.sql("SET -v").collect()}
print("all of it in a plain session")
"""


@pytest.mark.slow
def test_results_are_the_same_with_nothing_tuned_and_no_setting_is_written() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", textwrap.dedent(IN_A_PLAIN_SESSION)],
        cwd=ROOT,
        env={**plain_environment(), "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    assert "all of it in a plain session" in done.stdout
