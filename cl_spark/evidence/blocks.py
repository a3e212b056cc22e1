"""Blocks: the evidence of many rows as numpy and Arrow arrays."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame

from cl_spark.kernels.arrays import Bools, Float64s, Floats, Int8s, Int32s, Int64s
from cl_spark.kernels.row_evidence import ListedProbs, find_suspects
from cl_spark.tables import columns as c

PARTS = ("ids", "listed", "kept")
"""Parts of a block beside its numbers. A kernel names those it needs; others are not read."""

NUMBERS = ("given", "predicted", "self_confidence", "max_prob", "second_max_prob", "unlisted_max_prob")
"""Arrays that every block has."""


class PartNotReadError(RuntimeError):
    """A kernel uses a part of a block that it did not ask for: a mistake in this package, not the input."""

    def __init__(self, part: str) -> None:
        super().__init__(f"the part {part!r} of this block was not read: name it among the kernel's parts")


@dataclass(frozen=True)
class KeptArrays:
    """Whole arrays of probabilities of some rows of a block.

    Attributes:
        rows: (m,) which rows of the block, ascending.
        arrays: (m,) their arrays, as the input has them.
    """

    rows: Int64s
    arrays: pa.Array

    def where(self, chosen: Bools) -> "KeptArrays":
        """Keep the arrays of some rows of the block, and renumber the rows."""
        inside = chosen[self.rows]
        return KeptArrays((np.cumsum(chosen) - 1)[self.rows[inside]], self.arrays.filter(pa.array(inside)))


@dataclass(frozen=True)
class BlockParts:
    """Parts of a block that are read only where a kernel asks for them; None where it did not."""

    ids: pa.RecordBatch | None = None
    listed: ListedProbs | None = None
    kept: KeptArrays | None = None

    def where(self, chosen: Bools) -> "BlockParts":
        """Keep some rows of each part."""
        ids, listed, kept = self.ids, self.listed, self.kept
        if listed is not None:
            listed = listed.where(chosen[listed.row])
            listed = replace(listed, row=(np.cumsum(chosen) - 1)[listed.row].astype(np.int32))
        return BlockParts(
            ids=None if ids is None else ids.filter(pa.array(chosen)),
            listed=listed,
            kept=None if kept is None else kept.where(chosen),
        )


@dataclass(frozen=True)
class Block:
    """The evidence of n rows; arrays are (n,) each.

    Attributes:
        given: given class; -1 where the label names none.
        predicted: predicted class.
        self_confidence: probability of the given class.
        max_prob: highest probability.
        second_max_prob: highest probability of a class other than the predicted one.
        unlisted_max_prob: upper bound on the probability of every class that is neither predicted nor listed.
        rejection: code of the `RejectionReason` of each row, 0 for none; None where no row is rejected.
        num_probs: how many probabilities each row has; one number where all rows have as many.
        confident: confident class, where it was read from the arrays; else None.
        min_prob: lowest probability; None where no row has one below -1e-6.
        parts: ids, listed classes and kept arrays, as far as they were read.
    """

    given: Int32s
    predicted: Int32s
    self_confidence: Floats
    max_prob: Floats
    second_max_prob: Floats
    unlisted_max_prob: Floats
    rejection: Int8s | None = None
    num_probs: Int32s | int = 0
    confident: Int32s | None = None
    min_prob: Floats | None = None
    parts: BlockParts = field(default_factory=BlockParts)

    def __len__(self) -> int:
        return len(self.given)

    @property
    def ids(self) -> pa.RecordBatch:
        """Id and slice columns.

        Raises:
            PartNotReadError: the kernel did not ask for "ids".
        """
        if self.parts.ids is None:
            raise PartNotReadError("ids")
        return self.parts.ids

    @property
    def listed(self) -> ListedProbs:
        """Listed classes with their probabilities, without the predicted class.

        Raises:
            PartNotReadError: the kernel did not ask for "listed".
        """
        if self.parts.listed is None:
            raise PartNotReadError("listed")
        return self.parts.listed

    @property
    def kept(self) -> KeptArrays:
        """Kept arrays.

        Raises:
            PartNotReadError: the kernel did not ask for "kept".
        """
        if self.parts.kept is None:
            raise PartNotReadError("kept")
        return self.parts.kept

    @property
    def usable(self) -> Bools:
        """(n,) True where the row by itself can be used. Ids of several rows and K are not known here."""
        return np.ones(len(self), dtype=bool) if self.rejection is None else np.asarray(self.rejection == 0)

    @property
    def suspects(self) -> Bools:
        """(n,) True where the row can be an issue."""
        return find_suspects(self.given, self.predicted, self.self_confidence, self.max_prob)

    @property
    def without_array(self) -> Bools:
        """(n,) True where the row has no kept array."""
        without = np.ones(len(self), dtype=bool)
        without[self.kept.rows] = False
        return without

    @property
    def least_score(self) -> Float64s:
        """(n,) lower bound on ``p_given - p_other`` over all classes neither predicted nor listed."""
        return np.asarray(self.self_confidence.astype(np.float64) - self.unlisted_max_prob.astype(np.float64))

    def accepted(self, num_classes: int) -> "Block":
        """Keep the rows that can be used and have K probabilities."""
        if self.rejection is None and isinstance(self.num_probs, int) and self.num_probs == num_classes:
            return self
        accepted = self.where(self.usable & (self.num_probs == num_classes))
        return replace(accepted, rejection=None, num_probs=num_classes)

    def where(self, chosen: Bools) -> "Block":
        """Keep some of the rows."""
        arrays: dict[str, Any] = {
            name: values[chosen] for name, values in vars(self).items() if isinstance(values, np.ndarray)
        }
        return replace(self, **arrays, parts=self.parts.where(chosen))

    def to_batch(
        self, rows: Int64s | Bools, names: Sequence[str], more: Mapping[str, Any] | None = None
    ) -> pa.RecordBatch:
        """Make a record batch of some rows.

        Args:
            rows: row numbers, in any order and as often as they are named, or a mask.
            names: ids and numbers wanted, by their names in `tables.columns`.
            more: further columns, one value for each of `rows`; their names may be among `names`.
        """
        index = np.flatnonzero(rows) if rows.dtype == bool else rows
        numbers = {
            c.GIVEN: self.given,
            c.PREDICTED: self.predicted,
            c.EVIDENCE_SELF_CONFIDENCE: self.self_confidence,
            c.MAX_PROB: self.max_prob,
            c.SECOND_MAX_PROB: self.second_max_prob,
        }
        added = dict(more or {})
        columns: dict[str, Any] = {}
        for name in names:
            if name in numbers:
                columns[name] = pa.array(numbers[name][index])
            elif name not in added:
                columns[name] = self.ids.column(name).take(pa.array(index))
        columns |= {name: pa.array(values) for name, values in added.items()}
        return pa.RecordBatch.from_pydict(columns)


def concat_blocks(blocks: Sequence[Block]) -> Block:
    """Concatenate blocks that hold all their parts."""
    if len(blocks) == 1:
        return blocks[0]
    numbers: dict[str, Any] = {
        name: np.concatenate([getattr(block, name) for block in blocks]) for name in NUMBERS
    }
    starts = np.cumsum([0, *map(len, blocks)])[:-1].tolist()
    return Block(
        **numbers,
        rejection=_concat_or_none(blocks, "rejection", np.int8),
        num_probs=_concat_num_probs(blocks),
        confident=_concat_confident(blocks),
        min_prob=_concat_or_none(blocks, "min_prob", numbers["max_prob"].dtype),
        parts=BlockParts(
            ids=pa.Table.from_batches([block.ids for block in blocks]).combine_chunks().to_batches()[0],
            listed=ListedProbs.concat(
                [
                    replace(block.listed, row=block.listed.row + np.int32(start))
                    for block, start in zip(blocks, starts, strict=True)
                ]
            ),
            kept=KeptArrays(
                np.concatenate(
                    [block.kept.rows + start for block, start in zip(blocks, starts, strict=True)]
                ),
                pa.concat_arrays([block.kept.arrays for block in blocks]),
            ),
        ),
    )


def _concat_or_none(blocks: Sequence[Block], name: str, kind: Any) -> Any:
    """Concatenate an array that blocks lack where it would hold zeros only; None if all lack it."""
    if all(getattr(block, name) is None for block in blocks):
        return None
    parts = [(len(block), getattr(block, name)) for block in blocks]
    return np.concatenate([np.zeros(size, dtype=kind) if part is None else part for size, part in parts])


def _concat_num_probs(blocks: Sequence[Block]) -> Int32s | int:
    first = blocks[0].num_probs
    if isinstance(first, int) and all(
        isinstance(block.num_probs, int) and block.num_probs == first for block in blocks
    ):
        return first
    return np.concatenate([np.broadcast_to(np.int32(block.num_probs), len(block)) for block in blocks])


def _concat_confident(blocks: Sequence[Block]) -> Int32s | None:
    found = [block.confident for block in blocks if block.confident is not None]
    return np.concatenate(found) if found else None


class Kernel(Protocol):
    """A function that Spark's Python workers run: the blocks of a Spark task -> record batches."""

    def __call__(self, blocks: Iterator[Block], /) -> Iterator[pa.RecordBatch]:
        """Make record batches of blocks."""
        ...


class Source(Protocol):
    """A set of blocks to map kernels over, such as all accepted rows of a scan, or its suspects."""

    def __call__(self, kernel: Kernel, schema: str, parts: Sequence[str], /) -> DataFrame:
        """Map a kernel over all blocks.

        Args:
            kernel: what to run.
            schema: columns of the record batches it makes, as Spark reads them.
            parts: which of `PARTS` it asks for.
        """
        ...
