"""Removal counts follow from the calibrated joint, with or without its zeros."""

import numpy as np
import pytest

from cl_spark.kernels import calibration
from cl_spark.kernels.calibration import calibrate
from cl_spark.kernels.removal_counts import count_removals

CELLS = np.array([0, 0, 0, 1, 1]), np.array([0, 1, 2, 0, 1]), np.array([6, 3, 1, 1, 3])
COUNTS = np.array([10, 4, 0])


def removals(**options: object) -> dict[tuple[int, int], int]:
    arguments = {"min_examples_per_class": 1, "frac_noise": 1.0, "num_to_remove_per_class": None} | options
    given, true, remove = count_removals(*CELLS, COUNTS, **arguments)
    return dict(zip(zip(given.tolist(), true.tolist(), strict=True), remove.tolist(), strict=True))


def test_pairs_lose_their_count_and_classes_the_sum() -> None:
    assert removals() == {(0, 0): 4, (0, 1): 3, (0, 2): 1, (1, 0): 1, (1, 1): 1}


def test_a_share_of_the_noise_is_truncated() -> None:
    assert removals(frac_noise=0.5) == {(0, 0): 2, (0, 1): 1, (1, 1): 1}
    assert removals(frac_noise=0.0) == {}


def test_classes_keep_their_examples() -> None:
    # class 0 keeps 8 of 10, taken evenly from its two other cells; class 1 has too few to be pruned
    assert removals(min_examples_per_class=8) == {(0, 0): 2, (0, 1): 2}


def test_numbers_to_remove_rescale_the_pairs() -> None:
    found = removals(num_to_remove_per_class=np.array([8, 0, 5]))
    assert found == {(0, 0): 8, (0, 1): 6, (0, 2): 2}


def test_no_cells_are_no_removals() -> None:
    none = np.zeros(0, dtype=np.int64)
    found = count_removals(
        none, none, none, COUNTS, min_examples_per_class=1, frac_noise=1.0, num_to_remove_per_class=None
    )
    assert [part.tolist() for part in found] == [[], [], []]


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("wanted", [False, True])
def test_rows_without_their_zeros_give_the_same_removals(
    seed: int, wanted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(seed)
    classes = int(rng.integers(2, 30))
    dense = rng.integers(0, 9, (classes, classes)) * (rng.random((classes, classes)) < 0.3)
    np.fill_diagonal(dense, np.maximum(dense.diagonal(), rng.integers(0, 2, classes)))
    given, true = np.nonzero(dense)
    counts = rng.integers(0, 200, classes)
    options = {
        "min_examples_per_class": int(rng.integers(0, 4)),
        "frac_noise": [1.0, 0.5][seed % 2],
        "num_to_remove_per_class": rng.integers(0, 9, classes) if wanted else None,
    }

    def cells() -> list[list[int]]:
        joint = calibrate(given, true, dense[given, true], counts, float(counts.sum()))
        return [part.tolist() for part in (*joint, *count_removals(*joint, counts, **options))]

    whole = cells()
    monkeypatch.setattr(calibration, "DENSE_CLASSES", 1)
    assert cells() == whole
