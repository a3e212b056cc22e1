"""How far annotators and models are trusted: counted over all examples, against a consensus."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import pandas as pd
import pyarrow as pa
from pyspark.sql import functions as F

from cl_spark.kernels.arrays import Float64s, Int64s
from cl_spark.kernels.crowdlab import (
    LEAST,
    AnnotatorCounts,
    Trust,
    count_annotators,
    divide_or_mean,
    find_agreement,
    find_consensus,
    find_posterior,
    find_weight,
)
from cl_spark.kernels.majority_vote import TieBreak, decide_majority, find_most_voted
from cl_spark.kernels.votes import NO_CLASS, VoteBlock
from cl_spark.methods.annotators.votes import Votes, map_blocks, read_block

ConsensusRule = Callable[[VoteBlock], Int64s]
"""Examples -> (n,) the consensus of each."""

_ANNOTATOR, _AGREEMENT, _CONSENSUS, _MODEL, _TOTAL, _CLASS_VOTES = range(6)
"""Kinds of counts."""

_VALUES = [f"value_{i}" for i in range(6)]
_SCHEMA = "kind int, key long, other_key long, " + ", ".join(f"{name} long" for name in _VALUES)


@dataclass(frozen=True)
class MajorityVote:
    """The class with the most votes; ties go as `decide_majority` says.

    Attributes:
        tie_break: what decides ties.
    """

    tie_break: TieBreak

    def __call__(self, block: VoteBlock) -> Int64s:
        """Find the consensus."""
        return decide_majority(block, self.tie_break)


@dataclass(frozen=True)
class BestQuality:
    """The class that annotators and models together find most probable.

    Attributes:
        majority: decides ties.
        trust: weights of annotators and models.
    """

    majority: MajorityVote
    trust: Trust

    def __call__(self, block: VoteBlock) -> Int64s:
        """Find the consensus."""
        return find_consensus(block, find_posterior(block, self.trust), self.majority(block))


@dataclass(frozen=True)
class UndisputedVote:
    """The class with the most votes where a single one has them, else `NO_CLASS`."""

    def __call__(self, block: VoteBlock) -> Int64s:
        """Find the consensus."""
        marked = find_most_voted(block)
        classes = np.where(block.count_marked(marked) == 1, block.first_by_row(marked), NO_CLASS)
        return np.where(block.gold >= 0, block.gold, classes)


@dataclass(frozen=True)
class CountBlocks:
    """Counts how annotators and models agree with a consensus, over a partition.

    Attributes:
        rule: the consensus; examples without one are left aside.
        num_annotators: A.
        num_classes: K.
        num_models: M.
    """

    rule: ConsensusRule
    num_annotators: int
    num_classes: int
    num_models: int

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Map record batches."""
        annotators = np.zeros((6, self.num_annotators), dtype=np.int64)
        consensus_counts = np.zeros(self.num_classes, dtype=np.int64)
        class_votes = np.zeros(self.num_classes, dtype=np.int64)
        models = np.zeros((2, self.num_models), dtype=np.int64)
        agreements, total = np.zeros((0, 3), dtype=np.int64), np.zeros(2, dtype=np.int64)
        for batch in batches:
            block = read_block(batch)
            if block.size == 0:
                continue
            class_votes += np.bincount(block.labels, minlength=self.num_classes)
            consensus = self.rule(block)
            counts = count_annotators(block, consensus, self.num_annotators)
            annotators += np.stack(list(vars(counts).values()))
            is_shared = block.num_votes > 1
            consensus_counts += np.bincount(
                consensus[is_shared & (consensus >= 0)], minlength=self.num_classes
            )
            agreed = block.sum_by_row((block.labels == consensus[block.vote_rows]).astype(float))
            pairs = np.stack([block.num_votes, agreed.astype(np.int64)], axis=1)[is_shared]
            found, times = np.unique(pairs, axis=0, return_counts=True)
            agreements = np.concatenate([agreements, np.column_stack([found, times])])
            is_judged = is_shared & block.has_prediction
            for model in range(self.num_models):
                wrong = block.predicted(model)[is_judged] != consensus[is_judged]
                models[:, model] += (wrong.sum(), len(wrong))
            total += (block.size, len(block.labels))
        used = np.flatnonzero(annotators[3])
        yield _batch(_ANNOTATOR, used, annotators[:, used])
        yield _batch(_AGREEMENT, agreements[:, 0], agreements[None, :, 2], agreements[:, 1])
        yield _batch(_CONSENSUS, np.arange(self.num_classes), consensus_counts[None])
        yield _batch(_CLASS_VOTES, np.arange(self.num_classes), class_votes[None])
        yield _batch(_MODEL, np.arange(self.num_models), models)
        yield _batch(_TOTAL, np.zeros(1, dtype=np.int64), total[:, None])


def _batch(kind: int, keys: Int64s, values: Int64s, other_keys: Int64s | None = None) -> pa.RecordBatch:
    size = len(keys)
    columns = {
        "kind": pa.array(np.full(size, kind, dtype=np.int32)),
        "key": pa.array(keys.astype(np.int64)),
        "other_key": pa.array(np.zeros(size, dtype=np.int64) if other_keys is None else other_keys),
    }
    for i, name in enumerate(_VALUES):
        found = values[i] if i < len(values) else np.zeros(size, dtype=np.int64)
        columns[name] = pa.array(found)
    return pa.RecordBatch.from_pydict(columns)


@dataclass(frozen=True)
class AgreementCounts:
    """Whole numbers of how annotators and models agree with a consensus. They depend on no order.

    Attributes:
        annotators: of each annotator.
        agreements: of examples with several annotations: numbers of annotations, of those that give the
            consensus, and of such examples, (cells, 3).
        consensus: (K,) such examples by consensus.
        class_votes: (K,) annotations by class.
        model_errors: (M,) such examples whose consensus a model does not predict.
        model_examples: (M,) such examples that a model predicts.
        num_examples: all examples with annotations.
        num_annotations: their annotations.
    """

    annotators: AnnotatorCounts
    agreements: Int64s
    consensus: Int64s
    class_votes: Int64s
    model_errors: Int64s
    model_examples: Int64s
    num_examples: int
    num_annotations: int

    @property
    def num_shared(self) -> int:
        """Examples with several annotations."""
        return int(self.consensus.sum())

    @property
    def mean_annotations(self) -> float:
        """Mean number of annotations of an example."""
        return self.num_annotations / self.num_examples

    @property
    def mean_agreement(self) -> float:
        """Mean share of the annotations of an example that give its consensus, rounded once."""
        shares = (Fraction(int(agreed), int(votes)) * int(times) for votes, agreed, times in self.agreements)
        return float(sum(shares, Fraction(0)) / self.num_shared)

    @property
    def guess_error(self) -> float:
        """Error of who always gives the most frequent consensus."""
        return max(1 - int(self.consensus.max()) / self.num_shared, LEAST)


def count_agreement(votes: Votes, rule: ConsensusRule) -> AgreementCounts:
    """Count how annotators and models agree with a consensus, in one scan of the votes."""
    count = CountBlocks(rule, votes.num_annotators, votes.num_classes, votes.num_models)
    sums = [F.sum(name).alias(name) for name in _VALUES]
    rows = map_blocks(votes.labeled, count, _SCHEMA).groupBy("kind", "key", "other_key").agg(*sums)
    return read_counts(rows.toPandas(), votes.num_annotators)  # of annotators and classes: not of examples


def read_counts(found: pd.DataFrame, num_annotators: int) -> AgreementCounts:
    """Read the sums of what `CountBlocks` yields, each key once."""
    ordered = found.sort_values(["key", "other_key"])
    kinds = {kind: ordered[ordered["kind"] == kind] for kind in range(_CLASS_VOTES + 1)}
    annotators = np.zeros((6, num_annotators), dtype=np.int64)
    of_annotators = kinds[_ANNOTATOR]
    annotators[:, of_annotators["key"]] = of_annotators[_VALUES].to_numpy(np.int64).T
    total = kinds[_TOTAL].iloc[0]
    return AgreementCounts(
        annotators=AnnotatorCounts(*annotators),
        agreements=kinds[_AGREEMENT][["key", "other_key", "value_0"]].to_numpy(np.int64),
        consensus=_values(kinds[_CONSENSUS], 0),
        class_votes=_values(kinds[_CLASS_VOTES], 0),
        model_errors=_values(kinds[_MODEL], 0),
        model_examples=_values(kinds[_MODEL], 1),
        num_examples=int(total.value_0),
        num_annotations=int(total.value_1),
    )


def _values(frame: pd.DataFrame, i: int) -> Int64s:
    return frame[_VALUES[i]].to_numpy(np.int64)


def find_tie_break(votes: Votes) -> TieBreak:
    """Find what decides ties of the majority vote, in one scan of the votes."""
    counts = count_agreement(votes, UndisputedVote())
    agreement = divide_or_mean(counts.annotators.agreed, counts.annotators.examples)
    return TieBreak(counts.class_votes, agreement)


def fit_trust(counts: AgreementCounts, num_classes: int) -> Trust:
    """Find the weights of annotators and models from how they agree with a consensus.

    Where no two annotators share an example nothing tells how good they are, and all weights are 1.
    """
    num_annotators, num_models = len(counts.annotators.examples), len(counts.model_errors)
    if counts.num_shared == 0:
        return Trust(np.ones(num_annotators), np.ones(num_models), 1.0, num_classes)
    guess = counts.guess_error
    weights = find_weight(1 - find_agreement(counts.annotators), guess)
    weights = np.where(counts.annotators.examples > 0, weights, 0.0)
    errors = counts.model_errors / np.maximum(counts.model_examples, 1)
    of_models = find_weight(errors, guess) * np.sqrt(counts.mean_annotations)
    of_models = np.where(counts.model_examples > 0, of_models, LEAST)
    return Trust(weights, of_models, counts.mean_agreement, num_classes)


def mean_weight(trust: Trust, counts: AgreementCounts) -> float:
    """Compute the mean weight of the annotators who labelled something."""
    weights: Float64s = trust.annotators[counts.annotators.examples > 0]
    return float(weights.mean())
