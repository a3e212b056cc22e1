"""CSV files and JSON lines: what their text means."""

import json
from pathlib import Path

import pandas as pd
import pytest
from pyspark.sql import DataFrame, SparkSession

from cl_spark import InputError
from cl_spark.tables.input_table import read_source
from cl_spark.tables.text_files import Roles

pytestmark = pytest.mark.slow

ROLES = Roles(("id",), "label", ("pred_probs",))


def read(spark: SparkSession, path: Path, roles: Roles = ROLES, input_format: str = "auto") -> DataFrame:
    return read_source(spark, str(path), "predictions", roles=roles, input_format=input_format).df


def write(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (("0", "", "12"), "bigint"),
        (("0.0", "1.0", ""), "double"),
        (("True", "false"), "boolean"),
        (("01", "02"), "string"),
        (("1", "2"), "string"),
        (("cat", "1"), "string"),
    ],
)
def test_labels_are_numbers_where_a_number_keeps_their_spelling(
    spark: SparkSession, tmp_path: Path, values: tuple[str, ...], kind: str
) -> None:
    path = write(tmp_path / "a.csv", "id,label", *[f"{i},{value}" for i, value in enumerate(values)])
    names = ("1", "2") if values == ("1", "2") else ("cat", "dog")
    df = read(spark, path, Roles(("id",), "label", class_names=names))
    assert dict(df.dtypes) == {"id": "bigint", "label": kind}
    assert df.where("label is null").count() == values.count("")


@pytest.mark.parametrize(
    ("values", "kind"), [(("7", "-8"), "bigint"), (("007", "8"), "string"), (("a", "1"), "string")]
)
def test_ids_keep_their_spelling(
    spark: SparkSession, tmp_path: Path, values: tuple[str, ...], kind: str
) -> None:
    df = read(spark, write(tmp_path / "a.csv", "id,label", *[f"{value},0" for value in values]))
    assert dict(df.dtypes)["id"] == kind
    assert {str(row.id) for row in df.collect()} == {*values}


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("[0.25, 0.75]", "array<double>", [0.25, 0.75]),
        ('{"a": 0.25}', "map<string,double>", {"a": 0.25}),
        ('[{"label": "a", "score": 0.25}]', "array<struct<label:string,score:double>>", [("a", 0.25)]),
        ("0.25", "double", 0.25),
    ],
)
def test_probabilities_are_json_or_a_number(
    spark: SparkSession, tmp_path: Path, text: str, kind: str, value: object
) -> None:
    frame = pd.DataFrame({"id": [1, 2], "label": [0, 1], "pred_probs": [text, "broken"]})
    frame.to_csv(tmp_path / "a.csv", index=False)
    df = read(spark, tmp_path / "a.csv").orderBy("id")
    assert dict(df.dtypes)["pred_probs"] == kind
    assert [row.pred_probs for row in df.collect()] == [value, None]


def test_printed_arrays_are_told_from_json(spark: SparkSession, tmp_path: Path) -> None:
    frame = pd.DataFrame({"id": [1, 2], "pred_probs": [None, "[0.25 0.75]"], "note": ["[gone]", "[a, b]"]})
    frame.to_csv(tmp_path / "a.csv", index=False)
    with pytest.raises(InputError, match=r"a\.csv: column 'pred_probs' holds '\[0.25 0.75\]', and nowhere"):
        read(spark, tmp_path / "a.csv")
    notes = read(spark, tmp_path / "a.csv", Roles(("id",), values=("note",))).orderBy("id")
    assert [row.note for row in notes.collect()] == ["[gone]", "[a, b]"]


def test_csv_may_be_wide_compressed_and_hold_breaks(spark: SparkSession, tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {"ID": [1, 2], "Label": ["a", "b"], "a": [0.5, 1], "b": [0.5, 0], "text": ['x\n"y", z', " w"]}
    )
    frame[:1].to_csv(tmp_path / "1.csv", index=False)
    frame[1:].to_csv(tmp_path / "2.csv.gz", index=False)
    df = read(spark, tmp_path, Roles(("id",), "label", ("a", "b"), class_names=("a", "b"))).orderBy("id")
    assert [row[:5] for row in df.collect()] == [(1, "a", 0.5, 0.5, 'x\n"y", z'), (2, "b", 1.0, 0.0, "w")]


def test_a_line_of_more_or_fewer_cells_is_no_row(spark: SparkSession, tmp_path: Path) -> None:
    write(tmp_path / "a.csv", "id,label,text", "1,0,Yes", "2,1,Yes, I do", '3,1,"Yes, I do"', "4,0")
    df = read(spark, tmp_path / "a.csv", Roles(("id",), "label", others=("text",)))
    rows = sorted(df.collect(), key=lambda row: (row.id or 9, row["_corrupt_record"]))
    assert [row[:3] for row in rows] == [(1, 0, "Yes"), (3, 1, "Yes, I do"), *[(None, None, None)] * 2]
    assert [row["_corrupt_record"] for row in rows] == [None, None, "2,1,Yes, I do", "4,0"]
    assert df.select("text").where("text = 'Yes'").count() == 1


def test_headers_in_another_order_are_an_error_and_no_mix_of_columns(
    spark: SparkSession, tmp_path: Path
) -> None:
    write(tmp_path / "1.csv", "id,label", "1,0")
    write(tmp_path / "2.csv", "label,id", "0,2")
    with pytest.raises(InputError, match=r"(?s)predictions: .*CSV"):
        read(spark, tmp_path)


def test_tabs_separate_what_is_called_so_and_the_format_may_be_said(
    spark: SparkSession, tmp_path: Path
) -> None:
    assert read(spark, write(tmp_path / "a.tsv", "id\tlabel", "1\t0")).collect()[0][:2] == (1, 0)
    assert read(spark, write(tmp_path / "a.txt", "id,label", "1,0"), input_format="csv").collect()[0][:2] == (
        1,
        0,
    )


def test_json_is_an_object_per_line_or_one_document(spark: SparkSession, tmp_path: Path) -> None:
    rows = [{"id": i, "label": "01", "pred_probs": [0.5, i]} for i in range(3)]
    (tmp_path / "lines").mkdir()
    write(tmp_path / "lines" / "a.jsonl", *map(json.dumps, rows))
    document = write(tmp_path / "a.json", json.dumps(rows, indent=1))
    for path in (tmp_path / "lines", document):
        df = read(spark, path).orderBy("id")
        assert dict(df.dtypes) == {"id": "bigint", "label": "string", "pred_probs": "array<double>"}
        assert [row.asDict() for row in df.collect()] == rows


def test_a_broken_line_of_json_hides_no_other_line(spark: SparkSession, tmp_path: Path) -> None:
    lines = [json.dumps({"id": i, "label": 0}) for i in range(5)]
    for broken in (lines[4][:8], "[", "{"):
        df = read(spark, write(tmp_path / "a.jsonl", *lines[:4], broken))
        assert [row.id for row in df.collect()] == [0, 1, 2, 3, None]


def test_a_document_may_have_an_object_per_line(spark: SparkSession, tmp_path: Path) -> None:
    rows = [{"id": i, "label": 0} for i in range(3)]
    document = "[" + ",\n".join(map(json.dumps, rows)) + "]"
    for text in (document, "\n" + document.replace("[", "[\n"), json.dumps(rows[0], indent=1)):
        df = read(spark, write(tmp_path / "a.json", text))
        assert df.columns == ["id", "label"]
        assert df.count() in (1, 3)
    (tmp_path / "both").mkdir()
    write(tmp_path / "both" / "a.json", "[\n" + document[1:])
    write(tmp_path / "both" / "b.json", *map(json.dumps, rows))
    with pytest.raises(InputError, match=r"a.json is one JSON document, .*b.json has an object per line"):
        read(spark, tmp_path / "both")


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (("3", "007", ""), "bigint"),
        (("3", "-0.5", "1e3"), "double"),
        (("2026-01-31", "", "2025-12-01"), "date"),
        (("2026-01-31T10:00:00.25", "2026-01-31 09:30", "2026-01-30"), "timestamp_ntz"),
        (("2026-01-31T10:00:00Z", "2026-01-31T10:30:00+01:00", "2026-01-31 08:00:00"), "timestamp"),
        (("", ""), "bigint"),
    ],
)
@pytest.mark.parametrize("input_format", ["csv", "json"])
def test_what_orders_rows_is_a_number_a_date_or_a_time(
    spark: SparkSession, tmp_path: Path, values: tuple[str, ...], kind: str, input_format: str
) -> None:
    rows = [{"id": i, "At": value or None} for i, value in enumerate(values)]
    lines = map(json.dumps, rows)
    if input_format == "csv":
        lines = iter(["id,At", *[f"{i},{value}" for i, value in enumerate(values)]])
    path = write(tmp_path / f"a.{input_format}", *lines)
    df = read(spark, path, Roles(("id",), orders=("at",)), input_format)
    assert dict(df.dtypes)["At"] == kind
    assert df.where("At is null").count() == values.count("")


def test_times_with_a_zone_are_in_their_order(spark: SparkSession, tmp_path: Path) -> None:
    values = ["2026-01-31T10:00:00Z", "2026-01-31T10:30:00+01:00", "2026-01-31 08:00:00"]
    path = write(tmp_path / "a.csv", "id,at", *[f"{i},{value}" for i, value in enumerate(values)])
    df = read(spark, path, Roles(("id",), orders=("at",)))
    assert [row.id for row in df.orderBy("at").collect()] == [2, 1, 0]


@pytest.mark.parametrize(
    ("values", "told"),
    [
        (("2026-01-31", "soon"), "'soon': it must"),
        (("2026-01-31", "2026-02-30"), "'2026-02-30': it must"),
        (("1", "2026-01-31"), "'2026-01-31' and '1': it must hold numbers only, or only dates and times"),
    ],
)
def test_what_gives_no_order_is_an_error_with_a_value(
    spark: SparkSession, tmp_path: Path, values: tuple[str, ...], told: str
) -> None:
    path = write(tmp_path / "a.csv", "id,at", *[f"{i},{value}" for i, value in enumerate(values)])
    with pytest.raises(InputError, match=f"order_col: column 'at' holds {told}"):
        read(spark, path, Roles(("id",), orders=("at",)))


def test_ids_that_order_rows_keep_their_spelling(spark: SparkSession, tmp_path: Path) -> None:
    df = read(spark, write(tmp_path / "a.csv", "id,label", "007,0"), Roles(("id",), orders=("ID",)))
    assert df.collect()[0].id == "007"
