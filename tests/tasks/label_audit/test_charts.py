"""Charts of a label audit's report, from facts made by hand."""

from typing import Any

import pandas as pd
import pytest

from cl_spark.tables import columns as c
from cl_spark.tasks.label_audit import charts
from cl_spark.tasks.label_audit.charts import confusion_chart, distribution_chart, order_classes
from cl_spark.tasks.label_audit.facts import Facts

EMPTY = pd.DataFrame()
CELLS = [("a\nb", "cat", 5, 0.25), ("cat", "a\nb", 2, 0.5), ("cat", "dog", 0, 0.0)]
RANGES = [("a\nb", 0.0, 0.1, 4, 4), ("a\nb", 0.9, 1.0, 7, 2), ("cat", 0.9, 1.0, 3, 0)]


def facts(cells: list[Any] = CELLS, ranges: list[Any] = RANGES) -> Facts:
    names = [c.GIVEN_LABEL, c.TRUE_LABEL, c.CALIBRATED_COUNT, c.INVERSE_NOISE_RATE]
    return Facts(
        run_id="r1",
        record={},
        parameters={},
        trend=EMPTY,
        rejected=EMPTY,
        id_columns=["id"],
        review_columns=[],
        interval=(0.0, 1.0),
        classes=pd.DataFrame({c.CLASS: ["cat", "a\nb", "dog"], c.THRESHOLD: [0.5, 0.6, 0.7]}),
        pairs=EMPTY,
        cells=pd.DataFrame(cells, columns=names),
        distribution=pd.DataFrame(ranges, columns=[c.CLASS, "lower", "upper", c.EXAMPLES, c.NUM_ISSUES]),
        issues=EMPTY,
        slices=EMPTY,
    )


def rows_of(spec: dict[str, Any], number: int = 0) -> list[dict[str, Any]]:
    return list(spec["datasets"].values())[number]


def test_the_confusion_map_names_the_classes_of_cells_with_examples() -> None:
    (name, spec), *others = confusion_chart(facts()).items()
    assert (name, others) == ("confusion", [])
    assert rows_of(spec) == [
        {"given": r"a\nb", "true": "cat", "examples": 5, "share": 0.25},
        {"given": "cat", "true": r"a\nb", "examples": 2, "share": 0.5},
    ]
    for axis in ("x", "y"):
        assert spec["encoding"][axis]["scale"]["domain"] == [r"a\nb", "cat", "dog"]
    assert spec["usermeta"] == {"renderer": "canvas", "reverse": "color"}


def test_beyond_some_classes_the_confusion_map_numbers_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(charts, "NAMED_CLASSES", 2)
    unknown = [*CELLS, ("not listed", "cat", 1, 0.1)]
    spec = confusion_chart(facts(unknown))["confusion"]
    places = [(row["given"], row["row"], row["column"]) for row in rows_of(spec)]
    assert places == [(r"a\nb", 0, 1), ("cat", 1, 0)], "classes beyond those of the report have no place"
    assert spec["encoding"]["x"]["field"] == "column"
    assert spec["params"][0]["bind"] == "scales", "it can be zoomed"


def test_no_confusion_makes_no_chart() -> None:
    assert confusion_chart(facts(cells=[])) == {}
    assert distribution_chart(facts(ranges=[])) == {}


def test_bars_of_a_range_are_issues_and_what_is_kept() -> None:
    spec = distribution_chart(facts())["distribution"]
    bars = next(rows for rows in spec["datasets"].values() if "kind" in rows[0])
    assert sorted((bar["class"], bar["lower"], bar["kind"], bar["examples"]) for bar in bars) == [
        (r"a\nb", 0.0, "issue", 4),
        (r"a\nb", 0.9, "issue", 2),
        (r"a\nb", 0.9, "kept", 5),
        ("cat", 0.9, "kept", 3),
    ]


def test_the_worst_class_is_shown_first_and_classes_without_ranges_cannot_be_chosen() -> None:
    spec = distribution_chart(facts())["distribution"]
    (chosen,) = spec["params"]
    assert chosen["value"] == "cat"
    assert chosen["bind"]["options"] == ["cat", r"a\nb"]
    thresholds = next(rows for rows in spec["datasets"].values() if "kind" not in rows[0])
    assert [(row["class"], row["threshold"]) for row in thresholds] == [("cat", 0.5), (r"a\nb", 0.6)]


def test_numbers_of_classes_are_sorted_as_numbers() -> None:
    assert order_classes(pd.Series([10, 9, 2])) == ["2", "9", "10"]
    assert order_classes(pd.Series(["b", "10", "9"])) == ["10", "9", "b"]
