"""From a batch of input rows to a block of evidence."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from cl_spark.evidence.blocks import Block, BlockParts, KeptArrays
from cl_spark.evidence.native_evidence import WANTED
from cl_spark.evidence.prob_formats import LengthGroup, ProbFormat
from cl_spark.evidence.validity import (
    RejectionReason,
    choose_reasons,
    find_null_ids,
    name_null_parts,
    to_flags,
)
from cl_spark.kernels import EPS
from cl_spark.kernels.arrays import Bools, Floats, Int8s, Int32s, Int64s
from cl_spark.kernels.dense_probs import SUM_TOLERANCE
from cl_spark.kernels.fixed_point import LIMB
from cl_spark.kernels.row_evidence import ListedProbs, ListingPolicy, find_suspects
from cl_spark.tables import columns as c


@dataclass(frozen=True)
class BlockBuilder:
    """Builds a block of a record batch of `Predictions.select_rows`: all its rows, rejected ones too.

    Attributes:
        prob_format: format of the probabilities.
        class_names: names of the classes, where labels are names; None where they are class indices.
        ids: id columns.
        slices: slice columns.
        policy: what to list.
        are_promised: the values are promised to be probabilities, so that rows of which they are none are
            rejected.
        keeps_all_arrays: keep the arrays of all rows.
        given_classes: (K,) True for the given classes whose rows are wanted; None for all rows.
    """

    prob_format: ProbFormat
    class_names: tuple[str, ...] | None
    ids: tuple[str, ...]
    slices: tuple[str, ...]
    policy: ListingPolicy
    are_promised: bool = False
    keeps_all_arrays: bool = False
    given_classes: Bools | None = None

    def __call__(self, batch: pa.RecordBatch) -> Block:
        """Build the block of a record batch."""
        given = self._find_given(batch.column(c.LABEL))
        if self.given_classes is not None:
            wanted = _is_among(given, self.given_classes)
            batch, given = batch.filter(pa.array(wanted)), given[wanted]
        column = batch.column(c.PROBS)
        groups = self.prob_format.extract_evidence(column, given, self.policy, with_sums=self.are_promised)
        found = _merge_groups(
            groups, column, np.float32 if self.prob_format.element == "float" else np.float64
        )
        if c.NUM_PROBS in batch.schema.names:
            found = _add_told_rows(found, batch)
        rejection = self._find_reasons(batch, given, found)
        is_usable = rejection == RejectionReason.NONE
        listed = found.listed
        if not is_usable.all():  # of rejected rows nothing is listed
            listed = listed.where(is_usable[listed.row])
        return Block(
            given,
            found.predicted,
            found.self_confidence,
            found.max_prob,
            found.second_max_prob,
            found.unlisted_max_prob,
            rejection=None if is_usable.all() else rejection,
            num_probs=_shorten(found.num_probs),
            min_prob=found.min_prob if (found.min_prob < -EPS).any() else None,
            parts=BlockParts(
                ids=batch.select([*self.ids, *self.slices]),
                listed=listed,
                kept=self._keep_arrays(column, given, found, is_usable),
            ),
        )

    def _find_given(self, labels: pa.Array) -> Int32s:
        """Find the given class of each row; -1 where the label is null or names no class."""
        if self.class_names is not None:
            names = pa.array(self.class_names, labels.type)
            found = pc.index_in(labels, value_set=names).fill_null(-1).to_numpy(zero_copy_only=False)
            return np.asarray(found, dtype=np.int32)
        index = labels.fill_null(-1).to_numpy(zero_copy_only=False)
        return np.where((index >= 0) & (index < 2**31), index, -1).astype(np.int32)

    def _find_reasons(self, batch: pa.RecordBatch, given: Int32s, found: "_BatchEvidence") -> Int8s:
        """Find why each row is rejected, as far as it tells by itself; 0 where it is not."""
        size = len(given)
        null_ids = find_null_ids(batch, self.ids)
        largest = np.fmax(np.abs(found.max_prob), np.abs(found.self_confidence))
        failed: dict[RejectionReason, Bools] = {
            RejectionReason.REPEATED_ID: np.zeros(size, dtype=bool),
            RejectionReason.NULL_ID: np.logical_or.reduce(null_ids),
            RejectionReason.NULL_LABEL: to_flags(batch.column(c.LABEL).is_null()),
            RejectionReason.UNKNOWN_CLASS: (given < 0) & (self.class_names is not None),
            RejectionReason.NULL_PROBS: found.num_probs <= 0,
            RejectionReason.NULL_PROBABILITY: found.has_null,
            RejectionReason.NOT_FINITE: found.is_infinite,
            RejectionReason.NO_SET_OF_CLASSES: found.has_bad_classes,
            RejectionReason.NONE_ABOVE_ABSENT: found.none_above_absent,
            RejectionReason.LABEL_OUT_OF_RANGE: (given < 0) | (given >= found.num_probs),
            RejectionReason.TOO_LARGE: largest >= LIMB,
            RejectionReason.NEGATIVE: found.is_negative,
            RejectionReason.NO_DISTRIBUTION: found.is_off_sum,
            RejectionReason.NO_PROBABILITY: (found.max_prob > 1 + EPS) & self.are_promised,
        }
        if c.REJECTION in batch.schema.names:
            codes = batch.column(c.REJECTION).fill_null(0).to_numpy(zero_copy_only=False)
            for reason in map(RejectionReason, np.unique(codes[codes > 0]).tolist()):
                failed[reason] = codes == reason
        if c.REPEATED in batch.schema.names:
            is_repeated = to_flags(batch.column(c.REPEATED).fill_null(False))
            failed[RejectionReason.REPEATED_ID] = is_repeated | failed[RejectionReason.REPEATED_ID]
        return name_null_parts(choose_reasons(failed, size), null_ids)

    def _keep_arrays(
        self, column: pa.Array, given: Int32s, found: "_BatchEvidence", is_usable: Bools
    ) -> KeptArrays:
        if self.keeps_all_arrays:
            rows = np.flatnonzero(to_flags(column.is_valid()))
            return KeptArrays(rows, column.drop_null())
        is_suspect = find_suspects(given, found.predicted, found.self_confidence, found.max_prob)
        is_kept = self.policy.keeps_array(found.max_prob, found.unlisted_max_prob, found.num_probs)
        is_kept &= is_usable & is_suspect
        rows = np.flatnonzero(is_kept)
        return KeptArrays(rows, column.take(pa.array(rows)))


@dataclass(frozen=True)
class _BatchEvidence:
    """The evidence of all n rows of a batch, and what is wrong with them; (n,) each but for `listed`.

    Numbers of rows without probabilities are NaN, their predicted class is 0.
    """

    num_probs: Int32s
    predicted: Int32s
    self_confidence: Floats
    max_prob: Floats
    second_max_prob: Floats
    unlisted_max_prob: Floats
    listed: ListedProbs
    min_prob: Floats
    has_null: Bools
    has_bad_classes: Bools
    none_above_absent: Bools
    is_infinite: Bools
    is_negative: Bools
    is_off_sum: Bools


def _merge_groups(groups: Iterable[LengthGroup], column: pa.Array, kind: type[np.floating]) -> _BatchEvidence:
    """Merge the evidence of rows of several lengths, and of rows without probabilities.

    Args:
        groups: evidence of some rows of the column.
        column: (n,) probabilities.
        kind: precision of the probabilities.
    """
    size = len(column)
    merged = _BatchEvidence(
        # -1 where the probabilities are null, 0 where they are empty
        num_probs=np.where(to_flags(column.is_valid()), 0, -1).astype(np.int32),
        predicted=np.zeros(size, dtype=np.int32),
        self_confidence=np.full(size, np.nan, dtype=kind),
        max_prob=np.full(size, np.nan, dtype=kind),
        second_max_prob=np.full(size, np.nan, dtype=kind),
        unlisted_max_prob=np.full(size, np.nan, dtype=kind),
        listed=ListedProbs(np.zeros(0, dtype=np.int32), np.zeros(0, dtype=np.int32), np.zeros(0, dtype=kind)),
        min_prob=np.zeros(size, dtype=kind),
        has_null=np.zeros(size, dtype=bool),
        has_bad_classes=np.zeros(size, dtype=bool),
        none_above_absent=np.zeros(size, dtype=bool),
        is_infinite=np.zeros(size, dtype=bool),
        is_negative=np.zeros(size, dtype=bool),
        is_off_sum=np.zeros(size, dtype=bool),
    )
    listed = []
    for group in groups:
        # nearly always one group holds all rows: slices are quicker than row numbers
        rows: slice | Int64s = slice(None) if len(group.rows) == size else group.rows
        evidence = group.evidence
        merged.num_probs[rows] = group.num_probs
        merged.predicted[rows] = evidence.predicted
        merged.self_confidence[rows] = evidence.self_confidence
        merged.max_prob[rows] = evidence.max_prob
        merged.second_max_prob[rows] = evidence.second_max_prob
        merged.unlisted_max_prob[rows] = evidence.unlisted_max_prob
        merged.has_null[rows] = group.has_null
        merged.has_bad_classes[rows] = group.has_bad_classes
        merged.none_above_absent[rows] = group.none_above_absent
        merged.min_prob[rows] = evidence.min_prob
        merged.is_infinite[rows] = ~np.isfinite(evidence.max_prob) | (evidence.min_prob == -np.inf)
        if evidence.prob_sum is not None:
            merged.is_negative[rows] = evidence.min_prob < -EPS
            merged.is_off_sum[rows] = np.abs(evidence.prob_sum - 1) > SUM_TOLERANCE
        if len(group.rows) == size:
            listed.append(evidence.listed)
        else:
            listed.append(replace(evidence.listed, row=group.rows[evidence.listed.row].astype(np.int32)))
    return replace(merged, listed=ListedProbs.concat(listed)) if listed else merged


def _add_told_rows(found: _BatchEvidence, batch: pa.RecordBatch) -> _BatchEvidence:
    """Fill in the evidence of rows whose arrays stayed in Spark (see `native_evidence`)."""
    rows = np.flatnonzero(to_flags(batch.column(c.NUM_PROBS).is_valid()))
    told = batch.take(pa.array(rows))
    for values, name in (
        (found.num_probs, c.NUM_PROBS),
        (found.predicted, c.PREDICTED),
        (found.self_confidence, c.EVIDENCE_SELF_CONFIDENCE),
        (found.max_prob, c.MAX_PROB),
        (found.second_max_prob, c.SECOND_MAX_PROB),
        (found.unlisted_max_prob, c.SECOND_MAX_PROB),
    ):
        values[rows] = told.column(name).to_numpy(zero_copy_only=False)
    if c.LISTED_PROBS not in batch.schema.names:
        return found
    wanted, probs = told.column(WANTED), told.column(c.LISTED_PROBS)
    listed = ListedProbs(
        np.repeat(rows, wanted.value_lengths().to_numpy(zero_copy_only=False)).astype(np.int32),
        wanted.flatten().to_numpy(zero_copy_only=False),
        probs.flatten().to_numpy(zero_copy_only=False),
    )
    listed = listed.where(listed.class_index != found.predicted[listed.row])
    return replace(found, listed=ListedProbs.concat([found.listed, listed]))


def _is_among(given: Int32s, classes: Bools) -> Bools:
    """(n,) True where the given class is one of those wanted."""
    is_class = (given >= 0) & (given < len(classes))
    is_class[is_class] = classes[given[is_class]]
    return is_class


def _shorten(num_probs: Int32s) -> Int32s | int:
    """Give one number for all rows, where they have as many probabilities."""
    is_one = len(num_probs) > 0 and bool((num_probs == num_probs[0]).all())
    return int(num_probs[0]) if is_one else num_probs
