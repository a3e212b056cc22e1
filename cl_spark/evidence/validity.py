"""What rows of the input come to: blocks of evidence, and of each row whether it can be used or why not."""

from dataclasses import replace
from enum import IntEnum

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from cl_spark.evidence.blocks import Block, BlockParts, KeptArrays
from cl_spark.evidence.labels import UNMATCHED
from cl_spark.evidence.prob_formats import ProbFormat
from cl_spark.kernels.arrays import Bools, Int64s
from cl_spark.kernels.fixed_point import LIMB
from cl_spark.kernels.row_evidence import ListedProbs, ListingPolicy, find_suspects
from cl_spark.tables import columns as c


class RejectionReason(IntEnum):
    """Why a row cannot be used; 0 is an accepted row. Kept as one byte in the evidence."""

    NONE = 0
    NULL_ID = 1
    NULL_LABEL = 2
    UNKNOWN_CLASS = 3
    NULL_PROBS = 4
    NULL_PROBABILITY = 5
    NOT_FINITE = 6
    TOO_LARGE = 7
    LABEL_OUT_OF_RANGE = 8
    WRONG_LENGTH = 9
    NO_PREDICTION = 10
    NO_LABEL = 11
    NO_SET_OF_CLASSES = 12
    NONE_ABOVE_ABSENT = 13
    NEGATIVE = 14
    NO_DISTRIBUTION = 15
    REPEATED_ID = 16


REASONS = {
    RejectionReason.NULL_ID: "null id",
    RejectionReason.NULL_LABEL: "null label",
    RejectionReason.UNKNOWN_CLASS: "unknown class name",
    RejectionReason.NULL_PROBS: "null or empty pred_probs",
    RejectionReason.NULL_PROBABILITY: "null inside pred_probs",
    RejectionReason.NOT_FINITE: "NaN or infinity in pred_probs",
    RejectionReason.TOO_LARGE: "score beyond 2^29",
    RejectionReason.LABEL_OUT_OF_RANGE: "label outside 0..K-1",
    RejectionReason.WRONG_LENGTH: "pred_probs of another length than K",
    RejectionReason.NO_PREDICTION: "label without a prediction",
    RejectionReason.NO_LABEL: "prediction without a label",
    RejectionReason.NO_SET_OF_CLASSES: "class listed twice or outside 0..K-1 in pred_probs",
    RejectionReason.NONE_ABOVE_ABSENT: "no class listed above the value of absent ones",
    RejectionReason.NEGATIVE: "negative value in pred_probs",
    RejectionReason.NO_DISTRIBUTION: "pred_probs that do not sum to 1",
    RejectionReason.REPEATED_ID: "id of several rows",
}


SUM_TOLERANCE = 0.01
"""How far probabilities may be from summing to 1: what half precision and rounding to three digits lose, and more."""


def block_of(
    batch: pa.RecordBatch,
    *,
    prob_format: ProbFormat,
    promised: bool,
    names: list[str] | None,
    ids: list[str],
    others: list[str],
    listing: ListingPolicy,
    every_array: bool,
    of_classes: Bools | None,
) -> Block:
    """The block of a batch of `Predictions.rows`.

    Args:
        batch: the rows.
        layout: of their probabilities.
        promised: the values are promised to be probabilities.
        names: names of the classes, where labels are names.
        ids: the id columns.
        others: the columns that go into `Block.ids`.
        listing: what to list.
        every_array: keep the arrays of all rows.
        of_classes: (K,) whether rows of a given class are wanted at all; None: all rows.
    """
    label = batch.column(c.LABEL)
    if names is None:
        index = label.fill_null(-1).to_numpy(zero_copy_only=False)
        given = np.where((index >= 0) & (index < 2**31), index, -1).astype(np.int32)
    else:
        given = (
            pc.index_in(label, value_set=pa.array(names, label.type))
            .fill_null(-1)
            .to_numpy(zero_copy_only=False)
        )
        given = given.astype(np.int32)
    if of_classes is not None:
        wanted = (given >= 0) & (given < len(of_classes))
        wanted[wanted] = of_classes[given[wanted]]
        batch, given = batch.filter(pa.array(wanted)), given[wanted]
    size, column, no_label = batch.num_rows, batch.column(c.PROBS), _flags(batch.column(c.LABEL).is_null())
    kind = np.dtype(np.float32 if prob_format.element == "float" else np.float64)
    predicted, length = np.zeros(size, dtype=np.int32), np.full(size, -1, dtype=np.int32)
    self_confidence, max_prob, second_max_prob, unlisted_max_prob = (
        np.full(size, np.nan, dtype=kind) for _ in range(4)
    )
    has_null, infinite, bad_classes, none_above_absent, negative, off = (
        np.zeros(size, dtype=bool) for _ in range(6)
    )
    length[_flags(column.is_valid())] = 0
    listed = []
    for found in prob_format.found(column, given, listing, with_totals=promised):
        evidence = found.evidence
        if len(found.rows) == size:
            predicted, self_confidence, max_prob, second_max_prob, unlisted_max_prob = (
                evidence.predicted,
                evidence.self_confidence,
                evidence.max_prob,
                evidence.second_max_prob,
                evidence.unlisted_max_prob,
            )
            rows: slice | Int64s = slice(None)
            listed.append(evidence.listed)
        else:
            rows = found.rows
            predicted[rows], self_confidence[rows], max_prob[rows] = (
                evidence.predicted,
                evidence.self_confidence,
                evidence.max_prob,
            )
            second_max_prob[rows], unlisted_max_prob[rows] = (
                evidence.second_max_prob,
                evidence.unlisted_max_prob,
            )
            listed.append(replace(evidence.listed, row=rows[evidence.listed.row].astype(np.int32)))
        length[rows], has_null[rows], bad_classes[rows], none_above_absent[rows] = (
            found.length,
            found.has_null,
            found.bad_classes,
            found.none_above_absent,
        )
        infinite[rows] = ~np.isfinite(evidence.max_prob) | (evidence.min_prob == -np.inf)
        if evidence.total is not None:
            negative[rows], off[rows] = evidence.min_prob < 0, np.abs(evidence.total - 1) > SUM_TOLERANCE
    unmatched = batch.column(UNMATCHED) if UNMATCHED in batch.schema.names else pa.nulls(size, pa.string())
    null_id = np.logical_or.reduce([_flags(batch.column(name).is_null()) for name in ids])
    checks = {
        RejectionReason.NULL_ID: null_id,
        RejectionReason.NO_LABEL: _flags(pc.equal(unmatched, "label").fill_null(False)),
        RejectionReason.NO_PREDICTION: _flags(pc.equal(unmatched, "prediction").fill_null(False)),
        RejectionReason.NULL_LABEL: no_label,
        RejectionReason.UNKNOWN_CLASS: (given < 0) & (names is not None),
        RejectionReason.NULL_PROBS: length <= 0,
        RejectionReason.NULL_PROBABILITY: has_null,
        RejectionReason.NOT_FINITE: infinite,
        RejectionReason.NO_SET_OF_CLASSES: bad_classes,
        RejectionReason.NONE_ABOVE_ABSENT: none_above_absent,
        RejectionReason.LABEL_OUT_OF_RANGE: (given < 0) | (given >= length),
        RejectionReason.TOO_LARGE: np.fmax(np.abs(max_prob), np.abs(self_confidence)) >= LIMB,
        RejectionReason.NEGATIVE: negative,
        RejectionReason.NO_DISTRIBUTION: off,
    }
    rejection = np.zeros(size, dtype=np.int8)
    for code, failed in reversed(checks.items()):  # the first that fails is the reason
        rejection[failed] = code
    if c.REPEATED in batch.schema.names:
        rejection[_flags(batch.column(c.REPEATED).fill_null(False))] = RejectionReason.REPEATED_ID
    usable = rejection == 0
    kept = (
        np.arange(size)
        if every_array
        else np.flatnonzero(
            usable
            & find_suspects(given, predicted, self_confidence, max_prob)
            & listing.keeps_array(self_confidence, length)
        )
    )
    entries = (
        ListedProbs.concat(listed)
        if listed
        else ListedProbs(predicted[:0], predicted[:0], self_confidence[:0])
    )
    if not usable.all():  # of refused rows nothing is listed
        entries = entries.where(usable[entries.row])
    return Block(
        given,
        predicted,
        self_confidence,
        max_prob,
        second_max_prob,
        unlisted_max_prob,
        None if usable.all() else rejection,
        int(length[0]) if size and (length == length[0]).all() else length,
        parts=BlockParts(
            ids=batch.select(others),
            listed=entries,
            kept=KeptArrays(kept, column if every_array else column.take(pa.array(kept))),
        ),
    )


def _flags(values: pa.Array) -> Bools:
    return np.asarray(values.to_numpy(zero_copy_only=False), dtype=bool)
