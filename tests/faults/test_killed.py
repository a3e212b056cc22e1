"""Processes that are killed: the driver, an executor, a stream. What is written is what an undisturbed run
writes.
"""

import contextlib
import os
import random
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from cl_spark import InputError, read_run
from cl_spark.tables.finished_run import finished_runs
from cl_spark.tables.results import ResultTables
from cl_spark.tasks.label_audit.config import AuditConfig
from cl_spark.tasks.label_audit.tables import SCORED, SCORED_REJECTED
from cl_spark.tasks.label_audit.task import run_audit
from tests.frames import content

ROOT = Path(__file__).resolve().parents[2]
COMMAND = str(Path(sys.executable).with_name("cl-spark"))
SAMPLE = str(ROOT / "cl_spark" / "sample" / "digits.parquet")

# By `scripts/test.sh faults` as often as documented, else a few times; into Parquet half as often.
KILLS, STREAM_KILLS, EXECUTOR_KILLS = (10, 5, 3) if "CL_SPARK_FAULTS" in os.environ else (1, 1, 1)

STEPS = (
    "opening the input",
    "scanning the data",
    "choosing the issues",
    "writing the tables",
    "writing the scores",
    "recording the run",
)

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def started(arguments: Sequence[str], **environment: str) -> subprocess.Popen[str]:
    """A process in a group of its own, so that its Java is killed with it."""
    return subprocess.Popen(
        [sys.executable, *arguments], cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
    )  # fmt: skip


def kill(process: subprocess.Popen[str]) -> bool:
    """Whether it was still running."""
    running = process.poll() is None
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    return running


def listen(process: subprocess.Popen[str]) -> list[str]:
    """The lines a process prints, as they come."""
    lines: list[str] = []
    threading.Thread(target=_collect, args=(process, lines), daemon=True).start()
    return lines


def _collect(process: subprocess.Popen[str], lines: list[str]) -> None:
    for line in process.stdout or ():
        lines.append(line)


@pytest.mark.parametrize("kind", ["delta", "parquet"])
def test_a_driver_killed_at_any_moment_leaves_no_half_run(
    spark: SparkSession, tmp_path: Path, kind: str
) -> None:
    options = {"predictions": SAMPLE, "format": kind, "slice_by": ["true_label"]}
    undisturbed = run_audit(spark, AuditConfig(**options, output=str(tmp_path / "undisturbed"), run_id="x"))
    expected, out = content(undisturbed.tables, "x"), str(tmp_path / "out")
    run_audit(spark, AuditConfig(**options, output=out, run_id="earlier", filter_by="predicted_neq_given"))
    tables, earlier = ResultTables(spark, out, kind), content(ResultTables(spark, out, kind), "earlier")
    flags = [
        "--predictions",
        SAMPLE,
        "--format",
        kind,
        "--slice-by",
        "true_label",
        "--output",
        out,
        "--run-id",
        "x",
    ]
    rng, killed, looks = random.Random(kind), 0, 0
    kills = KILLS if kind == "delta" else -(-KILLS // 2)
    for _ in range(5 * kills):  # one that is killed too late has ended
        process = started([COMMAND, "audit", *flags, "--spark-conf", "spark.master=local[1]"])
        told, step = listen(process), rng.choice(STEPS)
        while process.poll() is None and not any(step in line for line in told):
            time.sleep(0.2)
            seen = {row.run_id: row.num_issues for row in finished_runs(tables).collect()}
            assert seen["earlier"] == len(earlier["issues"])
            assert seen.get("x", len(expected["issues"])) == len(expected["issues"])
            looks += 1
        time.sleep(rng.uniform(0, 0.8))
        killed += kill(process)
        try:
            found = read_run(out, "x", spark=spark)
            assert content(tables, "x") == expected
            assert found.run_id == "x"
        except InputError:
            pass  # it has not happened
        assert content(tables, "earlier") == earlier
        if killed == kills:
            break
    assert killed == kills
    process = started([COMMAND, "audit", *flags])
    told, _ = process.communicate()
    assert process.returncode == 0, told
    assert content(tables, "x") == expected
    assert content(tables, "earlier") == earlier
    print(f"{kind}: the driver was killed {killed} times, readers looked {looks} times")


ON_A_CLUSTER = """
    import json, sys
    from pyspark.sql import SparkSession
    from pyspark import TaskContext
    from cl_spark.tasks.label_audit.config import AuditConfig
    from cl_spark.tasks.label_audit.task import run_audit
    from cl_spark.runs.steps import Steps

    path, out, way = sys.argv[1:4]
    builder = SparkSession.builder.master("local-cluster[2,1,1024]")
    for key, value in {"spark.sql.shuffle.partitions": "4", "spark.ui.enabled": "false",
                       "spark.executor.memory": "1g", "spark.speculation": way == "retried",
                       "spark.speculation.multiplier": "1.1", "spark.speculation.quantile": "0.1",
                       "spark.speculation.minTaskRuntime": "10ms", "spark.executorEnv.PYTHONPATH": ".",
                       "spark.sql.files.maxPartitionBytes": "65536", "spark.log.level": "ERROR"}.items():
        builder = builder.config(key, value)
    spark = builder.getOrCreate()
    df = spark.read.parquet(path)
    if way == "retried":
        def fails_first(batches):
            if TaskContext.get().attemptNumber() == 0:
                raise OSError("the first attempt always fails")
            yield from batches
        df = df.mapInArrow(fails_first, df.schema)
    df.createOrReplaceTempView("rows")
    print("ready", flush=True)
    config = AuditConfig(predictions="rows", output=out, format="parquet", run_id="x",
                         slice_by=["true_label"])
    run_audit(spark, config, Steps(lambda name: print(name, flush=True)))
    print("done", flush=True)
"""


def executors(process: subprocess.Popen[str]) -> list[int]:
    """Process ids of the executors a local cluster started."""
    listed = subprocess.run(
        ["ps", "-ww", "-eo", "pid,sid,args"], capture_output=True, text=True, check=True
    ).stdout
    rows = [line.split(None, 2) for line in listed.splitlines()[1:]]
    return [
        int(pid)
        for pid, session, command in rows
        if int(session) == process.pid and "CoarseGrainedExecutorBackend" in command and "java" in command
    ]


@pytest.mark.parametrize("way", ["killed", "retried"])
def test_lost_executors_and_repeated_tasks_change_no_byte(
    spark: SparkSession, tmp_path: Path, way: str
) -> None:
    import pyspark

    spark.read.parquet(SAMPLE).createOrReplaceTempView("rows")
    quiet = AuditConfig(
        predictions="rows", output=f"{tmp_path}/alone", format="parquet", run_id="x", slice_by=["true_label"]
    )
    expected = content(run_audit(spark, quiet).tables, "x")
    program = tmp_path / "program.py"
    program.write_text(textwrap.dedent(ON_A_CLUSTER))
    out = str(tmp_path / "out")
    home = str(Path(pyspark.__file__).parent)
    process = started([str(program), SAMPLE, out, way], SPARK_HOME=home, SPARK_LOCAL_IP="127.0.0.1")
    told, killed, kills = [], 0, EXECUTOR_KILLS if way == "killed" else 0
    assert process.stdout is not None
    for line in process.stdout:
        told.append(line)
        if killed < kills and line.startswith(("scanning", "counting", "choosing")):
            deadline = time.monotonic() + 10
            while not (found := executors(process)) and time.monotonic() < deadline:
                time.sleep(0.1)
            time.sleep(0.7)
            os.kill(found[0], signal.SIGKILL)
            killed += 1
    process.wait()
    assert process.returncode == 0, "".join(told[-40:])
    assert killed == kills
    assert content(ResultTables(spark, out, "parquet"), "x") == expected
    print(f"{killed} executors were killed")


def test_a_stream_killed_again_and_again_scores_each_row_once(spark: SparkSession, tmp_path: Path) -> None:
    df = spark.read.parquet(SAMPLE)
    where, out, checkpoint = f"{tmp_path}/in", f"{tmp_path}/out", f"{tmp_path}/checkpoint"
    bad = df.limit(7).withColumns(
        {"id": F.col("id") + 10_000, "label": F.lit(77).cast(df.schema["label"].dataType)}
    )
    df.unionByName(bad).repartition(24).write.format("delta").save(where)
    run_audit(spark, AuditConfig(predictions=SAMPLE, output=out, run_id="base"))
    flags = [out, "--predictions", where, "--checkpoint", checkpoint, "--name", "s", "--until-read"]
    flags += ["--files-per-batch", "2"]
    rng, commits = random.Random(7), Path(checkpoint) / "commits"
    for killed in range(STREAM_KILLS):  # each after two of the twelve batches more
        process = started([COMMAND, "score-stream", *flags])
        told, wanted = listen(process), 2 * (killed + 1)
        while process.poll() is None and len(list(commits.glob("[0-9]*"))) < wanted:
            time.sleep(0.1)
        time.sleep(rng.uniform(0, 0.8))
        assert kill(process), "the stream ended before it was killed: " + "".join(told[-40:])
    process = started([COMMAND, "score-stream", *flags])
    told, _ = process.communicate()
    assert process.returncode == 0, told
    tables = ResultTables(spark, out, "delta")
    scored, rejected = (
        sorted(row.id for row in tables.read_run(table, "s").collect()) for table in (SCORED, SCORED_REJECTED)
    )
    assert scored == list(range(1797))
    assert rejected == sorted(row.id for row in bad.collect())
    print(f"the stream was killed {STREAM_KILLS} times")
