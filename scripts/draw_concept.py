"""Draw docs/images/confident_joint.svg: the examples of the sample labelled 1 or 8, and the two confident
thresholds.
"""

from pathlib import Path

import altair as alt
import numpy as np
import pandas as pd
import vl_convert

ROOT = Path(__file__).resolve().parents[1]
A, B = 1, 8


def main() -> None:
    """Draw it."""
    sample = pd.read_parquet(ROOT / "cl_spark" / "sample" / "digits.parquet", columns=["label", "pred_probs"])
    probs = np.stack(sample["pred_probs"].to_numpy())
    own = {k: probs[sample["label"] == k, k].mean() for k in (A, B)}
    of = sample["label"].isin([A, B])
    dots = pd.DataFrame(
        {"a": probs[of, A], "b": probs[of, B], "label": "labelled " + sample.loc[of, "label"].astype(str)}
    )
    is_a = dots["label"].str.endswith(str(A))
    wrong = dots[(is_a & (dots["b"] >= own[B])) | (~is_a & (dots["a"] >= own[A]))]
    colours = alt.Scale(domain=[f"labelled {A}", f"labelled {B}"], range=["#0072b2", "#d55e00"])
    axis = {"scale": alt.Scale(domain=[0, 1])}
    shape = alt.Shape(
        "label:N", title=None, scale=alt.Scale(domain=colours.domain, range=["circle", "triangle"])
    )
    points = alt.Chart(dots).mark_point(filled=True, size=45, opacity=0.65).encode(
        x=alt.X("a:Q", title=f"predicted probability of {A}", **axis),
        y=alt.Y("b:Q", title=f"predicted probability of {B}", **axis),
        color=alt.Color("label:N", title=None, scale=colours),
        shape=shape,
    )  # fmt: skip
    rings = alt.Chart(wrong).mark_point(size=130, color="black", strokeWidth=1.2).encode(x="a:Q", y="b:Q")
    lines = pd.DataFrame({"t": [own[A]]}), pd.DataFrame({"t": [own[B]]})
    rules = alt.Chart(lines[0]).mark_rule(strokeDash=[5, 4]).encode(x="t:Q") + alt.Chart(lines[1]).mark_rule(
        strokeDash=[5, 4]
    ).encode(y="t:Q")
    told = pd.DataFrame(
        {
            "x": [own[A] - 0.02, 0.99, own[A] + 0.02, 0.25],
            "y": [0.5, own[B] + 0.03, 0.16, own[B] + 0.15],
            "text": [
                f"threshold of {A}: {own[A]:.2f}",
                f"threshold of {B}: {own[B]:.2f}",
                f"confident {A}",
                f"confident {B}",
            ],
            "align": ["right", "right", "left", "left"],
        }
    )
    texts = [
        alt.Chart(told[told["align"] == side])
        .mark_text(align=side, fontSize=12)
        .encode(x="x:Q", y="y:Q", text="text:N")
        for side in ("left", "right")
    ]
    chart = alt.layer(points, rings, rules, *texts).properties(width=520, height=420, background="white")
    target = ROOT / "docs" / "images" / "confident_joint.svg"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(vl_convert.vegalite_to_svg(chart.to_json()), encoding="utf-8")


if __name__ == "__main__":
    main()
