"""Charts of reports: the trend, and specifications without a style of their own."""

import altair as alt
import pandas as pd

from cl_spark.report.charts import plain_spec, trend_chart


def runs(*health: float | None) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "run_id": [f"r{number}" for number in range(len(health))],
            "finished": pd.date_range("2026-01-30 02:00", periods=len(health), freq="D"),
            "overall_health": pd.Series(health, dtype=float),
            "num_issues": range(len(health)),
        }
    )


def test_a_trend_takes_two_runs_with_a_health() -> None:
    assert trend_chart(runs()) is None
    assert trend_chart(runs(0.9)) is None
    assert trend_chart(runs(0.9, None)) is None
    assert trend_chart(runs(0.9, None, 0.8)) is not None


def test_the_trend_shows_the_runs_in_their_order() -> None:
    spec = trend_chart(runs(0.9, None, 0.8))
    assert spec is not None
    (rows,) = spec["datasets"].values()
    assert [(row["run_id"], row["finished"], row["overall_health"]) for row in rows] == [
        ("r0", "2026-01-30 02:00 UTC", 0.9),
        ("r2", "2026-02-01 02:00 UTC", 0.8),
    ]
    assert spec["encoding"]["x"]["sort"] is None, "else runs are sorted by name"
    assert spec["encoding"]["y"]["field"] == "overall_health"


def test_a_specification_has_no_style_of_its_own_and_takes_rows_beyond_altairs_limit() -> None:
    spec = plain_spec(alt.Chart(pd.DataFrame({"x": range(6_000)})).mark_point().encode(x="x:Q"))
    assert "config" not in spec
    (rows,) = spec["datasets"].values()
    assert len(rows) == 6_000
