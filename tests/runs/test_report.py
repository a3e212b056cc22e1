"""The frame of a report: what every task's report shows of a run."""

import json
import re
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any

import pandas as pd
from pyspark.sql import Row

from cl_spark.report.sections import KeyNumber, ReportColumn, ReportTable, Section
from cl_spark.runs.facts import RunFacts
from cl_spark.runs.report import describe_run, frame_report

HOSTILE = "</script><script>alert(1)</script>"


def facts(parameters: dict[str, Any] | None = None, **record: Any) -> RunFacts:
    return RunFacts(
        run_id="r1",
        record={
            "run_id": "r1",
            "started": datetime(2026, 1, 31, 2, 0, 5, tzinfo=timezone.utc),
            "finished": datetime(2026, 1, 31, 3, 1, 5, tzinfo=timezone(timedelta(hours=1))),
            "source": "./predictions",
            "source_version": None,
            "num_read": 12,
            "library_versions": json.dumps({"spark": "4.0.0", "python": "3.12"}),
            "failed_gates": "",
            **record,
        },
        parameters=parameters or {},
        trend=pd.DataFrame({"run_id": [], "finished": [], "overall_health": [], "num_issues": []}),
        rejected=pd.DataFrame({"reason": [], "rows": [], "id": []}),
    )


def data_of(html: str, name: str) -> Any:
    found = re.search(rf'<script type="application/json" id="data-{name}">(.*?)</script>', html, re.DOTALL)
    assert found is not None
    return json.loads(found[1])


def test_a_run_is_described_by_its_record_and_the_options_it_was_told() -> None:
    told = {
        "id_col": ["id", "part"],
        "spark_conf": {"a": "key"},
        "report": False,
        "gates": [],
        "seed": 0,
        "source": "old",
    }
    assert describe_run(facts(told)) == {
        "run_id": "r1",
        "started": "2026-01-31 02:00:05 UTC",
        "finished": "2026-01-31 02:01:05 UTC",
        "source": "./predictions",
        "num_read": "12",
        "versions": "spark 4.0.0, python 3.12",
        "id_col": "id, part",
        "seed": "0",
        "spark_conf": "a",
    }


def test_values_of_a_run_are_described_in_one_line() -> None:
    described = describe_run(
        facts({"label_col": "a\nb", "class_names": ["x\ty"]}, source_version="1\r2", library_versions=None)
    )
    assert described["label_col"] == r"a\nb"
    assert described["class_names"] == r"x\ty"
    assert described["source_version"] == r"1\r2"
    assert described["versions"] == ""


def test_sections_of_the_task_stand_between_those_of_every_run() -> None:
    own = Section("own-section", "Own", "The task's own", otherwise="Nothing was found.")
    html = frame_report("Label audit", facts(), [KeyNumber("examples", "1,797")], [own])
    places = [html.index(f'id="{name}"') for name in ("overall", "own-section", "rejected-section")]
    assert [*places, html.index('id="run-section"')] == sorted([*places, html.index('id="run-section"')])
    for text in ("1,797", "Nothing was found.", "Every row could be used.", "2026-01-31 02:01:05 UTC"):
        assert text in html
    assert data_of(html, "charts") == {}, "one run makes no trend"
    assert data_of(html, "tables") == {}


def test_gates_rejected_rows_and_the_trend_are_shown_where_there_are_some() -> None:
    trend = pd.DataFrame(
        {
            "run_id": ["r0", "r1"],
            "finished": pd.to_datetime(["2026-01-30", "2026-01-31"]),
            "overall_health": [0.9, 0.8],
            "num_issues": [1, 2],
        }
    )
    rejected = pd.DataFrame({"reason": ["null label"], "rows": [2], "id": ["3"]})
    shown = replace(
        facts(
            failed_gates="num_issues <= 1: it is 2\nnum_read > 20: it is 12",
            warnings=[Row(code="labels_one_based", message="labels look <1>-based")],
        ),
        trend=trend,
        rejected=rejected,
    )
    html = frame_report("Label audit", shown, [], [])
    assert "Gate failed: num_issues &lt;= 1: it is 2" in html
    assert "Gate failed: num_read &gt; 20: it is 12" in html
    assert "Warning: labels look &lt;1&gt;-based" in html
    assert data_of(html, "tables")["rejected"]["rows"] == [["null label", 2, "3"]]
    assert set(data_of(html, "charts")) == {"trend"}
    assert "Every row could be used." not in html


def test_values_from_the_data_stay_text() -> None:
    rejected = pd.DataFrame({"reason": ["null label"], "rows": [1], "id": [HOSTILE]})
    hostile = facts({"label_col": HOSTILE}, source=HOSTILE, failed_gates=HOSTILE)
    html = frame_report("Label audit", replace(hostile, rejected=rejected), [], [])
    assert HOSTILE not in html
    assert html.count("&lt;script&gt;alert(1)") >= 3
    assert data_of(html, "tables")["rejected"]["rows"] == [["null label", 1, HOSTILE]]


def test_a_page_asks_no_host_that_the_data_names_unless_it_is_told_to() -> None:
    cells = [{"image": "https://example.org/a.png"}, {"image": "data:image/png;base64,AA=="}, {"text": "a"}]
    table = ReportTable("issues", [ReportColumn("image", "media", cells)])
    own = Section("own", "Own", "Own", tables=[table])
    html = frame_report("Label audit", facts(), [], [own])
    assert data_of(html, "tables")["issues"]["rows"] == [
        [{"text": "https://example.org/a.png"}],
        [{"image": "data:image/png;base64,AA=="}],
        [{"text": "a"}],
    ]
    assert 'img-src data:"' in html
    html = frame_report("Label audit", facts(), [], [own], remote_images=True)
    assert data_of(html, "tables")["issues"]["rows"][0] == [{"image": "https://example.org/a.png"}]
    assert 'img-src data: http: https:"' in html
