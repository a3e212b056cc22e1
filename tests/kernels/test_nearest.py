"""Nearest rows are exact: those of all distances, whatever rows stand beside them."""

from typing import Any

import numpy as np
import pytest

from cl_spark.kernels import nearest as kernel
from cl_spark.kernels import proposal_limits
from cl_spark.kernels.arrays import Bools, Float64s
from cl_spark.kernels.faiss_search import Candidates, find_candidates, load_faiss
from cl_spark.kernels.proposal_limits import FAR

random = np.random.default_rng(0)
ROWS = {
    "normal": random.normal(size=(700, 8)),
    "few different values": random.integers(1, 3, size=(700, 8)).astype(float),
    "copies": np.repeat(random.normal(size=(7, 8)), 100, axis=0),
    "far from zero": random.normal(size=(700, 8)) * 1e-3 + 1e4,
    "large": random.normal(size=(700, 8)) * 1e150,
    "tiny": random.normal(size=(700, 8)) * 1e-150,
    "tiny in single precision": random.normal(size=(700, 8)) * 1e-22,
    "one far row": np.concatenate([random.normal(size=(699, 8)), np.full((1, 8), 1e12)]),
    "one row 300 times as far": np.concatenate([random.normal(size=(699, 8)), np.full((1, 8), 300.0)]),
    "one row beyond single precision": np.concatenate([random.normal(size=(699, 8)), np.full((1, 8), 1e90)]),
    "rows of all sizes": random.normal(size=(700, 8)) * 10.0 ** random.uniform(-9, 9, size=(700, 1)),
    "far groups": random.normal(size=(700, 8)) * 1e-3 + random.choice([-1e3, 0.0, 1e5], size=(700, 1)),
    "nearly parallel": random.normal(size=(700, 8)) * 1e-3 + np.where(np.arange(700) == 9, -1, 1)[:, None],
    "one dimension": random.normal(size=(700, 1)),
    "few rows": random.normal(size=(5, 8)),
}


@pytest.fixture(params=["faiss", "products"], autouse=True)
def engine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """What finds candidates: with the same answers."""
    if request.param == "products":
        monkeypatch.setattr(kernel, "load_faiss", lambda: None)
    else:
        assert load_faiss() is not None, "a development dependency"
    return str(request.param)


def all_distances(rows: Float64s, metric: str) -> Float64s:
    if metric == kernel.COSINE:
        unit = kernel.to_unit_length(rows)
        lengths = np.sqrt(((unit[:, None] - unit) ** 2).sum(axis=2))
        halves = lengths**2 / 2  # in this order the last digit is the same
        return kernel.round_distances(np.where(halves < kernel.COSINE_ZERO, 0, halves))
    largest = np.abs(rows).max()
    scaled = rows * 2.0 ** -np.floor(np.log2(largest))
    lengths = np.sqrt(((scaled[:, None] - scaled) ** 2).sum(axis=2))
    return kernel.round_distances(lengths * 2.0 ** np.floor(np.log2(largest)))


@pytest.mark.parametrize("metric", kernel.METRICS)
@pytest.mark.parametrize("name", ROWS)
def test_neighbors_are_those_of_all_distances(metric: str, name: str) -> None:
    rows = ROWS[name]
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        expected = all_distances(rows, metric)
        found = kernel.find_nearest(rows, rows, 4, metric, own=np.arange(len(rows)))
    np.fill_diagonal(expected, np.inf)
    order = np.argsort(expected, axis=1, kind="stable")[:, :4]
    assert np.array_equal(found.positions, order)
    assert np.array_equal(found.distances, np.take_along_axis(expected, order, axis=1))


def test_neighbors_do_not_depend_on_the_rows_beside_them(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = ROWS["normal"]
    whole = kernel.find_nearest(rows, rows, 10, "cosine")
    monkeypatch.setattr(kernel, "VALUES_AT_ONCE", 800)  # a query at a time
    single = kernel.find_nearest(rows, rows, 10, "cosine")
    assert np.array_equal(whole.positions, single.positions)
    assert np.array_equal(whole.distances, single.distances)


def test_all_rows_are_measured_where_products_prove_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = ROWS["normal"]
    expected = kernel.find_nearest(rows, rows, 10, "euclidean")
    monkeypatch.setattr(proposal_limits, "UNIT", 1e6)  # an error that hides every difference
    found = kernel.find_nearest(rows, rows, 10, "euclidean")
    assert np.array_equal(found.positions, expected.positions)


def watch_sure(monkeypatch: pytest.MonkeyPatch) -> list[Bools]:
    """Watch of which queries faiss, if it is asked, finds all candidates."""
    sure: list[Bools] = []

    def find(*arguments: Any) -> Candidates:
        found = find_candidates(*arguments)
        sure.append(found.is_sure)
        return found

    monkeypatch.setattr(kernel, "find_candidates", find)
    return sure


def watch_measured(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Watch how many distances are measured."""
    measured: list[int] = []
    find_lengths = kernel._find_lengths

    def find(rows: Float64s) -> Float64s:
        measured.append(len(rows))
        return find_lengths(rows)

    monkeypatch.setattr(kernel, "_find_lengths", find)
    return measured


@pytest.mark.parametrize(
    ("metric", "name"),
    [
        ("euclidean", "one row 300 times as far"),
        ("euclidean", "one far row"),
        ("euclidean", "one row beyond single precision"),
        ("cosine", "nearly parallel"),
    ],
)
def test_few_far_rows_leave_others_sure(
    metric: str, name: str, engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = ROWS[name]
    sure, measured = watch_sure(monkeypatch), watch_measured(monkeypatch)
    kernel.find_nearest(rows, rows, 4, metric, own=np.arange(len(rows)))
    assert sum(measured) < 8 * len(rows)  # few more than the 4 nearest; all are 700 for each row
    if engine == "faiss":
        assert np.concatenate(sure).mean() > 0.99


def test_infinite_distances_are_equal() -> None:
    references = np.full((60, 2), 0.9)
    references[:, 1] = np.linspace(0.9, 0.6, 60) * (-1) ** np.arange(60)  # the last are nearer
    found = kernel.find_nearest(np.array([[-0.8e308, 0.0]]), references * 1e308, 3, "euclidean")
    assert found.positions.tolist() == [[0, 1, 2]]
    assert found.distances.tolist() == [[np.inf] * 3]


def test_differences_may_overflow() -> None:
    references = np.concatenate([np.full((60, 2), 1.7e308), [[-1.7e308, 0.0]]])
    found = kernel.find_nearest(np.array([[-1.7e308, 3.0]]), references, 3, "euclidean")
    assert found.positions.tolist() == [[60, 0, 1]]
    assert found.distances.tolist() == [[3.0, np.inf, np.inf]]


def test_rows_in_single_precision_are_finite() -> None:
    rows = np.array([[1e90, -1e300], [1.0, 0.0]])
    assert np.array_equal(kernel._to_single(rows, np.zeros(2), 1.0), [[FAR, -FAR], [1.0, 0.0]])


@pytest.mark.parametrize("scale", [1e28, 1e200])
def test_queries_may_be_far_away(scale: float) -> None:
    references = np.zeros((700, 3))
    references[:, 0] = np.arange(700.0)
    found = kernel.find_nearest(np.array([[0, scale, 0]]), references, 3, "euclidean")
    assert found.positions.tolist() == [[0, 1, 2]]  # all are equally far, after rounding
    assert found.distances[0] == pytest.approx([scale] * 3, rel=1e-12)


def test_lengths_neither_overflow_nor_vanish() -> None:
    rows = np.array([[3e200, 4e200], [3e-200, 4e-200], [3.0, 4.0]])
    found = kernel.find_nearest(np.zeros((1, 2)), rows, 3, "euclidean")
    assert found.positions.tolist() == [[1, 2, 0]]
    assert found.distances[0] == pytest.approx([5e-200, 5.0, 5e200], rel=1e-11)


def test_missing_neighbors_are_marked() -> None:
    found = kernel.find_nearest(np.ones((2, 3)), np.ones((1, 3)), 2, "euclidean", own=np.array([0, -1]))
    assert found.positions.tolist() == [[-1, -1], [0, -1]]
    assert found.distances.tolist() == [[np.inf, np.inf], [0.0, np.inf]]


def test_there_may_be_no_rows() -> None:
    assert kernel.find_nearest(np.ones((0, 3)), np.ones((4, 3)), 2, "euclidean").positions.shape == (0, 2)
    assert (kernel.find_nearest(np.ones((4, 3)), np.ones((0, 3)), 2, "euclidean").positions == -1).all()


def test_parallel_rows_have_distance_zero() -> None:
    row = random.normal(size=50)
    scaled = np.stack([row, row * 3, row / 7, row * 1e-200])
    assert (kernel.find_nearest(scaled, scaled, 4, "cosine").distances == 0).all()


def test_rows_that_differ_by_vanishing_numbers_have_cosine_distance_zero() -> None:
    rows = np.stack([np.ones(60), np.linspace(1e-200, 2e-200, 60)], axis=1)
    found = kernel.find_nearest(rows, rows, 3, "cosine")
    assert found.positions.tolist() == [[0, 1, 2]] * 60
    assert (found.distances == 0).all()
