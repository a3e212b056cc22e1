"""All contestants on the same data in the same run, and the table of what they took."""

import json
import os
import platform
import shlex
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from cl_spark.bench.contestants import ANSWERS, PLAIN
from cl_spark.bench.generated import Shape, generate
from cl_spark.errors import ClSparkError, ConfigurationError

HEADINGS = {
    "cold": "cold s",
    "warm": "warm s",
    "cpu_seconds": "CPU s",
    "read_mib": "read MiB",
    "jvm_peak_mib": "JVM peak MiB",
    "python_peak_mib": "Python peak MiB",
}
MORE = ("warm / floor", "issues")


@dataclass(frozen=True)
class Contestant:
    """A program to measure: its name, its command, and the bytes it needs per value (None: any data fits)."""

    name: str
    command: list[str]
    bytes_per_value: float | None = None


def contestants(shape: Shape, against: str | None, only: Sequence[str]) -> list[Contestant]:
    """List ours and the floor, and those of a script; of sparse lists ours alone, as the others read arrays.

    Args:
        shape: of the data.
        against: the script.
        only: those of these names, single answers of ours among them; none: the whole audit and what is
            beside it.

    Raises:
        ConfigurationError: there is no contestant of a name.
    """
    module = [sys.executable, "-m", "cl_spark.bench.contestants"]
    ours = [PLAIN, "cl_spark", *ANSWERS, *(() if shape.top else ("floor",))]
    known = [Contestant(name, [*module, name]) for name in ours]
    if against is not None and not shape.top:
        for name, size in (("cleanlab in memory", 16.0), ("cleanlab batched", None)):
            known.append(Contestant(name, [sys.executable, against, name], size))
    if unknown := set(only) - {contestant.name for contestant in known}:
        names = ", ".join(contestant.name for contestant in known)
        raise ConfigurationError(
            f"only: there is no contestant {sorted(unknown)[0]!r} here; there are {names}"
        )
    return [
        contestant
        for contestant in known
        if (contestant.name in only if only else contestant.name not in ANSWERS)
    ]


def race(
    shape: Shape, contestants: list[Contestant], settings: dict[str, Any], directory: Path, console: Console
) -> dict[str, Any]:
    """Generate the data, run each contestant, and return what was measured."""
    console.print(f"generating {shape.rows:,} × {shape.classes:,} {shape.dtype} below {directory}")
    data = generate(shape, directory)
    size = sum(file.stat().st_size for file in data.glob("*.parquet"))
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if shape.top:
        settings = {**settings, "audit": {"num_classes": shape.classes}}
    results: dict[str, Any] = {}
    for contestant in contestants:
        needed = (contestant.bytes_per_value or 0) * shape.rows * shape.classes
        if needed > 0.8 * memory:
            results[contestant.name] = {
                "left out": f"needs about {needed / 2**30:.0f} GiB of {memory / 2**30:.0f} GiB"
            }
            continue
        console.print(f"running {contestant.name} ...")
        done = subprocess.run(
            [*contestant.command, str(data), json.dumps(settings)],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise ClSparkError(f"{contestant.name} failed: {done.stderr[-2000:]}")
        results[contestant.name] = json.loads(done.stdout.splitlines()[-1])
    return {
        "shape": shape.__dict__,
        "bytes": size,
        "command": shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        "machine": f"{os.cpu_count()} cores, {memory / 2**30:.0f} GiB, {platform.machine()}, "
        f"Python {platform.python_version()}",
        "when": f"{datetime.now(timezone.utc):%Y-%m-%d %H:%M} UTC",
        "results": results,
    }


def save(measured: dict[str, Any], directory: Path, name: str) -> None:
    """The measurements as JSON and Markdown."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / f"{name}.json").write_text(json.dumps(measured, indent=2), encoding="utf-8")
    (directory / f"{name}.md").write_text(markdown(measured), encoding="utf-8")


def markdown(measured: dict[str, Any]) -> str:
    """The measurements as a Markdown section."""
    shape = measured["shape"]
    lines = [
        f"### {shape['rows']:,} × {shape['classes']:,} {shape['dtype']}, "
        f"{measured['bytes'] / 1e9:.2f} GB of Parquet",
        "",
        f"`{measured['command']}` · {measured['machine']} · {measured['when']}",
        "",
        f"| | {' | '.join((*HEADINGS.values(), *MORE))} |",
        "|---" * (1 + len(HEADINGS) + len(MORE)) + "|",
    ]
    lines += [f"| {' | '.join(cells)} |" for cells in _cells(measured)]
    return "\n".join(lines) + "\n"


def show(measured: dict[str, Any], console: Console) -> None:
    """The measurements as a terminal table."""
    title = f"{measured['shape']['rows']:,} × {measured['shape']['classes']:,}"
    table = Table(
        title=title,
        title_justify="left",
        title_style="bold",
        header_style="bold",
        box=None,
        padding=(0, 2, 0, 0),
    )
    left_out = {
        name: result["left out"] for name, result in measured["results"].items() if "left out" in result
    }
    rows = [cells for cells in _cells(measured) if cells[0] not in left_out]
    for i, heading in enumerate(
        ("", *HEADINGS.values(), *MORE)
    ):  # numbers are shown whole, headings in several lines
        widest = max(map(len, (*heading.split(), *(cells[i] for cells in rows))))
        table.add_column(heading, justify="right" if heading else "left", width=widest)
    for cells in rows:
        table.add_row(*cells)
    console.print(table)
    for name, reason in left_out.items():
        console.print(f"{name} was left out: {reason}")


def _cells(measured: dict[str, Any]) -> list[list[str]]:
    results = measured["results"]
    floor = results.get("floor", {}).get("warm")
    rows = []
    for name, result in results.items():
        if "left out" in result:
            rows.append([name, result["left out"], *[""] * (len(HEADINGS) + len(MORE) - 1)])
            continue
        digits = {"cold": 1, "warm": 1}
        shown = [
            f"{result[key]:.{digits.get(key, 0)}f}" if result.get(key) is not None else "" for key in HEADINGS
        ]
        ratio = f"{result['warm'] / floor:.2f}" if floor and result.get("warm") else ""
        rows.append([name, *shown, ratio, f"{result['issues']:,}" if "issues" in result else ""])
    return rows
