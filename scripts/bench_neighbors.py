#!/usr/bin/env python
"""Nearest neighbors, timed beside libraries in memory: scripts/bench_neighbors.py --rows 250000 1000000.

It generates rows of 128 numbers around many centers, and finds the ten nearest of each row, every contestant
in a process of its own. scikit-learn compares all pairs, and is asked for some of the rows only; faiss takes
part where it is installed. Recall is the share of the exact neighbors of 1,000 rows. Needs the dev
dependencies.
"""

import argparse
import json
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from contestant_process import measure, plain_session

DIMENSION, K = 128, 10
QUERIES = 1_000
"""Rows whose exact neighbors are found to measure recall."""

SOME = 5_000
"""Rows that scikit-learn is asked for."""

CONTESTANTS = ("approximate", "exact", f"scikit-learn, {SOME:,} rows", "faiss, cells")


@dataclass(frozen=True)
class Rows:
    """Makes rows around centers, which lie in a space of fewer dimensions, as those of embeddings do.

    Attributes:
        centers: how many centers.
    """

    centers: int

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Map record batches."""
        common = np.random.default_rng(0)
        centers = common.normal(size=(self.centers, 24))
        mix = common.normal(size=(24, DIMENSION))
        for batch in batches:
            ids = batch.column("id").to_numpy()
            rng = np.random.default_rng(int(ids[0]) + 1 if len(ids) else 0)
            inner = centers[rng.integers(0, self.centers, len(ids))] + 0.5 * rng.normal(size=(len(ids), 24))
            rows = (inner @ mix + 0.3 * rng.normal(size=(len(ids), DIMENSION))).astype(np.float32)
            offsets = np.arange(len(ids) + 1, dtype=np.int32) * DIMENSION
            lists = pa.ListArray.from_arrays(pa.array(offsets), pa.array(rows.ravel()))
            yield pa.RecordBatch.from_pydict({"id": batch.column("id"), "features": lists})


def generate(rows: int, directory: Path) -> Path:
    """Generate the table, unless it is there."""
    path = directory / f"neighbors-{rows}"
    if not (path / "rows" / "_SUCCESS").exists():
        spark = plain_session("2g")
        made = spark.range(0, rows, 1, 16).mapInArrow(
            Rows(max(rows // 1000, 10)), "id long, features array<float>"
        )
        made.write.mode("overwrite").parquet(f"{path}/rows")
        spark.stop()
    if not (path / "truth.npy").exists():  # not where memory is watched
        np.save(path / "truth.npy", find_truth(str(path)))
    return path


def read_matrix(path: str) -> tuple[Any, Any]:
    """Read ids and features into memory."""
    import pyarrow.parquet as pq

    table = pq.read_table(f"{path}/rows").combine_chunks()
    features = table["features"].chunk(0).flatten().to_numpy().reshape(-1, DIMENSION)
    order = np.argsort(table["id"].to_numpy())
    return table["id"].to_numpy()[order], np.ascontiguousarray(features[order])


def to_unit(features: Any) -> Any:
    """Scale rows to length 1."""
    return features / np.linalg.norm(features, axis=1, keepdims=True)


def find_truth(path: str) -> Any:
    """Find the exact neighbors of some rows: (q, k) ids of rows 0, 1, 2, ..."""
    features = to_unit(read_matrix(path)[1])
    found = []
    for i in range(0, QUERIES, 100):
        products = features[i : i + 100] @ features.T
        products[np.arange(len(products)), np.arange(i, i + len(products))] = -np.inf
        found.append(np.argpartition(-products, K, axis=1)[:, :K])
    return np.concatenate(found)


def measure_recall(truth: Any, found: Any) -> float:
    """Share of the true neighbors that were found."""
    return float(np.mean([len(set(one) & set(other)) / K for one, other in zip(truth, found, strict=True)]))


def run(contestant: str, path: str, memory: str) -> dict[str, Any]:
    """Time one contestant: the seconds, and the recall."""
    if contestant.startswith("scikit"):
        from sklearn.neighbors import NearestNeighbors

        start = time.monotonic()
        features = to_unit(read_matrix(path)[1])
        near = NearestNeighbors(n_neighbors=K + 1, algorithm="brute").fit(features)
        found = near.kneighbors(features[:SOME], return_distance=False)
        seconds = time.monotonic() - start
        return {
            "seconds": seconds,
            "recall": measure_recall(np.load(f"{path}/truth.npy"), found[:QUERIES, 1:]),
        }
    if contestant.startswith("faiss"):
        import faiss

        start = time.monotonic()
        features = to_unit(read_matrix(path)[1])
        cells = int(2 * np.sqrt(len(features)))
        index = faiss.index_factory(DIMENSION, f"IVF{cells},Flat")
        index.train(features[:: max(len(features) // (cells * 39), 1)])
        index.add(features)
        index.nprobe = 16
        found = index.search(features, K + 1)[1]
        seconds = time.monotonic() - start
        own = np.arange(QUERIES)[:, None]
        others = [row[row != i][:K] for i, row in zip(own[:, 0], found[:QUERIES], strict=True)]
        return {"seconds": seconds, "recall": measure_recall(np.load(f"{path}/truth.npy"), others)}
    from cl_spark import nearest_neighbors

    spark = plain_session(memory)
    start = time.monotonic()
    rows = spark.read.parquet(f"{path}/rows")
    nearest_neighbors(rows, k=K, method=contestant).write.mode("overwrite").parquet(f"{path}/result")
    seconds = time.monotonic() - start
    pairs = spark.read.parquet(f"{path}/result").where(f"id < {QUERIES}").toPandas()
    found = [group.to_numpy() for _, group in pairs.sort_values(["id", "rank"]).groupby("id")["neighbor_id"]]
    spark.stop()
    return {"seconds": seconds, "recall": measure_recall(np.load(f"{path}/truth.npy"), found)}


def main() -> None:
    """Measure, and print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[20_000])
    parser.add_argument("--directory", type=Path, default=Path("/tmp/cl_spark_bench"))
    parser.add_argument("--memory", default="2g", help="heap of Spark")
    parser.add_argument("--only", help="contestants, separated by ;")
    parser.add_argument("--contestant", choices=CONTESTANTS)
    parser.add_argument("--path")
    options = parser.parse_args()
    if options.contestant:
        print(json.dumps(run(options.contestant, options.path, options.memory)))
        return
    print(f"Heap of {options.memory}\n")
    print("| rows | | seconds | recall | Python MiB | Java MiB |\n|---|---|---|---|---|---|")
    for rows in options.rows:
        path = generate(rows, options.directory)
        for contestant in CONTESTANTS:
            if options.only is not None and contestant not in options.only.split(";"):
                continue
            if contestant.startswith("faiss") and find_spec("faiss") is None:
                continue
            found = measure(__file__, contestant, path, options.memory)
            cells = f"{found['failed']} | | | " if "failed" in found else (
                f"{found['seconds']:.1f} | {found['recall']:.4f} | {found['python']:,} | {found['java']:,}"
            )  # fmt: skip
            print(f"| {rows:,} | {contestant} | {cells} |", flush=True)


if __name__ == "__main__":
    main()
