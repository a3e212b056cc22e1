"""Temperatures that bring models' probabilities closest to the shares of the annotators' votes."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from cl_spark.evidence.workers import map_in_arrow
from cl_spark.kernels.candidates import find_kept_votes
from cl_spark.kernels.fixed_point import exact_mean, split_limbs
from cl_spark.kernels.temperature import COARSE, cross_entropies, find_fine_grid
from cl_spark.methods.annotators.columns import ANNOTATORS, LABELS
from cl_spark.methods.annotators.predictions import PREDICTED, read_models, split_batches

_LIMBS = ("whole", "high", "low")


def find_temperatures(joined: DataFrame, columns: Sequence[str], num_classes: int) -> list[float]:
    """Find the temperature of each model: the lowest mean cross-entropy with the vote shares, over a coarse
    and then a fine grid; the first of several.

    Args:
        joined: votes and probabilities by example; they are read twice.
        columns: columns of the probabilities, one for each model.
        num_classes: K.
    """
    voted = joined.where(F.col(PREDICTED) & (F.size(LABELS) > 0))
    best = _find_best(voted, columns, num_classes, [COARSE] * len(columns))
    return _find_best(voted, columns, num_classes, [find_fine_grid(temperature) for temperature in best])


def _find_best(
    joined: DataFrame, columns: Sequence[str], num_classes: int, grids: Sequence[Sequence[float]]
) -> list[float]:
    sums = [F.sum(name).alias(name) for name in ("examples", *_LIMBS)]
    kernel = SumCrossEntropies(tuple(columns), num_classes, tuple(map(tuple, grids)))
    schema = "model int, place int, examples long, whole long, high long, low long"
    found = map_in_arrow(joined, kernel, schema).groupBy("model", "place").agg(*sums).collect()
    means: dict[int, dict[int, float]] = {model: {} for model in range(len(columns))}
    for row in found:
        means[row.model][row.place] = exact_mean(row.whole, row.high, row.low, row.examples)
    return [
        grids[model][min(places, key=lambda place: (places[place], place))] if places else 1.0
        for model, places in means.items()
    ]


@dataclass(frozen=True)
class SumCrossEntropies:
    """Sums the cross-entropies of examples at each temperature, over a partition.

    Attributes:
        columns: columns of the probabilities, one for each model.
        num_classes: K.
        grids: temperatures of each model.
    """

    columns: tuple[str, ...]
    num_classes: int
    grids: tuple[tuple[float, ...], ...]

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Map record batches."""
        sums = {
            (model, place): np.zeros(3) for model, grid in enumerate(self.grids) for place in range(len(grid))
        }
        examples = 0
        for batch in split_batches(batches, self.columns, self.num_classes):
            matrices, faults = read_models(batch, self.columns, self.num_classes)
            num_votes = batch.column(LABELS).value_lengths().to_numpy(zero_copy_only=False)
            rows = np.repeat(np.arange(batch.num_rows), num_votes)
            annotators, labels = (
                batch.column(name).flatten().to_numpy(zero_copy_only=False).astype(np.int64)
                for name in (ANNOTATORS, LABELS)
            )
            kept = find_kept_votes(rows, annotators, labels)
            usable = (faults == 0) & (np.bincount(rows[kept], minlength=batch.num_rows) > 0)
            kept &= usable[rows]
            places = np.cumsum(usable) - 1
            examples += int(usable.sum())
            for model, grid in enumerate(self.grids):
                probs = matrices[model][usable]
                for place, temperature in enumerate(grid):
                    terms = cross_entropies(probs, places[rows[kept]], labels[kept], temperature)
                    sums[model, place] += [limb.sum() for limb in split_limbs(terms)]
        if examples:
            keys = list(sums)
            columns = {
                "model": pa.array([model for model, _ in keys], pa.int32()),
                "place": pa.array([place for _, place in keys], pa.int32()),
                "examples": pa.array([examples] * len(keys), pa.int64()),
            }
            for i, limb in enumerate(_LIMBS):
                columns[limb] = pa.array([int(values[i]) for values in sums.values()], pa.int64())
            yield pa.RecordBatch.from_pydict(columns)
