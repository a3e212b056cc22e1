"""The charts of a label audit's report, as Vega-Lite specifications."""

from typing import Any

import altair as alt
import pandas as pd

from cl_spark.errors import one_line
from cl_spark.report.charts import NOISE, SOUND, plain_spec
from cl_spark.tables import columns as c
from cl_spark.tasks.label_audit.facts import Facts

NAMED_CLASSES = 60
"""Most classes whose names are written along the sides of the confusion map; beyond, they are numbered and
zoomed.
"""

Spec = dict[str, Any]
Chart = Any  # Altair's own kinds: chart, layers


def confusion_chart(facts: Facts) -> dict[str, Spec]:
    """Draw the off-diagonal joint, by chart name: where labels of one class are probably of another. Empty if
    nowhere.
    """
    chart = _draw_confusion(facts)
    if chart is None:
        return {}
    return {"confusion": {**plain_spec(chart), "usermeta": {"renderer": "canvas", "reverse": "color"}}}


def distribution_chart(facts: Facts) -> dict[str, Spec]:
    """Draw how the self-confidences of a class are spread, by chart name. Empty where the run has no such
    table.
    """
    chart = _draw_distribution(facts)
    return {} if chart is None else {"distribution": plain_spec(chart)}


def _draw_confusion(facts: Facts) -> Chart:
    if not (facts.cells[c.CALIBRATED_COUNT] > 0).any():
        return None
    names = order_classes(facts.classes[c.CLASS])
    cells = pd.DataFrame(
        {
            "given": facts.cells[c.GIVEN_LABEL].map(one_line),
            "true": facts.cells[c.TRUE_LABEL].map(one_line),
            "examples": facts.cells[c.CALIBRATED_COUNT],
            "share": facts.cells[c.INVERSE_NOISE_RATE],
        }
    )
    cells = cells[cells["examples"] > 0]
    colour = alt.Color("examples:Q", title="examples", scale=alt.Scale(scheme="viridis", type="log"))
    tooltip = [
        alt.Tooltip("given:N", title="given label"),
        alt.Tooltip("true:N", title="probably"),
        alt.Tooltip("examples:Q", format=","),
        alt.Tooltip("share:Q", title="of the given label", format=".1%"),
    ]
    if len(names) <= NAMED_CLASSES:
        axes = {
            "x": alt.X(
                "true:N",
                sort=names,
                title="probably",
                scale=alt.Scale(domain=names),
                axis=alt.Axis(labelAngle=-45),
            ),
            "y": alt.Y("given:N", sort=names, title="given label", scale=alt.Scale(domain=names)),
        }
        size: Any = alt.Step(max(14, 420 // len(names)))
        return (
            alt.Chart(cells, title="Labels that are probably another class", width=size, height=size)
            .mark_rect()
            .encode(color=colour, tooltip=tooltip, **axes)
        )
    place = {name: i for i, name in enumerate(names)}
    cells = cells[cells["given"].isin(place) & cells["true"].isin(place)]
    cells = cells.assign(row=cells["given"].map(place), column=cells["true"].map(place))
    whole = alt.Scale(domain=[0, len(names)], nice=False)
    chart = (
        alt.Chart(
            cells,
            title="Labels that are probably another class: turn the wheel to zoom, drag to move",
            height=520,
        )
        .mark_square(size=30, opacity=1)
        .encode(
            x=alt.X("column:Q", title="probably: number of the class", scale=whole),
            y=alt.Y("row:Q", title="given label: number of the class", scale=whole),
            color=colour,
            tooltip=tooltip,
        )
    )
    return chart.properties(width="container").add_params(alt.selection_interval(bind="scales", name="zoom"))


def _draw_distribution(facts: Facts) -> Chart:
    if facts.distribution.get(c.NUM_ISSUES, pd.Series(dtype=float)).isna().all():  # of an earlier version
        return None
    spread = facts.distribution.assign(**{c.CLASS: facts.distribution[c.CLASS].map(one_line)})
    worst = facts.classes[c.CLASS].map(one_line)
    names = [name for name in worst if name in set(spread[c.CLASS])]
    parts = [
        spread.assign(examples=spread[c.EXAMPLES] - spread[c.NUM_ISSUES], kind="kept"),
        spread.assign(examples=spread[c.NUM_ISSUES], kind="issue"),
    ]
    bars = pd.concat(parts)[[c.CLASS, c.LOWER, c.UPPER, "examples", "kind"]]
    bars = bars[bars["examples"] > 0]
    thresholds = pd.DataFrame({c.CLASS: worst, c.THRESHOLD: facts.classes[c.THRESHOLD]})
    thresholds = thresholds[thresholds[c.CLASS].isin(names)]
    chosen = alt.param(
        name="of_class", value=names[0], bind=alt.binding_select(options=names, name="Class: ")
    )
    one = alt.datum[c.CLASS] == chosen
    drawn = (
        alt.Chart(bars)
        .mark_bar()
        .encode(
            x=alt.X(
                "lower:Q", bin="binned", title="self-confidence: predicted probability of the given label"
            ),
            x2="upper:Q",
            y=alt.Y("examples:Q", title="examples", stack=True),
            color=alt.Color(
                "kind:N", title=None, scale=alt.Scale(domain=["kept", "issue"], range=[SOUND, NOISE])
            ),
            tooltip=[
                alt.Tooltip("lower:Q", format=".3~f"),
                alt.Tooltip("upper:Q", format=".3~f"),
                alt.Tooltip("kind:N"),
                alt.Tooltip("examples:Q", format=","),
            ],
        )
        .transform_filter(one)
    )
    cut = (
        alt.Chart(thresholds)
        .mark_rule(strokeDash=[4, 3], size=2)
        .encode(
            x="threshold:Q", tooltip=[alt.Tooltip("threshold:Q", title="confident threshold", format=".4f")]
        )
        .transform_filter(one)
    )
    title = "Self-confidence of the examples of a class; the dashed line is its confident threshold"
    return alt.layer(drawn, cut, title=title, width="container", height=240).add_params(chosen)


def order_classes(classes: "pd.Series[Any]") -> list[str]:
    """Sort the names of classes by their number where they are numbers, else by name."""
    return [one_line(name) for name in sorted(classes, key=lambda name: (isinstance(name, str), name))]
