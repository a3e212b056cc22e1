"""Contestants of the benchmark, each in a process of its own.

Run one by `python -m cl_spark.bench.contestants <name> <data> <settings as JSON>`.

A contestant prints one line of JSON: seconds of each run, CPU seconds, and the peak memory of its processes.
"""

import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # contestants of other libraries are not to wait for these
    from pyspark.sql import DataFrame, SparkSession

    from cl_spark import LabelAudit

Measured = tuple[list[float], dict[str, Any]]
"""Seconds of each run, and further numbers about them."""

Run = Callable[[str, dict[str, Any]], Measured]


def audit(
    session: "Callable[[dict[str, Any]], AbstractContextManager[SparkSession]]",
    data: str,
    settings: dict[str, Any],
) -> Measured:
    """Measure the whole audit in a session, written out: first in a cold JVM, then warm."""
    with tempfile.TemporaryDirectory() as output, session(settings) as spark:
        return timed(partial(_audit_once, spark, data, output, settings.get("audit", {})), settings)


def _audit_once(
    spark: "SparkSession", data: str, output: str, options: dict[str, Any], number: int
) -> dict[str, Any]:
    from cl_spark import AuditConfig, run_audit

    config = AuditConfig(predictions=data, output=f"{output}/{number}", format="parquet", **options)
    result = run_audit(spark, config)
    return {"issues": result.num_issues, "examples": result.num_examples}


ANSWERS = ("one filter", "all filters", "entropy scores", "adjusted scores")
"""Single answers of a `LabelAudit`, measured where they are asked for by name."""


def answers(name: str, data: str, settings: dict[str, Any]) -> Measured:
    """Measure some answers of one audit, its scan included, each computed whole and written nowhere."""
    with _session(settings) as spark:
        return timed(partial(_answer_once, spark, data, name, settings.get("audit", {})), settings)


def _answer_once(
    spark: "SparkSession", data: str, name: str, options: dict[str, Any], _: int
) -> dict[str, Any]:
    from cl_spark import LabelAudit

    with LabelAudit(spark.read.parquet(data), **options) as audit:
        for answer in _iter_answers(name, audit):
            answer.write.format("noop").mode("overwrite").save()
        return {"examples": audit.num_examples}


def _iter_answers(name: str, audit: "LabelAudit") -> "Iterator[DataFrame]":
    from cl_spark.methods.classification.filters import FILTERS

    if name == "entropy scores":
        yield audit.label_quality_scores(method="confidence_weighted_entropy")
    elif name == "adjusted scores":
        yield audit.label_quality_scores(adjust_pred_probs=True)
    elif name == "one filter":
        yield audit.find_label_issues()
    else:
        yield from (audit.find_label_issues(filter_by=filter_by) for filter_by in FILTERS)
        yield audit.health_summary().class_health


def _session(settings: dict[str, Any]) -> "AbstractContextManager[SparkSession]":
    from cl_spark.runs.session import spark_session

    return spark_session(_conf(settings), delta=False)


@contextmanager
def _plain_session(settings: dict[str, Any]) -> "Iterator[SparkSession]":
    """Build a session as users do, with nothing tuned but its heap."""
    from pyspark.sql import SparkSession

    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    builder = SparkSession.builder
    for key, value in _conf(settings).items():
        builder = builder.config(key, value)
    spark = builder.getOrCreate()
    try:
        yield spark
    finally:
        spark.stop()


def _conf(settings: dict[str, Any]) -> dict[str, str]:
    return {"spark.master": "local[2]", "spark.driver.memory": "2g", **settings.get("spark_conf", {})}


def floor(data: str, settings: dict[str, Any]) -> Measured:
    """Measure mere reading: PyArrow reads the same files and touches every value."""
    return timed(partial(_read_once, data), settings)


def _read_once(data: str, _: int) -> dict[str, Any]:
    import pyarrow.compute as pc
    import pyarrow.dataset as ds

    batches = ds.dataset(data, exclude_invalid_files=True).to_batches(
        columns=["label", "pred_probs"], batch_size=8192
    )
    return {"sum": sum(pc.sum(batch["pred_probs"].flatten()).as_py() or 0 for batch in batches)}


def timed(run: Callable[[int], dict[str, Any]], settings: dict[str, Any]) -> Measured:
    """Time each run, the first from the start of this process; add the last run's numbers and resources."""
    seconds, found = [], {}
    begun = process_started()
    for number in range(settings["repeat"] + 1):
        found = run(number)
        seconds.append(time.time() - begun)
        begun = time.time()
    return seconds, {**found, **resources()}


def process_started() -> float:
    """Return when this process began, by the clock of `time.time`."""
    ticks = float(Path("/proc/self/stat").read_text().rsplit(")", 1)[1].split()[19])
    booted = time.time() - float(Path("/proc/uptime").read_text().split()[0])
    return booted + ticks / os.sysconf("SC_CLK_TCK")


def resources() -> dict[str, float]:
    """Sum up CPU seconds, bytes read and peak memory of this process and its descendants; the JVM's apart."""
    found = {"cpu_seconds": 0.0, "read_mib": 0.0, "jvm_peak_mib": 0.0, "python_peak_mib": 0.0}
    waiting = [os.getpid()]
    while waiting:
        process = Path(f"/proc/{waiting.pop()}")
        try:
            for task in (process / "task").iterdir():
                with suppress(OSError):  # a thread that ends meanwhile
                    waiting += map(int, (task / "children").read_text().split())
            status = dict(
                line.split(":", 1) for line in (process / "status").read_text().splitlines() if ":" in line
            )
            read = dict(line.split(": ") for line in (process / "io").read_text().splitlines())
            times = (process / "stat").read_text().rsplit(")", 1)[1].split()[11:15]
        except OSError:
            continue
        found["cpu_seconds"] += sum(map(int, times)) / os.sysconf("SC_CLK_TCK")
        found["read_mib"] += int(read["rchar"]) / 2**20
        kind = "jvm_peak_mib" if status["Name"].strip() == "java" else "python_peak_mib"
        found[kind] += int(status.get("VmHWM", "0 kB").split()[0]) / 1024
    return found


PLAIN = "cl_spark, plain session"

CONTESTANTS: dict[str, Run] = {
    PLAIN: partial(audit, _plain_session),
    "cl_spark": partial(audit, _session),
    "floor": floor,
    **{name: partial(answers, name) for name in ANSWERS},
}


def main(contestants: dict[str, Run]) -> None:
    """Run the contestant the command line names and print what it took."""
    name, data, settings = sys.argv[1:4]
    runs, more = contestants[name](data, json.loads(settings))
    print(
        json.dumps(
            {"cold": runs[0], "warm": sorted(runs[1:])[len(runs[1:]) // 2] if runs[1:] else None, **more}
        )
    )


if __name__ == "__main__":
    main(CONTESTANTS)
