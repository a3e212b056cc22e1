"""The parts of a report: sections with sentences, key numbers, charts, galleries and tables. A page renders
them as they are.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from cl_spark.errors import one_line
from cl_spark.report.gallery import Gallery
from cl_spark.report.media import LONGEST, without_address

Spec = Mapping[str, Any]
"""A chart as a Vega-Lite specification. `usermeta` may ask for {"renderer": "canvas"} and for {"reverse":
"color"}, which turns the scale of colours round on light ground.
"""


@dataclass(frozen=True)
class KeyNumber:
    """A number that is read at a glance.

    Attributes:
        title: what it counts.
        value: as it is shown.
        note: a line in small letters below it.
        name: a CSS class, where a test or a style has to find it.
    """

    title: str
    value: str
    note: str = ""
    name: str = ""


@dataclass(frozen=True)
class ReportColumn:
    """A column of a table in the report.

    Attributes:
        title: its heading.
        kind: how its cells are shown: "text", "count", "score", "noise" and "inverse" (shares as bars), or
            "media" (a text or an image, as `report.media.shown` gives it).
        cells: its values, as JSON knows them.
    """

    title: str
    kind: str
    cells: list[Any]

    @staticmethod
    def of(frame: pd.DataFrame, name: str, title: str, kind: str) -> "ReportColumn":
        """Take a column of a frame; one that the frame lacks (as in runs of earlier versions) has none."""
        if name not in frame.columns:
            return ReportColumn(title, kind, [None] * len(frame))
        convert: Callable[[Any], Any] = _to_text if kind == "text" else _to_number
        return ReportColumn(title, kind, [convert(value) for value in frame[name].tolist()])


@dataclass(frozen=True)
class ReportTable:
    """A table of the report: sortable, searchable, in pages.

    Attributes:
        name: of the element that holds it, `table-<name>`.
        columns: its columns, all of the same length.
        heading: a heading above it, where the section's own does not do.
        rows_at_once: rows on a page of it.
    """

    name: str
    columns: Sequence[ReportColumn]
    heading: str = ""
    rows_at_once: int = 10

    def __bool__(self) -> bool:
        """Tell whether it has rows."""
        return bool(self.columns[0].cells)

    def as_json(self, *, remote_images: bool = False) -> dict[str, Any]:
        """Return the table as the page's script reads it.

        Args:
            remote_images: keep images at addresses of other hosts; else their addresses become text.
        """
        columns = [
            [without_address(cell) for cell in column.cells]
            if column.kind == "media" and not remote_images
            else column.cells
            for column in self.columns
        ]
        return {
            "columns": [
                {
                    "title": one_line(column.title),
                    "kind": column.kind,
                    **(
                        {"most": max((cell or 0 for cell in column.cells), default=0)}
                        if column.kind in ("noise", "inverse")
                        else {}
                    ),
                }
                for column in self.columns
            ],
            "rows": [list(row) for row in zip(*columns, strict=True)],
            "rowsAtOnce": self.rows_at_once,
        }


@dataclass(frozen=True)
class Section:
    """A section of the report. Tables without rows, charts without data and galleries without cards are left
    out.

    Attributes:
        name: of the element that holds it.
        link: the word that leads to it from the top of the page.
        title: its heading.
        text: sentences below the heading.
        alerts: sentences that must not be missed.
        numbers: key numbers.
        charts: by name; the element is `chart-<name>`.
        galleries: examples to look at.
        tables: its tables.
        otherwise: the sentence where there is neither chart, gallery nor table.
        facts: a plain list of names and values.
    """

    name: str
    link: str
    title: str
    text: Sequence[str] = ()
    alerts: Sequence[str] = ()
    numbers: Sequence[KeyNumber] = ()
    charts: Mapping[str, Spec] = field(default_factory=dict)
    galleries: Sequence[Gallery] = ()
    tables: Sequence[ReportTable] = ()
    otherwise: str = ""
    facts: Mapping[str, str] = field(default_factory=dict)

    @property
    def shown_tables(self) -> list[ReportTable]:
        """The tables that have rows."""
        return [table for table in self.tables if table]

    @property
    def shown_galleries(self) -> list[Gallery]:
        """The galleries that have cards."""
        return [gallery for gallery in self.galleries if gallery]


def _to_text(value: Any) -> str | int:
    is_number = isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**53
    return value if is_number else one_line(value)[:LONGEST]


def _to_number(value: Any) -> float | int | None:
    """Return a number as JSON knows it: NaN and infinity are none."""
    return None if value != value or value in (float("inf"), float("-inf")) else value
