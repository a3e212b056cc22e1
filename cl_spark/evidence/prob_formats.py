"""Formats of probabilities: an array with a value per class (dense), or a list of some classes (sparse).

Both formats answer the same questions about an Arrow column of such rows, at the speed of numpy.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Protocol

import numpy as np
import pyarrow as pa

from cl_spark.kernels import CACHED_VALUES, EPS
from cl_spark.kernels.arrays import Bools, Float64s, Floats, Int32s, Int64s
from cl_spark.kernels.fixed_point import LIMB
from cl_spark.kernels.row_evidence import ListingPolicy, RowEvidence, extract_dense
from cl_spark.kernels.sparse_evidence import SparseRows, extract_sparse, find_entries


@dataclass(frozen=True)
class LengthGroup:
    """The evidence of those rows of a column that have the same number of probabilities; (m,) each.

    Attributes:
        rows: which rows of the column.
        num_probs: how many probabilities each has, absent classes included.
        evidence: evidence of these rows.
        has_null: True where a probability, or a listed class, is null.
        has_bad_classes: True where the row lists a class twice, or one outside 0..K-1.
        none_above_absent: True where the row lists no class above the probability of absent ones.
    """

    rows: Int64s
    num_probs: int
    evidence: RowEvidence
    has_null: Bools
    has_bad_classes: Bools
    none_above_absent: Bools


@dataclass(frozen=True)
class ProbLists:
    """A column of arrays taken apart.

    Attributes:
        lengths: (n,) length of each array; -1 of a null one.
        has_null: (n,) True where a value of the array is null.
        probs: (m,) all values, one array after the other; nulls are 0.
    """

    lengths: Int64s
    has_null: Bools
    probs: Floats

    @cached_property
    def starts(self) -> Int64s:
        """(n,) position of the first value of each array."""
        lengths = np.maximum(self.lengths, 0)
        return np.asarray(np.cumsum(lengths) - lengths)

    def find_positions(self, rows: Int64s) -> Int64s:
        """Find the positions of the values of some rows, one row after the other."""
        lengths = self.lengths[rows]
        firsts = np.cumsum(lengths) - lengths
        return np.asarray(np.repeat(self.starts[rows] - firsts, lengths) + np.arange(int(lengths.sum())))


@dataclass(frozen=True)
class SparseProbLists(ProbLists):
    """A column of lists of classes taken apart.

    Attributes:
        classes: (m,) class of each value; -1 where it is null or does not fit.
    """

    classes: Int32s


@dataclass(frozen=True)
class DenseProbs:
    """Arrays of floats or doubles, a value per class.

    Attributes:
        element: "float" or "double".
    """

    element: str

    def take_apart(self, column: pa.Array) -> ProbLists:
        """Take a column of arrays apart."""
        lengths, values = _flatten(column)
        nulls = _find_nulls(values)
        return ProbLists(lengths, _mark_rows(lengths, nulls), _to_numbers(values, self.element))

    def extract_evidence(
        self, column: pa.Array, given: Int32s, policy: ListingPolicy, *, with_sums: bool
    ) -> Iterator[LengthGroup]:
        """Extract the evidence of all rows whose array is neither null nor empty.

        Args:
            column: (n,) arrays.
            given: (n,) given classes; any number that is no class is none.
            policy: what to list.
            with_sums: sum the probabilities of each row too.
        """
        lists = self.take_apart(column)
        lengths = np.unique(lists.lengths)
        for length in lengths[lengths > 0].tolist():
            rows = np.flatnonzero(lists.lengths == length)
            if len(rows) == len(column):  # most batches: their values are a matrix already
                probs = lists.probs.reshape(-1, length)
            else:
                probs = lists.probs[lists.find_positions(rows)].reshape(-1, length)
            evidence = extract_dense(given[rows], probs, policy, with_sums=with_sums)
            none = np.zeros(len(rows), dtype=bool)
            yield LengthGroup(rows, length, evidence, lists.has_null[rows], none, none)

    def to_matrix(self, column: pa.Array, num_classes: int) -> Floats:
        """(n, K) probabilities of accepted rows."""
        return self.take_apart(column).probs.reshape(len(column), num_classes)

    def take_probs(self, column: pa.Array, row: Int64s, class_index: Int64s) -> Floats:
        """Take the probabilities of some classes of accepted rows.

        Args:
            column: arrays of K values.
            row: (q,) rows, ascending.
            class_index: (q,) classes.

        Returns:
            (q,) probabilities.
        """
        lists = self.take_apart(column)
        return np.asarray(lists.probs[lists.starts[row] + class_index])

    def find_above(self, column: pa.Array, prob: Floats, num_classes: int) -> tuple[Int64s, Int64s, Floats]:
        """Find all classes of accepted rows that lie above a probability of each row.

        Args:
            column: (n,) arrays of K values.
            prob: (n,) probabilities.
            num_classes: K.

        Returns:
            (row, class, probability) of each class found, ordered by row.
        """
        matrix = self.to_matrix(column, num_classes)
        row, class_index = np.divmod(np.flatnonzero(matrix > prob[:, None]), num_classes)
        return row, class_index, matrix[row, class_index]


@dataclass(frozen=True)
class MeanProbs(DenseProbs):
    """Arrays of several models, one after the other, of which the mean counts.

    Attributes:
        element: "double".
        num_models: how many models there are.
    """

    num_models: int

    def extract_evidence(
        self, column: pa.Array, given: Int32s, policy: ListingPolicy, *, with_sums: bool
    ) -> Iterator[LengthGroup]:
        """Extract the evidence of the means; what is wrong with the values of a model is wrong with a row.

        The lowest probability is that of any model, the sum that which is farthest from 1, and a highest
        probability or a self-confidence that is too large, or above 1 where sums are asked for, takes the
        place of the highest probability.
        """
        whole = DenseProbs(self.element).take_apart(column)
        for group in super().extract_evidence(column, given, policy, with_sums=with_sums):
            values = whole.probs[whole.find_positions(group.rows)]
            of_models = values.reshape(len(group.rows), self.num_models, group.num_probs)
            evidence, highest = group.evidence, of_models.max(axis=2)
            labels = given[group.rows]
            is_class = (labels >= 0) & (labels < group.num_probs)
            of_given = of_models[np.arange(len(labels)), :, np.where(is_class, labels, 0)]
            of_given = np.where(is_class[:, None], of_given, 0)
            largest = np.maximum(np.abs(highest), np.abs(of_given)).max(axis=1)
            sums = evidence.prob_sum
            if sums is not None:
                every = of_models.sum(axis=2)
                farthest = np.abs(every - 1).argmax(axis=1)
                sums = every[np.arange(len(every)), farthest]
            is_wrong = (largest >= LIMB) | (with_sums & (highest.max(axis=1) > 1 + EPS))
            evidence = replace(
                evidence,
                min_prob=of_models.min(axis=(1, 2)),
                max_prob=np.where(is_wrong, largest, evidence.max_prob),
                prob_sum=sums,
            )
            yield replace(group, evidence=evidence)

    def take_apart(self, column: pa.Array) -> ProbLists:
        """Take a column apart into the means over the models, added in their order."""
        whole = DenseProbs(self.element).take_apart(column)
        lengths = np.where(whole.lengths > 0, whole.lengths // self.num_models, whole.lengths)
        means = ProbLists(lengths, whole.has_null, np.zeros(int(np.maximum(lengths, 0).sum())))
        for length in np.unique(lengths[lengths > 0]).tolist():
            rows = np.flatnonzero(lengths == length)
            probs = whole.probs[whole.find_positions(rows)].reshape(-1, self.num_models, length)
            means.probs[means.find_positions(rows)] = probs.mean(axis=1).ravel()
        return means


@dataclass(frozen=True)
class SparseProbs:
    """Maps of class to probability, or arrays of structs of both.

    All classes that a row leaves out have the same probability.

    Attributes:
        element: "float" or "double".
        num_classes: K.
        absent_prob: probability of the classes a row leaves out.
    """

    element: str
    num_classes: int
    absent_prob: float

    def take_apart(self, column: pa.Array) -> SparseProbLists:
        """Take a column of lists apart."""
        if pa.types.is_map(column.type):
            entry = pa.struct([("key", column.type.key_type), ("value", column.type.item_type)])
            column = column.cast(pa.list_(entry))
        lengths, entries = _flatten(column)
        # flatten() of a struct array carries the nulls of the struct into its parts
        classes, values = entries.flatten()
        if not pa.types.is_integer(classes.type):
            classes, values = values, classes
        nulls = _find_nulls(entries) | _find_nulls(classes) | _find_nulls(values)
        index = classes.fill_null(-1).cast(pa.int64()).to_numpy(zero_copy_only=False)
        index = np.where((index >= 0) & (index < 2**31), index, -1).astype(np.int32)
        return SparseProbLists(lengths, _mark_rows(lengths, nulls), _to_numbers(values, self.element), index)

    def extract_evidence(
        self, column: pa.Array, given: Int32s, policy: ListingPolicy, *, with_sums: bool
    ) -> Iterator[LengthGroup]:
        """Extract the evidence of all rows that list a class; see `DenseProbs.extract_evidence`."""
        lists = self.take_apart(column)
        rows = np.flatnonzero(lists.lengths > 0)
        if not len(rows):
            return
        # rows without entries have no place in the flat arrays, so these hold the entries of `rows` alone
        sparse = SparseRows(
            lists.lengths[rows], lists.classes, lists.probs, self.num_classes, self.absent_prob
        )
        found = extract_sparse(given[rows], sparse, policy, with_sums=with_sums)
        yield LengthGroup(
            rows,
            self.num_classes,
            found.evidence,
            lists.has_null[rows],
            found.has_bad_classes,
            found.none_above_absent,
        )

    def to_matrix(self, column: pa.Array, num_classes: int) -> Floats:
        """(n, K) probabilities of accepted rows."""
        lists = self.take_apart(column)
        matrix = np.full((len(column), num_classes), self.absent_prob, dtype=lists.probs.dtype)
        matrix[np.repeat(np.arange(len(column)), lists.lengths), lists.classes] = lists.probs
        return matrix

    def take_probs(self, column: pa.Array, row: Int64s, class_index: Int64s) -> Floats:
        """Take the probabilities of some classes of accepted rows; see `DenseProbs.take_probs`."""
        lists = self.take_apart(column)
        rows = np.repeat(np.arange(len(column)), lists.lengths)
        position = find_entries(rows, lists.classes, row, class_index, self.num_classes)
        absent_prob = lists.probs.dtype.type(self.absent_prob)
        return np.where(position >= 0, lists.probs[position], absent_prob)


ProbFormat = DenseProbs | MeanProbs | SparseProbs


class MatrixKernel(Protocol):
    """A function of some rows and their (m, K) probabilities as doubles."""

    def __call__(self, rows: slice, probs: Float64s, /) -> Floats | Int32s:
        """Compute (m,) values, one for each row."""
        ...


def map_rows(prob_format: ProbFormat, column: pa.Array, num_classes: int, kernel: MatrixKernel) -> Floats:
    """Compute a value for each accepted row from its probabilities.

    The kernel gets so many rows at a time as stay in the processor's cache.

    Args:
        prob_format: format of the column.
        column: (n,) rows.
        num_classes: K.
        kernel: what to compute.

    Returns:
        (n,) values.
    """
    step = max(CACHED_VALUES // num_classes, 1)
    parts = [slice(start, start + step) for start in range(0, max(len(column), 1), step)]
    return np.concatenate(
        [kernel(rows, prob_format.to_matrix(column[rows], num_classes).astype(np.float64)) for rows in parts]
    )


def _flatten(column: pa.Array) -> tuple[Int64s, pa.Array]:
    """Flatten a column of lists: their lengths, -1 of a null one, and all their values."""
    lengths = column.value_lengths().fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
    return lengths, column.flatten()


def _find_nulls(values: pa.Array) -> Bools:
    if not values.null_count:
        return np.zeros(len(values), dtype=bool)
    return np.asarray(values.is_null().to_numpy(zero_copy_only=False))


def _mark_rows(lengths: Int64s, flags: Bools) -> Bools:
    """Mark the rows that have a marked value."""
    marked = np.zeros(len(lengths), dtype=bool)
    if flags.any():
        marked[np.repeat(np.arange(len(lengths)), np.maximum(lengths, 0))[flags]] = True
    return marked


def _to_numbers(values: pa.Array, element: str) -> Floats:
    """Convert to floats or doubles; nulls become 0."""
    kind = pa.float32() if element == "float" else pa.float64()
    if values.type != kind:
        values = values.cast(kind)
    if values.null_count:
        values = values.fill_null(0)
    return np.asarray(values.to_numpy(zero_copy_only=False))
