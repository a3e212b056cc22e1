#!/usr/bin/env python
"""Learning with noisy labels, timed: scripts/bench_learning.py --rows 1000000. Needs the dev dependencies.

It generates examples of 20 features in 5 classes, of whose labels 10 % are wrong, and runs, each in a
process of its own: `CleanLearning` with a classifier of Spark ML, `CleanLearning` with one of scikit-learn,
and cleanlab's `CleanLearning` with the same one. Each predicts by 5-fold cross-validation, finds the
issues, and trains again.
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
from contestant_process import measure, plain_session

FEATURES, CLASSES, FOLDS, NOISE = 20, 5, 5, 0.1
CONTESTANTS = ("cl_spark, Spark ML", "cl_spark, scikit-learn", "cleanlab, scikit-learn")


def generate(rows: int, directory: Path) -> Path:
    """Generate the examples, unless they are there."""
    from pyspark.sql import functions as F

    path = directory / f"learning-{rows}"
    if (path / "_SUCCESS").exists():
        return path
    spark = plain_session("2g")
    centers = np.random.default_rng(0).normal(0, 1, (CLASSES, FEATURES)).round(3)
    true = F.pmod(F.xxhash64("id"), F.lit(CLASSES)).cast("int")
    table = F.array(*[F.array(*map(F.lit, map(float, center))) for center in centers])
    examples = spark.range(0, rows, 1, 16).select("id", true.alias("true_label"))
    center = [F.get(F.get(table, F.col("true_label")), F.lit(i)) for i in range(FEATURES)]
    features = F.array(*[(center[i] + 2 * F.randn(i)).cast("float") for i in range(FEATURES)])
    is_wrong = F.rand(100) < NOISE
    other = F.pmod(F.col("true_label") + 1 + F.floor(F.rand(101) * (CLASSES - 1)), F.lit(CLASSES))
    label = F.when(is_wrong, other).otherwise(F.col("true_label")).cast("int")
    examples.select("id", "true_label", label.alias("label"), features.alias("features")).write.parquet(
        str(path)
    )
    spark.stop()
    return path


def run_ours(path: str, of_spark: bool, memory: str) -> dict[str, Any]:
    """Time `CleanLearning`."""
    from sklearn.linear_model import LogisticRegression

    from cl_spark import CleanLearning

    spark = plain_session(memory)
    df = spark.read.parquet(path)
    if of_spark:
        from pyspark.ml.classification import LogisticRegression as SparkLogisticRegression

        estimator: Any = SparkLogisticRegression(maxIter=20)
    else:
        estimator = LogisticRegression(max_iter=20, tol=1e-3)
    start = time.monotonic()
    model = CleanLearning(estimator, folds=FOLDS).fit(df)
    seconds = time.monotonic() - start
    issues = model.label_issues
    found = issues.join(df.select("id", "true_label"), "id")
    wrong = found.where("given_label != true_label").count()
    return {"seconds": seconds, "issues": found.count(), "wrong": wrong}


def run_cleanlab(path: str) -> dict[str, Any]:
    """Time cleanlab's `CleanLearning`, reading included."""
    import pyarrow.parquet as pq
    from cleanlab.classification import CleanLearning
    from sklearn.linear_model import LogisticRegression

    start = time.monotonic()
    table = pq.read_table(path)
    features = table["features"].combine_chunks().flatten().to_numpy().reshape(len(table), FEATURES)
    labels = table["label"].to_numpy()
    learning = CleanLearning(LogisticRegression(max_iter=20, tol=1e-3), cv_n_folds=FOLDS)
    learning.fit(features.astype(np.float64), labels)
    seconds = time.monotonic() - start
    is_issue = learning.get_label_issues()["is_label_issue"].to_numpy()
    wrong = int((is_issue & (labels != table["true_label"].to_numpy())).sum())
    return {"seconds": seconds, "issues": int(is_issue.sum()), "wrong": wrong}


def main() -> None:
    """Measure, and print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--directory", type=Path, default=Path("/tmp/cl_spark_bench"))
    parser.add_argument("--memory", default="4g", help="heap of Spark")
    parser.add_argument("--only", help="contestants, separated by ;")
    parser.add_argument("--contestant", choices=CONTESTANTS)
    parser.add_argument("--path")
    options = parser.parse_args()
    if options.contestant:
        if options.contestant.startswith("cleanlab"):
            result = run_cleanlab(options.path)
        else:
            result = run_ours(options.path, options.contestant.endswith("Spark ML"), options.memory)
        print(json.dumps(result))
        return
    options.directory.mkdir(parents=True, exist_ok=True)
    path = generate(options.rows, options.directory)
    print(f"{options.rows:,} examples of {FEATURES} features, {CLASSES} classes, {FOLDS} folds\n")
    print("| | seconds | issues | of these wrong labels | Python MiB | Java MiB |\n|---|---|---|---|---|---|")
    for contestant in options.only.split(";") if options.only else CONTESTANTS:
        found = measure(__file__, contestant, path, options.memory)
        if "failed" in found:
            print(f"| {contestant} | failed: {found['failed']} | | | | |", flush=True)
            continue
        share = found["wrong"] / max(found["issues"], 1)
        print(
            f"| {contestant} | {found['seconds']:.1f} | {found['issues']:,} | {share:.1%} | "
            f"{found['python']:,} | {found['java']:,} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
