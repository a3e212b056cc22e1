"""Losses of several models: a row counts the same wherever it is read."""

import numpy as np
import pytest

from cl_spark.kernels.ensembles import log_loss_of_mean


@pytest.mark.parametrize("models", [3, 10])
def test_the_loss_of_a_row_does_not_depend_on_its_neighbours(models: int) -> None:
    """A product of matrices takes another path for a single row, and adds in another order there."""
    rng = np.random.default_rng(0)
    of_models, labels = rng.dirichlet(np.ones(4), (50, models)), rng.integers(0, 4, 50)
    weights = rng.dirichlet(np.ones(models), 8)
    together = log_loss_of_mean(labels, of_models, weights)
    alone = [log_loss_of_mean(labels[[i]], of_models[[i]], weights)[0] for i in range(50)]
    assert together.tolist() == np.stack(alone).tolist()
    expected = -np.log(np.einsum("nm,tm->nt", of_models[np.arange(50), :, labels], weights))
    np.testing.assert_allclose(together, expected, rtol=1e-12)
