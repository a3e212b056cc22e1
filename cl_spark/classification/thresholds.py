"""Stage 1: per-class statistics of self-confidence, and the confident thresholds they give (JAIR 2021, equation 2)."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql import DataFrame, Row
from pyspark.sql import functions as F

from cl_spark.errors import EmptyTableError, InputError, SingleClassError
from cl_spark.evidence.blocks import Block, ddl, map_blocks
from cl_spark.evidence.ids import IdRange
from cl_spark.evidence.validity import REASONS, RejectionReason
from cl_spark.kernels import EPS
from cl_spark.kernels.fixed_point import LIMB, exact_mean
from cl_spark.kernels.row_evidence import Bools, ListingPolicy
from cl_spark.tables import columns as c

Sums = tuple[int, int, int, int]
"""Of one class: examples, and the three limbs of the sum of their self-confidences."""


@dataclass(frozen=True)
class ClassStatistics:
    """What the thresholds need to know of a set of rows: a value that merges by ``+``, whatever the rows' partitioning.

    Attributes:
        num_classes: K.
        sums: examples and exact sum of self-confidences of each class that occurs (see `kernels.fixed_point`).
        lowest: lowest self-confidence of any row.
        highest: highest probability of any row and class.
        rejected: rows refused, by reason.

    Example:
        >>> a = ClassStatistics(2, {0: (1, 0, 2**28, 0)}, 0.5, 0.5)
        >>> b = ClassStatistics(2, {0: (1, 1, 0, 0)}, 1.0, 1.0)
        >>> (a + b).thresholds().tolist()
        [0.75, 2.0]
    """

    num_classes: int
    sums: dict[int, Sums]
    lowest: float
    highest: float
    rejected: Counter[RejectionReason] = field(default_factory=Counter)

    def __add__(self, other: "ClassStatistics") -> "ClassStatistics":
        if self.num_classes != other.num_classes:
            raise InputError(
                f"statistics of {self.num_classes} and of {other.num_classes} classes do not add up"
            )
        sums = dict(self.sums)
        for k, theirs in other.sums.items():
            ours = sums.get(k, (0, 0, 0, 0))
            sums[k] = (ours[0] + theirs[0], ours[1] + theirs[1], ours[2] + theirs[2], ours[3] + theirs[3])
        return ClassStatistics(
            self.num_classes,
            sums,
            min(self.lowest, other.lowest),
            max(self.highest, other.highest),
            self.rejected + other.rejected,
        )

    @property
    def class_counts(self) -> NDArray[np.int64]:
        """(K,) examples per given label."""
        counts = np.zeros(self.num_classes, dtype=np.int64)
        for k, (examples, *_) in self.sums.items():
            counts[k] = examples
        return counts

    @property
    def num_examples(self) -> int:
        """Rows accepted."""
        return sum(examples for examples, *_ in self.sums.values())

    @property
    def num_rejected(self) -> int:
        """Rows refused."""
        return self.rejected.total()

    @property
    def are_probabilities(self) -> bool:
        """Whether every self-confidence is at least 0 and no value is above 1 (plus 1e-6); else they are scores."""
        return self.lowest >= 0 and self.highest <= 1 + EPS

    def thresholds(self) -> NDArray[np.float64]:
        """(K,) confident thresholds: the mean self-confidence of the class's examples.

        A class no label carries gets a threshold nothing reaches: 2 for probabilities, infinity for scores. For
        probabilities the thresholds are at least 2e-6, so that they stay positive under the slack of 1e-6.
        """
        absent, floor = (2.0, 2 * EPS) if self.are_probabilities else (np.inf, -np.inf)
        thresholds = np.full(self.num_classes, absent)
        for k, (examples, whole, high, low) in self.sums.items():
            thresholds[k] = max(exact_mean(whole, high, low, examples), floor)
        return thresholds


RANGE = -1
"""What stands in place of a refusal in rows that tell of the ids of a block: at least `first`, at most `last`."""

_KEYS = {c.REJECTION: "int", c.LENGTH: "int", c.GIVEN: "int", "first": "bigint"}
_SUMS = ("examples", "whole", "high", "low")
_LEAST = ("lowest", "_without_array", "_other")
_MOST = {"highest": "double", "last": "bigint"}


def class_aggregates(packed: DataFrame, listing: ListingPolicy) -> list[Row]:
    """What is counted and summed of the evidence in one pass: a row per class, refusal and array length.

    `_without_array` and `_other` are the least scores that suspects without array, and rows that are no suspects, may have for
    classes they do not list (`Block.least_score`).

    Args:
        packed: the evidence.
        listing: what the evidence lists.
    """
    types = {**_KEYS, **dict.fromkeys(_SUMS, "bigint"), **dict.fromkeys(_LEAST, "double"), **_MOST}
    arrow = {"int": pa.int32(), "bigint": pa.int64(), "double": pa.float64()}

    def kernel(blocks: Iterator[Block]) -> Iterator[pa.RecordBatch]:
        of_length: dict[int, dict[str, NDArray[Any]]] = {}
        refused: Counter[tuple[int, int]] = Counter()
        ranges: list[IdRange] = []
        for block in blocks:
            usable = block.usable
            length = np.broadcast_to(np.int32(block.length), len(block))
            if block.rejection is not None:
                kinds = np.stack([block.rejection[~usable], length[~usable]])
                found, counts = np.unique(kinds, axis=1, return_counts=True)
                refused.update(dict(zip(map(tuple, found.T.tolist()), counts.tolist(), strict=True)))
            for classes in np.unique(length[usable]).tolist():
                _add(
                    of_length.setdefault(classes, _nothing(classes)),
                    block,
                    usable & (length == classes),
                    classes,
                    listing,
                )
            if block.id_range is not None:
                ranges.append(block.id_range)
        frames = [
            pd.DataFrame({c.REJECTION: 0, c.LENGTH: classes, c.GIVEN: np.arange(classes), **sums})[
                sums["examples"] > 0
            ]
            for classes, sums in of_length.items()
        ]
        keys = pd.DataFrame(list(refused), columns=[c.REJECTION, c.LENGTH])
        frames.append(keys.assign(examples=list(refused.values())))
        frames.append(
            pd.DataFrame(ranges, columns=["first", "last", "examples"]).assign(**{c.REJECTION: RANGE})
        )
        for frame in frames:
            columns = [
                pa.array(frame[name].to_numpy(), arrow[kind])
                if name in frame
                else pa.nulls(len(frame), arrow[kind])
                for name, kind in types.items()
            ]
            yield pa.RecordBatch.from_arrays(columns, names=list(types))

    return (
        map_blocks(packed, kernel, ddl(types))
        .groupBy(*_KEYS)
        .agg(
            *[F.sum(name).alias(name) for name in _SUMS],
            *[F.min(name).alias(name) for name in _LEAST],
            *[F.max(name).alias(name) for name in _MOST],
        )
        .collect()
    )


def _nothing(classes: int) -> dict[str, NDArray[Any]]:
    sums = {name: np.zeros(classes, dtype=np.int64) for name in _SUMS}
    return sums | {name: np.full(classes, np.inf) for name in _LEAST} | {"highest": np.full(classes, -np.inf)}


def _add(
    sums: dict[str, NDArray[Any]], block: Block, rows: Bools, classes: int, listing: ListingPolicy
) -> None:
    """Some rows of a block to the sums of their given classes."""
    given, value = block.given[rows], block.self_confidence[rows].astype(np.float64)
    whole = np.floor(value)
    scaled = (value - whole) * LIMB
    high = np.floor(scaled)
    low = np.rint((scaled - high) * LIMB)
    sums["examples"] += np.bincount(given, minlength=classes)
    for name, limb in (
        ("whole", whole),
        ("high", high),
        ("low", low),
    ):  # of one block: whole numbers below 2^53, so exact
        sums[name] += np.bincount(given, limb, minlength=classes).astype(np.int64)
    suspect, least = block.suspects[rows], block.least_score[rows]
    without = suspect & ~listing.keeps(block.self_confidence[rows], classes)
    np.minimum.at(sums["lowest"], given, value)
    np.minimum.at(sums["_without_array"], given[without], least[without])
    np.minimum.at(sums["_other"], given[~suspect], least[~suspect])
    np.maximum.at(sums["highest"], given, block.max_prob[rows].astype(np.float64))


def class_statistics(
    rows: Sequence[Row], known_classes: int | None, *, may_be_empty: bool = False
) -> tuple[ClassStatistics, list[Row]]:
    """The statistics in the aggregated rows, and which of these are of accepted examples.

    K is `known_classes`, or the length most rows have (the longer on a tie); rows of another length are refused.

    Raises:
        EmptyTableError: no row is left, unless that may be (where nothing is learnt of the rows).
        SingleClassError: there are fewer than two classes.
    """
    if not rows and not may_be_empty:
        raise EmptyTableError("the input has no rows")
    lengths: Counter[int] = Counter()
    rows = [row for row in rows if row[c.REJECTION] != RANGE]
    for row in rows:
        if row[c.LENGTH] > 0:
            lengths[row[c.LENGTH]] += row.examples
    classes = known_classes or max(lengths, key=lambda length: (lengths[length], length), default=0)
    rejected: Counter[RejectionReason] = Counter()
    accepted = []
    for row in rows:
        reason = final_reason(row[c.REJECTION], row[c.LENGTH], classes)
        if reason is RejectionReason.NONE:
            accepted.append(row)
        else:
            rejected[reason] += row.examples
    if not accepted and not may_be_empty:
        seen = ", ".join(f"{REASONS[reason]}: {times:,}" for reason, times in rejected.most_common())
        raise EmptyTableError(
            f"no row of the input can be used ({seen}); check label_col, pred_probs_col and class_names"
        )
    if classes < 2:
        raise SingleClassError(
            f"pred_probs hold {classes} class per row; confident learning needs at least 2"
        )
    statistics = ClassStatistics(
        classes,
        {row[c.GIVEN]: (row.examples, row.whole, row.high, row.low) for row in accepted},
        min((row.lowest for row in accepted), default=0.0),
        max((row.highest for row in accepted), default=0.0),
        rejected,
    )
    return statistics, accepted


LENGTH_FIRST = (
    RejectionReason.NONE,
    RejectionReason.LABEL_OUT_OF_RANGE,
    RejectionReason.TOO_LARGE,
    RejectionReason.NEGATIVE,
    RejectionReason.NO_DISTRIBUTION,
)
"""Findings that a wrong length explains."""


def final_reason(rejection: int, length: int, num_classes: int) -> RejectionReason:
    """Why a row is refused once K is known: a wrong length explains a label outside the array."""
    if rejection in LENGTH_FIRST and length != num_classes:
        return RejectionReason.WRONG_LENGTH
    return RejectionReason(rejection)


def final_reasons(block: Block, num_classes: int) -> NDArray[np.int8]:
    """The same of each row of a block."""
    codes = np.zeros(len(block), dtype=np.int8) if block.rejection is None else block.rejection.copy()
    codes[np.isin(codes, LENGTH_FIRST) & (block.length != num_classes)] = RejectionReason.WRONG_LENGTH
    return codes
