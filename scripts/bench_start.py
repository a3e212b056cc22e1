"""Measure the quickstart's audit beside a program that writes and reads one Delta table.

Usage: python scripts/bench_start.py [ROUNDS]. The two take turns; medians are printed, of the time until the
program ends and of the processor time of all processes it started, which other work on the machine changes
less. It runs on Linux.
"""

import ctypes
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

SCRIPTS = Path(__file__).resolve().parent
PR_SET_CHILD_SUBREAPER = 36
PROGRAMS = {
    "minimal program": [sys.executable, str(SCRIPTS / "minimal_program.py"), "{home}/table"],
    "quickstart": [
        str(Path(sys.executable).parent / "cl-spark"), "audit", "--sample", "digits",
        "--output", "{home}/audit", "--review-columns", "image", "--report",
    ],
}  # fmt: skip


def measure(command: list[str]) -> tuple[float, float]:
    """Run a command in an empty directory; return its seconds, and those of processors."""
    with tempfile.TemporaryDirectory() as home:
        started, before = time.perf_counter(), _processor_seconds()
        subprocess.run([part.format(home=home) for part in command], capture_output=True, check=True)
        seconds = time.perf_counter() - started
        while True:  # Java ends after the program that started it
            try:
                os.wait()
            except ChildProcessError:
                return seconds, _processor_seconds() - before


def _processor_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main(rounds: int) -> None:
    """Measure both in turn, and print the medians."""
    ctypes.CDLL(None).prctl(
        PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0
    )  # children of children end as children of ours
    runs: dict[str, list[tuple[float, float]]] = {name: [] for name in PROGRAMS}
    for _ in range(rounds):
        for name, command in PROGRAMS.items():
            runs[name].append(measure(command))
    least = [median(column) for column in zip(*runs["minimal program"], strict=True)]
    print(f"{'median of ' + str(rounds):20}{'seconds':>10}{'ratio':>7}{'processor':>12}{'ratio':>7}")
    for name, measured in runs.items():
        seconds, processor = (median(column) for column in zip(*measured, strict=True))
        print(
            f"{name:20}{seconds:10.1f}{seconds / least[0]:7.2f}{processor:12.1f}{processor / least[1]:7.2f}"
        )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
