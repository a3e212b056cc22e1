"""Cards of a gallery made of rows."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from cl_spark.errors import one_line
from cl_spark.report.budget import show_cells
from cl_spark.report.gallery import Card
from cl_spark.report.media import LONGEST

CARDS = 24
"""Single examples of a section that are cards, at most; the next ones are in a table."""

CAPTION = 80
"""Characters of a text that still stands in the caption of a card; longer ones are looked at."""


def make_cards(
    rows: pd.DataFrame,
    id_columns: Sequence[str],
    media: Sequence[str] = (),
    facts: Mapping[str, str] | None = None,
    note: str | None = None,
) -> list[Card]:
    """Make a card of each row.

    Args:
        rows: few rows, as `limit_bytes` leaves them.
        id_columns: their id columns.
        media: columns with what people look at. Those with images or long texts in some row are looked at on
            the cards; of short texts alone, the longest are. The others become facts.
        facts: names of facts by their column; a column that the rows lack, and nulls, have none.
        note: the column with the sentence about a row.
    """
    cells = {col: show_cells(rows, col) for col in media}
    looked_at = [col for col in media if any(map(_is_looked_at, cells[col]))]
    if not looked_at and cells:
        lengths = {col: sum(len(cell["text"]) for cell in cells[col]) for col in media}
        looked_at = [max(lengths, key=lengths.__getitem__)]
    values = {name: describe_values(rows[col]) for col, name in (facts or {}).items() if col in rows.columns}
    values |= {col: [cell["text"] for cell in cells[col]] for col in media if col not in looked_at}
    titles = zip(*([f"{one_line(col)} {one_line(value)}" for value in rows[col]] for col in id_columns),
                 strict=True)  # fmt: skip
    notes = [""] * len(rows) if note is None else describe_values(rows[note])
    return [
        Card(
            title=", ".join(title)[:LONGEST],
            media={col: cells[col][i] for col in looked_at},
            facts={name: texts[i] for name, texts in values.items() if texts[i]},
            note=notes[i],
        )
        for i, title in enumerate(titles)
    ]


def _is_looked_at(cell: Mapping[str, str]) -> bool:
    return "image" in cell or len(cell["text"]) > CAPTION


def describe_values(values: Iterable[Any]) -> list[str]:
    """Describe values in a line each; those that are missing by nothing."""
    return ["" if pd.isna(value) else _to_text(value) for value in values]


def _to_text(value: Any) -> str:
    if isinstance(value, float):  # whole numbers beside nulls are floats, too
        return str(int(value)) if value.is_integer() else f"{value:.3g}"
    return one_line(value)[:LONGEST]
