"""Judgement of examples and annotations: kernels that turn votes into the rows of results."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from pyspark.sql import Column
from pyspark.sql import functions as F

from cl_spark.kernels.arrays import Float64s, Int64s
from cl_spark.kernels.crowdlab import (
    Trust,
    find_posterior,
    find_qualities,
    score_labeled,
    score_unlabeled,
)
from cl_spark.kernels.fixed_point import LIMB, split_limbs
from cl_spark.kernels.votes import VoteBlock
from cl_spark.methods.annotators.annotations import CODE
from cl_spark.methods.annotators.columns import BLOCK_COLUMNS
from cl_spark.methods.annotators.trust import ConsensusRule
from cl_spark.methods.annotators.votes import read_block
from cl_spark.tables import columns as c

CONSENSUS, QUALITY, AGREEMENT, NUM_VOTES, SCORE = (
    "_consensus",
    "_quality",
    "_agreement",
    "_num_votes",
    "_active_learning_score",
)
CONSENSUS_SCHEMA = f"{CONSENSUS} int, {QUALITY} double, {AGREEMENT} double, {NUM_VOTES} long"
VOTE_SCHEMA = f"{CODE} int, {c.LABEL} int, {QUALITY} double"

LIMBS = ("whole", "high", "low")
CELL_VALUES = (
    *("examples", "agreed", "shared", "agreed_shared"),
    *(f"label_{limb}" for limb in LIMBS),
    *(f"consensus_{limb}" for limb in LIMBS),
)
"""Sums over the annotations by an annotator of a class: their number; how many agree with the consensus; the
same of examples with several annotations; limbs of label quality and of the consensus's quality."""

CELL_SCHEMA = f"{CODE} int, {c.LABEL} int, " + ", ".join(f"{name} long" for name in CELL_VALUES)


def mean_of_limbs(name: str) -> Column:
    """Compute the mean of "label" or "consensus" quality from the sums of a cell, or of several."""
    whole, high, low = (F.col(f"{name}_{limb}") for limb in LIMBS)
    return (whole + high / LIMB + low / LIMB**2) / F.col("examples")


class Judged(NamedTuple):
    """Decisions about a block.

    Attributes:
        consensus: (n,) classes.
        of_consensus: (n,) label quality of the consensus.
        of_votes: (v,) label quality of each annotation.
    """

    consensus: Int64s
    of_consensus: Float64s
    of_votes: Float64s


@dataclass(frozen=True)
class Judgement:
    """A rule for the consensus, and the weights that give it its quality.

    Attributes:
        rule: finds the consensus.
        trust: weights of annotators and models.
    """

    rule: ConsensusRule
    trust: Trust

    def __call__(self, block: VoteBlock) -> Judged:
        """Judge a block."""
        consensus = self.rule(block)
        qualities = find_qualities(block, find_posterior(block, self.trust), consensus)
        return Judged(consensus, *qualities)


@dataclass(frozen=True)
class JudgeExamples:
    """Replaces votes by the consensus of each example; other columns stay.

    Attributes:
        judgement: what decides.
    """

    judgement: Judgement

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Map record batches."""
        for batch in batches:
            block = read_block(batch)
            judged = self.judgement(block)
            agreed = block.sum_by_row((block.labels == judged.consensus[block.vote_rows]).astype(float))
            yield _replace(
                batch,
                {
                    CONSENSUS: pa.array(judged.consensus, pa.int32()),
                    QUALITY: pa.array(judged.of_consensus),
                    AGREEMENT: pa.array(agreed / block.num_votes),
                    NUM_VOTES: pa.array(block.num_votes, pa.int64()),
                },
            )


@dataclass(frozen=True)
class JudgeVotes:
    """Replaces votes by a row for each, with its label quality; other columns are repeated.

    Attributes:
        judgement: what decides.
    """

    judgement: Judgement

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Map record batches."""
        for batch in batches:
            block = read_block(batch)
            yield _replace(
                batch.take(pa.array(block.vote_rows)),
                {
                    CODE: pa.array(block.annotators, pa.int32()),
                    c.LABEL: pa.array(block.labels, pa.int32()),
                    QUALITY: pa.array(self.judgement(block).of_votes),
                },
            )


@dataclass(frozen=True)
class SumCells:
    """Sums annotations by annotator and class, over each record batch.

    Attributes:
        judgement: what decides.
        num_classes: K.
    """

    judgement: Judgement
    num_classes: int

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Map record batches."""
        for batch in batches:
            block = read_block(batch)
            judged, rows = self.judgement(block), block.vote_rows
            agrees, is_shared = block.labels == judged.consensus[rows], block.num_votes[rows] > 1
            terms = [
                *(np.ones(len(rows)), agrees, is_shared, agrees & is_shared),
                *split_limbs(judged.of_votes),
                *split_limbs(judged.of_consensus[rows]),
            ]
            keys = block.annotators * self.num_classes + block.labels
            cells, places = np.unique(keys, return_inverse=True)
            annotators, labels = np.divmod(cells, self.num_classes)
            columns = {CODE: pa.array(annotators, pa.int32()), c.LABEL: pa.array(labels, pa.int32())}
            for name, term in zip(CELL_VALUES, terms, strict=True):
                sums = np.bincount(places, weights=term, minlength=len(cells))
                columns[name] = pa.array(sums.astype(np.int64))
            yield pa.RecordBatch.from_pydict(columns)


@dataclass(frozen=True)
class ScoreLabeled:
    """Replaces votes by the active-learning score of each example; other columns stay.

    Attributes:
        judgement: what decides about the examples.
        trust: weights by which their quality counts.
        mean_weight: mean weight of the annotators.
    """

    judgement: Judgement
    trust: Trust
    mean_weight: float

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Map record batches."""
        for batch in batches:
            block = read_block(batch)
            qualities = self.judgement(block).of_consensus
            yield _replace(
                batch, {SCORE: pa.array(score_labeled(block, qualities, self.trust, self.mean_weight))}
            )


@dataclass(frozen=True)
class ScoreUnlabeled:
    """Replaces the columns of examples without votes by their active-learning score; other columns stay.

    Attributes:
        trust: weights of the models.
        mean_weight: mean weight of the annotators.
    """

    trust: Trust
    mean_weight: float

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Map record batches."""
        for batch in batches:
            block = read_block(batch)
            yield _replace(batch, {SCORE: pa.array(score_unlabeled(block, self.trust, self.mean_weight))})


def _replace(batch: pa.RecordBatch, columns: dict[str, pa.Array]) -> pa.RecordBatch:
    """Replace the columns of a block by others."""
    kept = [name for name in batch.schema.names if name not in BLOCK_COLUMNS]
    return pa.RecordBatch.from_pydict({name: batch.column(name) for name in kept} | columns)
