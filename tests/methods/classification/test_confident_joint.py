"""Confident classes from the evidence equal those of whole arrays, or are left unsettled."""

from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from cl_spark import ConfigurationError
from cl_spark.evidence.blocks import Block, BlockParts, KeptArrays
from cl_spark.evidence.prob_formats import DenseProbs
from cl_spark.kernels.confident_class import choose_confident_class
from cl_spark.kernels.row_evidence import ListingPolicy, extract_dense
from cl_spark.methods.classification.confident_joint import (
    UNSETTLED,
    OffDiagonal,
    calibrate_cells,
    check_estimation_method,
    convert_custom_joint,
    find_confident_classes,
)

FORMAT = DenseProbs("double")


def block(given: np.ndarray, probs: np.ndarray, policy: ListingPolicy, *, keep_arrays: bool = False) -> Block:
    found = extract_dense(given, probs, policy, with_sums=False)
    kept = KeptArrays(np.arange(len(given)), pa.array(probs.tolist())) if keep_arrays else None
    return Block(
        given=given,
        predicted=found.predicted,
        self_confidence=found.self_confidence,
        max_prob=found.max_prob,
        second_max_prob=found.second_max_prob,
        unlisted_max_prob=found.unlisted_max_prob,
        num_probs=probs.shape[1],
        parts=BlockParts(listed=found.listed, kept=kept),
    )


@pytest.mark.parametrize("max_listed", [64, 1, 0])
def test_what_the_evidence_settles_is_what_arrays_say(max_listed: int) -> None:
    rng = np.random.default_rng(5)
    probs, thresholds = rng.dirichlet(np.full(6, 0.7), 500), rng.uniform(0.1, 0.6, 6)
    given = rng.integers(0, 6, 500).astype(np.int32)
    expected = choose_confident_class(probs, thresholds)
    policy = ListingPolicy(max_listed=max_listed)
    found = find_confident_classes(block(given, probs, policy), thresholds, FORMAT)
    settled = found != UNSETTLED
    assert 0 < settled.sum() < 500
    assert found[settled].tolist() == expected[settled].tolist()
    with_arrays = block(given, probs, policy, keep_arrays=True)
    assert find_confident_classes(with_arrays, thresholds, FORMAT).tolist() == expected.tolist()
    off_diagonal = OffDiagonal(thresholds, FORMAT, suspects_only=False)(with_arrays)
    assert off_diagonal.tolist() == ((expected >= 0) & (expected != given)).tolist()


@pytest.mark.parametrize(
    ("joint", "message"),
    [
        ([[-1, 2], [1, 3]], "it holds -1"),
        ([[float("nan"), 2], [1, 3]], "it holds nan"),
        ([[1, 2], [1, float("inf")]], "it holds inf"),
        ([[0, 0], [0, 0]], "all are 0"),
        ([[1, 2], [3]], "no matrix of numbers"),
        ([["a", "b"], ["c", "d"]], "no matrix of numbers"),
        ([[None, 1], [1, 1]], "it holds nan"),
        (3, "has shape"),
    ],
)
def test_a_custom_joint_holds_counts_or_shares(joint: Any, message: str) -> None:
    with pytest.raises(ConfigurationError, match=f"confident_joint .*{message}"):
        convert_custom_joint(None, joint, 2)


def test_shares_of_a_custom_joint_count_as_their_multiples_do() -> None:
    counts, labels = np.array([[30, 5], [10, 55]]), np.array([40, 60])
    expected = calibrate_cells(convert_custom_joint(None, counts, 2), labels).frame
    for share in (counts / 100, counts / 7, counts * 1e18, (counts / 100).astype(np.float32)):
        found = calibrate_cells(convert_custom_joint(None, share, 2), labels).frame
        pd.testing.assert_frame_equal(found, expected)


def test_a_custom_joint_goes_with_its_method_only() -> None:
    check_estimation_method("off_diagonal_custom", has_joint=True)
    with pytest.raises(ConfigurationError, match="choose one of off_diagonal, "):
        check_estimation_method("off", has_joint=False)
    for method, has_joint in (("off_diagonal_custom", False), ("off_diagonal", True)):
        with pytest.raises(ConfigurationError, match="and only with it"):
            check_estimation_method(method, has_joint=has_joint)
    with pytest.raises(ConfigurationError, match=r"shape \(2, 3\); it must be \(2, 2\)"):
        convert_custom_joint(None, np.ones((2, 3)), 2)
    cells = convert_custom_joint(None, [[2, 0], [1, 3]], 2)
    assert cells.frame.to_numpy().tolist() == [[0, 0, 2], [1, 0, 1], [1, 1, 3]]
