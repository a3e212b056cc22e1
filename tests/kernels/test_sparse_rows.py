"""Beyond `DENSE_CLASSES` a class's row of the joint is treated without its zeros: the same cells."""

import numpy as np
import pytest

from cl_spark.kernels import calibration
from cl_spark.kernels.calibration import calibrated
from cl_spark.kernels.removal_counts import removal_counts


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("wanted", [False, True])
def test_rows_without_their_zeros_give_the_same_cells(
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
        joint = calibrated(given, true, dense[given, true], counts, float(counts.sum()))
        return [part.tolist() for part in (*joint, *removal_counts(*joint, counts, **options))]

    whole = cells()
    monkeypatch.setattr(calibration, "DENSE_CLASSES", 1)
    assert cells() == whole
