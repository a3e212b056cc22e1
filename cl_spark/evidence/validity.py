"""Rejection reasons: why a row cannot be used (specification, section 7)."""

from collections.abc import Mapping, Sequence
from enum import IntEnum

import numpy as np
import pyarrow as pa

from cl_spark.kernels import dense_probs
from cl_spark.kernels.arrays import Bools, Int8s


class RejectionReason(IntEnum):
    """Reason for rejecting a row; 0 is an accepted row. The evidence keeps it as one byte."""

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
    NO_PROBABILITY = 17
    UNEVEN_MODELS = 18
    NULL_SENTENCE = 19
    UNEVEN_SENTENCE = 20
    NO_TOKENS = 21


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
    RejectionReason.NO_PROBABILITY: "value outside 0..1 in pred_probs",
    RejectionReason.UNEVEN_MODELS: "models with different numbers of pred_probs",
    RejectionReason.NULL_SENTENCE: "null tokens, labels or pred_probs",
    RejectionReason.UNEVEN_SENTENCE: "tokens, labels and pred_probs of different lengths",
    RejectionReason.NO_TOKENS: "sentence without tokens",
}
"""Text of each reason."""

NULL_PART = 64
"""Code of a null in the first part of a composite key, in place of `NULL_ID`; of one in the second part it is
one more, and so on."""


def explain_rejection(code: int, id_columns: Sequence[str] = ()) -> str:
    """Write a rejection reason as results show it.

    Args:
        code: one of `RejectionReason`, or of a null part of a composite key.
        id_columns: names of the parts of the key, to name the one that is null.

    Example:
        >>> explain_rejection(RejectionReason.NULL_ID), explain_rejection(NULL_PART + 1, ["source", "id"])
        ('null id', 'null id: id')
    """
    if code < NULL_PART:
        return REASONS[RejectionReason(code)]
    null_id = REASONS[RejectionReason.NULL_ID]
    return f"{null_id}: {id_columns[code - NULL_PART]}" if id_columns else null_id


def join_reasons(rejected: Mapping[str, int]) -> str:
    """Write how many rows are rejected, by reason.

    Example:
        >>> join_reasons({"null id": 1, "null label": 2_000})
        'null id: 1; null label: 2,000'
    """
    return "; ".join(f"{reason}: {rows:,}" for reason, rows in rejected.items())


PROB_FAULTS = {
    dense_probs.MISSING: RejectionReason.NULL_PROBS,
    dense_probs.WRONG_LENGTH: RejectionReason.WRONG_LENGTH,
    dense_probs.HAS_NULL: RejectionReason.NULL_PROBABILITY,
    dense_probs.NOT_FINITE: RejectionReason.NOT_FINITE,
    dense_probs.NEGATIVE: RejectionReason.NEGATIVE,
    dense_probs.NO_DISTRIBUTION: RejectionReason.NO_DISTRIBUTION,
    dense_probs.ABOVE_ONE: RejectionReason.NO_PROBABILITY,
}
"""Reason of rejection for each fault of a row of `kernels.dense_probs`."""

PRECEDENCE = (
    RejectionReason.REPEATED_ID,
    RejectionReason.NULL_SENTENCE,
    RejectionReason.UNEVEN_SENTENCE,
    RejectionReason.NO_TOKENS,
    RejectionReason.NULL_ID,
    RejectionReason.NO_LABEL,
    RejectionReason.NO_PREDICTION,
    RejectionReason.NULL_LABEL,
    RejectionReason.UNKNOWN_CLASS,
    RejectionReason.UNEVEN_MODELS,
    RejectionReason.NULL_PROBS,
    RejectionReason.NULL_PROBABILITY,
    RejectionReason.NOT_FINITE,
    RejectionReason.NO_SET_OF_CLASSES,
    RejectionReason.NONE_ABOVE_ABSENT,
    RejectionReason.WRONG_LENGTH,
    RejectionReason.LABEL_OUT_OF_RANGE,
    RejectionReason.TOO_LARGE,
    RejectionReason.NEGATIVE,
    RejectionReason.NO_DISTRIBUTION,
    RejectionReason.NO_PROBABILITY,
)
"""Of several reasons the first one is given. `WRONG_LENGTH` is decided once K is known, so no single row has
it yet."""


def choose_reasons(failed: Mapping[RejectionReason, Bools], size: int) -> Int8s:
    """Choose the one reason why each row is rejected.

    Args:
        failed: for some reasons, (n,) True where they apply.
        size: n.

    Returns:
        (n,) codes of `RejectionReason`, 0 where none applies.
    """
    codes = np.zeros(size, dtype=np.int8)
    for reason in reversed(PRECEDENCE):
        if reason in failed:
            codes[failed[reason]] = reason
    return codes


def to_flags(values: pa.Array) -> Bools:
    """Convert booleans without nulls to numpy, as an array of its own."""
    return np.array(values.to_numpy(zero_copy_only=False), dtype=bool)


def find_null_ids(batch: pa.RecordBatch, ids: Sequence[str]) -> Bools:
    """(parts, n) True where a part of the id is null; a number that is NaN is no id."""
    return np.array([to_flags(batch.column(name).is_null(nan_is_null=True)) for name in ids])


def name_null_parts(codes: Int8s, null_ids: Bools) -> Int8s:
    """Replace `NULL_ID` by the code of the first part that is null, where keys are composite."""
    if len(null_ids) < 2:
        return codes
    return np.where(codes == RejectionReason.NULL_ID, NULL_PART + null_ids.argmax(axis=0), codes).astype(
        np.int8
    )
