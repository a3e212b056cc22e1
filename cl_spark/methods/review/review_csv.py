"""The review queue as CSV for any tool or spreadsheet, and CSV files of answers.

Spreadsheets run cells that begin like formulas, and rewrite what looks to them like numbers or dates: 007
becomes 7, and MARCH1 a day. An apostrophe in front keeps a cell what it is. Reading takes it off again.

Source: OWASP, "CSV Injection".
"""

import csv
import io
import re
from collections.abc import Iterator, Mapping, Sequence

from pyspark.sql import DataFrame

from cl_spark.errors import InputError, OutputError
from cl_spark.methods.review import columns as q
from cl_spark.methods.review.answers import Answer, join_answers
from cl_spark.methods.review.files import read_answers_file, read_existing, write_export
from cl_spark.methods.review.shown_rows import ShownQueue, ShownRow, find_id_columns, read_rows, show_text
from cl_spark.tables import columns as c

_MARK = "'"
_IS_RISKY = re.compile(r"[=+\-@|%'\t\r\n＝＋－＠]")
_IS_PLAIN_ID = re.compile(r"0|[1-9][0-9]{0,14}")
"""Whole numbers that spreadsheets keep: they have 15 digits."""

_SEPARATORS = ",;\t"
_FOR_ANSWERS = (q.ANSWER, q.LABEL, q.ANNOTATOR)


def export_review_csv(queue: DataFrame, path: str, *, id_col: str | Sequence[str] = "id") -> str:
    """Write a review queue as CSV, with empty columns for answers: answer, label, annotator.

    People write given, suggested, both or neither into `answer` (of single labels also present or absent),
    their name into `annotator`, and if they like the right class into `label`. The file is UTF-8 with a mark
    at its beginning, by which spreadsheets know it. Cells that a spreadsheet would run or rewrite begin with
    an apostrophe. Images are left out: those need `export_review_page`, or a tool.

    Args:
        queue: the queue, of `review_queue` or of the table of that name.
        path: the file, on this machine.
        id_col: id column of the queue, or the columns of a composite key.

    Returns:
        The path of the file.

    Raises:
        ConfigurationError: the path is none of this machine.
        MissingColumnError: the queue lacks a column.
        OutputError: the file cannot be written, or is there with answers.

    Example:
        >>> from cl_spark import review_queue
        >>> queue = review_queue(read_run(results), 10)
        >>> path = export_review_csv(queue, f"{results}/review.csv")
        >>> open(path, encoding="utf-8-sig").readline().strip()
        'place,id,given_label,suggested_label,answer,label,annotator'
    """
    check_unanswered(path, "path")
    rows = read_rows(queue, id_col, max_image_bytes=0)
    shown = [
        i for i in range(len(rows.review_columns)) if not any(_is_image(row.cells[i]) for row in rows.rows)
    ]
    names = [rows.review_columns[i] for i in shown]
    # no score: nothing in the file tells what the audit thinks of a row
    own = (q.PLACE, *rows.id_columns, c.GIVEN_LABEL, c.SUGGESTED_LABEL, *_FOR_ANSWERS)
    header = [
        *map(keep_text, own[: -len(_FOR_ANSWERS)]),
        *[_rename(name, own) for name in names],
        *_FOR_ANSWERS,
    ]
    return write_export(path, "\ufeff" + _write_lines(header, rows, shown))


def read_review_csv(
    path: str | Sequence[str],
    queue: DataFrame,
    *,
    id_col: str | Sequence[str] = "id",
    annotator: str | None = None,
) -> DataFrame:
    """Read answers from CSV files: those of `export_review_csv`, filled in, of the page, or of any tool.

    A file has a header with the id columns, `answer`, and `annotator` unless that is given; `label` and
    others are optional. Where a file has `given_label` and `suggested_label`, they must be those of the
    queue, so that an answer to an earlier queue is none to this one. Cells are separated by commas,
    semicolons or tabs. A row without answer and annotator was not looked at, and is no answer; one with an
    annotator only was skipped; one with a label needs an answer, too. Case, and spaces around an answer, are
    ignored. Other answers are read as they are, and so is a label: `decide_verdicts` rejects answers that it
    does not know, and does not read labels.

    Args:
        path: the file, or several.
        queue: the queue that was exported, whose ids and types the answers get.
        id_col: id column of the queue, or the columns of a composite key.
        annotator: who gave the answers, where the files do not tell.

    Returns:
        The id columns (as in the queue), annotator, answer (null where the row was skipped), label.

    Raises:
        InputError: a file cannot be read, lacks a column or an annotator, a row has a label and no answer, or
            is not in the queue or has other labels there.
        MissingColumnError: the queue lacks an id column.
    """
    ids = find_id_columns(id_col, queue)
    files = [path] if isinstance(path, str) else path
    return join_answers([one for file in files for one in _read_file(file, ids, annotator)], queue, id_col)


def check_unanswered(path: str, key: str) -> None:
    """Check that a queue which is written to a file takes the place of no answers.

    Args:
        path: the file, which need not be there.
        key: the argument that names it, for messages.

    Raises:
        ConfigurationError: the path is none of this machine.
        OutputError: the file is there, and people have written into `answer`, `label` or `annotator`.
    """
    text = read_existing(path, key)
    lines = csv.reader(io.StringIO(text, newline=""), delimiter=_find_separator(text))
    try:
        header = [_without_mark(name.strip()) for name in next(lines, [])]
        own = [i for i, name in enumerate(header) if name.casefold() in _FOR_ANSWERS]
        for cells in lines:
            filled = [header[i] for i in own if i < len(cells) and cells[i].strip()]
            if filled:
                raise OutputError(
                    f"{key}: {path!r} holds answers (line {lines.line_num} has {filled[0]!r}), which a new "
                    "queue would replace: move the file to another place, or name another one here"
                )
    except csv.Error:
        return  # what is no CSV holds no answers


def keep_text(value: str) -> str:
    """Mark a text that a spreadsheet would take for a formula.

    Example:
        >>> keep_text("=1+1"), keep_text("a cat")
        ("'=1+1", 'a cat')
    """
    return _MARK + value if _IS_RISKY.match(value.lstrip(" ")) else value


def keep_id(value: str) -> str:
    """Mark an id, unless it is a whole number that a spreadsheet keeps as it is.

    Example:
        >>> keep_id("17"), keep_id("007"), keep_id("1234567890123456789")
        ('17', "'007", "'1234567890123456789")
    """
    return value if _IS_PLAIN_ID.fullmatch(value) else _MARK + value


def _is_image(cell: Mapping[str, str]) -> bool:
    return "left_out" in cell or cell.get("image", "").startswith("data:")


def _rename(name: str, taken: Sequence[str]) -> str:
    return keep_text(f"{name} (input)" if name in taken else name)


def _write_lines(header: Sequence[str], rows: ShownQueue, shown: Sequence[int]) -> str:
    lines = io.StringIO()
    writer = csv.writer(lines, lineterminator="\r\n")
    writer.writerow(header)
    writer.writerows(_line(row, shown) for row in rows.rows)
    return lines.getvalue()


def _line(row: ShownRow, shown: Sequence[int]) -> list[str]:
    cells = [row.cells[i] for i in shown]
    return [
        str(row.position),
        *map(keep_id, row.ids),
        *[keep_text(str(label)) for label in (row.given_label, row.suggested_label)],
        *[keep_text(show_text(cell)) for cell in cells],
        *[""] * len(_FOR_ANSWERS),
    ]


def _read_file(path: str, ids: Sequence[str], annotator: str | None) -> Iterator[Answer]:
    """Read the answers of a file.

    Raises:
        InputError: it lacks a column, an annotator, an answer, or cells.
    """
    text = read_answers_file(path)
    lines = csv.reader(io.StringIO(text, newline=""), delimiter=_find_separator(text), strict=True)
    try:
        header = [_without_mark(name.strip()) for name in next(lines, [])]
        needed = [*ids, q.ANSWER, *([] if annotator is not None else [q.ANNOTATOR])]
        missing = [name for name in needed if header.count(name) != 1]
        if missing:
            raise InputError(
                f"path: {path!r} must have a column {missing[0]!r}, once; it has "
                f"{', '.join(map(repr, header))}" + (" (or pass annotator=)" * (missing[0] == q.ANNOTATOR))
            )
        for cells in lines:
            if not any(cells):
                continue
            place = f"{path}: line {lines.line_num}"
            if len(cells) != len(header):
                raise InputError(f"{place} has {len(cells)} cells, and the header has {len(header)}")
            row = dict(zip(header, cells, strict=True))
            found = _read_line(row, place, ids, annotator)
            if found is not None:
                yield found
    except csv.Error as error:
        raise InputError(f"path: {path!r} is no CSV: line {lines.line_num}: {error}") from error


def _find_separator(text: str) -> str:
    """Find the separator of cells: the one that the first line has most of."""
    return max(_SEPARATORS, key=text.partition("\n")[0].count)


def _read_line(
    row: Mapping[str, str], place: str, ids: Sequence[str], annotator: str | None
) -> Answer | None:
    """Read the answer of a line; None if nobody has looked at it.

    Raises:
        InputError: it has a label without an answer, or an answer without an annotator.
    """
    answer, label, by = (_without_mark(row.get(name, "").strip()) or None for name in _FOR_ANSWERS)
    if label is not None and answer is None:
        raise InputError(
            f"{place} has the label {label!r}, and no answer: write {', '.join(q.ANSWERS[:-1])} or "
            f"{q.ANSWERS[-1]} into {q.ANSWER!r}"
        )
    if by is None and answer is None:
        return None
    by = by or annotator
    if by is None:
        raise InputError(
            f"{place} has the answer {answer!r}, and no annotator: write a name, or pass annotator="
        )
    known = (*q.ANSWERS, q.PRESENT, q.ABSENT)
    if answer is not None and answer.lower() in known:  # spreadsheets begin cells with a capital
        answer = answer.lower()
    given, suggested = (
        _without_mark(row.get(name, "").strip()) or None for name in (c.GIVEN_LABEL, c.SUGGESTED_LABEL)
    )
    key = tuple(_without_mark(row[col]) for col in ids)
    return Answer(key, by, answer, label, place, (given, suggested))


def _without_mark(value: str) -> str:
    return value.removeprefix(_MARK)
