"""Label Studio: the review queue as its tasks with a labelling configuration, and its exports as answers.

Source: Label Studio's documentation, "Format Label Studio tasks", "Import pre-annotated data" and "Label
Studio JSON format of annotated tasks"; tested with Label Studio 1.23.
"""

import json
import logging
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePath
from typing import Any
from xml.etree import ElementTree as xml

from pyspark.sql import DataFrame

from cl_spark.errors import ConfigurationError, InputError, OutputError, one_line
from cl_spark.methods.review import columns as q
from cl_spark.methods.review.answers import Answer, join_answers
from cl_spark.methods.review.files import read_answers_file, read_existing, write_export
from cl_spark.methods.review.shown_rows import (
    IMAGE_BYTES,
    ShownQueue,
    ShownRow,
    find_id_columns,
    read_rows,
    show_text,
)
from cl_spark.tables import columns as c

logger = logging.getLogger(__name__)

_SAFE_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_SAFE_WHOLE = 2**53
"""Whole numbers below are numbers for JavaScript too."""

_BLANK = (
    "data:image/png;base64,"
    "iVBORw0KGgoAAAANSUhEUgAAABAAAAAQCAAAAAA6mKC9AAAAO3RFWHRDb21tZW50AFRoaXMgaW1hZ2UgaXMgaW4gdGhlIHBs"
    "YWNlIG9mIG9uZSB0aGF0IGlzIGxlZnQgb3V0LhqLcy4AAAAPSURBVHjaY/iPBhhGtgAAgPn/AZHrIBoAAAAASUVORK5CYII="
)
"""A white image in the place of one that is not there. Without any, Label Studio shows an error, and nothing
else of the task. It takes images from 100 bytes on.
"""

_QUESTION = "question"
"""Key of the question in `data`, where people are asked whether an example has a class."""

_HINTS_OF_CLASS = {
    q.PRESENT: "The example has the class",
    q.ABSENT: "The example does not have the class",
    q.NEITHER: "It cannot be told",
}
_HINTS = {
    q.GIVEN: "The given label is right",
    q.SUGGESTED: "The suggested label is right",
    q.BOTH: "Both labels are right",
    q.NEITHER: "Neither label is right",
}


def export_label_studio(
    queue: DataFrame,
    path: str,
    *,
    id_col: str | Sequence[str] = "id",
    run_id: str | None = None,
    class_names: Sequence[str] | None = None,
    predictions: bool = True,
    max_image_bytes: int = IMAGE_BYTES,
) -> str:
    """Write a review queue as tasks of Label Studio, and beside them the labelling configuration.

    Each task has the id, run_id, given_label, suggested_label and the review columns in its `data`; of a
    single label also the question whether the example has the class, whose answers are "present", "absent"
    and "neither" (it cannot be told). Its prediction is the answer of the model, with a score: the suggested
    label for issues, the given one for others. Annotators see it only where the project is set to show
    predictions; leave that off, so that they judge for themselves.

    Args:
        queue: the queue, of `review_queue` or of the table of that name.
        path: the file of tasks, on this machine; it ends in .json. The configuration has the same name with
            .xml.
        id_col: id column of the queue, or the columns of a composite key.
        run_id: the run that the queue is of, for `data` and as the version of the model.
        class_names: names of all classes, to let annotators choose one where neither label is right. Default
            None does not ask.
        predictions: write predictions with their score.
        max_image_bytes: bytes of images to write into the file; one may have a quarter of it.

    Returns:
        The path of the file of tasks.

    Raises:
        ConfigurationError: the path is none of this machine, or does not end in .json; or a label of the
            queue is not among the class names, or people are asked about single labels, which have none.
        MissingColumnError: the queue lacks a column.
        OutputError: a file cannot be written.

    Example:
        >>> from cl_spark import review_queue
        >>> queue = review_queue(read_run(results), 10)
        >>> path = export_label_studio(queue, f"{results}/tasks.json")
        >>> len(json.load(open(path)))
        10
    """
    check_tasks_path(path, "path")
    rows = read_rows(queue, id_col, max_image_bytes=max_image_bytes)
    names = None if class_names is None else list(map(str, class_names))
    if names is not None and rows.asks_for_class:
        raise ConfigurationError(
            "class_names: people are asked whether an example has a class, and choose no other one: leave "
            "class_names out"
        )
    if names is not None:
        _check_class_names(names, rows)
    keys = _find_keys(rows)
    images = {
        col for i, col in enumerate(rows.review_columns) if any("image" in row.cells[i] for row in rows.rows)
    }
    tasks = [_task(row, rows, keys, images, run_id, predictions) for row in rows.rows]
    config = _labelling_config(rows, keys, images, names)
    write_export(str(PurePath(path).with_suffix(".xml")), config)
    return write_export(path, json.dumps(tasks, ensure_ascii=False, indent=1))


def check_tasks_path(path: str, key: str) -> None:
    """Check that a file of tasks has a name for them, and takes the place of no answers.

    Raises:
        ConfigurationError: it does not end in .json, which Label Studio tells the format by.
        OutputError: the file is there, and holds annotations, as an export from Label Studio does.
    """
    if not path.endswith(".json"):
        raise ConfigurationError(f"{key}: {path!r} must end in .json, by which Label Studio tells the format")
    try:
        tasks = json.loads(read_existing(path, key) or "[]")
    except ValueError:
        return  # what is no JSON holds no answers
    for task in tasks if isinstance(tasks, list) else ():
        if isinstance(task, dict) and task.get("annotations"):
            raise OutputError(
                f"{key}: {path!r} holds annotations (of task {task.get('id')}), which a new queue would "
                "replace: move the file to another place, or name another one here"
            )


def read_label_studio(
    path: str | Sequence[str],
    queue: DataFrame,
    *,
    id_col: str | Sequence[str] = "id",
    run_id: str | None = None,
    answer_name: str = q.ANSWER,
    label_name: str = q.LABEL,
) -> DataFrame:
    """Read the answers of a project from its export in the format JSON.

    Tasks are known by the id in their `data`, whatever else Label Studio has kept of them. Each annotation is
    an answer; one that was skipped (cancelled), or submitted without a choice, has the answer null. Drafts
    and predictions are no answers. An annotation by nobody counts as one by an annotator of its own.

    What was chosen is read as it is. `decide_verdicts` judges it: an answer that it does not know, such as
    the name of a class, is rejected there as an "unknown answer", and a class (`label`) is not read, so that
    no name becomes a corrected label without being one of the two labels of the row.

    Args:
        path: the file, or several.
        queue: the queue that was exported, whose ids and types the answers get.
        id_col: id column of the queue, or the columns of a composite key.
        run_id: read tasks of this run only, in a project that has tasks of several. Default None reads all.
        answer_name: name of the choices that hold the answer in the labelling configuration.
        label_name: name of the choices that hold the class.

    Returns:
        The id columns (as in the queue), annotator (e-mail address, or number as text), answer, label.

    Raises:
        InputError: a file cannot be read, is no such export or has no task, no task is of the run, one is not
            in the queue or has other labels there, or an annotation has a class and no answer.
        MissingColumnError: the queue lacks an id column.
    """
    ids = find_id_columns(id_col, queue)
    found: list[Answer] = []
    tasks_of_run: Counter[str | None] = Counter()
    for file in [path] if isinstance(path, str) else path:
        for task, place in _read_tasks(file):
            value = task["data"].get(c.RUN_ID)
            of_run = None if value is None else str(value)
            tasks_of_run[of_run] += 1
            if run_id is None or of_run == run_id:
                found.extend(_read_task(task, place, ids, (answer_name, label_name)))
    if run_id is not None and run_id not in tasks_of_run:
        runs = sorted(name for name in tasks_of_run if name is not None)
        there = f"they are of {', '.join(map(repr, runs))}" if runs else "their data have no 'run_id'"
        raise InputError(
            f"run_id: none of the {tasks_of_run.total():,} tasks of {path!r} is of run {run_id!r}; {there}"
        )
    if not found:
        tasks = tasks_of_run.total() if run_id is None else tasks_of_run[run_id]
        logger.warning("none of the %d tasks of %r has an annotation: nobody has answered yet", tasks, path)
    return join_answers(found, queue, id_col)


def _check_class_names(class_names: Sequence[str], rows: ShownQueue) -> None:
    """Check that the labels of a queue are among the classes to choose from.

    Raises:
        ConfigurationError: one is not.
    """
    names = {*class_names}
    for row in rows.rows:
        for col, label in ((c.GIVEN_LABEL, row.given_label), (c.SUGGESTED_LABEL, row.suggested_label)):
            if label is not None and str(label) not in names:
                raise ConfigurationError(
                    f"class_names: {str(label)!r} is not among the {len(names)} names, and is the {col} of "
                    f"the row with the id {', '.join(map(one_line, row.ids))}: name all classes, as the "
                    "queue has them"
                )


def _find_keys(rows: ShownQueue) -> dict[str, str]:
    """Find the keys of review columns in `data`: their names, if the configuration can say these."""
    taken = {*rows.id_columns, c.RUN_ID, c.GIVEN_LABEL, c.SUGGESTED_LABEL, *q.ANSWERS, q.ANSWER, q.LABEL}
    if rows.asks_for_class:
        taken.add(_QUESTION)
    return {
        col: col if _SAFE_NAME.fullmatch(col) and col not in taken else f"review_{i}"
        for i, col in enumerate(rows.review_columns, 1)
    }


def _task(
    row: ShownRow,
    rows: ShownQueue,
    keys: Mapping[str, str],
    images: set[str],
    run_id: str | None,
    predictions: bool,
) -> dict[str, Any]:
    data: dict[str, Any] = {
        col: _id_value(text, is_whole=col in rows.whole_ids)
        for col, text in zip(rows.id_columns, row.ids, strict=True)
    }
    data |= {} if run_id is None else {c.RUN_ID: run_id}
    # no score: nothing that annotators see tells what the audit thinks of a row
    data |= {c.GIVEN_LABEL: row.given_label, c.SUGGESTED_LABEL: row.suggested_label}
    data |= {} if row.question is None else {_QUESTION: row.question}
    for col, cell in zip(rows.review_columns, row.cells, strict=True):
        data[keys[col]] = cell.get("image", _BLANK) if col in images else show_text(cell)
    if not predictions:
        return {"data": data}
    answer = q.SUGGESTED if row.is_issue else q.GIVEN
    if row.question is not None:
        answer = str(row.suggested_label if row.is_issue else row.given_label)
    score = 1 - row.label_quality if row.is_issue else row.label_quality
    score = min(max(score, 0.0), 1.0)  # Label Studio takes no other, and scores of logits may be
    chosen = {
        "from_name": q.ANSWER,
        "to_name": c.GIVEN_LABEL,
        "type": "choices",
        "value": {"choices": [answer]},
    }
    return {
        "data": data,
        "predictions": [{"model_version": run_id or "cl_spark", "score": score, "result": [chosen]}],
    }


def _id_value(text: str, *, is_whole: bool) -> int | str:
    """Write a whole number as one, if JavaScript reads it without loss; all else as text."""
    return int(text) if is_whole and abs(int(text)) < _SAFE_WHOLE else text


def _labelling_config(
    rows: ShownQueue, keys: Mapping[str, str], images: set[str], class_names: Sequence[str] | None
) -> str:
    """Make the labelling configuration that shows these tasks."""
    view = xml.Element("View")
    for col in rows.review_columns:
        xml.SubElement(view, "Header", value=col.replace("$", " "), size="5")
        kind = "Image" if col in images else "Text"
        small = {"maxWidth": "480px"} if col in images else {}  # so that labels and answers are in sight
        xml.SubElement(view, kind, {"name": keys[col], "value": f"${keys[col]}", **small})
    for name, title in ((c.GIVEN_LABEL, "Given label"), (c.SUGGESTED_LABEL, "Suggested label")):
        xml.SubElement(view, "Header", value=title, size="5")
        xml.SubElement(view, "Text", name=name, value=f"${name}")
    question = f"${_QUESTION}" if rows.asks_for_class else "Which label is right?"
    xml.SubElement(view, "Header", value=question)
    of_answer = {"toName": c.GIVEN_LABEL, "choice": "single", "showInline": "true"}
    choices = xml.SubElement(view, "Choices", {"name": q.ANSWER, "required": "true", **of_answer})
    hints = _HINTS_OF_CLASS if rows.asks_for_class else _HINTS
    for key, (answer, hint) in enumerate(hints.items(), 1):
        xml.SubElement(choices, "Choice", value=answer, hint=hint, hotkey=str(key))
    if class_names is not None:
        when = {
            "visibleWhen": "choice-selected",
            "whenTagName": q.ANSWER,
            "whenChoiceValue": q.NEITHER,
        }
        others = xml.SubElement(view, "Choices", {"name": q.LABEL, **of_answer, **when})
        for class_name in class_names:
            xml.SubElement(others, "Choice", value=class_name)
    xml.indent(view)
    return xml.tostring(view, encoding="unicode") + "\n"


def _read_tasks(path: str) -> Iterator[tuple[Mapping[str, Any], str]]:
    """Read the tasks of an export, each with its place for messages."""
    try:
        tasks = json.loads(read_answers_file(path))
    except ValueError as error:
        raise InputError(f"path: {path!r} is no JSON: {error}") from error
    if tasks == []:
        raise InputError(
            f"path: {path!r} has no task: export a project whose tasks are annotated from Label Studio, as "
            "JSON (not JSON-MIN)"
        )
    for number, task in enumerate(tasks if isinstance(tasks, list) else [tasks], 1):
        is_task = isinstance(task, dict) and isinstance(task.get("data"), dict)
        if not is_task or not isinstance(task.get("annotations"), list):
            raise InputError(
                f"path: item {number} of {path!r} is no task with data and annotations: export the project "
                "from Label Studio as JSON (not JSON-MIN)"
            )
        yield task, f"{path}: task {task.get('id', number)}"


def _read_task(
    task: Mapping[str, Any], place: str, ids: Sequence[str], names: tuple[str, str]
) -> Iterator[Answer]:
    """Read the annotations of a task."""
    data = task["data"]
    for col in ids:
        if data.get(col) is None:
            raise InputError(
                f"{place} has no {col!r} in its data, which has {', '.join(map(repr, data))}: name the id "
                "columns of the queue that was exported (id_col)"
            )
    texts = tuple(_id_text(data[col]) for col in ids)
    given, suggested = (
        None if data.get(name) is None else str(data[name]) for name in (c.GIVEN_LABEL, c.SUGGESTED_LABEL)
    )
    for annotation in task["annotations"]:
        where = f"{place}, annotation {annotation.get('id')}"
        answer, label = (_find_choice(annotation, name, where) for name in names)
        if annotation.get("was_cancelled"):
            answer = label = None
        elif annotation.get("result") and answer is None and label is None:
            said = sorted({str(item.get("from_name")) for item in annotation["result"]})
            raise InputError(
                f"{where} has no choices called {names[0]!r}, but {', '.join(said)}: say which of them hold "
                "the answer (answer_name)"
            )
        elif label is not None and answer is None:
            raise InputError(
                f"{where} has the class {label!r} ({names[1]}), and no choice called {names[0]!r}: choose "
                f"one there, such as {q.NEITHER}, or say which choices hold the answer (answer_name)"
            )
        yield Answer(texts, _find_annotator(annotation), answer, label, where, (given, suggested))


def _id_text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _find_choice(annotation: Mapping[str, Any], name: str, place: str) -> str | None:
    """Find the one choice of a name; None if nothing was chosen.

    Raises:
        InputError: several were.
    """
    chosen = [
        str(choice)
        for item in annotation.get("result") or []
        if item.get("from_name") == name
        for choice in item.get("value", {}).get("choices", [])
    ]
    if len(chosen) > 1:
        raise InputError(
            f"{place} has {len(chosen)} choices called {name!r} ({', '.join(chosen)}): one is needed"
        )
    return chosen[0] if chosen else None


def _find_annotator(annotation: Mapping[str, Any]) -> str:
    """Name the annotator: by e-mail address where the export has it, else by number."""
    by = annotation.get("completed_by")
    if isinstance(by, dict):
        by = by.get("email") or by.get("id")
    return f"annotation {annotation.get('id')}" if by is None else str(by)
