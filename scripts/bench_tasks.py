#!/usr/bin/env python
"""Sets of labels and tokens, timed beside single labels: scripts/bench_tasks.py --rows 200000 5000000.

It generates rows of 500 independent probabilities, with a set of labels and with a single label each; and
sentences of 20 tokens with 9 classes, as arrays and as a row per token. Then it finds the label issues of
each, every contestant in a process of its own; those of cleanlab hold all in memory. Needs the dev
dependencies.
"""

import argparse
import json
import os
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from contestant_process import measure, plain_session

CLASSES, TAGS, TOKENS = 500, 9, 20
CONTESTANTS = {
    "sets": ("single labels", "sets of labels", "sets of labels, cleanlab"),
    "tokens": ("a row per token, as single labels", "sentences", "sentences, cleanlab"),
}


@dataclass(frozen=True)
class Sets:
    """Makes rows of probabilities of all classes, of which an example has some three."""

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Map record batches."""
        for batch in batches:
            ids = batch.column("id").to_numpy()
            rng = np.random.default_rng(int(ids[0]) if len(ids) else 0)
            true = rng.random((len(ids), CLASSES), dtype=np.float32) < 3 / CLASSES
            true[np.arange(len(ids)), rng.integers(0, CLASSES, len(ids))] = True
            given = true ^ (rng.random((len(ids), CLASSES), dtype=np.float32) < 0.05 / CLASSES)
            probs = rng.beta(0.5, 40, (len(ids), CLASSES)).astype(np.float32)
            probs = np.where(true, 1 - 8 * probs.clip(0, 0.12), probs)
            class_index = np.nonzero(given)[1]
            offsets = np.append(0, np.cumsum(given.sum(axis=1))).astype(np.int32)
            labels = pa.ListArray.from_arrays(pa.array(offsets), pa.array(class_index.astype(np.int32)))
            offsets = np.arange(len(ids) + 1, dtype=np.int32) * CLASSES
            yield pa.RecordBatch.from_pydict(
                {
                    "id": batch.column("id"),
                    "label": pa.array(given.argmax(axis=1).astype(np.int32)),
                    "labels": labels,
                    "pred_probs": pa.ListArray.from_arrays(pa.array(offsets), pa.array(probs.ravel())),
                }
            )


def generate(kind: str, rows: int, directory: Path) -> Path:
    """Generate the tables, unless they are there."""
    from pyspark.sql import functions as F

    path = directory / f"{kind}-{rows}"
    if (path / "_DONE").exists():
        return path
    spark = plain_session("4g")
    if kind == "sets":
        schema = "id long, label int, labels array<int>, pred_probs array<float>"
        made = spark.range(0, rows, 1, 64).mapInArrow(Sets(), schema)
        made.write.mode("overwrite").parquet(f"{path}/rows")
    else:
        places = F.sequence(F.lit(0), F.lit(TOKENS - 1))
        tokens = spark.range(0, rows // TOKENS, 1, 16).select("id", F.explode(places).alias("place"))
        true = F.pmod(F.xxhash64("id", "place"), F.lit(3 * TAGS)).cast("int")
        tokens = tokens.withColumn("true", F.when(true < TAGS, true).otherwise(0))
        wrong = F.floor(F.rand(3) * TAGS).cast("int")
        label = F.when(F.rand(1) < 0.04, wrong).otherwise(F.col("true"))
        raw = F.transform(
            F.sequence(F.lit(0), F.lit(TAGS - 1)),
            lambda k: (
                F.pmod(F.xxhash64("id", "place", k), F.lit(1000)) / 1000
                + F.when(k == F.col("true"), 4).otherwise(0.05)
            ),
        )
        tokens = tokens.select(
            "id",
            "place",
            F.concat(F.lit("w"), F.col("true")).alias("word"),
            label.alias("label"),
            raw.alias("raw"),
        )
        total = F.aggregate("raw", F.lit(0.0), lambda a, p: a + p)
        probs = F.transform("raw", lambda p: (p / F.col("total")).cast("float"))
        tokens = tokens.withColumn("total", total).select(
            "id", "place", "word", "label", probs.alias("probs")
        )
        tokens.write.mode("overwrite").parquet(f"{path}/rows")
        parts = F.array_sort(F.collect_list(F.struct("place", "word", "label", "probs")))
        grouped = spark.read.parquet(f"{path}/rows").groupBy("id").agg(parts.alias("parts"))
        grouped.select(
            "id",
            F.col("parts.word").alias("tokens"),
            F.col("parts.label").alias("labels"),
            F.col("parts.probs").alias("pred_probs"),
        ).repartition(16).write.mode("overwrite").parquet(f"{path}/sentences")
    spark.stop()
    (path / "_DONE").touch()
    return path


def run(contestant: str, path: str, memory: str) -> dict[str, Any]:
    """Time one contestant: the seconds, and how many issues it finds."""
    if contestant.endswith("cleanlab"):
        return run_cleanlab(contestant, path)
    from cl_spark import LabelAudit, MultilabelAudit, TokenAudit

    spark = plain_session(memory)
    start = time.monotonic()
    if contestant == "single labels":
        audit: Any = LabelAudit(spark.read.parquet(f"{path}/rows").select("id", "label", "pred_probs"))
    elif contestant == "sets of labels":
        audit = MultilabelAudit(spark.read.parquet(f"{path}/rows").select("id", "labels", "pred_probs"))
    elif contestant == "sentences":
        audit = TokenAudit(spark.read.parquet(f"{path}/sentences"))
    else:
        rows = spark.read.parquet(f"{path}/rows")
        audit = LabelAudit(rows, id_col=["id", "place"], pred_probs_col="probs")
    with audit:
        audit.find_label_issues().write.mode("overwrite").parquet(f"{path}/result")
    seconds = time.monotonic() - start
    return {"seconds": seconds, "issues": spark.read.parquet(f"{path}/result").count()}


def run_cleanlab(contestant: str, path: str) -> dict[str, Any]:
    """Time cleanlab, the reading of the files included."""
    import pyarrow.parquet as pq

    os.environ["TQDM_DISABLE"] = "1"
    from cleanlab.multilabel_classification.filter import find_label_issues as of_sets
    from cleanlab.token_classification.filter import find_label_issues as of_tokens

    start = time.monotonic()
    if contestant.startswith("sets"):
        table = pq.read_table(f"{path}/rows", columns=["labels", "pred_probs"]).combine_chunks()
        probs = table["pred_probs"].chunk(0).flatten().to_numpy().reshape(table.num_rows, CLASSES)
        found = of_sets(
            table["labels"].to_pylist(), probs, return_indices_ranked_by="self_confidence", n_jobs=2
        )
    else:
        table = pq.read_table(f"{path}/sentences", columns=["labels", "pred_probs"])
        lists = [np.array(probs, dtype=np.float32) for probs in table["pred_probs"].to_pylist()]
        found = of_tokens(table["labels"].to_pylist(), lists, n_jobs=2)
    return {"seconds": time.monotonic() - start, "issues": len(found)}


def main() -> None:
    """Measure, and print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, nargs=2, default=[20_000, 500_000], help="examples, and tokens")
    parser.add_argument("--directory", type=Path, default=Path("/tmp/cl_spark_bench"))
    parser.add_argument("--memory", default="2g", help="heap of Spark")
    parser.add_argument("--only", help="contestants, separated by ;")
    parser.add_argument("--contestant", choices=[one for kind in CONTESTANTS.values() for one in kind])
    parser.add_argument("--path")
    options = parser.parse_args()
    if options.contestant:
        print(json.dumps(run(options.contestant, options.path, options.memory)))
        return
    print(f"Heap of {options.memory}\n")
    print("| rows | | seconds | issues | Python MiB | Java MiB |\n|---|---|---|---|---|---|")
    for (kind, contestants), rows in zip(CONTESTANTS.items(), options.rows, strict=True):
        chosen = [one for one in contestants if options.only is None or one in options.only.split(";")]
        path = generate(kind, rows, options.directory) if chosen else None
        for contestant in chosen:
            found = measure(__file__, contestant, Path(str(path)), options.memory)
            cells = f"{found['failed']} | | | " if "failed" in found else (
                f"{found['seconds']:.1f} | {found['issues']:,} | {found['python']:,} | {found['java']:,}"
            )  # fmt: skip
            print(f"| {rows:,} | {contestant} | {cells} |", flush=True)


if __name__ == "__main__":
    main()
