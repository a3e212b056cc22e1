"""The report: one HTML file that holds all it needs and opens without a network."""

import json
from collections.abc import Callable, Iterable
from datetime import datetime
from importlib.resources import files
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined

from cl_spark.errors import InputError, MissingDependencyError, OutputError, one_line
from cl_spark.report.media import shown
from cl_spark.tables import columns as c
from cl_spark.tables.finished_run import Run
from cl_spark.tables.input_table import is_path
from cl_spark.tasks.label_audit.report_facts import Facts
from cl_spark.version import __version__


def write_report(run: Run, path: str | None = None, *, issues: int = 1_000) -> str:
    """Write the report of a finished run as one HTML file.

    Args:
        run: the run, as `read_run` gives it.
        path: the file; default reports/<run_id>.html below the results, where they are in a directory of this machine.
        issues: how many issues to list, the worst first. Their images are part of the file.

    Returns:
        The path of the file.

    Raises:
        InputError: the results are no directory of this machine, and no path is given.
        MissingDependencyError: the extra `report` is not installed.
        OutputError: the file cannot be written.

    Example:
        >>> page = write_report(read_run(results), f"{results}/report.html")
        >>> open(page, encoding="utf-8").readline().strip()
        '<!doctype html>'
    """
    target = Path(path or default_path(run.tables.location, run.run_id))
    html = page(Facts.of(run, issues))
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(html, encoding="utf-8")
    except OSError as error:
        raise OutputError(f"report: cannot write {str(target)!r}: {error.strerror}") from error
    return str(target)


def default_path(location: str, run_id: str) -> str:
    """Where the report of a run goes unless told otherwise.

    Raises:
        InputError: the results are no directory of this machine.
    """
    if not is_path(location) or ":" in location:
        raise InputError(
            f"report: {location!r} is no directory of this machine; name the file the report goes to"
        )
    return f"{location.rstrip('/')}/reports/{run_id}.html"


def check_installed() -> None:
    """Raise what is missing for a report.

    Raises:
        MissingDependencyError: the extra `report` is not installed.
    """
    try:
        import altair  # noqa: F401
        import vl_convert  # noqa: F401
    except ImportError as error:
        raise MissingDependencyError(
            f"a report needs {error.name}: pip install 'cl_spark[report]'"
        ) from error


def page(facts: Facts) -> str:
    """The HTML of a report."""
    check_installed()
    import vl_convert

    from cl_spark.tasks.label_audit.charts import charts

    environment = Environment(
        loader=PackageLoader("cl_spark.report"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.filters["line"] = one_line
    return environment.get_template("report.html.j2").render(
        facts=facts,
        version=__version__,
        failed_gates=(facts.record["failed_gates"] or "").splitlines(),
        charts=charts(facts),
        tables=tables(facts),
        about=about(facts),
        scripts=[
            vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;"),
            files("cl_spark.report").joinpath("vendor/dataTables.min.js").read_text("utf-8"),
        ],
    )


def tables(facts: Facts) -> dict[str, dict[str, Any]]:
    """The tables of the report by the name of the element that holds them: columns with title and kind, rows of cells."""
    ids = [_column(facts.issues, col, col, "text") for col in facts.id_columns]
    review = [(col, "media", [shown(value) for value in facts.issues[col]]) for col in facts.review_columns]
    of_classes, of_pairs, of_slices = facts.classes, facts.pairs, facts.slices
    made = {
        "classes": [
            _column(of_classes, c.CLASS, "class", "text"),
            _column(of_classes, c.LABEL_QUALITY, "label quality", "score"),
            _column(of_classes, c.LABEL_NOISE, "label noise", "noise"),
            _column(of_classes, c.INVERSE_LABEL_NOISE, "inverse label noise", "inverse"),
            _column(of_classes, c.EXAMPLES, "examples", "count"),
            _column(of_classes, c.LABEL_ISSUES, "wrong labels", "count"),
            _column(of_classes, c.INVERSE_LABEL_ISSUES, "lost to others", "count"),
            _column(of_classes, c.THRESHOLD, "threshold", "score"),
        ],
        "pairs": [
            _column(of_pairs, c.CLASS_A, "class", "text"),
            _column(of_pairs, c.CLASS_B, "and class", "text"),
            _column(of_pairs, c.EXAMPLES, "examples", "count"),
            _column(of_pairs, c.JOINT_PROBABILITY, "of all examples", "score"),
        ],
        "issues": [
            _column(facts.issues, c.RANK, "rank", "count"),
            *ids,
            *review,
            _column(facts.issues, c.GIVEN_LABEL, "given label", "text"),
            _column(facts.issues, c.SUGGESTED_LABEL, "suggested label", "text"),
            _column(facts.issues, c.LABEL_QUALITY, "label quality", "score"),
            _column(facts.issues, c.SELF_CONFIDENCE, "self-confidence", "score"),
            _column(facts.issues, c.NORMALIZED_MARGIN, "normalized margin", "score"),
        ],
        "slices": [
            _column(of_slices, "slice_column", "column", "text"),
            _column(of_slices, "slice_value", "value", "text"),
            _column(of_slices, c.LABEL_QUALITY, "label quality", "score"),
            _column(of_slices, "lower", "at least", "score"),
            _column(of_slices, "upper", "at most", "score"),
            _column(of_slices, c.EXAMPLES, "examples", "count"),
            _column(of_slices, c.LABEL_ISSUES, "wrong labels", "count"),
        ],
        "rejected": [
            _column(facts.rejected, c.REASON, "reason", "text"),
            _column(facts.rejected, "rows", "rows", "count"),
            _column(facts.rejected, "id", "such as id", "text"),
        ],
    }
    return {
        name: {
            "columns": [
                {
                    "title": one_line(title),
                    "kind": kind,
                    **({"most": max(cells)} if kind in ("noise", "inverse") else {}),
                }
                for title, kind, cells in columns
            ],
            "rows": [list(row) for row in zip(*(cells for _, _, cells in columns), strict=True)],
        }
        for name, columns in made.items()
        if columns[0][2]
    }


def about(facts: Facts) -> dict[str, str]:
    """What the run was and what it was told, by name: parameters as configurations write them."""
    names = ("run_id", "started", "finished", "source", "source_version", "num_read")
    of_run = {name: facts.record[name] for name in names}
    versions = json.loads(facts.record["library_versions"] or "{}")
    told = {
        name: value
        for name, value in facts.parameters.items()
        if value not in (None, [], {}, False) and name not in of_run
    }
    return {
        name: _told(value)
        for name, value in {**of_run, "versions": versions, **told}.items()
        if value is not None
    }


def _told(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{one_line(key)} {one_line(item)}" for key, item in value.items())
    if isinstance(value, list):
        return ", ".join(map(one_line, value))
    return f"{value:%Y-%m-%d %H:%M:%S}" if isinstance(value, datetime) else one_line(value)


def _column(frame: pd.DataFrame, name: str, title: str, kind: str) -> tuple[str, str, list[Any]]:
    convert: Callable[[Any], Any] = _text if kind == "text" else _number
    values: Iterable[Any] = frame[name].tolist() if name in frame.columns else []
    return title, kind, [convert(value) for value in values]


def _text(value: Any) -> str | int:
    return (
        value
        if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**53
        else one_line(value)
    )


def _number(value: Any) -> float | int | None:
    return (
        None if value != value or value in (float("inf"), float("-inf")) else value
    )  # NaN and infinity are no JSON
