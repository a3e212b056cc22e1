"""Processes that are killed while they correct labels in place: the table is as before, or as after; never
between. The repetition corrects once, and undoing it gives the rows and files of before.
"""

import os
import random
import time
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from cl_spark import (
    AuditConfig,
    CorrectionsConfig,
    InputError,
    read_run,
    run_audit,
    run_corrections,
    undo_corrections,
)
from cl_spark.tables.delta_table import DeltaTable
from tests.faults.test_killed import COMMAND, SAMPLE, kill, listen, started

KILLS = 12 if "CL_SPARK_FAULTS" in os.environ else 2
"""By `scripts/test.sh faults` as often as documented, else a few times."""

STEPS = (
    "comparing labels and verdicts",
    "correcting the labels",
    "correcting the labels",
    "writing the corrections",
)
"""When a process is killed, or up to a second and a half later. Half of the times it is correcting."""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


def correct_flags(audits: str, labels: str, out: str) -> list[str]:
    """Flags of `cl-spark correct` for the corrections that are killed."""
    values = {"run-location": audits, "run": "audit", "labels": labels, "output": out, "run-id": "june"}
    return [part for name, value in values.items() for part in (f"--{name}", value)]


def content(rows: DataFrame) -> list[Any]:
    """All rows, but for the time of the correction."""
    return sorted(map(str, rows.drop("corrected_at").collect()))


def read(spark: SparkSession, path: str) -> DataFrame:
    return spark.read.format("delta").load(path)


def test_labels_are_corrected_whole_or_not_at_all(spark: SparkSession, tmp_path: Path) -> None:
    audits, labels, out = (str(tmp_path / name) for name in ("audits", "labels", "out"))
    run_audit(
        spark, AuditConfig(sample="digits", output=audits, run_id="audit", filter_by="predicted_neq_given")
    )
    audited = spark.read.parquet(SAMPLE).select("id", "label")
    others = spark.range(10_000, 60_000).withColumn("label", F.lit(0).cast(audited.schema["label"].dataType))
    audited.unionByName(others).repartition(8).write.format("delta").save(labels)
    before, files = content(read(spark, labels)), sorted(read(spark, labels).inputFiles())
    issues = read_run(audits, "audit", spark=spark).issues.count()
    other = str(tmp_path / "other")
    audited.write.format("delta").save(other)
    earlier = {"run_location": audits, "run": "audit", "labels": other, "output": out, "run_id": "earlier"}
    run_corrections(spark, CorrectionsConfig(**earlier))  # makes the tables of results
    flags = correct_flags(audits, labels, out)
    rng, killed, changed, after = random.Random(11), 0, 0, None
    for _ in range(5 * KILLS):  # one that is killed too late has ended
        process = started([COMMAND, "correct", *flags, "--spark-conf", "spark.master=local[1]"])
        told, step = listen(process), rng.choice(STEPS)
        while process.poll() is None and not any(step in line for line in told):
            time.sleep(0.1)
        time.sleep(rng.uniform(0, 1.5))
        killed += kill(process)
        now = read(spark, labels)
        if "correction" not in now.columns:
            assert content(now) == before
        else:
            after = after or content(now)
            assert content(now) == after
            assert now.where("correction_run = 'june' AND correction = 'corrected'").count() == issues
            changed += 1
            assert undo_corrections(labels, "june", spark=spark).how == "restored"
            assert (content(read(spark, labels)), sorted(read(spark, labels).inputFiles())) == (before, files)
        if killed == KILLS:
            break
    assert killed == KILLS
    process = started([COMMAND, "correct", *flags])
    told, _ = process.communicate()
    assert process.returncode == 0, told
    after = after or content(read(spark, labels))
    again = started([COMMAND, "correct", *flags])
    told, _ = again.communicate()
    assert again.returncode == 0, told
    assert content(read(spark, labels)) == after
    table = DeltaTable.open(spark, labels, "labels")
    last = table.find_latest()
    assert read_run(out, "june", spark=spark).record.labels_version == last
    assert undo_corrections(labels, "june", spark=spark).version == last + 1
    assert (content(read(spark, labels)), sorted(read(spark, labels).inputFiles())) == (before, files)
    assert read_run(out, "earlier", spark=spark).table("corrections").count() == issues
    print(f"killed {killed} times; {changed} times the labels were corrected by then, else as before")


def test_a_repetition_after_a_kill_finds_the_labels_corrected(spark: SparkSession, tmp_path: Path) -> None:
    audits, labels, out = (str(tmp_path / name) for name in ("audits", "labels", "out"))
    run_audit(spark, AuditConfig(sample="digits", output=audits, run_id="audit"))
    spark.read.parquet(SAMPLE).select("id", "label").write.format("delta").save(labels)
    flags = correct_flags(audits, labels, out)
    table = DeltaTable.open(spark, labels, "labels")
    process = started([COMMAND, "correct", *flags])
    told = listen(process)
    while process.poll() is None and table.find_latest() == 0:
        time.sleep(0.1)
    assert kill(process), "".join(told)
    corrected, version = content(read(spark, labels)), table.find_latest()
    with pytest.raises(InputError):
        read_run(out, "june", spark=spark)
    process = started([COMMAND, "correct", *flags])
    lines, _ = process.communicate()
    assert process.returncode == 0, lines
    assert (table.find_latest(), content(read(spark, labels))) == (version, corrected)
    assert (
        read_run(out, "june", spark=spark).record.num_labels_corrected
        == read_run(audits, spark=spark).issues.count()
    )
