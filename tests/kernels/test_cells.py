"""Cells of space: every row has one, and equal rows the same."""

import numpy as np

from cl_spark.kernels import cells as kernel

random = np.random.default_rng(0)


def test_nearest_cells_are_those_of_the_nearest_centroids() -> None:
    rows = random.normal(size=(500, 6))
    cells = kernel.find_cells(rows, 20)
    centroids = cells.centroids * cells.scale + cells.offset
    distances = ((rows[:, None] - centroids) ** 2).sum(axis=2)
    found = cells.nearest(rows, 5)
    assert np.allclose(
        np.take_along_axis(distances, found, axis=1), np.sort(distances, axis=1)[:, :5], rtol=1e-3
    )


def test_cells_do_not_depend_on_the_rows_beside_them() -> None:
    rows = random.normal(size=(500, 6))
    cells = kernel.find_cells(rows, 20)
    whole = cells.nearest(rows, 3)
    single = np.concatenate([cells.nearest(rows[i : i + 1], 3) for i in range(len(rows))])
    assert np.array_equal(whole, single)


def test_equally_near_cells_go_by_their_number() -> None:
    cells = kernel.Cells(np.zeros(1), 1.0, 100.0, np.array([[-2.0], [2.0], [-1.0], [1.0]]))
    assert cells.nearest(np.zeros((1, 1)), 4).tolist() == [[2, 3, 0, 1]]
    assert cells.nearest(np.zeros((1, 1)), 1).tolist() == [[2]]


def test_a_huge_row_does_not_make_cells_wide() -> None:
    rows = random.normal(size=(640, 6))
    rows[3] = 1e9
    assert len(kernel.find_cells(rows, 40)) >= 35


def test_equal_rows_make_one_cell() -> None:
    cells = kernel.find_cells(np.ones((50, 3)), 10)
    assert len(cells) == 1
    assert cells.nearest(np.zeros((2, 3)), 1).tolist() == [[0], [0]]
