"""Compare ways to use neighbors: do they help to find labels that are known to be wrong?

Prints the table of the section "Smoothing by neighbors" of docs/experiments.md: small data sets whose labels
are flipped, with a logistic regression in five folds. Needs scikit-learn.

    python -m scripts.smoothing_experiment
"""

from collections import defaultdict
from itertools import groupby
from operator import itemgetter
from typing import Any

import numpy as np
import numpy.typing as npt
from pyspark.sql import DataFrame, SparkSession
from sklearn.metrics import average_precision_score
from sklearn.preprocessing import StandardScaler

from cl_spark import LabelAudit, NeighborIndex, neighbor_pred_probs, smooth_pred_probs, start_session
from scripts.score_experiment import draw_toys

SEEDS = 3
WAYS = ("probabilities alone", "smoothed, own weight 0.5", "smoothed, own weight 0", "labels of near rows")


def make_table(spark: SparkSession, features: Any, given: npt.NDArray[np.int64], probs: Any) -> DataFrame:
    """Make a table with features in which neighbors mean something."""
    scaled = StandardScaler().fit_transform(features)
    rows = [
        (i, int(label), near.tolist(), p.tolist())
        for i, (label, near, p) in enumerate(zip(given, scaled, probs, strict=True))
    ]
    schema = "id int, label int, features array<double>, pred_probs array<double>"
    return spark.createDataFrame(rows, schema).cache()


def use(way: str, df: DataFrame, index: NeighborIndex) -> DataFrame:
    """Make the probabilities of a way."""
    if way == WAYS[0]:
        return df
    if way == WAYS[3]:
        return neighbor_pred_probs(df, index=index)
    return smooth_pred_probs(df, own_weight=float(way.rsplit(" ", 1)[1]), index=index)


def measure(df: DataFrame, is_wrong: npt.NDArray[np.bool_]) -> tuple[float, float]:
    """Average precision of the ranking, and F1 of the issues."""
    with LabelAudit(df) as audit:
        scores = audit.label_quality_scores().orderBy("id").toPandas()["label_quality"].to_numpy()
        found = audit.find_label_issues().select("id").toPandas()["id"].to_numpy()
    f1 = 2 * is_wrong[found].sum() / max(len(found) + is_wrong.sum(), 1)
    return 100 * float(average_precision_score(is_wrong, -scores)), 100 * float(f1)


def main() -> None:
    """Print the table."""
    spark = start_session()
    print("| data |", " | ".join(WAYS), "|")
    print("|---" * (len(WAYS) + 1) + "|")
    for name, drawn in groupby(draw_toys(spark, SEEDS), key=itemgetter(0)):
        found: defaultdict[str, list[tuple[float, float]]] = defaultdict(list)
        for _, features, true, given, probs in drawn:
            df = make_table(spark, features, given, probs)
            with NeighborIndex(df) as index:
                for way in WAYS:
                    found[way].append(measure(use(way, df, index), given != true))
            df.unpersist()
        cells = ["{:.1f}, {:.1f}".format(*np.mean(found[way], axis=0)) for way in WAYS]
        print(f"| {name} |", " | ".join(cells), "|", flush=True)


if __name__ == "__main__":
    main()
