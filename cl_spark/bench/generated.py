"""Seeded predictions of any size, straight to Parquet, like those of a real model on noisy labels."""

from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

ROWS_AT_ONCE = 5_000_000  # values, so that memory does not grow with the size of the data


@dataclass(frozen=True)
class Shape:
    """The data to generate.

    Attributes:
        rows: N.
        classes: K.
        dtype: "float32" or "float64".
        noise: share of labels that are replaced.
        neighbours: confusable classes of each class; the model mixes them up, and so do 7 in 10 of the wrong
            labels.
        margin: how sure the model is: mean logit of the true class over the others.
        files: Parquet files.
        row_group: rows per row group.
        skew: share of the rows whose true class is class 0, whatever the others have.
        top: list only so many classes of each row, as array<struct<class, prob>>; 0 writes whole arrays.
        seed: of the random numbers; the same shape gives the same bytes.
    """

    rows: int
    classes: int
    dtype: str = "float32"
    noise: float = 0.05
    neighbours: int = 3
    margin: float = 12.0
    files: int = 8
    row_group: int = 5_000
    skew: float = 0.0
    top: int = 0
    seed: int = 0

    @property
    def name(self) -> str:
        """A directory name that tells shapes apart."""
        return "-".join(f"{key[0]}{value}" for key, value in asdict(self).items())


def generate(shape: Shape, directory: Path) -> Path:
    """Write the predictions of a shape below a directory, unless they are there. Returns their path.

    Columns: id (long), label (int), pred_probs (array). Each row is a softmax: noise on every class, a high
    logit on the true class, lower ones on its neighbours.
    """
    target = directory / shape.name
    if (target / "_SUCCESS").exists():
        return target
    target.mkdir(parents=True, exist_ok=True)
    neighbours = np.random.default_rng(shape.seed).integers(
        0, shape.classes, (shape.classes, shape.neighbours)
    )
    bounds = np.linspace(0, shape.rows, shape.files + 1).astype(int)
    for number, (start, stop) in enumerate(pairwise(bounds.tolist())):
        rng = np.random.default_rng([shape.seed, number])
        step = max(min(ROWS_AT_ONCE // (shape.top or shape.classes), 10 * shape.row_group), 1)
        writer = None
        for first in range(start, stop, step):
            make = _listed if shape.top else _rows
            table = make(shape, rng, neighbours, first, min(first + step, stop))
            if writer is None:
                writer = pq.ParquetWriter(
                    target / f"part-{number:05}.parquet", table.schema, use_dictionary=["label"]
                )
            writer.write_table(table, row_group_size=shape.row_group)
        if writer is not None:
            writer.close()
    (target / "_SUCCESS").touch()
    return target


def _true_classes(shape: Shape, rng: np.random.Generator, n: int) -> np.ndarray:
    true = rng.integers(0, shape.classes, n)
    return np.where(rng.random(n) < shape.skew, 0, true) if shape.skew else true


def _rows(shape: Shape, rng: np.random.Generator, neighbours: np.ndarray, start: int, stop: int) -> pa.Table:
    n, classes = stop - start, shape.classes
    every, true = np.arange(n), _true_classes(shape, rng, n)
    probs = rng.standard_normal((n, classes), dtype=np.float32)
    probs[every, true] += rng.normal(shape.margin, 2.5, n).astype(np.float32)
    for j in range(shape.neighbours):
        probs[every, neighbours[true, j]] += rng.normal(shape.margin / 2, 2.5, n).astype(np.float32)
    probs -= probs.max(axis=1, keepdims=True)
    np.exp(probs, out=probs)
    probs /= probs.sum(axis=1, keepdims=True)
    return _table(shape, rng, neighbours, true, start, pa.array(probs.astype(shape.dtype).ravel()), classes)


def _listed(
    shape: Shape, rng: np.random.Generator, neighbours: np.ndarray, start: int, stop: int
) -> pa.Table:
    """Make rows with only the highest classes listed: the true one, its neighbours, and distinct others."""
    n, top = stop - start, shape.top
    true = _true_classes(shape, rng, n)
    first = np.concatenate([true[:, None], neighbours[true]], axis=1)[:, :top]
    steps = 1 + np.arange(top - first.shape[1]) * (shape.classes // top)
    classes = np.concatenate([first, (true[:, None] + steps) % shape.classes], axis=1)
    logits = rng.standard_normal((n, top), dtype=np.float32)
    logits[:, 0] += rng.normal(shape.margin, 2.5, n).astype(np.float32)
    logits[:, 1 : first.shape[1]] += rng.normal(shape.margin / 2, 2.5, (n, first.shape[1] - 1)).astype(
        np.float32
    )
    probs = np.exp(logits - logits.max(axis=1, keepdims=True))
    probs /= probs.sum(axis=1, keepdims=True)
    order = np.argsort(classes, axis=1, kind="stable")
    classes, probs = np.take_along_axis(classes, order, 1), np.take_along_axis(probs, order, 1)
    repeated = np.zeros_like(classes, dtype=bool)
    repeated[:, 1:] = classes[:, 1:] == classes[:, :-1]
    kept = (~repeated).ravel()
    entries = pa.StructArray.from_arrays(
        [pa.array(classes.ravel()[kept], pa.int32()), pa.array(probs.astype(shape.dtype).ravel()[kept])],
        ["class", "prob"],
    )
    return _table(shape, rng, neighbours, true, start, entries, (~repeated).sum(axis=1))


def _table(
    shape: Shape,
    rng: np.random.Generator,
    neighbours: np.ndarray,
    true: np.ndarray,
    start: int,
    values: pa.Array,
    lengths: int | np.ndarray,
) -> pa.Table:
    n = len(true)
    other = np.where(
        rng.random(n) < 0.7,
        neighbours[true, rng.integers(0, shape.neighbours, n)],
        rng.integers(0, shape.classes, n),
    )
    labels = np.where(rng.random(n) < shape.noise, other, true)
    offsets = np.concatenate([[0], np.cumsum(np.broadcast_to(lengths, n))]).astype(np.int32)
    return pa.table(
        {
            "id": pa.array(np.arange(start, start + n)),
            "label": pa.array(labels, pa.int32()),
            "pred_probs": pa.ListArray.from_arrays(pa.array(offsets), values),
        }
    )
