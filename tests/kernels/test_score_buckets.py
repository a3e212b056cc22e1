"""Buckets keep the order of scores, and their bounds hold."""

import numpy as np

from cl_spark.kernels.score_buckets import BUCKETS, bucket_scores, bucket_upper_bounds


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


def test_scores_of_masked_logits_share_the_outermost_buckets() -> None:
    scores = np.array([-3.4e38, -1e30, -(2.0**33), -1.0, 1.0, 2.0**33, 1e30])
    found = bucket_scores(scores)
    assert (np.diff(found) >= 0).all()
    assert np.abs(found).max() < BUCKETS // 2
    assert (scores <= bucket_upper_bounds(found)).all()
