"""A wrong number of probabilities explains some reasons of rejection, and gives way to others."""

import json

import numpy as np
import pyarrow as pa
import pytest

from cl_spark.evidence.blocks import Block, BlockParts
from cl_spark.evidence.validity import NULL_PART, RejectionReason
from cl_spark.methods.classification.rejection import RejectedRows, find_final_reason, find_final_reasons
from cl_spark.tables import columns as c


def block(rejection: list[int] | None, num_probs: list[int] | int, ids: list[int]) -> Block:
    size = len(ids)
    return Block(
        given=np.zeros(size, dtype=np.int32),
        predicted=np.zeros(size, dtype=np.int32),
        self_confidence=np.ones(size),
        max_prob=np.ones(size),
        second_max_prob=np.zeros(size),
        unlisted_max_prob=np.zeros(size),
        rejection=None if rejection is None else np.array(rejection, dtype=np.int8),
        num_probs=num_probs if isinstance(num_probs, int) else np.array(num_probs, dtype=np.int32),
        parts=BlockParts(ids=pa.RecordBatch.from_pydict({"_id_0": ids})),
    )


@pytest.mark.parametrize(
    ("found", "num_probs", "final"),
    [
        (RejectionReason.NONE, 3, RejectionReason.NONE),
        (RejectionReason.NONE, 2, RejectionReason.WRONG_LENGTH),
        (RejectionReason.LABEL_OUT_OF_RANGE, 2, RejectionReason.WRONG_LENGTH),
        (RejectionReason.LABEL_OUT_OF_RANGE, 3, RejectionReason.LABEL_OUT_OF_RANGE),
        (RejectionReason.NULL_ID, 2, RejectionReason.NULL_ID),
        (RejectionReason.NULL_PROBS, -1, RejectionReason.NULL_PROBS),
    ],
)
def test_final_reasons_are_the_same_of_a_row_and_of_a_block(
    found: RejectionReason, num_probs: int, final: RejectionReason
) -> None:
    assert find_final_reason(found, num_probs, 3) is final
    assert find_final_reasons(block([found, found], [num_probs, 3], [0, 1]), 3)[0] == final


def test_blocks_without_rejected_rows_have_those_of_another_length() -> None:
    assert find_final_reasons(block(None, 3, [0, 1]), 3).tolist() == [0, 0]
    assert find_final_reasons(block(None, 2, [0, 1]), 3).tolist() == [RejectionReason.WRONG_LENGTH] * 2


def test_rejected_rows_come_with_reason_and_row() -> None:
    rows = [json.dumps({"id": number}) for number in (7, 8, 9, 10)]
    batch = pa.RecordBatch.from_pydict({c.ROW: rows})
    found = block([RejectionReason.NULL_LABEL, 0, 0, NULL_PART + 1], [3, 3, 4, 3], [7, 8, 9, 10])
    kernel = RejectedRows(lambda _: found, 3, ["_id_0", c.REASON, c.ROW], ["source", "id"])
    (rejected,) = kernel([batch])
    assert rejected.schema.names == ["_id_0", c.REASON, c.ROW]
    assert list(map(tuple, (row.values() for row in rejected.to_pylist()))) == [
        (7, "null label", rows[0]),
        (9, "pred_probs of another length than K", rows[2]),
        (10, "null id: id", rows[3]),
    ]
