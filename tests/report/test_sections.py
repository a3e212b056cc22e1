"""Parts of a report: how values of a frame become cells of its tables."""

import json

import pandas as pd

from cl_spark.report.sections import ReportColumn, ReportTable, Section


def table(*columns: ReportColumn) -> ReportTable:
    return ReportTable("t", columns)


def test_numbers_that_json_does_not_know_are_null() -> None:
    frame = pd.DataFrame({"score": [0.5, float("nan"), float("inf"), float("-inf")]})
    assert ReportColumn.of(frame, "score", "score", "score").cells == [0.5, None, None, None]


def test_text_is_one_line_and_whole_numbers_stay_numbers_as_far_as_scripts_can_count() -> None:
    values = ["a\nb", 7, True, None, 2**53 - 1, 2**53, -(2**53)]
    cells = ReportColumn.of(pd.DataFrame({"id": pd.Series(values, dtype=object)}), "id", "id", "text").cells
    assert cells == [r"a\nb", 7, "True", "None", 2**53 - 1, str(2**53), str(-(2**53))]
    assert not any(isinstance(cell, bool) for cell in cells)


def test_a_column_that_the_frame_lacks_has_a_row_of_nothing_for_each_of_the_others() -> None:
    """As in runs of earlier versions."""
    frame = pd.DataFrame({"class": ["a", "b"]})
    noise = ReportColumn.of(frame, "label_noise", "label noise", "noise")
    assert noise.cells == [None, None]
    shown = table(ReportColumn.of(frame, "class", "class", "text"), noise).as_json()
    assert shown["rows"] == [["a", None], ["b", None]]
    assert shown["columns"][1]["most"] == 0


def test_bars_are_measured_by_the_largest_number_there_is() -> None:
    noise = ReportColumn("label noise", "noise", [None, 0.25, 0.5])
    assert table(noise).as_json()["columns"][0]["most"] == 0.5


def test_a_table_is_rows_for_the_script_of_the_page() -> None:
    first = ReportColumn("cl\nass", "text", ["a", "b"])
    noise = ReportColumn("label noise", "noise", [0.25, 0.5])
    assert json.loads(json.dumps(table(first, noise).as_json())) == {
        "columns": [
            {"title": r"cl\nass", "kind": "text"},
            {"title": "label noise", "kind": "noise", "most": 0.5},
        ],
        "rows": [["a", 0.25], ["b", 0.5]],
        "rowsAtOnce": 10,
    }


def test_tables_without_rows_are_left_out_of_a_section() -> None:
    full, empty = table(ReportColumn("a", "count", [0])), table(ReportColumn("a", "count", []))
    assert Section("s", "S", "S", tables=[empty, full]).shown_tables == [full]
