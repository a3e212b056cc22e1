"""Passes of Dawid-Skene over blocks, while the confusion of all annotators fits the driver."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from cl_spark.kernels.arrays import Float64s, Int64s
from cl_spark.kernels.dawid_skene import (
    Ballots,
    Confusion,
    Weights,
    collect_ballots,
    find_weights,
    pair,
    share_votes,
)
from cl_spark.kernels.fixed_point import LIMB, split_limbs
from cl_spark.methods.annotators.annotations import CODE
from cl_spark.methods.annotators.columns import BLOCK_COLUMNS, TRUE, WEIGHT
from cl_spark.methods.annotators.judgement import LIMBS
from cl_spark.methods.annotators.votes import Votes, map_blocks, read_block
from cl_spark.tables import columns as c

MAX_CELLS = 1_000_000
"""Most cells (annotator, true class, label) that the driver holds: 40 MB. Beyond, passes go over tables."""

_SCHEMA = f"{CODE} int, {c.LABEL} int, {TRUE} int, " + ", ".join(f"{limb} long" for limb in LIMBS)
_PRIOR, _LIKELIHOOD = -1, -2
"""In place of an annotator's code: sums of weights by class, and of logarithms of likelihoods."""


@dataclass
class CellPasses:
    """The state of a search: the confusion of the annotators before and after the last pass.

    Attributes:
        votes: the votes.
        before: the confusion that the weights of true classes follow from.
        after: the confusion that follows from those weights.
    """

    votes: Votes
    before: Confusion | None
    after: Confusion

    @staticmethod
    def begin(votes: Votes) -> "CellPasses | None":
        """Begin with the vote shares; None if there are more cells than the driver holds."""
        found = _sum_cells(votes, None, limit=MAX_CELLS + 1)
        if len(found) > MAX_CELLS:
            return None
        return CellPasses(votes, None, _read_confusion(found, votes.num_classes))

    def advance(self) -> float:
        """Make a pass, and return the mean log-likelihood of an example before it.

        Cells only become fewer: a class that has no weight once never gets any from this annotator's label.
        """
        found = _sum_cells(self.votes, self.after, limit=None)
        likelihood = found[found[CODE] == _LIKELIHOOD]
        self.before, self.after = self.after, _read_confusion(found, self.votes.num_classes)
        return float(_values(likelihood)[0]) / self.votes.counts.num_examples

    @property
    def weights(self) -> DataFrame:
        """Weights of true classes: ids, class, weight."""
        votes = self.votes
        ids = votes.annotations.ids.names
        kernel = ListWeights(self.before, votes.num_annotators, votes.num_classes)
        return map_blocks(votes.labeled, kernel, f"{TRUE} int, {WEIGHT} double", ids)


def _sum_cells(votes: Votes, confusion: Confusion | None, limit: int | None) -> pd.DataFrame:
    """Sum the weights of all examples by cell, of so many cells at most."""
    kernel = SumWeights(confusion, votes.num_annotators, votes.num_classes)
    sums = [F.sum(limb).alias(limb) for limb in LIMBS]
    cells = map_blocks(votes.labeled, kernel, _SCHEMA).groupBy(CODE, c.LABEL, TRUE).agg(*sums)
    return (cells if limit is None else cells.limit(limit)).toPandas()


def _values(cells: pd.DataFrame) -> Float64s:
    whole, high, low = (cells[limb].to_numpy() for limb in LIMBS)
    return np.asarray(whole + high / LIMB + low / LIMB**2)


def _read_confusion(found: pd.DataFrame, num_classes: int) -> Confusion:
    priors = np.zeros(num_classes)
    of_classes = found[found[CODE] == _PRIOR]
    priors[of_classes[TRUE]] = _values(of_classes)
    cells = found[found[CODE] >= 0].sort_values([CODE, c.LABEL, TRUE])
    # classes whose weights are less than the limbs hold: no share of nothing can be taken
    cells = cells[_values(cells) > 0]
    totals = cells.groupby([CODE, TRUE])[list(LIMBS)].transform("sum")
    shares = _values(cells) / _values(totals)
    keys = cells[CODE].to_numpy(np.int64) * num_classes + cells[c.LABEL].to_numpy(np.int64)
    different, firsts = np.unique(keys, return_index=True)
    with np.errstate(divide="ignore"):
        logs, log_priors = np.log(shares), np.log(priors / priors.sum())
    return Confusion(
        different, np.append(firsts, len(keys)), cells[TRUE].to_numpy(np.int64), logs, log_priors
    )


@dataclass(frozen=True)
class _Weigh:
    """Finds the weights of the true classes of a block, part by part.

    Attributes:
        confusion: the confusion that they follow from; None: they are the vote shares.
        num_annotators: A.
        num_classes: K.
    """

    confusion: Confusion | None
    num_annotators: int
    num_classes: int

    def _parts(self, batch: pa.RecordBatch) -> Iterator[tuple[int, Ballots, Weights]]:
        ballots = collect_ballots(read_block(batch), self.num_annotators)
        for first, part in ballots.split(self.num_classes):
            if self.confusion is None:
                yield first, part, share_votes(part, self.num_classes)
            else:
                yield first, part, find_weights(part, self.confusion, self.num_classes)


@dataclass(frozen=True)
class SumWeights(_Weigh):
    """Sums the weights of true classes by annotator and label, and altogether."""

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Map record batches."""
        for batch in batches:
            for _, ballots, weights in self._parts(batch):
                of_ballot, of_weight = pair(ballots, weights)
                keys = ballots.codes[of_ballot] * self.num_classes + ballots.labels[of_ballot]
                keys = keys * self.num_classes + weights.true[of_weight]
                cells, places = np.unique(keys, return_inverse=True)
                labels, true = np.divmod(cells, self.num_classes)
                codes, labels = np.divmod(labels, self.num_classes)
                yield _sum(codes, labels, true, places, weights.values[of_weight])
                classes, places = np.unique(weights.true, return_inverse=True)
                nothing = np.zeros_like(classes)
                yield _sum(nothing + _PRIOR, nothing, classes, places, weights.values)
                logs = weights.log_likelihood
                one = np.zeros(1, dtype=np.int64)
                yield _sum(one + _LIKELIHOOD, one, one, np.zeros(len(logs), dtype=np.int64), logs)


def _sum(codes: Int64s, labels: Int64s, true: Int64s, places: Int64s, values: Float64s) -> pa.RecordBatch:
    named = {CODE: codes, c.LABEL: labels, TRUE: true}
    columns = {name: pa.array(column, pa.int32()) for name, column in named.items()}
    for name, limb in zip(LIMBS, split_limbs(values), strict=True):
        sums = np.bincount(places, weights=limb, minlength=len(codes))
        columns[name] = pa.array(sums.astype(np.int64))
    return pa.RecordBatch.from_pydict(columns)


@dataclass(frozen=True)
class ListWeights(_Weigh):
    """Lists the weights of the true classes of each example; other columns are repeated."""

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Map record batches."""
        for batch in batches:
            kept = [name for name in batch.schema.names if name not in BLOCK_COLUMNS]
            for first, _, weights in self._parts(batch):
                rows = pa.array(weights.rows + first)
                columns = {name: batch.column(name).take(rows) for name in kept} | {
                    TRUE: pa.array(weights.true, pa.int32()),
                    WEIGHT: pa.array(weights.values),
                }
                yield pa.RecordBatch.from_pydict(columns)
