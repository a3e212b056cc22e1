"""Candidates of queries that are sure hold all of the nearest, however wrong the distances of faiss are."""

import numpy as np
import pytest

from cl_spark.kernels import proposal_limits
from cl_spark.kernels.arrays import Float32s, Float64s, Int64s
from cl_spark.kernels.faiss_search import find_candidates
from cl_spark.kernels.proposal_limits import ProposalLimits

K, DIMENSION = 4, 8
random = np.random.default_rng(0)
NORMAL = random.normal(size=(300, DIMENSION))
ROWS = {
    "alike": NORMAL,
    "one far": np.concatenate([NORMAL, np.full((1, DIMENSION), 300.0)]),
    "of all sizes": NORMAL * 10.0 ** random.uniform(-4, 4, size=(300, 1)),
}


def lengths_of(rows: Float32s) -> Float64s:
    return np.asarray(np.sqrt((rows.astype(np.float64) ** 2).sum(axis=-1)))


def squares_of(queries: Float32s, references: Float32s) -> Float64s:
    return np.asarray(((queries[:, None].astype(np.float64) - references) ** 2).sum(axis=2))


class FalseFaiss:
    """Finds rows by distances that are as wrong as `ProposalLimits` allow."""

    def knn(self, queries: Float32s, references: Float32s, number: int) -> tuple[Float64s, Int64s]:
        sums = lengths_of(queries)[:, None] + lengths_of(references)
        errors = (DIMENSION + 8) * proposal_limits.UNIT * sums**2
        signs = np.random.default_rng(0).choice([-1, 1], size=errors.shape)
        computed = squares_of(queries, references) + signs * errors
        order = np.argsort(computed, axis=1)[:, :number]
        return np.take_along_axis(computed, order, axis=1), order


@pytest.mark.parametrize("name", ROWS)
def test_none_of_the_nearest_is_missing(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proposal_limits, "UNIT", 2e-4)  # some queries are sure then, and some are not
    rows = ROWS[name].astype(np.float32)
    own = np.arange(len(rows))
    limits = ProposalLimits(DIMENSION, float(lengths_of(rows).max()), 0.0, 1.0, 1e-10)
    found = find_candidates(FalseFaiss(), rows, rows, K, own, limits)
    squares = squares_of(rows, rows)
    np.fill_diagonal(squares, np.inf)
    nearest = np.argsort(squares, axis=1)[:, :K]
    is_candidate = np.zeros(squares.shape, dtype=bool)
    is_candidate[found.queries, found.references] = True
    assert np.take_along_axis(is_candidate, nearest, axis=1)[found.is_sure].all()
    assert not is_candidate[~found.is_sure].any()
    assert 0 < found.is_sure.mean() < 1
