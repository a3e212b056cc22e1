"""The evidence of lists of classes is that of the arrays they stand for."""

import numpy as np
import pytest

from cl_spark.kernels import sparse_evidence
from cl_spark.kernels.row_evidence import ListingPolicy, extract_dense
from cl_spark.kernels.sparse_evidence import SparseRows, extract_sparse, find_entries


@pytest.mark.parametrize("table", [1, 7, 14, 21, 10_000])
@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 50])
def test_entries_are_those_of_a_search(monkeypatch: pytest.MonkeyPatch, table: int, size: int) -> None:
    monkeypatch.setattr(sparse_evidence, "LOOKUP_SIZE", table)
    rng = np.random.default_rng(size)
    lists = [rng.choice(7, rng.integers(1, 7), replace=False) for _ in range(size)]
    row, class_index = np.repeat(np.arange(size), list(map(len, lists))), np.concatenate(lists)
    rows = np.sort(rng.integers(0, size, 40))
    classes = rng.integers(0, 7, 40)
    entries = {pair: i for i, pair in enumerate(zip(row.tolist(), class_index.tolist(), strict=True))}
    expected = [entries.get(pair, -1) for pair in zip(rows.tolist(), classes.tolist(), strict=True)]
    assert find_entries(row, class_index, rows, classes, 7).tolist() == expected
    assert find_entries(row, class_index, row, class_index, 7).tolist() == list(range(len(row)))


def sparse(lists: list[dict[int, float]], classes: int, absent_prob: float, kind: type) -> SparseRows:
    return SparseRows(
        np.array(list(map(len, lists))),
        np.array([k for entries in lists for k in entries], dtype=np.int32),
        np.array([p for entries in lists for p in entries.values()], dtype=kind),
        classes,
        absent_prob,
    )


@pytest.mark.parametrize("classes", [4, 90])
@pytest.mark.parametrize("absent_prob", [0.0, 0.125])
@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_lists_give_the_numbers_of_their_arrays(classes: int, absent_prob: float, kind: type) -> None:
    rng = np.random.default_rng(classes)
    lists = []
    for _ in range(60):
        chosen = rng.permutation(classes)[: rng.integers(1, 5)]
        probs = rng.dirichlet(np.full(len(chosen), 0.5)).round(2) + absent_prob + 0.01
        lists.append(dict(zip(chosen.tolist(), probs.tolist(), strict=True)))
    labels = rng.integers(-1, classes + 1, len(lists)).astype(np.int32)
    dense = np.full((len(lists), classes), absent_prob, dtype=kind)
    for i, entries in enumerate(lists):
        dense[i, list(entries)] = list(entries.values())
    rows = sparse(lists, classes, absent_prob, kind)
    found = extract_sparse(labels, rows, ListingPolicy(), with_sums=True)
    whole = extract_dense(labels, dense, ListingPolicy(), with_sums=True)
    for name in ("predicted", "self_confidence", "max_prob", "second_max_prob", "min_prob"):
        assert np.array_equal(getattr(found.evidence, name), getattr(whole, name), equal_nan=True), name
    np.testing.assert_allclose(found.evidence.prob_sum, whole.prob_sum)
    assert not found.has_bad_classes.any()
    assert not found.none_above_absent.any()
    # what is not listed lies below the bound, absent classes included
    unlisted = dense.copy()
    unlisted[np.arange(len(lists)), found.evidence.predicted] = -np.inf
    listed = found.evidence.listed
    assert np.array_equal(dense[listed.row, listed.class_index], listed.prob)
    unlisted[listed.row, listed.class_index] = -np.inf
    assert (unlisted.max(axis=1) <= found.evidence.unlisted_max_prob).all()


def test_classes_that_are_none_or_come_twice_are_found() -> None:
    rows = SparseRows(
        np.array([2, 2, 1, 1, 2]),
        np.array([0, 1, 2, 2, 3, -1, 1, 0], dtype=np.int32),
        np.array([0.5, 0.5, 0.5, 0.5, 1.0, 1.0, 0.5, 0.5]),
        3,
        0.0,
    )
    found = extract_sparse(np.zeros(5, dtype=np.int32), rows, ListingPolicy(), with_sums=False)
    assert found.has_bad_classes.tolist() == [False, True, True, True, False]


def test_rows_that_list_nothing_above_the_absent_classes_are_found() -> None:
    rows = sparse([{0: 0.1}, {0: 0.2, 1: 0.1}, {2: 0.05}], 3, 0.1, np.float64)
    found = extract_sparse(np.zeros(3, dtype=np.int32), rows, ListingPolicy(), with_sums=False)
    assert found.none_above_absent.tolist() == [True, False, True]


def test_ties_go_to_the_lowest_class_whatever_the_order_of_the_list() -> None:
    rows = sparse([{3: 0.5, 1: 0.5}], 5, 0.0, np.float64)
    found = extract_sparse(np.array([1], dtype=np.int32), rows, ListingPolicy(), with_sums=False)
    assert found.evidence.predicted.tolist() == [1]
