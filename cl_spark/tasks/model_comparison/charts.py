"""The chart of a report on a comparison of models, as a Vega-Lite specification."""

from collections.abc import Sequence
from typing import Any

import altair as alt
import pandas as pd

from cl_spark.errors import one_line
from cl_spark.methods.learning import accuracy as a
from cl_spark.report.charts import plain_spec
from cl_spark.tables import columns as c

_KINDS = {a.CORRECTED: "accuracy_corrected", a.GIVEN: "accuracy_given"}


def prevalence_chart(rows: pd.DataFrame, models: Sequence[str], top_k: int) -> dict[str, dict[str, Any]]:
    """Draw the accuracy of models by noise prevalence, by chart name: a colour for each model, dashed by
    given labels and solid by corrected ones. Empty where there are fewer than two noise prevalences.

    Args:
        rows: rows of `model_prevalence_accuracy` of one k.
        models: names of the models in the order of the legend.
        top_k: k.
    """
    if rows[a.PREVALENCE].nunique() < 2:
        return {}
    names = list(map(one_line, models))
    kept = pd.DataFrame(
        {
            "model": rows[a.MODEL].map(one_line),
            "prevalence": rows[a.PREVALENCE],
            "examples": rows[c.EXAMPLES],
        }
    )
    points = pd.concat(
        [kept.assign(labels=kind, accuracy=rows[col]) for kind, col in _KINDS.items()], ignore_index=True
    )
    zoomed = alt.Scale(zero=False, nice=False)
    drawn = alt.Chart(points).encode(
        x=alt.X("prevalence:Q", title="noise prevalence", axis=alt.Axis(format="%"), scale=zoomed),
        y=alt.Y("accuracy:Q", title="accuracy", axis=alt.Axis(format="%"), scale=alt.Scale(zero=False)),
        color=alt.Color("model:N", title="model", scale=alt.Scale(domain=names, scheme="tableau10")),
        tooltip=[
            alt.Tooltip("model:N"),
            alt.Tooltip("labels:N", title="by labels"),
            alt.Tooltip("prevalence:Q", title="noise prevalence", format=".1%"),
            alt.Tooltip("accuracy:Q", format=".2%"),
            alt.Tooltip("examples:Q", format=","),
        ],
    )
    dashes = alt.StrokeDash(
        "labels:N",
        title="labels",
        scale=alt.Scale(domain=list(_KINDS), range=[[1, 0], [5, 4]]),
        # a grey that is seen on light and on dark ground
        legend=alt.Legend(symbolStrokeColor="#888", symbolSize=600),
    )
    lines, dots = drawn.mark_line().encode(strokeDash=dashes), drawn.mark_circle(size=20, opacity=1)
    title = f"Accuracy (top {top_k}) by noise prevalence"
    return {"prevalence": plain_spec(alt.layer(lines, dots, title=title, width="container", height=360))}
