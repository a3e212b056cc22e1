"""Counts, and the buckets that cuts are counted in."""

import numpy as np
import pytest

from cl_spark.kernels import key_counts as counts
from cl_spark.kernels.score_buckets import BUCKETS, bucket_scores, bucket_upper_bounds


@pytest.mark.parametrize("at_once", [1, 5, 2**20])
@pytest.mark.parametrize("spread", [3, 10**9])
def test_counts_are_those_of_all_keys_together(
    monkeypatch: pytest.MonkeyPatch, at_once: int, spread: int
) -> None:
    monkeypatch.setattr(counts, "AT_ONCE", at_once)
    rng = np.random.default_rng(1)
    parts = [rng.integers(-spread, spread, size) for size in (4, 0, 7, 1, 30)]
    keys, times = counts.count_keys(parts)
    expected = np.unique(np.concatenate(parts), return_counts=True)
    assert np.array_equal(keys, expected[0])
    assert np.array_equal(times, expected[1])
    assert [part.tolist() for part in counts.count_keys([])] == [[], []]


def test_buckets_never_fall_and_end_where_they_are_said_to() -> None:
    sizes = np.concatenate([[0.0], np.exp(np.linspace(np.log(1e-45), np.log(2.0**30), 20_001))])
    edges = (np.arange(-3000, 3001) / 2048) ** 8 * np.sign(np.arange(-3000, 3001))
    near = np.concatenate([edges, np.nextafter(edges, np.inf), np.nextafter(edges, -np.inf)])
    scores = np.sort(np.concatenate([sizes, -sizes, near]))
    found = bucket_scores(scores)
    assert (np.diff(found) >= 0).all()
    assert np.abs(found).max() < BUCKETS // 2
    assert (scores <= bucket_upper_bounds(found)).all()
    later = found[1:] > found[:-1] + 1
    assert (bucket_upper_bounds(found[:-1])[later] <= scores[1:][later]).all(), (
        "nor is it beyond the next bucket"
    )
