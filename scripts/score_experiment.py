"""Compare the label quality scores: how far up do they rank labels that are known to be wrong?

Prints the tables of the section "Label quality scores" of docs/experiments.md. Needs scikit-learn, and a
folder with the data sets that are named there; those it lacks are left out.

    python -m scripts.score_experiment ../shared/data
"""

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from sklearn.datasets import load_breast_cancer, load_digits, load_wine
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from cl_spark import ConfigurationError, LabelAudit, flip_labels, noise_matrix, start_session

SCORES = {
    "self_confidence": {"method": "self_confidence"},
    "normalized_margin": {"method": "normalized_margin"},
    "entropy": {"method": "confidence_weighted_entropy"},
    "self_confidence, adjusted": {"method": "self_confidence", "adjust_pred_probs": True},
    "normalized_margin, adjusted": {"method": "normalized_margin", "adjust_pred_probs": True},
    "threshold_cosine": {"method": "threshold_cosine"},
}
SAMPLES, SEEDS = 1000, 5
CONDITIONS = [(0.1, 0.0), (0.2, 0.0), (0.2, 0.6), (0.4, 0.0), (0.4, 0.6)]
TOY = {"digits": load_digits, "breast_cancer": load_breast_cancer, "wine": load_wine}

Floats = npt.NDArray[np.float64]
Data = tuple[str, DataFrame, DataFrame]
"""Name, predictions, and what is known: id, is_wrong."""


def read_real(spark: SparkSession, home: Path) -> Iterator[Data]:
    """Read the data sets whose wrong labels are known, or were looked for by five reviewers each."""
    for name in ("noise20_sparsity0", "noise40_sparsity60"):
        path = home / "cifar10-noise" / f"{name}.parquet"
        if path.exists():
            df = spark.read.parquet(str(path))
            yield (
                f"CIFAR-10, {name}",
                df,
                df.select("id", (F.col("label") != F.col("true_label")).alias("is_wrong")),
            )
    for name in ("cifar10", "mnist"):
        path = home / "label-errors" / f"{name}_test.parquet"
        if path.exists():
            votes = spark.read.parquet(str(path.with_name(f"{name}_votes.parquet")))
            is_right = F.coalesce(F.col("votes")["given"], F.lit(0)) >= 3
            known = votes.select("id", (~is_right).alias("is_wrong"))
            yield f"{name} test set, {votes.count()} reviewed", spark.read.parquet(str(path)), known


def draw_toys(
    spark: SparkSession, seeds: int
) -> Iterator[tuple[str, Floats, npt.NDArray[np.int64], npt.NDArray[np.int64], Floats]]:
    """Draw noisy labels of small data sets, with cross-validated probabilities of a logistic regression.

    Yields the condition, features, true labels, given labels, and probabilities, for each seed.
    """
    for name, load in TOY.items():
        features, true = load(return_X_y=True)
        classes = len(np.unique(true))
        rows = [(i, int(label)) for i, label in enumerate(true)]
        for noise, sparsity in CONDITIONS:
            for seed in range(seeds):
                try:
                    matrix = noise_matrix(classes, noise=noise, sparsity=sparsity, seed=seed)
                except ConfigurationError:
                    continue
                flipped = flip_labels(spark.createDataFrame(rows, "id int, label int"), matrix, seed=seed)
                table = flipped.orderBy("id").toPandas()
                given = table["label"].to_numpy()
                model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
                folds = StratifiedKFold(5, shuffle=True, random_state=seed)
                probs = cross_val_predict(model, features, given, cv=folds, method="predict_proba")
                yield f"{name}, noise {noise:g}, sparsity {sparsity:g}", features, true, given, probs


def make_toys(spark: SparkSession) -> Iterator[Data]:
    """Make tables of the small data sets."""
    for name, _, true, given, probs in draw_toys(spark, SEEDS):
        found = [(i, int(g), p.tolist()) for i, (g, p) in enumerate(zip(given, probs, strict=True))]
        df = spark.createDataFrame(found, "id int, label int, pred_probs array<double>")
        known = spark.createDataFrame(
            [(i, bool(w)) for i, w in enumerate(given != true)], "id int, is_wrong boolean"
        )
        yield name, df, known


def score(df: DataFrame, known: DataFrame) -> tuple[npt.NDArray[np.bool_], dict[str, Floats]]:
    """Score the examples of which it is known whether their label is wrong."""
    scores: dict[str, Floats] = {}
    with LabelAudit(df) as audit:
        for name, options in SCORES.items():
            rows = audit.label_quality_scores(**options).join(known, "id").orderBy("id")  # type: ignore[arg-type]
            table = rows.select("is_wrong", "label_quality").toPandas()
            scores[name] = table["label_quality"].to_numpy()
    return table["is_wrong"].to_numpy(dtype=bool), scores


def draw_differences(is_wrong: npt.NDArray[np.bool_], scores: dict[str, Floats]) -> dict[str, Floats]:
    """Draw by the bootstrap how the average precisions differ from that of self-confidence."""
    rng = np.random.default_rng(0)
    drawn: dict[str, list[float]] = {name: [] for name in scores}
    for _ in range(SAMPLES):
        rows = rng.integers(0, len(is_wrong), len(is_wrong))
        if not 0 < is_wrong[rows].sum() < len(rows):
            continue
        precision = {name: average_precision_score(is_wrong[rows], -of[rows]) for name, of in scores.items()}
        for name, value in precision.items():
            drawn[name].append(value - precision["self_confidence"])
    return {name: np.array(values) for name, values in drawn.items()}


def main() -> None:
    """Print the table."""
    home = Path(sys.argv[1])
    spark = start_session()
    print("| data |", " | ".join(SCORES), "|")
    print("|---" * (len(SCORES) + 1) + "|")
    for name, df, known in read_real(spark, home):
        is_wrong, scores = score(df, known)
        drawn = draw_differences(is_wrong, scores)
        cells = []
        for method, of in scores.items():
            cell = f"{100 * average_precision_score(is_wrong, -of):.1f}"
            if method != "self_confidence":
                low, high = 100 * np.quantile(drawn[method], [0.025, 0.975])
                cell += f" ({low:+.1f} to {high:+.1f})"
            cells.append(cell)
        print(
            f"| {name} ({len(is_wrong):,} examples, {is_wrong.mean():.0%} wrong) |",
            " | ".join(cells),
            "|",
            flush=True,
        )
    found: dict[str, list[list[float]]] = {}
    for name, df, known in make_toys(spark):
        is_wrong, scores = score(df, known)
        found.setdefault(name, []).append(
            [100 * average_precision_score(is_wrong, -of) for of in scores.values()]
        )
    for name, values in found.items():
        array = np.array(values)
        difference = array - array[:, :1]
        cells = [f"{array[:, 0].mean():.1f}"]
        cells += [
            f"{array[:, i].mean():.1f} ({difference[:, i].min():+.1f} to {difference[:, i].max():+.1f})"
            for i in range(1, len(SCORES))
        ]
        print(f"| {name} |", " | ".join(cells), "|", flush=True)
    spark.stop()


if __name__ == "__main__":
    main()
