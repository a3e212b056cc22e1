"""The queue as CSV: what spreadsheets cannot spoil, and answers read back."""

import csv
import io
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyspark.sql import DataFrame, SparkSession

from cl_spark import ConfigurationError, InputError, OutputError, export_review_csv, read_review_csv
from cl_spark.methods.review.review_csv import keep_id, keep_text
from tests.methods.review.frames import IDS, small_queue

HEADER = "source,id,answer,annotator\r\n"


@pytest.fixture(scope="module")
def queue(spark: SparkSession) -> DataFrame:
    return small_queue(spark)


def read(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8-sig"), newline="")))


def file(tmp_path: Path, text: str, name: str = "answers.csv") -> str:
    path = tmp_path / name
    path.write_bytes(text.encode("utf-8"))
    return str(path)


def rows(answers: DataFrame) -> list[tuple[Any, ...]]:
    return sorted(map(tuple, answers.collect()), key=repr)


def test_a_queue_is_written_in_its_order_with_room_for_answers(queue: DataFrame, tmp_path: Path) -> None:
    path = tmp_path / "review.csv"
    assert export_review_csv(queue, str(path), id_col=IDS) == str(path)
    assert path.read_bytes().startswith(b"\xef\xbb\xbfplace,source,id,")
    found = read(path)
    assert list(found[0]) == [
        "place", "source", "id", "given_label", "suggested_label", "the note", "answer", "label",
        "annotator",
    ]  # fmt: skip
    assert [row["place"] for row in found] == list("123456")
    assert {row["answer"] + row["label"] + row["annotator"] for row in found} == {""}
    assert found[4]["the note"] == 'käse; ok, "so"'
    assert found[3]["the note"] == "one\nand a line"


def test_no_cell_begins_like_a_formula_and_ids_stay_text(queue: DataFrame, tmp_path: Path) -> None:
    path = tmp_path / "review.csv"
    export_review_csv(queue, str(path), id_col=IDS)
    found = read(path)
    assert [row["id"] for row in found] == ["'-5", f"'{2**53 + 1}", f"'{2**62}", "17", "0", "17"]
    assert found[5]["source"] == "'007"
    assert (found[1]["the note"], found[2]["the note"]) == ("'=1+1", "''quoted'")
    assert not [cell for row in found for cell in row.values() if cell[:1] in tuple("=+-@\t\r\n|%")]


@given(st.text())
def test_a_marked_text_is_no_formula_and_loses_nothing(text: str) -> None:
    assert keep_text(text).lstrip(" ")[:1] not in tuple("=+-@|%\t\r\n")
    assert keep_text(text) in (text, f"'{text}")
    assert keep_id(text).removeprefix("'") == text


def test_answers_come_back_with_the_ids_of_the_queue(queue: DataFrame, tmp_path: Path) -> None:
    path = tmp_path / "review.csv"
    export_review_csv(queue, str(path), id_col=IDS)
    found = read(path)
    for row, answer in zip(found, ["given", "suggested ", "", "both", "'neither", ""], strict=True):
        row["answer"] = answer
        row["annotator"] = "" if row["place"] == "6" else "Änne"
    found[4]["label"] = "dog"
    with path.open("w", encoding="utf-8", newline="") as out:
        writer = csv.DictWriter(out, list(found[0]), delimiter=";")  # as spreadsheets of some countries do
        writer.writeheader()
        writer.writerows(found)
    answers = read_review_csv(str(path), queue, id_col=IDS)
    assert answers.dtypes[:2] == [("source", "string"), ("id", "bigint")]
    assert rows(answers) == sorted(
        [
            ("b", -5, "Änne", "given", None),
            ("a", 2**53 + 1, "Änne", "suggested", None),
            ("b", 2**62, "Änne", None, None),  # skipped
            ("a", 17, "Änne", "both", None),
            ("b", 0, "Änne", "neither", "dog"),
        ],
        key=repr,
    )


def test_files_of_several_people_are_read_as_one(queue: DataFrame, tmp_path: Path) -> None:
    first = file(tmp_path, "source\tid\tanswer\na\t17\tgiven\n\n", "a.csv")
    second = file(tmp_path, "id,answer,source,annotator,more\r\n17,both,a,bo,x\r\n0,,b,,\r\n", "b.csv")
    found = read_review_csv([first, second], queue, id_col=IDS, annotator="ann")
    assert rows(found) == [("a", 17, "ann", "given", None), ("a", 17, "bo", "both", None)]


def test_spreadsheets_may_begin_an_answer_with_a_capital(queue: DataFrame, tmp_path: Path) -> None:
    path = file(tmp_path, HEADER + "a,17,Suggested,ann\r\nb,0, NEITHER ,ann\r\nb,-5,Perhaps,ann\r\n")
    answers = read_review_csv(path, queue, id_col=IDS)
    assert {row.answer for row in answers.collect()} == {"suggested", "neither", "Perhaps"}


def test_a_label_without_an_answer_is_an_error(queue: DataFrame, tmp_path: Path) -> None:
    header = "source,id,answer,label,annotator\r\n"
    message = (
        r"answers\.csv: line 3 has the label 'cat', and no answer: write given, suggested, both or neither "
        "into 'answer'"
    )
    for annotator in ("", "ann"):
        path = file(tmp_path, header + f"b,0,,,\r\na,17,,cat,{annotator}\r\n")
        for known in (None, "bo"):
            with pytest.raises(InputError, match=message):
                read_review_csv(path, queue, id_col=IDS, annotator=known)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("source,answer,annotator\r\n", r"must have a column 'id', once; it has 'source', 'answer'"),
        ("source,id,answer\r\na,17,given\r\n", r"must have a column 'annotator', once; .*pass annotator="),
        (HEADER + "a,17,given,\r\n", "line 2 has the answer 'given', and no annotator"),
        (HEADER + "a,17,given\r\n", "line 2 has 3 cells, and the header has 4"),
        (
            HEADER + "a,18,given,ann\r\n",
            r"line 2: an answer is to one row, and the queue has no row with the id a, 18",
        ),
        (HEADER + 'a,17,"given,ann\r\n', "is no CSV: line 2"),
        ("", "must have a column 'source', once"),
    ],
)
def test_files_that_cannot_be_used_are_errors(
    queue: DataFrame, tmp_path: Path, text: str, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        read_review_csv(file(tmp_path, text), queue, id_col=IDS)


def test_answers_to_another_queue_are_errors(queue: DataFrame, tmp_path: Path) -> None:
    """The same ids, asked about again with other suggestions: "suggested" meant the earlier ones."""
    earlier, path = queue.replace("cat", "ant", ["suggested_label"]), tmp_path / "review.csv"
    export_review_csv(earlier, str(path), id_col=IDS)
    path.write_bytes(path.read_bytes().replace(b",,,\r\n", b",suggested,,ann\r\n"))
    assert read_review_csv(str(path), earlier, id_col=IDS).count() == 6
    message = (
        rf"line 3: the suggested_label of the row with the id a, {2**53 + 1} is 'ant' here, and 'cat' in the "
        "queue: .*Take the queue that was exported, by its run"
    )
    with pytest.raises(InputError, match=message):
        read_review_csv(str(path), queue, id_col=IDS)


def test_labels_that_a_spreadsheet_has_rewritten_are_the_same(queue: DataFrame, tmp_path: Path) -> None:
    labels = {"cat": "3", "dog": "=TRUE", "eel": "007"}
    numbered = queue.replace(labels, subset=["given_label", "suggested_label"])
    text = (
        "source;id;given_label;suggested_label;answer;annotator\r\n"
        "a;17;3,0;'=true;given;ann\r\n007;17; 3.0;7;given;ann\r\nb;-5;;;given;ann\r\n"
    )
    assert read_review_csv(file(tmp_path, text), numbered, id_col=IDS).count() == 3
    others = file(tmp_path, text.replace("3.0", "4"))
    with pytest.raises(InputError, match="the given_label of the row with the id 007, 17 is '4' here"):
        read_review_csv(others, numbered, id_col=IDS)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "cp1252", "utf-16"])
def test_a_file_with_answers_is_not_overwritten(queue: DataFrame, tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "review.csv"
    for _ in range(2):  # without answers it may be
        export_review_csv(queue, str(path), id_col=IDS)
    lines = path.read_text(encoding="utf-8-sig").splitlines()
    lines[-1] += "Änne"  # who has skipped it
    lines[0] = lines[0].replace("annotator", "Annotator")
    path.write_text("\n".join(lines).replace(",", ";"), encoding=encoding)
    before = path.read_bytes()
    with pytest.raises(
        OutputError, match=r"holds answers \(line 8 has 'Annotator'\), which a new queue would"
    ):
        export_review_csv(queue, str(path), id_col=IDS)
    assert path.read_bytes() == before


def test_text_that_is_not_utf_8_is_an_error(queue: DataFrame, tmp_path: Path) -> None:
    path = tmp_path / "answers.csv"
    path.write_bytes((HEADER + "a,17,given,Änne\r\n").encode("cp1252"))
    with pytest.raises(InputError, match=r"is not text in UTF-8: .*save it as UTF-8 .*CSV UTF-8"):
        read_review_csv(str(path), queue, id_col=IDS)


def test_a_queue_with_an_id_twice_takes_no_answers(queue: DataFrame, tmp_path: Path) -> None:
    path = file(tmp_path, HEADER + "a,17,given,ann\r\n")
    with pytest.raises(InputError, match=r"is to one row, and the queue has 2 rows with the id a, 17"):
        read_review_csv(path, queue.unionAll(queue), id_col=IDS)


def test_an_id_must_not_be_called_like_a_column_of_answers(queue: DataFrame, tmp_path: Path) -> None:
    path = file(tmp_path, "label,answer,annotator\r\n17,given,ann\r\n")
    with pytest.raises(ConfigurationError, match="id_col: 'label' is the name of a column of answers"):
        read_review_csv(path, queue.withColumnRenamed("id", "label"), id_col="label")
