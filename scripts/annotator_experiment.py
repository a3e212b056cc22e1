#!/usr/bin/env python
"""How often consensus labels are right: scripts/annotator_experiment.py. Needs the dev dependencies.

The examples are scikit-learn's digits. Thirty annotators of known skill label each of them one to five times;
a logistic regression is cross-validated on the majority vote. The script prints the share of right consensus
labels by majority vote, Dawid-Skene and CROWDLAB, and of cleanlab's CROWDLAB on the same tables.
"""

import argparse
import warnings
from typing import Any

import numpy as np
import pandas as pd
from cleanlab.multiannotator import get_label_quality_multiannotator
from pyspark.sql import SparkSession
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from cl_spark import AnnotatorAudit

SETTINGS = {
    "good annotators (0.6 to 0.95)": (0.6, 0.95),
    "mixed annotators (0.2 to 0.9)": (0.2, 0.9),
    "poor annotators (0.1 to 0.6)": (0.1, 0.6),
}
ANNOTATORS = 30


def annotate(true: np.ndarray, labels: int, skill: tuple[float, float], seed: int) -> pd.DataFrame:
    """Label each example so many times, by different annotators."""
    rng = np.random.default_rng(seed)
    skills = rng.uniform(*skill, ANNOTATORS)
    rows = []
    for example, class_ in enumerate(true):
        for annotator in rng.choice(ANNOTATORS, labels, replace=False):
            knows = rng.random() < skills[annotator]
            rows.append((example, f"a{annotator:02d}", int(class_ if knows else rng.integers(0, 10))))
    return pd.DataFrame(rows, columns=["id", "annotator", "label"])


def consensus(spark: SparkSession, method: str, annotations: pd.DataFrame, *predictions: Any) -> np.ndarray:
    """Find the consensus labels, in the order of the examples."""
    with AnnotatorAudit(
        annotations, *predictions, consensus_method=method, num_classes=10, spark=spark
    ) as audit:
        return audit.consensus().toPandas().sort_values("id")["consensus_label"].to_numpy()


def measure(spark: SparkSession, labels: int, skill: tuple[float, float], seed: int) -> dict[str, float]:
    """Share of right labels by each method."""
    features, true = load_digits(return_X_y=True)
    annotations = annotate(true, labels, skill, seed)
    if labels == 1:  # the majority vote is the label
        majority = annotations.sort_values("id")["label"].to_numpy()
    else:
        majority = consensus(spark, "majority_vote", annotations)
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=200, C=0.05))
    probs = cross_val_predict(model, features, majority, cv=5, method="predict_proba")
    predictions = pd.DataFrame({"id": range(len(true)), "pred_probs": list(probs)})
    found = {
        "majority vote": majority,
        "model alone": probs.argmax(axis=1),
        "Dawid-Skene with the model": consensus(spark, "dawid_skene", annotations, predictions),
        "CROWDLAB": consensus(spark, "best_quality", annotations, predictions),
    }
    if labels > 1:
        found["Dawid-Skene"] = consensus(spark, "dawid_skene", annotations)
        wide = annotations.pivot(index="id", columns="annotator", values="label")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            theirs = get_label_quality_multiannotator(wide, probs, verbose=False)
        found["cleanlab's CROWDLAB"] = theirs["label_quality"]["consensus_label"].to_numpy()
    return {method: float((classes == true).mean()) for method, classes in found.items()}


def main() -> None:
    """Print a table in Markdown for each setting."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    spark = SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false").getOrCreate()
    for name, skill in SETTINGS.items():
        table: dict[str, dict[int, str]] = {}
        for labels in range(1, 6):
            runs = [measure(spark, labels, skill, seed) for seed in range(options.seeds)]
            for method in runs[0]:
                values = 100 * np.array([run[method] for run in runs])
                table.setdefault(method, {})[labels] = f"{values.mean():.1f} ± {values.std():.1f}"
        print(f"**{name}**\n\n| labels an example | 1 | 2 | 3 | 4 | 5 |\n|---|---|---|---|---|---|")
        for method, cells in table.items():
            print(f"| {method} | " + " | ".join(cells.get(labels, "") for labels in range(1, 6)) + " |")
        print(flush=True)


if __name__ == "__main__":
    main()
