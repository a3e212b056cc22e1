"""Counts of keys are those of all keys together, however they are cut into batches."""

import numpy as np
import pytest

from cl_spark.kernels import key_counts


@pytest.mark.parametrize("batch_keys", [1, 5, 2**20])
@pytest.mark.parametrize("spread", [3, 10**9])
def test_counts_are_those_of_all_keys_together(
    monkeypatch: pytest.MonkeyPatch, batch_keys: int, spread: int
) -> None:
    monkeypatch.setattr(key_counts, "BATCH_KEYS", batch_keys)
    rng = np.random.default_rng(1)
    parts = [rng.integers(-spread, spread, size) for size in (4, 0, 7, 1, 30)]
    keys, times = key_counts.count_keys(parts)
    expected = np.unique(np.concatenate(parts), return_counts=True)
    assert np.array_equal(keys, expected[0])
    assert np.array_equal(times, expected[1])
    assert [part.tolist() for part in key_counts.count_keys([])] == [[], []]
