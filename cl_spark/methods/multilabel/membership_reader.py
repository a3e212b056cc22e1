"""From a batch of input rows to memberships: given labels and probabilities of rows that can be used."""

from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from cl_spark.evidence.prob_formats import ProbFormat, ProbLists, SparseProbLists, SparseProbs
from cl_spark.evidence.validity import (
    RejectionReason,
    choose_reasons,
    find_null_ids,
    name_null_parts,
    to_flags,
)
from cl_spark.kernels import EPS
from cl_spark.kernels.arrays import Bools, Floats, Int8s, Int32s, Int64s
from cl_spark.kernels.memberships import DenseMemberships, MembershipRows, SparseMemberships
from cl_spark.methods.classification.rejection import EXPLAINED_BY_LENGTH
from cl_spark.tables import columns as c


class LabelForm(IntEnum):
    """Form of the class indices of a row: some tell that the labels may mean something else."""

    ORDINARY = 0
    FLAGS = 1
    """As many labels as classes, at least 3, and all of them 0 or 1: maybe a flag for each class."""
    HAS_FIRST = 2
    """The least label is 0."""
    HAS_NEXT = 3
    """The least label is above 0, and the greatest is K: maybe labels count from 1."""
    BEYOND = 4
    """The least label is above 0, and the greatest is above K."""


class GivenLabels(NamedTuple):
    """Given labels of the n rows of a batch.

    Attributes:
        row: (m,) row of each label, ascending.
        class_index: (m,) its class, ascending in each row; a class named twice comes once. -1 names no class.
        is_null: (n,) True where the labels, or one of them, are null.
        is_unknown: (n,) True where a label names no class.
        greatest: (n,) greatest class index of the row, -1 where it has none.
        least: (n,) least class index; a great number where it has none.
        times: (n,) labels of the row, a class named twice counted twice.
    """

    row: Int64s
    class_index: Int64s
    is_null: Bools
    is_unknown: Bools
    greatest: Int64s
    least: Int64s
    times: Int64s


class BatchRows(NamedTuple):
    """The rows of a batch.

    Attributes:
        rejection: (n,) code of the `RejectionReason` of each row, 0 for none.
        num_probs: (n,) how many probabilities each row has; -1 for null.
        form: (n,) the `LabelForm` of each row; of labels that are indices only.
        groups: rows that can be used, by their number of probabilities: their positions in the batch, and
            their memberships.
    """

    rejection: Int8s
    num_probs: Int64s
    form: Int8s
    groups: list[tuple[Int64s, MembershipRows]]


@dataclass(frozen=True)
class MembershipReader:
    """Reads the memberships in a record batch of `MultilabelPredictions.select_rows`.

    Attributes:
        prob_format: format of the probabilities.
        class_names: names of the classes, where labels are names; None where they are indices or booleans.
        ids: id columns.
        num_classes: K; None where it is not known yet.
    """

    prob_format: ProbFormat
    class_names: tuple[str, ...] | None
    ids: tuple[str, ...]
    num_classes: int | None = None

    def __call__(self, batch: pa.RecordBatch) -> BatchRows:
        """Read a record batch."""
        size = batch.num_rows
        given = self._read_labels(batch.column(c.LABEL))
        lists = self.prob_format.take_apart(batch.column(c.PROBS))
        num_probs = lists.lengths
        if self._num_listable:  # an empty list says that every class is improbable
            num_probs = np.where(lists.lengths >= 0, self._num_listable, -1)
        rejection = self._find_reasons(batch, given, lists, num_probs)
        groups: list[tuple[Int64s, MembershipRows]] = []
        usable = rejection == RejectionReason.NONE
        for length in np.unique(num_probs[usable]).tolist():
            if self.num_classes not in (None, length):
                continue
            rows = np.flatnonzero(usable & (num_probs == length))
            groups.append((rows, self._make_rows(lists, given, rows, length, size)))
        are_indices = pa.types.is_integer(batch.column(c.LABEL).type.value_type)
        form = find_forms(given, num_probs) if are_indices else np.zeros(size, dtype=np.int8)
        return BatchRows(rejection, num_probs, form, groups)

    @property
    def _num_listable(self) -> int:
        """K of sparse probabilities; 0 of dense ones."""
        return self.prob_format.num_classes if isinstance(self.prob_format, SparseProbs) else 0

    def _read_labels(self, labels: pa.Array) -> GivenLabels:
        size = len(labels)
        lengths = labels.value_lengths().fill_null(0).to_numpy(zero_copy_only=False).astype(np.int64)
        values = labels.flatten()
        row = np.repeat(np.arange(size), lengths)
        is_null = to_flags(labels.is_null())
        is_null[row[to_flags(values.is_null())]] = True
        if pa.types.is_boolean(values.type):
            starts = np.cumsum(lengths) - lengths
            class_index = np.arange(len(values)) - starts[row]
            has = to_flags(values.fill_null(False))
            row, class_index = row[has], class_index[has]
        elif self.class_names is not None:
            names = pa.array(self.class_names, values.type)
            found = pc.index_in(values, value_set=names).fill_null(-1)
            class_index = found.to_numpy(zero_copy_only=False).astype(np.int64)
        else:
            class_index = values.fill_null(0).to_numpy(zero_copy_only=False)
        is_unknown = np.zeros(size, dtype=bool)
        if self.class_names is not None:
            is_unknown[row[class_index < 0]] = True
        greatest, least = np.full(size, -1), np.full(size, np.iinfo(np.int64).max)
        np.maximum.at(greatest, row, class_index)
        np.minimum.at(least, row, class_index)
        order = np.lexsort((class_index, row))
        row, class_index = row[order], class_index[order]
        is_first = np.ones(len(row), dtype=bool)
        is_first[1:] = (row[1:] != row[:-1]) | (class_index[1:] != class_index[:-1])
        return GivenLabels(
            row[is_first], class_index[is_first], is_null, is_unknown, greatest, least, lengths
        )

    def _find_reasons(
        self, batch: pa.RecordBatch, given: GivenLabels, lists: ProbLists, num_probs: Int64s
    ) -> Int8s:
        """Find why each row is rejected; 0 where it is not."""
        size = len(num_probs)
        null_ids = find_null_ids(batch, self.ids)
        row = np.repeat(np.arange(size), np.maximum(lists.lengths, 0))
        failed: dict[RejectionReason, Bools] = {
            RejectionReason.NULL_ID: np.logical_or.reduce(null_ids),
            RejectionReason.NULL_LABEL: given.is_null,
            RejectionReason.UNKNOWN_CLASS: given.is_unknown,
            RejectionReason.NULL_PROBS: num_probs <= 0,
            RejectionReason.NULL_PROBABILITY: lists.has_null,
            RejectionReason.NOT_FINITE: _mark(row, ~np.isfinite(lists.probs), size),
            RejectionReason.NO_PROBABILITY: _mark(row, (lists.probs < -EPS) | (lists.probs > 1 + EPS), size),
            RejectionReason.LABEL_OUT_OF_RANGE: (given.greatest >= num_probs) | (given.least < 0),
        }
        if isinstance(lists, SparseProbLists):
            failed[RejectionReason.NO_SET_OF_CLASSES] = self._find_bad_lists(row, lists.classes, size)
        if c.REPEATED in batch.schema.names:
            is_repeated = to_flags(batch.column(c.REPEATED).fill_null(False))
            failed[RejectionReason.REPEATED_ID] = is_repeated
        codes = name_null_parts(choose_reasons(failed, size), null_ids)
        if self.num_classes is not None:
            has_wrong_length = np.isin(codes, EXPLAINED_BY_LENGTH) & (num_probs != self.num_classes)
            codes[has_wrong_length] = RejectionReason.WRONG_LENGTH
        return codes

    def _find_bad_lists(self, row: Int64s, classes: Int32s, size: int) -> Bools:
        """Find the rows that list a class twice, or one outside 0..K-1."""
        order = np.lexsort((classes, row))
        of_row, of_class = row[order], classes[order]
        is_twice = np.zeros(len(row), dtype=bool)
        is_twice[1:] = (of_row[1:] == of_row[:-1]) & (of_class[1:] == of_class[:-1])
        return _mark(of_row, is_twice | (of_class < 0) | (of_class >= self._num_listable), size)

    @staticmethod
    def _make_rows(
        lists: ProbLists, given: GivenLabels, rows: Int64s, length: int, size: int
    ) -> MembershipRows:
        """Make the memberships of rows with the same number of probabilities."""
        number = np.full(size, -1)
        number[rows] = np.arange(len(rows))
        is_wanted = number[given.row] >= 0
        given_row, given_class = number[given.row[is_wanted]], given.class_index[is_wanted]
        if not isinstance(lists, SparseProbLists):
            values: Floats = lists.probs
            if len(rows) < size:
                values = values[lists.find_positions(rows)]
            return DenseMemberships(values.reshape(len(rows), length), given_row, given_class)
        position = lists.find_positions(rows)
        listed_row = np.repeat(np.arange(len(rows)), lists.lengths[rows])
        keys = np.concatenate(
            [
                listed_row * length + lists.classes[position],
                given_row * length + given_class,
            ]
        )
        probs = np.concatenate([lists.probs[position].astype(np.float64), np.zeros(len(given_row))])
        entries, first, of_entry = np.unique(keys, return_index=True, return_inverse=True)
        is_given = np.zeros(len(entries), dtype=bool)
        is_given[of_entry[len(position) :]] = True
        row, class_index = np.divmod(entries, length)
        # of a class both listed and given, the first entry is the listed one
        return SparseMemberships(len(rows), length, row, class_index, probs[first], is_given)


def find_forms(given: GivenLabels, num_probs: Int64s) -> Int8s:
    """Find what the labels of each row look like: (n,) codes of `LabelForm`.

    Args:
        given: labels that are class indices.
        num_probs: (n,) how many probabilities each row has: K, where it can be used.
    """
    form = np.full(len(num_probs), LabelForm.ORDINARY, dtype=np.int8)
    form[(given.least > 0) & (given.greatest == num_probs)] = LabelForm.HAS_NEXT
    form[(given.least > 0) & (given.greatest > num_probs)] = LabelForm.BEYOND
    form[given.least == 0] = LabelForm.HAS_FIRST
    # so many labels of two classes name one of them twice, which few sets of class indices do
    is_flags = (given.least >= 0) & (given.greatest <= 1) & (given.times == num_probs) & (num_probs >= 3)
    form[is_flags] = LabelForm.FLAGS
    form[given.is_null] = LabelForm.ORDINARY  # nulls were read as 0
    return form


def _mark(row: Int64s, flags: Bools, size: int) -> Bools:
    marked = np.zeros(size, dtype=bool)
    marked[row[flags]] = True
    return marked
