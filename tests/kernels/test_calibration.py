"""The calibrated joint keeps the label counts, and is rounded as the specification says."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cl_spark.kernels import calibration
from cl_spark.kernels.calibration import (
    calibrate,
    find_class_slices,
    round_preserving_sum,
    split_by_given_class,
    sum_scaled_cells,
)


@pytest.mark.parametrize(
    ("values", "rounded"),
    [
        ([0.5, 0.5, 1.0], [0, 1, 1]),  # raised: the highest index of tied remainders
        ([1.5, 1.5, 0.0], [1, 2, 0]),  # lowered: the lowest index
        ([0.4, 0.4, 0.2], [0, 1, 0]),
        ([0.25] * 4, [0, 0, 0, 1]),
        ([2.0, 3.0], [2, 3]),
        ([], []),
    ],
)
def test_remainders_decide_what_is_moved(values: list[float], rounded: list[int]) -> None:
    assert round_preserving_sum(np.array(values)).tolist() == rounded


@settings(max_examples=300, deadline=None, database=None, derandomize=True)
@given(st.lists(st.floats(0, 1000), max_size=20))
def test_rounding_preserves_the_sum(values: list[float]) -> None:
    array = np.array(values)
    rounded = round_preserving_sum(array)
    assert rounded.sum() == round(float(array.sum()))
    assert np.abs(rounded - array).max(initial=0) <= 1


def test_sorted_classes_are_cut_into_slices() -> None:
    assert list(find_class_slices(np.array([1, 1, 4, 7, 7, 7]))) == [slice(0, 2), slice(2, 3), slice(3, 6)]
    assert list(find_class_slices(np.array([], dtype=np.int64))) == []


def test_rows_hold_their_zeros_up_to_a_number_of_classes(monkeypatch: pytest.MonkeyPatch) -> None:
    cells = np.array([0, 0, 2]), np.array([1, 3, 2]), np.array([5, 6, 7])
    rows = [(k, columns.tolist(), counts.tolist()) for k, columns, counts in split_by_given_class(*cells, 4)]
    assert rows == [(0, [0, 1, 2, 3], [0, 5, 0, 6]), (2, [0, 1, 2, 3], [0, 0, 7, 0])]
    monkeypatch.setattr(calibration, "DENSE_CLASSES", 3)
    rows = [(k, columns.tolist(), counts.tolist()) for k, columns, counts in split_by_given_class(*cells, 4)]
    assert rows == [(0, [0, 1, 3], [0, 5, 6]), (2, [2], [7])], "the diagonal is always there"


@pytest.mark.parametrize("seed", range(20))
def test_rows_without_their_zeros_give_the_same_cells(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(seed)
    classes = int(rng.integers(2, 30))
    dense = rng.integers(0, 9, (classes, classes)) * (rng.random((classes, classes)) < 0.3)
    np.fill_diagonal(dense, np.maximum(dense.diagonal(), rng.integers(0, 2, classes)))
    given_class, true = np.nonzero(dense)
    counts = rng.integers(0, 200, classes)

    def cells() -> list[list[int]]:
        joint = calibrate(given_class, true, dense[given_class, true], counts, float(counts.sum()))
        return [part.tolist() for part in joint]

    whole = cells()
    monkeypatch.setattr(calibration, "DENSE_CLASSES", 1)
    assert cells() == whole


@settings(max_examples=300, deadline=None, database=None, derandomize=True)
@given(
    st.integers(2, 6).flatmap(
        lambda k: st.lists(st.lists(st.integers(0, 50), min_size=k, max_size=k), min_size=k, max_size=k)
    )
)
def test_calibrated_counts_sum_to_the_examples(counts: list[list[int]]) -> None:
    joint = np.asarray(counts, dtype=np.int64) + np.eye(len(counts), dtype=np.int64)
    examples = joint.sum(axis=1) * 3 + 1
    given_class, true_class = np.nonzero(joint)
    cells = given_class, true_class, joint[given_class, true_class]
    total = sum_scaled_cells(*cells, examples)
    assert total == pytest.approx(examples.sum())
    found, _, calibrated_counts = calibrate(*cells, examples, total)
    assert calibrated_counts.sum() == examples.sum()
    assert (calibrated_counts >= 0).all()
    assert set(found) == set(given_class)
    assert np.bincount(found, calibrated_counts).tolist() == examples.tolist()


def test_classes_without_examples_have_no_cells() -> None:
    one = np.array([0, 1]), np.array([0, 1]), np.array([1, 1])
    assert [part.tolist() for part in calibrate(*one, np.array([4, 0]), 4.0)] == [[0], [0], [4]]
    none = np.zeros(0, dtype=np.int64)
    assert [part.tolist() for part in calibrate(none, none, none, np.array([0, 0]), 0.0)] == [[], [], []]
