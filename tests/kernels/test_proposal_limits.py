"""Limits hold for the worst errors of single precision, and far references do not widen them."""

import numpy as np
import pytest

from cl_spark.kernels import proposal_limits
from cl_spark.kernels.arrays import Float64s
from cl_spark.kernels.proposal_limits import FAR, HUGE, ProposalLimits

K, DIMENSION = 3, 4
random = np.random.default_rng(0)
NEAR = random.normal(size=(60, DIMENSION))
REFERENCES = {
    "alike": NEAR,
    "one far": np.concatenate([NEAR, np.full((1, DIMENSION), 300.0)]),
    "of all sizes": NEAR * 10.0 ** random.uniform(-4, 4, size=(60, 1)),
    "equally long": NEAR / np.sqrt((NEAR**2).sum(axis=1, keepdims=True)),
}


def limits_of(longest: float, *, least: float = 0.0, width: float = 1.0) -> ProposalLimits:
    return ProposalLimits(DIMENSION, longest, least, width, 1e-10)


def lengths_of(rows: Float64s) -> Float64s:
    return np.asarray(np.sqrt((rows**2).sum(axis=-1)))


@pytest.mark.parametrize("unit", [proposal_limits.UNIT, 1e-4, 1e-2])
@pytest.mark.parametrize("name", REFERENCES)
def test_the_nearest_lie_within_limits_though_errors_hide_them(
    name: str, unit: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(proposal_limits, "UNIT", unit)
    references = REFERENCES[name]
    queries = np.concatenate([references, references * 1.5, np.zeros((1, DIMENSION))])
    squares = ((queries[:, None] - references) ** 2).sum(axis=2)
    sums = lengths_of(queries)[:, None] + lengths_of(references)
    errors = (DIMENSION + 8) * unit * sums**2
    nearest = np.argsort(squares, axis=1)[:, :K]
    computed = squares - errors  # others seem nearer, and the nearest farther, than they are
    raised = np.take_along_axis(squares + errors, nearest, axis=1)
    np.put_along_axis(computed, nearest, raised, axis=1)
    kth = np.sort(computed, axis=1)[:, K - 1]
    limits = limits_of(lengths_of(references).max()).find(kth, (queries**2).sum(axis=1))
    assert (raised <= limits[:, None]).all()


def test_the_nearest_lie_within_limits_though_their_squares_vanish() -> None:
    rows = (NEAR * 1e-22).astype(np.float32)
    squares = ((rows[:, None].astype(np.float64) - rows) ** 2).sum(axis=2)
    computed = ((rows[:, None] - rows) ** 2).sum(axis=2)
    nearest = np.argsort(squares, axis=1)[:, :K]
    kth = np.sort(computed, axis=1)[:, K - 1].astype(np.float64)
    longest = float(lengths_of(rows.astype(np.float64)).max())
    limits = limits_of(longest).find(kth, (rows.astype(np.float64) ** 2).sum(axis=1))
    assert (np.take_along_axis(computed, nearest, axis=1) <= limits[:, None]).all()


def test_a_far_reference_hardly_widens_limits() -> None:
    kth, squares = np.array([0.0, 1.0, 4.0]), np.array([1.0, 0.0, 9.0])
    far, farther = (limits_of(longest).find(kth, squares) for longest in (1e3, 1e9))
    assert np.array_equal(far, farther)
    assert (far - kth < 200 * (DIMENSION + 8) * proposal_limits.UNIT).all()
    near = limits_of(1.0).find(kth, squares)
    assert (near <= far).all()


def test_limits_are_not_below_what_counts_as_zero() -> None:
    assert limits_of(1.0, least=0.5).find(np.array([-1e-9, 0.1]), np.ones(2)).min() > 0.5


@pytest.mark.parametrize(
    ("limits", "kth", "square"),
    [
        (limits_of(1.0), 1.0, FAR**2),
        (limits_of(2 * FAR), FAR**2, 1.0),
        (limits_of(1.0, width=HUGE), 1.0, 1.0),
        (limits_of(np.nan), 1.0, 1.0),
        (limits_of(1.0), np.nan, 1.0),
        (limits_of(1.0), 1.0, np.inf),
        (ProposalLimits(10**7, 1.0, 0.0, 1.0, 1e-10), 1.0, 1.0),
    ],
    ids=["far query", "far neighbors", "huge", "no center", "no product", "no length", "too many numbers"],
)
def test_where_nothing_is_proven_there_is_no_limit(limits: ProposalLimits, kth: float, square: float) -> None:
    assert limits.find(np.array([kth]), np.array([square])).tolist() == [np.inf]
