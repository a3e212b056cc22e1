"""Arrays and lists of classes are read from Arrow as they are, nulls and slices included."""

import numpy as np
import pyarrow as pa
import pytest

from cl_spark.evidence import prob_formats
from cl_spark.evidence.prob_formats import DenseProbs, ProbFormat, SparseProbs, map_rows
from cl_spark.kernels.row_evidence import ListingPolicy

STRUCTS = pa.list_(pa.struct([("k", pa.int32()), ("p", pa.float32())]))
SWAPPED = pa.list_(pa.struct([("p", pa.float64()), ("k", pa.int64())]))
MAPS = pa.map_(pa.int32(), pa.float32())
SPARSE = SparseProbs("float", 3, 0.125)


def lists(rows: list[list[tuple[int | None, float | None]] | None], kind: pa.DataType) -> pa.Array:
    if pa.types.is_map(kind):
        return pa.array(rows, kind)
    return pa.array([row if row is None else [{"k": k, "p": p} for k, p in row] for row in rows], kind)


@pytest.mark.parametrize("kind", [STRUCTS, MAPS])
def test_parts_of_a_batch_are_read_from_their_own_place(kind: pa.DataType) -> None:
    column = lists([[(1, 0.5)], None, [(2, 0.75), (0, 0.25)], [(2, 1.0)]], kind)
    assert SPARSE.take_apart(column.slice(1)).lengths.tolist() == [-1, 2, 1]
    assert SPARSE.to_matrix(column.slice(2), 3).tolist() == [[0.25, 0.125, 0.75], [0.125, 0.125, 1.0]]
    probs = SPARSE.take_probs(column.slice(2), np.array([0, 0, 1]), np.array([2, 1, 0]))
    assert probs.tolist() == [0.75, 0.125, 0.125]


def test_parts_of_a_batch_of_arrays_are_read_from_their_own_place() -> None:
    dense = DenseProbs("double")
    column = pa.array([[0.5, 0.5], None, [0.25, 0.75]], pa.list_(pa.float64())).slice(2)
    assert dense.take_probs(column, np.array([0]), np.array([1])).tolist() == [0.75]
    assert dense.to_matrix(column, 2).tolist() == [[0.25, 0.75]]


@pytest.mark.parametrize("kind", [STRUCTS, SWAPPED])
def test_nulls_and_classes_that_do_not_fit_are_told(kind: pa.DataType) -> None:
    column = lists([[(0, 0.5)], [(None, 0.5)], [(1, None)], [], None, [(-3, 0.5)]], kind)
    found = SPARSE.take_apart(column)
    assert found.lengths.tolist() == [1, 1, 1, 0, -1, 1]
    assert found.has_null.tolist() == [False, True, True, False, False, False]
    assert found.classes.tolist() == [0, -1, 1, -1]
    assert found.probs.tolist() == [0.5, 0.5, 0.0, 0.5]


def test_classes_beyond_int_are_none() -> None:
    column = lists([[(2**40, 0.5)]], SWAPPED)
    assert SPARSE.take_apart(column).classes.tolist() == [-1]


def test_nulls_inside_arrays_are_told() -> None:
    column = pa.array([[0.5, None], [0.25, 0.75], [], None], pa.list_(pa.float64()))
    found = DenseProbs("double").take_apart(column)
    assert found.lengths.tolist() == [2, 2, 0, -1]
    assert found.has_null.tolist() == [True, False, False, False]
    assert found.probs.tolist() == [0.5, 0.0, 0.25, 0.75]
    assert found.starts.tolist() == [0, 2, 4, 4]
    assert found.find_positions(np.array([1, 0])).tolist() == [2, 3, 0, 1]


def test_whole_numbers_become_floats() -> None:
    column = pa.array([[1, 0]], pa.list_(pa.int32()))
    assert DenseProbs("float").take_apart(column).probs.dtype == np.float32


def test_evidence_comes_by_length() -> None:
    column = pa.array([[0.4, 0.6], [0.2, 0.3, 0.5], None, [], [0.9, 0.1]], pa.list_(pa.float64()))
    given = np.array([0, 2, 0, 0, 0], dtype=np.int32)
    groups = list(DenseProbs("double").extract_evidence(column, given, ListingPolicy(), with_sums=True))
    assert [(group.num_probs, group.rows.tolist()) for group in groups] == [(2, [0, 4]), (3, [1])]
    assert groups[0].evidence.self_confidence.tolist() == [0.4, 0.9]
    assert groups[1].evidence.predicted.tolist() == [2]
    sums = groups[1].evidence.prob_sum
    assert sums is not None
    assert sums.tolist() == pytest.approx([1.0])


def test_evidence_of_lists_is_of_all_rows_that_list_a_class() -> None:
    column = lists([None, [(1, 0.5), (2, 0.25)], [], [(0, 0.5), (0, 0.5)]], STRUCTS)
    given = np.array([0, 2, 0, 1], dtype=np.int32)
    (group,) = SPARSE.extract_evidence(column, given, ListingPolicy(), with_sums=True)
    assert group.rows.tolist() == [1, 3]
    assert group.num_probs == 3
    assert group.evidence.self_confidence.tolist() == [0.25, 0.125]
    assert group.has_bad_classes.tolist() == [False, True]
    sums = group.evidence.prob_sum
    assert sums is not None
    assert sums[0] == 0.875
    assert list(SPARSE.extract_evidence(column.slice(0, 1), given[:1], ListingPolicy(), with_sums=True)) == []


def test_classes_above_a_probability_are_found() -> None:
    column = pa.array([[0.1, 0.6, 0.3], [0.5, 0.25, 0.25]], pa.list_(pa.float64()))
    row, class_index, prob = DenseProbs("double").find_above(column, np.array([0.2, 0.25]), 3)
    assert (row.tolist(), class_index.tolist(), prob.tolist()) == ([0, 0, 1], [1, 2, 0], [0.6, 0.3, 0.5])


@pytest.mark.parametrize("cached_values", [1, 4, 1000])
@pytest.mark.parametrize("prob_format", [DenseProbs("double"), SparseProbs("double", 2, 0.0)])
def test_values_are_of_all_rows_however_many_are_worked_on_together(
    monkeypatch: pytest.MonkeyPatch, cached_values: int, prob_format: ProbFormat
) -> None:
    monkeypatch.setattr(prob_formats, "CACHED_VALUES", cached_values)
    rows = [[0.25, 0.75], [0.5, 0.5], [1.0, 0.0]]
    column = pa.array(rows, pa.list_(pa.float64()))
    if isinstance(prob_format, SparseProbs):
        column = lists([list(enumerate(row)) for row in rows], SWAPPED)
    offsets: list[int] = []

    def kernel(part: slice, probs: np.ndarray) -> np.ndarray:
        offsets.append(part.start)
        return probs[:, 0]

    assert map_rows(prob_format, column, 2, kernel).tolist() == [0.25, 0.5, 1.0]
    assert offsets == list(range(0, 3, max(cached_values // 2, 1)))
    assert map_rows(prob_format, column.slice(0, 0), 2, kernel).tolist() == []
