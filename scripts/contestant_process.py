"""Contestants of a benchmark, each in a process of its own whose memory is watched."""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any


def plain_session(memory: str) -> Any:
    """A plain session on two cores."""
    from pyspark.sql import SparkSession

    builder = SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false")
    builder = builder.config("spark.ui.showConsoleProgress", "false")
    return builder.config("spark.driver.memory", memory).getOrCreate()


def peak_memory(pid: int) -> dict[str, int]:
    """Resident memory of a process and of those below it, now, in MiB, by kind."""
    found = {"python": 0, "java": 0}
    children: dict[int, list[int]] = {}
    names = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                status = (entry / "status").read_text()
            except OSError:
                continue
            fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
            children.setdefault(int(fields["PPid"]), []).append(int(entry.name))
            names[int(entry.name)] = (fields["Name"], int(fields.get("VmRSS", "0 kB").split()[0]))
    waiting = [pid]
    while waiting:
        each = waiting.pop()
        waiting += children.get(each, [])
        name, size = names.get(each, ("", 0))
        found["java" if name == "java" else "python"] += size // 1024
    return found


def measure(script: str, contestant: str, path: Path, memory: str) -> dict[str, Any]:
    """Run a contestant of a script in a process of its own, and watch its memory.

    Args:
        script: the script, which prints a line of JSON when it is called with --contestant.
        contestant: its name.
        path: the data.
        memory: heap of Spark.

    Returns:
        What it printed, and the peaks "python" and "java" in MiB; or "failed" with the last line it told.
    """
    command = [sys.executable, script, "--contestant", contestant, "--path", str(path), "--memory", memory]
    peaks = {"python": 0, "java": 0}
    # files, as nobody empties a pipe meanwhile: Spark's progress would fill it, and wait
    with tempfile.TemporaryFile("w+") as stdout, tempfile.TemporaryFile("w+") as stderr:
        process = subprocess.Popen(command, stdout=stdout, stderr=stderr, text=True)
        while process.poll() is None:
            peaks = {kind: max(size, peaks[kind]) for kind, size in peak_memory(process.pid).items()}
            time.sleep(0.25)
        stdout.seek(0)
        stderr.seek(0)
        out, err = stdout.read(), stderr.read()
    if process.returncode:
        return {"failed": err.strip().splitlines()[-1]}
    return {**json.loads(out.strip().splitlines()[-1]), **peaks}
