"""Label Studio: tasks that it takes, and an export that it really made, read back.

`tests/fixtures/label_studio/export.json` is an export of Label Studio 1.23.2 in the format JSON. The tasks of
`small_queue` were imported, two people annotated them (one skipped a task), and the predictions of a task
were deleted.
"""

import json
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as xml

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from cl_spark import (
    ConfigurationError,
    InputError,
    MissingColumnError,
    OutputError,
    decide_verdicts,
    export_label_studio,
    read_label_studio,
)
from tests.methods.review.frames import IDS, small_queue

pytestmark = pytest.mark.slow

EXPORT = Path(__file__).resolve().parents[2] / "fixtures" / "label_studio" / "export.json"
CLASSES = ["cat", "dog", "eel"]


@pytest.fixture(scope="module")
def queue(spark: SparkSession) -> DataFrame:
    return small_queue(spark)


@pytest.fixture(scope="module")
def tasks_file(queue: DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tasks") / "tasks.json"
    export_label_studio(queue, str(path), id_col=IDS, run_id="night", class_names=CLASSES)
    return path


def export(tmp_path: Path, change: Any) -> str:
    """A changed copy of the export."""
    tasks = json.loads(EXPORT.read_text(encoding="utf-8"))
    changed = change(tasks)
    path = tmp_path / "export.json"
    path.write_text(json.dumps(tasks if changed is None else changed), encoding="utf-8")
    return str(path)


def rows(answers: DataFrame) -> list[tuple[Any, ...]]:
    return sorted(map(tuple, answers.collect()), key=repr)


def test_tasks_are_what_label_studio_was_given(tasks_file: Path) -> None:
    ours = [task["data"] for task in json.loads(tasks_file.read_text(encoding="utf-8"))]
    theirs = [task["data"] for task in json.loads(EXPORT.read_text(encoding="utf-8"))]
    blank = ours[-1].pop("picture")  # in the place of one that is not there; was another one
    theirs[-1].pop("picture")
    for data in theirs:
        data.pop("label_quality")  # which tasks held then
    assert blank.startswith("data:image/png;base64,")
    assert ours == theirs


def test_every_task_fits_the_configuration(tasks_file: Path) -> None:
    """The rules by which Label Studio 1.23 checks an import (TaskValidator, LabelInterface)."""
    view = xml.parse(tasks_file.with_suffix(".xml")).getroot()
    objects = {tag.get("name"): tag for tag in view if tag.get("value", "").startswith("$")}
    controls = {tag.get("name"): tag for tag in view.iter("Choices")}
    assert list(objects) == ["picture", "review_2", "given_label", "suggested_label"]
    assert list(controls) == ["answer", "label"]
    assert [choice.get("value") for choice in controls["label"]] == CLASSES
    for task in json.loads(tasks_file.read_text(encoding="utf-8")):
        for tag in objects.values():
            value = task["data"][tag.get("value", "")[1:]]
            assert isinstance(value, str if tag.tag == "Image" else str | int | float)
        (prediction,) = task["predictions"]
        assert 0 <= prediction["score"] <= 1
        assert prediction["model_version"] == "night"
        (result,) = prediction["result"]
        control = controls[result["from_name"]]
        assert result["to_name"] == control.get("toName") in objects
        assert result["type"] == control.tag.lower()
        assert result["value"]["choices"][0] in [choice.get("value") for choice in control]


def test_data_has_our_key_and_nothing_that_tells_what_the_audit_doubts(tasks_file: Path) -> None:
    tasks = json.loads(tasks_file.read_text(encoding="utf-8"))
    assert list(tasks[0]["data"]) == [
        "source", "id", "run_id", "given_label", "suggested_label", "picture", "review_2",
    ]  # fmt: skip
    assert [task["data"]["id"] for task in tasks] == [-5, str(2**53 + 1), str(2**62), 17, 0, 17]
    answers = [task["predictions"][0]["result"][0]["value"]["choices"][0] for task in tasks]
    assert answers == ["suggested", "suggested", "given", "suggested", "given", "suggested"]
    assert "unflagged" not in tasks_file.read_text(encoding="utf-8")


def test_a_real_export_comes_back_complete(queue: DataFrame) -> None:
    answers = read_label_studio(str(EXPORT), queue, id_col=IDS)
    assert answers.schema.simpleString() == (
        "struct<source:string,id:bigint,annotator:string,answer:string,label:string>"
    )
    assert rows(answers) == sorted(
        [
            ("b", -5, "1", "suggested", None),
            ("b", -5, "2", "suggested", None),
            ("a", 2**53 + 1, "1", "given", None),
            ("a", 2**53 + 1, "2", "neither", None),
            ("b", 2**62, "1", "neither", "cat"),
            ("a", 17, "1", None, None),  # skipped
            ("b", 0, "1", "both", None),
            ("b", 0, "2", "both", None),
        ],
        key=repr,
    )


def test_an_annotator_is_called_by_address_if_the_export_has_it(queue: DataFrame, tmp_path: Path) -> None:
    def change(tasks: list[Any]) -> None:
        first, second = tasks[0]["annotations"]
        first["completed_by"] = {"id": 1, "email": "a@example.org"}
        second["completed_by"] = None

    answers = read_label_studio(export(tmp_path, change), queue, id_col=IDS).where("id = -5")
    assert {row.annotator for row in answers.collect()} == {"a@example.org", "annotation 6"}


def test_tasks_of_other_runs_are_left_out_if_a_run_is_named(queue: DataFrame, tmp_path: Path) -> None:
    def change(tasks: list[Any]) -> None:
        tasks[0]["data"] |= {"run_id": "morning", "id": 99}

    path = export(tmp_path, change)
    assert read_label_studio(path, queue, id_col=IDS, run_id="night").count() == 6
    with pytest.raises(InputError, match=r"task 1, annotation 1: .* the queue has no row with the id b, 99"):
        read_label_studio(path, queue, id_col=IDS)


def test_answers_to_another_queue_are_errors(queue: DataFrame, tmp_path: Path) -> None:
    def change(tasks: list[Any]) -> None:
        tasks[0]["data"] |= {"given_label": "ant"}

    message = "task 1, annotation 1: the given_label of the row with the id b, -5 is 'ant' here, and 'eel' in"
    with pytest.raises(InputError, match=message):
        read_label_studio(export(tmp_path, change), queue, id_col=IDS)
    # as indices, which JSON has as numbers
    labels = {"cat": "0", "dog": "1", "eel": "2"}
    indices = {name: F.col(name).cast("int") for name in ("given_label", "suggested_label")}
    numbered = queue.replace(labels, subset=list(indices)).withColumns(indices)

    def number(tasks: list[Any]) -> None:
        for task in tasks:
            task["data"] |= {name: int(labels[task["data"][name]]) for name in indices}

    assert read_label_studio(export(tmp_path, number), numbered, id_col=IDS).count() == 8


def test_several_files_are_read_as_one(queue: DataFrame, tmp_path: Path) -> None:
    half = export(tmp_path, lambda tasks: tasks[:2])
    assert read_label_studio([half, half], queue, id_col=IDS).count() == 8


def test_an_export_that_is_read_twice_counts_once(queue: DataFrame) -> None:
    once = read_label_studio(str(EXPORT), queue, id_col=IDS)
    twice = read_label_studio([str(EXPORT), str(EXPORT)], queue, id_col=IDS)
    first, second = (decide_verdicts(one, queue, id_col=IDS, quorum=2) for one in (once, twice))
    assert second.counts == first.counts
    assert second.num_accepted == first.num_accepted == 7
    assert second.rejected_answers == {"answer that its annotator gave before": 7, "skipped: null answer": 2}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda tasks: None, r"none of the 6 tasks of .*export\.json' is of run 'nix'; they are of 'night'"),
        (
            lambda tasks: [task["data"].pop("run_id") for task in tasks] and None,
            "of run 'nix'; their data have no 'run_id'",
        ),
        (lambda tasks: [], r"export\.json' has no task: export a project whose tasks are annotated"),
    ],
)
def test_a_run_without_tasks_is_an_error(queue: DataFrame, tmp_path: Path, change: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_label_studio(export(tmp_path, change), queue, id_col=IDS, run_id="nix")


@pytest.mark.parametrize("run_id", [None, "night"])
def test_tasks_that_nobody_has_annotated_are_told(
    queue: DataFrame, tmp_path: Path, run_id: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    def change(tasks: list[Any]) -> None:
        for task in tasks:
            task["annotations"] = []

    path = export(tmp_path, change)
    assert read_label_studio(path, queue, id_col=IDS, run_id=run_id).count() == 0
    assert f"none of the 6 tasks of {path!r} has an annotation" in caplog.text


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda tasks: {"id": 1}, "is no task with data and annotations: export .* as JSON"),
        (lambda tasks: [{"id": 17, "answer": "given"}], r"not JSON-MIN"),
        (lambda tasks: tasks[0]["data"].pop("id"), "task 1 has no 'id' in its data, which has 'source'"),
        (
            lambda tasks: tasks[0]["annotations"][0]["result"][0].update(from_name="verdict"),
            r"annotation 1 has no choices called 'answer', but verdict: say .*answer_name",
        ),
        (
            lambda tasks: tasks[0]["annotations"][0]["result"][0]["value"].update(choices=["given", "both"]),
            r"has 2 choices called 'answer' \(given, both\): one is needed",
        ),
        (
            lambda tasks: tasks[0]["annotations"][0]["result"][0].update(from_name="label"),
            r"annotation 1 has the class 'suggested' \(label\), and no choice called 'answer': .*answer_name",
        ),
    ],
)
def test_other_files_are_errors(queue: DataFrame, tmp_path: Path, change: Any, message: str) -> None:
    def only_in_place(tasks: list[Any]) -> Any:
        changed = change(tasks)
        return changed if isinstance(changed, dict | list) else None

    with pytest.raises(InputError, match=message):
        read_label_studio(export(tmp_path, only_in_place), queue, id_col=IDS)


def test_a_name_that_is_no_class_becomes_no_corrected_label(queue: DataFrame, tmp_path: Path) -> None:
    """Verdicts reject it as an answer, and do not read it as a class."""

    def choose(tasks: list[Any]) -> None:
        said = {"answer": "neither", "label": "unicorn"}
        for task in tasks:
            result = [
                {"from_name": name, "type": "choices", "value": {"choices": [choice]}}
                for name, choice in said.items()
            ]
            task["annotations"] = [{"id": 1, "completed_by": 1, "result": result}]
        tasks[0]["annotations"][0]["result"][0]["value"]["choices"] = ["unicorn"]

    answers = read_label_studio(export(tmp_path, choose), queue, id_col=IDS)
    assert answers.where("label = 'unicorn'").count() == 6
    found = decide_verdicts(answers, queue, id_col=IDS, quorum=1)
    assert found.rejected_answers == {"unknown answer": 1}
    assert found.counts == {"not_an_error": 0, "correct": 0, "prune": 5, "non_agreement": 0}
    assert found.verdicts.where("corrected_label IS NOT NULL").count() == 0


def test_choices_may_have_other_names(queue: DataFrame, tmp_path: Path) -> None:
    text = re.sub(r'"from_name": "answer"', '"from_name": "verdict"', EXPORT.read_text(encoding="utf-8"))
    path = tmp_path / "export.json"
    path.write_text(text, encoding="utf-8")
    found = read_label_studio(str(path), queue, id_col=IDS, answer_name="verdict")
    assert rows(found) == rows(read_label_studio(str(EXPORT), queue, id_col=IDS))


def test_what_is_no_json_or_not_there_is_an_error(queue: DataFrame, tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    with pytest.raises(InputError, match=r"cannot read .*x\.json"):
        read_label_studio(str(path), queue, id_col=IDS)
    path.write_text("<html>", encoding="utf-8")
    with pytest.raises(InputError, match=r"x\.json' is no JSON"):
        read_label_studio(str(path), queue, id_col=IDS)


def test_exports_that_cannot_be_written_are_errors(queue: DataFrame, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"path: '.*tasks' must end in \.json"):
        export_label_studio(queue, str(tmp_path / "tasks"), id_col=IDS)
    with pytest.raises(ConfigurationError, match="is in a store that only Spark reaches"):
        export_label_studio(queue, "s3://lake/tasks.json", id_col=IDS)
    with pytest.raises(MissingColumnError, match="id_col: no column 'key' in the queue"):
        export_label_studio(queue, str(tmp_path / "tasks.json"), id_col="key")
    with pytest.raises(MissingColumnError, match="queue: no column 'stratum' in the queue"):
        export_label_studio(queue.drop("stratum"), str(tmp_path / "tasks.json"), id_col=IDS)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["cat", "dog"], "class_names: 'eel' is not among the 2 names, and is the given_label of .*id b, -5"),
        (["cat", "eel"], "'dog' is not among the 2 names, and is the suggested_label of .*id b, -5"),
        ([], "'eel' is not among the 0 names"),
    ],
)
def test_classes_to_choose_from_hold_the_labels_of_the_queue(
    queue: DataFrame, tmp_path: Path, names: list[str], message: str
) -> None:
    with pytest.raises(ConfigurationError, match=message):
        export_label_studio(queue, str(tmp_path / "tasks.json"), id_col=IDS, class_names=names)
    assert list(tmp_path.iterdir()) == []


def test_tasks_can_do_without_predictions_run_and_images(
    queue: DataFrame, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "tasks.json"
    scores = queue.withColumn("label_quality", F.lit(-3.5))  # of logits
    export_label_studio(scores, str(path), id_col=IDS)
    tasks = json.loads(path.read_text(encoding="utf-8"))
    assert {task["predictions"][0]["score"] for task in tasks} == {0.0, 1.0}
    assert {task["predictions"][0]["model_version"] for task in tasks} == {"cl_spark"}
    export_label_studio(queue, str(path), id_col=IDS, predictions=False, max_image_bytes=500)
    assert "5 of the images are left out: an export takes 500 bytes" not in caplog.text
    tasks = json.loads(path.read_text(encoding="utf-8"))
    assert all(list(task) == ["data"] and "run_id" not in task["data"] for task in tasks)
    export_label_studio(queue, str(path), id_col=IDS, max_image_bytes=100)
    assert "5 of the images are left out: an export takes 100 bytes of them" in caplog.text
    data = json.loads(path.read_text(encoding="utf-8"))[0]["data"]
    assert data["picture"] == "image of 105 bytes, left out"


def test_a_file_with_annotations_is_not_overwritten(queue: DataFrame, tmp_path: Path) -> None:
    path = tmp_path / "tasks.json"
    for _ in range(2):  # without annotations it may be
        export_label_studio(queue, str(path), id_col=IDS)
    tasks = json.loads(path.read_text(encoding="utf-8"))
    tasks[-1]["annotations"] = [{"result": []}]
    path.write_text(json.dumps(tasks), encoding="utf-8")
    with pytest.raises(OutputError, match=r"tasks.json' holds annotations \(of task .*\), which a new queue"):
        export_label_studio(queue, str(path), id_col=IDS)
    assert json.loads(path.read_text(encoding="utf-8")) == tasks
