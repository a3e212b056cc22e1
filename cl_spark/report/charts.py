"""Charts of reports, as Vega-Lite: their colours, and the chart of health over the runs of a source."""

from typing import Any

import altair as alt
import pandas as pd

from cl_spark.tables import columns as c

SOUND = "#0072b2"
NOISE = "#d55e00"
"""Okabe and Ito's blue and vermilion: told apart by every kind of colour vision."""


def trend_chart(runs: pd.DataFrame) -> dict[str, Any] | None:
    """Draw the overall health, run by run; None for fewer than two runs.

    Args:
        runs: run_id, finished, overall_health and num_issues, earliest first; times in UTC.
    """
    runs = runs.dropna(subset=[c.OVERALL_HEALTH])
    if len(runs) < 2:
        return None
    runs = runs.assign(finished=runs["finished"].dt.strftime("%Y-%m-%d %H:%M UTC"))
    tooltip = [
        alt.Tooltip("run_id:N", title="run"),
        alt.Tooltip("finished:N"),
        alt.Tooltip("overall_health:Q", title="health", format=".2%"),
        alt.Tooltip("num_issues:Q", title="issues", format=","),
    ]
    x_axis = alt.Axis(labelAngle=0, labelOverlap=True, labelLimit=140)
    y_axis = alt.Axis(format=".1%", tickCount=4)
    chart = (
        alt.Chart(runs, title="Overall health, run by run", width="container", height=180)
        .mark_line(point=alt.OverlayMarkDef(size=60), color=SOUND)
        .encode(
            x=alt.X("run_id:O", title=None, sort=None, axis=x_axis),
            y=alt.Y("overall_health:Q", title="overall health", axis=y_axis, scale=alt.Scale(zero=False)),
            tooltip=tooltip,
        )
    )
    return plain_spec(chart)


def plain_spec(chart: Any) -> dict[str, Any]:
    """Return the specification of an Altair chart without its own style: the page follows light and dark."""
    with alt.data_transformers.enable("default", max_rows=None):
        spec: dict[str, Any] = chart.to_dict()
    spec.pop("config", None)
    return spec
