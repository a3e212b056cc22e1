"""Blocks keep the evidence of their rows together, and tell what was not read from what is empty."""

import numpy as np
import pyarrow as pa
import pytest

from cl_spark.evidence.blocks import Block, BlockParts, KeptArrays, PartNotReadError, concat_blocks
from cl_spark.tables import columns as c
from tests.evidence.builders import block

ROWS = [
    (10, 0, [0.7, 0.2, 0.1]),
    (11, 1, [0.6, 0.3, 0.1]),  # a suspect
    (12, None, [0.6, 0.3, 0.1]),
    (13, 2, [0.5, 0.3, 0.2]),  # a suspect
    (14, 1, [0.2, 0.8]),
]


def describe(some: Block) -> list[tuple[object, ...]]:
    """Each row of a block in full: what does not depend on how rows are cut into blocks."""
    listed: dict[int, list[tuple[int, float]]] = {}
    for row, class_index, prob in zip(*map(np.ndarray.tolist, vars(some.listed).values()), strict=True):
        listed.setdefault(row, []).append((class_index, prob))
    kept = dict(zip(some.kept.rows.tolist(), some.kept.arrays.to_pylist(), strict=True))
    rejection = np.zeros(len(some), int) if some.rejection is None else some.rejection
    lengths = np.broadcast_to(some.num_probs, len(some))
    return [
        (
            some.ids.column(0)[i].as_py(),
            int(some.given[i]),
            int(some.predicted[i]),
            float(some.max_prob[i]),
            int(rejection[i]),
            int(lengths[i]),
            listed.get(i, []),
            kept.get(i),
        )
        for i in range(len(some))
    ]


@pytest.mark.parametrize("part", ["ids", "listed", "kept"])
def test_a_part_that_was_not_read_is_an_error_that_names_it(part: str) -> None:
    whole = block(ROWS)
    without = Block(**{**vars(whole), "parts": BlockParts(**{**vars(whole.parts), part: None})})
    with pytest.raises(PartNotReadError, match=f"part '{part}' of this block was not read"):
        getattr(without, part)
    assert getattr(without.where(np.ones(len(ROWS), dtype=bool)).parts, part) is None, "nor does it turn up"
    for other in {"ids", "listed", "kept"} - {part}:
        assert getattr(without, other) is getattr(whole, other)


def test_an_empty_part_is_no_error() -> None:
    agreeing = block(ROWS[:1])
    assert agreeing.kept.rows.tolist() == []
    assert agreeing.kept.arrays.to_pylist() == []


def test_some_rows_take_their_parts_along() -> None:
    whole = block(ROWS)
    chosen = np.array([False, True, True, False, True])
    some = whole.where(chosen)
    assert describe(some) == [
        row for row, is_chosen in zip(describe(whole), chosen, strict=True) if is_chosen
    ]
    assert len(whole.where(np.zeros(5, dtype=bool))) == 0


def test_blocks_concatenate_to_that_of_all_rows() -> None:
    parts = [block(ROWS[:1]), block(ROWS[1:4]), block(ROWS[4:])]
    assert [part.rejection is None for part in parts] == [True, False, True]
    assert describe(concat_blocks(parts)) == describe(block(ROWS))
    assert concat_blocks(parts[:1]) is parts[0]
    assert concat_blocks(parts[:2]).num_probs == 3, "one number where all rows have as many"


def test_confident_classes_are_concatenated() -> None:
    one = block(ROWS[:2])
    settled = Block(**{**vars(one), "confident": np.array([0, -1], dtype=np.int32)})
    confident = concat_blocks([settled, settled]).confident
    assert confident is not None
    assert confident.tolist() == [0, -1, 0, -1]


def test_accepted_rows_can_be_used_and_have_k_probabilities() -> None:
    assert [row[0] for row in describe(block(ROWS).accepted(3))] == [10, 11, 13]
    assert [row[0] for row in describe(block(ROWS).accepted(2))] == [14]
    clean = block(ROWS[:2])
    assert clean.accepted(3) is clean


def test_suspects_and_rows_without_array_are_told() -> None:
    whole = block(ROWS)
    assert whole.suspects.tolist()[:2] == [False, True]
    assert whole.without_array.tolist() == [True, False, True, False, True]
    assert whole.least_score[0] == pytest.approx(0.7 - 0.2)


def test_batches_hold_the_rows_named_as_often_as_they_are() -> None:
    whole = block(ROWS)
    names = ["_id_0", c.GIVEN, c.MAX_PROB]
    made = whole.to_batch(np.array([3, 0, 3]), [*names, "extra"], {"extra": np.array([1, 2, 3])})
    assert made.schema.names == [*names, "extra"]
    assert made.to_pydict() == {
        "_id_0": [13, 10, 13],
        c.GIVEN: [2, 0, 2],
        c.MAX_PROB: [0.5, 0.7, 0.5],
        "extra": [1, 2, 3],
    }
    masked = whole.to_batch(np.array([True, False, False, False, False]), [c.PREDICTED])
    assert masked.to_pydict() == {c.PREDICTED: [0]}


def test_batches_ask_for_ids_that_were_read() -> None:
    whole = block(ROWS)
    without = Block(**{**vars(whole), "parts": BlockParts()})
    with pytest.raises(PartNotReadError, match="'ids'"):
        without.to_batch(np.arange(2), ["_id_0"])
    assert without.to_batch(np.arange(2), [c.GIVEN]).num_rows == 2


def test_kept_arrays_follow_their_rows() -> None:
    kept = KeptArrays(np.array([1, 3, 4]), pa.array([[0.1], [0.3], [0.4]]))
    some = kept.where(np.array([True, False, True, True, True]))
    assert (some.rows.tolist(), some.arrays.to_pylist()) == ([2, 3], [[0.3], [0.4]])
