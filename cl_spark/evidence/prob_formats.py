"""How a row holds its probabilities: an array with a value per class, or the list of the classes worth listing.

Both say of an Arrow array of such rows what the evidence and the kernels ask of it, at the speed of numpy.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa

from cl_spark.kernels import CACHED_VALUES
from cl_spark.kernels.arrays import Bools, Float64s, Floats, Int32s, Int64s
from cl_spark.kernels.row_evidence import (
    ListingPolicy,
    RowEvidence,
    extract_dense,
    extract_sparse,
    find_entries,
)


@dataclass(frozen=True)
class LengthGroup:
    """The evidence of some rows of one length, and what is wrong with any.

    Attributes:
        rows: which rows of the column.
        length: how many classes each tells of.
        evidence: of these rows.
        lacking: whether one holds a null.
        odd: whether one lists a class twice or outside 0..K-1.
        flat: whether one lists no class above the value of absent ones.
    """

    rows: Int64s
    length: int
    evidence: RowEvidence
    has_null: Bools
    bad_classes: Bools
    none_above_absent: Bools


@dataclass(frozen=True)
class ProbLists:
    """A column of lists taken apart: their values one after the other, and where each begins."""

    lengths: Int64s
    has_null: Bools
    values: Floats
    classes: Int32s | None = None

    @cached_property
    def starts(self) -> Int64s:
        """Where each list begins."""
        return np.asarray(np.cumsum(np.maximum(self.lengths, 0)) - np.maximum(self.lengths, 0))

    def of(self, rows: Int64s) -> Int64s:
        """The find_entries of the values of some rows, one after the other."""
        lengths = self.lengths[rows]
        firsts = np.cumsum(lengths) - lengths
        return np.asarray(np.repeat(self.starts[rows] - firsts, lengths) + np.arange(int(lengths.sum())))

    @staticmethod
    def taken(column: pa.Array, element: str, *, sparse: bool) -> "ProbLists":
        """The lists of a column, their values as floats or doubles; a null one has length -1."""
        kind = pa.float32() if element == "float" else pa.float64()
        if pa.types.is_map(column.type):
            column = column.cast(
                pa.list_(pa.struct([("key", column.type.key_type), ("value", column.type.item_type)]))
            )
        lengths = column.value_lengths().fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
        flat, classes = column.flatten(), None
        nulls = np.zeros(len(flat), dtype=bool) if not flat.null_count else _nulls(flat)
        if sparse:
            parts = flat.flatten()
            if not pa.types.is_integer(parts[0].type):
                parts.reverse()
            for part in parts:
                nulls |= _nulls(part) if part.null_count else False
            flat = parts[1]
            classes = parts[0].fill_null(-1).cast(pa.int64()).to_numpy(zero_copy_only=False)
            classes = np.where((classes >= 0) & (classes < 2**31), classes, -1).astype(np.int32)
        if flat.type != kind:
            flat = flat.cast(kind)
        if flat.null_count:
            flat = flat.fill_null(0)
        has_null = np.zeros(len(column), dtype=bool)
        if nulls.any():
            has_null[np.repeat(np.arange(len(column)), np.maximum(lengths, 0))[nulls]] = True
        return ProbLists(lengths, has_null, flat.to_numpy(zero_copy_only=False), classes)


def _nulls(values: pa.Array) -> Bools:
    return np.asarray(values.is_null().to_numpy(zero_copy_only=False))


@dataclass(frozen=True)
class DenseProbs:
    """array<element> of length K; the class is the position."""

    element: str

    def lists(self, column: pa.Array) -> ProbLists:
        """The column taken apart."""
        return ProbLists.taken(column, self.element, sparse=False)

    def found(
        self, column: pa.Array, given: Int32s, listing: ListingPolicy, *, with_totals: bool
    ) -> Iterator[LengthGroup]:
        """The evidence of all rows that hold a value, by length."""
        lists = self.lists(column)
        for length in np.unique(lists.lengths[lists.lengths > 0]).tolist():
            rows = np.flatnonzero(lists.lengths == length)
            every = len(rows) == len(lists.lengths)
            matrix = (lists.values if every else lists.values[lists.of(rows)]).reshape(-1, length)
            none = np.zeros(len(rows), dtype=bool)
            evidence = extract_dense(given[rows], matrix, listing, with_totals=with_totals)
            yield LengthGroup(rows, length, evidence, lists.has_null[rows], none, none)

    def matrix(self, column: pa.Array, num_classes: int) -> Floats:
        """(n, K) values of accepted rows."""
        return self.lists(column).values.reshape(len(column), num_classes)

    def values_at(self, column: pa.Array, row: Int64s, class_index: Int64s) -> Floats:
        """The values of some classes of some accepted rows, in the order of the rows."""
        lists = self.lists(column)
        return np.asarray(lists.values[lists.starts[row] + class_index])

    def above(self, column: pa.Array, value: Floats, num_classes: int) -> tuple[Int64s, Int64s, Floats]:
        """(row, class, value) of all of accepted rows above a value for each row."""
        matrix = self.matrix(column, num_classes)
        row, class_index = np.divmod(np.flatnonzero(matrix > value[:, None]), num_classes)
        return row, class_index, matrix[row, class_index]


@dataclass(frozen=True)
class SparseProbs:
    """map<class, element>, or an array of structs of both: some classes; every absent one has the same value."""

    element: str
    num_classes: int
    absent: float

    def lists(self, column: pa.Array) -> ProbLists:
        """The column taken apart."""
        return ProbLists.taken(column, self.element, sparse=True)

    def found(
        self, column: pa.Array, given: Int32s, listing: ListingPolicy, *, with_totals: bool
    ) -> Iterator[LengthGroup]:
        """The evidence of all rows that list a class."""
        lists = self.lists(column)
        rows = np.flatnonzero(lists.lengths > 0)
        if len(rows):
            assert lists.classes is not None
            parts = lists.lengths[rows], lists.classes, lists.values
            evidence, bad_classes, none_above_absent = extract_sparse(
                given[rows], *parts, self.num_classes, self.absent, listing, with_totals=with_totals
            )
            yield LengthGroup(
                rows, self.num_classes, evidence, lists.has_null[rows], bad_classes, none_above_absent
            )

    def matrix(self, column: pa.Array, num_classes: int) -> Floats:
        """(n, K) values of accepted rows."""
        lists = self.lists(column)
        matrix = np.full((len(column), num_classes), self.absent, dtype=lists.values.dtype)
        matrix[np.repeat(np.arange(len(column)), lists.lengths), lists.classes] = lists.values
        return matrix

    def values_at(self, column: pa.Array, row: Int64s, class_index: Int64s) -> Floats:
        """The values of some classes of some accepted rows, in the order of the rows."""
        lists = self.lists(column)
        assert lists.classes is not None
        rows = np.repeat(np.arange(len(column)), lists.lengths)
        place = find_entries(rows, lists.classes, row, class_index, self.num_classes)
        return np.where(place >= 0, lists.values[place], lists.values.dtype.type(self.absent))


ProbFormat = DenseProbs | SparseProbs


def map_rows(
    prob_format: ProbFormat,
    column: pa.Array,
    num_classes: int,
    kernel: Callable[[slice, Float64s], Floats],
) -> Floats:
    """What a kernel makes of accepted rows, given which they are and their (n, K) doubles, so many at a time as fit in memory."""
    step = max(CACHED_VALUES // num_classes, 1)
    parts = [slice(start, start + step) for start in range(0, max(len(column), 1), step)]
    return np.concatenate(
        [kernel(rows, prob_format.matrix(column[rows], num_classes).astype(np.float64)) for rows in parts]
    )
