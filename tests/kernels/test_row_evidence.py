"""The evidence of whole arrays: the numbers of each row, and a bound on every class that is not listed."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cl_spark.kernels import row_evidence
from cl_spark.kernels.row_evidence import (
    ListedProbs,
    ListingPolicy,
    RowEvidence,
    extract_dense,
    find_suspects,
)


def check_evidence(found: RowEvidence, labels: np.ndarray, probs: np.ndarray) -> None:
    """Compare evidence with what plain Python finds in the rows."""
    listed = dict(
        zip(
            zip(found.listed.row.tolist(), found.listed.class_index.tolist(), strict=True),
            found.listed.prob.tolist(),
            strict=True,
        )
    )
    for i, (label, row) in enumerate(zip(labels.tolist(), probs.tolist(), strict=True)):
        best = row.index(max(row))
        others = [p for k, p in enumerate(row) if k != best]
        assert found.predicted[i] == best
        assert found.max_prob[i] == row[best]
        assert found.min_prob[i] == min(row)
        assert found.second_max_prob[i] == max(others, default=-np.inf)
        if 0 <= label < len(row):
            assert found.self_confidence[i] == row[label]
        else:
            assert np.isnan(found.self_confidence[i])
        assert (i, best) not in listed
        for k, p in enumerate(row):
            if (i, k) in listed:
                assert listed[i, k] == p
            elif k != best:
                assert p <= found.unlisted_max_prob[i]


@pytest.mark.parametrize("cached_values", [1, 40, 2**17])
@pytest.mark.parametrize("classes", [1, 2, 5, 70])
@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize("policy", [ListingPolicy(), ListingPolicy(max_listed=0), ListingPolicy(0.0, 0.0, 3)])
def test_numbers_are_those_of_each_row(
    monkeypatch: pytest.MonkeyPatch, cached_values: int, classes: int, kind: type, policy: ListingPolicy
) -> None:
    monkeypatch.setattr(row_evidence, "CACHED_VALUES", cached_values)
    rng = np.random.default_rng(classes)
    probs = rng.dirichlet(np.full(classes, 0.2), 30).round(2).astype(kind)
    labels = rng.integers(-1, classes + 1, 30).astype(np.int32)
    found = extract_dense(labels, probs, policy, with_sums=True)
    check_evidence(found, labels, probs)
    assert found.max_prob.dtype == kind
    assert found.prob_sum is not None
    np.testing.assert_allclose(found.prob_sum, probs.sum(axis=1, dtype=np.float64))


@pytest.mark.parametrize("classes", [3, 70])
def test_scores_below_zero_have_evidence_too(classes: int) -> None:
    rng = np.random.default_rng(1)
    scores = -rng.random((20, classes)) * 100
    labels = rng.integers(0, classes, 20).astype(np.int32)
    found = extract_dense(labels, scores, ListingPolicy(), with_sums=False)
    check_evidence(found, labels, scores)
    assert found.prob_sum is None


@pytest.mark.parametrize("classes", [3, 70])
def test_nan_in_a_row_is_seen_in_its_maximum(classes: int) -> None:
    probs = np.full((2, classes), 1 / classes)
    probs[1, 1] = np.nan
    found = extract_dense(np.zeros(2, dtype=np.int32), probs, ListingPolicy(), with_sums=False)
    assert np.isnan(found.max_prob).tolist() == [False, True]


@pytest.mark.parametrize("classes", [3, 70])
def test_no_rows_have_no_evidence(classes: int) -> None:
    found = extract_dense(
        np.zeros(0, dtype=np.int32), np.zeros((0, classes)), ListingPolicy(), with_sums=True
    )
    assert len(found.predicted) == len(found.listed.row) == 0


def test_suspects_without_array_list_all_classes_that_beat_the_label() -> None:
    row = np.full(100, 0.001)
    row[[0, 1, 2, 3]] = 0.1, 0.15, 0.12, 0.53
    found = extract_dense(np.array([0], dtype=np.int32), row[None], ListingPolicy(), with_sums=False)
    assert found.listed.class_index.tolist() == [0, 1, 2]
    agreeing = extract_dense(np.array([3], dtype=np.int32), row[None], ListingPolicy(), with_sums=False)
    assert agreeing.listed.class_index.tolist() == []
    assert agreeing.unlisted_max_prob.tolist() == [0.2]


def test_crowded_rows_list_nothing() -> None:
    row = np.full((1, 6), 1 / 6)
    found = extract_dense(np.array([0], dtype=np.int32), row, ListingPolicy(max_listed=4), with_sums=False)
    assert found.listed.row.tolist() == []
    assert found.unlisted_max_prob.tolist() == found.max_prob.tolist()


def test_suspects_keep_short_arrays_and_those_they_cannot_list() -> None:
    policy = ListingPolicy()
    assert policy.keeps_array(np.array([0.4, 0.4]), np.array([0.4, 0.1]), 65).tolist() == [True, False]
    assert policy.keeps_array(np.array([0.9, 0.9]), np.array([0.1, 0.1]), np.array([64, 65])).tolist() == [
        True,
        False,
    ]


def test_suspects_list_no_class_below_the_least_probability() -> None:
    policy, row = ListingPolicy(min_suspect_prob=1e-4), np.full(1_100, 1e-5)
    row[[0, 1, 2]] = 1e-6, 0.3, 0.02
    found = extract_dense(np.array([0], dtype=np.int32), row[None], policy, with_sums=False)
    assert found.listed.class_index.tolist() == [2]
    assert found.unlisted_max_prob.tolist() == [1e-4]
    row[3:70] = 1e-3  # more than max_listed, but no more than a sixteenth of all
    found = extract_dense(
        np.array([0], dtype=np.int32), row[None], replace(policy, max_listed=60), with_sums=False
    )
    assert len(found.listed.class_index) == 68
    agreeing = extract_dense(np.array([1], dtype=np.int32), row[None], ListingPolicy(), with_sums=False)
    assert agreeing.listed.class_index.tolist() == []


@settings(max_examples=500, deadline=None, database=None, derandomize=True)
@given(
    row=st.lists(
        st.sampled_from([0.0, 0.1, 0.1 + 1e-6, 0.1 + 2e-6, 0.4, 0.4 - 5e-7]), min_size=2, max_size=5
    ),
    label=st.integers(0, 4),
)
def test_suspects_fail_the_agreement_rule(row: list[float], label: int) -> None:
    probs, label = np.array([row]), label % len(row)
    raised = probs.copy()
    raised[0, label] += 1e-6
    labels = np.array([label], dtype=np.int32)
    found = extract_dense(labels, probs, ListingPolicy(), with_sums=False)
    suspect = find_suspects(labels, found.predicted, found.self_confidence, found.max_prob)
    assert suspect.tolist() == [bool(raised.argmax() != label)]


def test_entries_are_concatenated_and_chosen() -> None:
    ours = ListedProbs(np.array([0], np.int32), np.array([2], np.int32), np.array([0.5]))
    theirs = ListedProbs(np.array([1, 1], np.int32), np.array([0, 3], np.int32), np.array([0.25, 0.75]))
    both = ListedProbs.concat([ours, theirs])
    assert both.row.tolist() == [0, 1, 1]
    some = both.where(both.prob > 0.3)
    assert (some.class_index.tolist(), some.prob.tolist()) == ([2, 3], [0.5, 0.75])
