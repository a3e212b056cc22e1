"""Cards of notebooks: key numbers and bars, in HTML that runs nothing."""

from typing import Any

from pyspark.sql import SparkSession

from cl_spark.tables.card import card, worst_classes


def test_whole_numbers_are_shown_with_separators_and_texts_as_they_are() -> None:
    html = card("Run r1", {"examples": 1234567, "overall health": "97.50%"}, notes=["tables: ./audits"])
    for text in ("Run r1", "examples", "1,234,567", "97.50%", "tables: ./audits"):
        assert text in html


def test_bars_are_as_long_as_their_shares() -> None:
    html = card("Audit", {}, heading="label noise", bars=[("cat", 0.256), (7, 0.0)])
    assert "label noise" in html
    assert "width: 25.6%" in html
    assert "25.6 %" in html
    assert "width: 0.0%" in html


def test_a_card_without_bars_has_no_heading_of_bars() -> None:
    assert "label noise" not in card("Audit", {"examples": 1}, heading="label noise")


def test_values_from_the_data_stay_text_on_a_card() -> None:
    hostile: Any = "<script>alert(1)</script>"
    html = card(hostile, {hostile: hostile}, heading=hostile, bars=[(hostile, 0.5)], notes=[hostile])
    assert "<script>" not in html
    assert html.count("&lt;script&gt;") == 6


def test_the_worst_classes_come_first_and_ties_go_by_class(spark: SparkSession) -> None:
    rows = [("b", 0.8, 0.2), ("a", 0.8, 0.25), ("c", 0.1, 0.9), ("d", 1.0, 0.0)]
    health = spark.createDataFrame(rows, "class string, class_quality double, label_noise double")
    assert worst_classes(health, 3) == [("c", 0.9), ("a", 0.25), ("b", 0.2)]
