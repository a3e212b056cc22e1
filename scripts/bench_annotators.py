#!/usr/bin/env python
"""Several annotators, timed: scripts/bench_annotators.py --examples 2000000. Needs the dev dependencies.

It generates 10 annotations of each example, by a fortieth as many annotators as examples, in 100 classes, and
a model's probabilities. Then it runs, each in a process of its own, the plain majority vote by SQL,
`AnnotatorAudit.consensus` without and with the model, and `consensus` and `annotators` together.
"""

import argparse
import json
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from contestant_process import measure, plain_session

CLASSES, PER_EXAMPLE = 100, 10
CONTESTANTS = ("majority vote by SQL", "without a model", "with a model", "with a model, annotators too")


@dataclass(frozen=True)
class Predict:
    """Adds the probabilities of a model that is right for four of five examples."""

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Map record batches."""
        for batch in batches:
            ids = batch.column("id").to_numpy()
            rng = np.random.default_rng(int(ids[0]) if len(ids) else 0)
            probs = rng.random((len(ids), CLASSES), dtype=np.float32)
            true = batch.column("true_label").to_numpy()
            guess = np.where(rng.random(len(ids)) < 0.8, true, rng.integers(0, CLASSES, len(ids)))
            probs[np.arange(len(ids)), guess] += rng.exponential(60, len(ids))
            probs /= probs.sum(axis=1, keepdims=True)
            offsets = np.arange(len(ids) + 1, dtype=np.int32) * CLASSES
            arrays = pa.ListArray.from_arrays(pa.array(offsets), pa.array(probs.ravel()))
            yield pa.RecordBatch.from_pydict({"id": batch.column("id"), "pred_probs": arrays})


def generate(examples: int, directory: Path) -> Path:
    """Generate both tables, unless they are there."""
    from pyspark.sql import functions as F

    path = directory / f"annotators-{examples}"
    if (path / "predictions" / "_SUCCESS").exists():
        return path
    spark = plain_session("2g")
    true = F.pmod(F.xxhash64("id"), F.lit(CLASSES)).cast("int").alias("true_label")
    rows = spark.range(0, examples, 1, 16).select("id", true)
    votes = rows.select(
        "id", "true_label", F.explode(F.sequence(F.lit(0), F.lit(PER_EXAMPLE - 1))).alias("n")
    )
    annotators = max(examples // 40, PER_EXAMPLE)
    # ten different ones: a step of a tenth of all between them
    first = F.pmod(F.xxhash64("id", F.lit("first")), F.lit(annotators))
    code = F.pmod(first + F.col("n") * (annotators // PER_EXAMPLE), F.lit(annotators))
    votes = votes.select("id", "true_label", code.alias("code"))
    skill = 0.3 + 0.65 * F.pmod(F.xxhash64("code"), F.lit(1000)) / 1000
    label = F.when(F.rand(1) < skill, F.col("true_label")).otherwise(F.floor(F.rand(2) * CLASSES)).cast("int")
    annotator = F.concat(F.lit("worker-"), F.col("code").cast("string")).alias("annotator")
    votes.select("id", annotator, label.alias("label")).write.parquet(str(path / "annotations"))
    rows.write.parquet(str(path / "true"))
    rows.mapInArrow(Predict(), "id long, pred_probs array<float>").write.parquet(str(path / "predictions"))
    spark.stop()
    return path


def run(contestant: str, path: str, memory: str) -> dict[str, Any]:
    """Time one contestant, the writing of its results included."""
    from pyspark.sql import functions as F

    from cl_spark import AnnotatorAudit

    spark = plain_session(memory)
    annotations = spark.read.parquet(f"{path}/annotations")
    target = f"{path}/result"
    start = time.monotonic()
    if contestant == "majority vote by SQL":
        annotations.createOrReplaceTempView("annotations")
        spark.sql(
            "SELECT id, max_by(label, struct(votes, -label)) AS consensus_label FROM "
            "(SELECT id, label, count(*) AS votes FROM annotations GROUP BY id, label) GROUP BY id"
        ).write.mode("overwrite").parquet(target)
    else:
        predictions = None if contestant == "without a model" else spark.read.parquet(f"{path}/predictions")
        with AnnotatorAudit(annotations, predictions) as audit:
            audit.consensus().write.mode("overwrite").parquet(target)
            if contestant.endswith("annotators too"):
                audit.annotators().write.mode("overwrite").parquet(f"{path}/annotators")
    seconds = time.monotonic() - start
    found = spark.read.parquet(target).join(spark.read.parquet(f"{path}/true"), "id")
    right = found.agg(F.avg(F.expr("int(consensus_label = true_label)"))).collect()[0][0]
    return {"seconds": seconds, "right": right}


def main() -> None:
    """Measure, and print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--examples", type=int, nargs="+", default=[200_000])
    parser.add_argument("--directory", type=Path, default=Path("/tmp/cl_spark_bench"))
    parser.add_argument("--memory", default="2g", help="heap of Spark")
    parser.add_argument("--only", help="contestants, separated by ;")
    parser.add_argument("--contestant", choices=CONTESTANTS)
    parser.add_argument("--path")
    options = parser.parse_args()
    if options.contestant:
        print(json.dumps(run(options.contestant, options.path, options.memory)))
        return
    only = options.only.split(";") if options.only else CONTESTANTS
    print(f"{PER_EXAMPLE} annotations an example, {CLASSES} classes, heap of {options.memory}\n")
    print("| annotations | | seconds | right labels | Python MiB | Java MiB |")
    print("|---|---|---|---|---|---|")
    for examples in options.examples:
        path = generate(examples, options.directory)
        for contestant in only:
            found = measure(__file__, contestant, path, options.memory)
            if "failed" in found:
                cells = f"{found['failed']} | | | "
            else:
                cells = (
                    f"{found['seconds']:.1f} | {found['right']:.1%} | {found['python']:,} | {found['java']:,}"
                )
            print(f"| {examples * PER_EXAMPLE:,} | {contestant} | {cells} |", flush=True)


if __name__ == "__main__":
    main()
