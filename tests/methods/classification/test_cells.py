"""Cell tables on the driver: merged, joined, summed, and mapped by kernels that see sorted cells."""

import numpy as np
import pandas as pd
import pytest

from cl_spark.methods.classification.cells import CellTable
from cl_spark.tables import columns as c


def table(*cells: tuple[int, int, int], classes: int = 3) -> CellTable:
    frame = pd.DataFrame(cells, columns=[c.GIVEN, c.TRUE, c.COUNT])
    return CellTable(None, classes, frame)  # no session: nothing here is on a cluster


def rows(cells: CellTable) -> list[tuple[int, ...]]:
    return sorted(map(tuple, cells.frame.to_numpy().tolist()))


def test_merging_adds_up_cells_or_takes_the_largest() -> None:
    ours, theirs = table((0, 0, 2), (0, 1, 5)), table((0, 0, 3), (2, 2, 1))
    keys = [c.GIVEN, c.TRUE]
    assert rows(ours.merge(theirs, keys, c.COUNT)) == [(0, 0, 5), (0, 1, 5), (2, 2, 1)]
    assert rows(ours.merge(theirs, keys, c.COUNT, "max")) == [(0, 0, 3), (0, 1, 5), (2, 2, 1)]


def test_joined_columns_are_null_where_the_other_table_lacks_the_cell() -> None:
    joined = table((0, 0, 2), (0, 1, 5)).join_columns(
        table((0, 1, 7)).rename(c.COUNT, "other"), [c.GIVEN, c.TRUE]
    )
    assert joined.frame["other"].tolist() == pytest.approx([np.nan, 7], nan_ok=True)


def test_sums_by_class_are_zero_for_classes_without_cells() -> None:
    cells = table((0, 0, 2), (0, 1, 5), (1, 1, 4))
    assert cells.sum_values(c.COUNT) == 11
    assert cells.sum_by_class(c.GIVEN, c.COUNT).tolist() == [7, 4, 0]
    assert cells.sum_by_class(c.TRUE, c.COUNT).tolist() == [2, 9, 0]
    assert cells.sum_by_class(c.GIVEN, c.COUNT, diagonal=True).tolist() == [2, 4, 0]


def test_kernels_see_cells_sorted_by_given_and_true_class() -> None:
    seen: list[list[int]] = []

    def double(given: np.ndarray, true: np.ndarray, count: np.ndarray) -> tuple[np.ndarray, ...]:
        seen.extend([given.tolist(), true.tolist()])
        return given, true, 2 * count

    doubled = table((1, 0, 1), (0, 1, 2), (0, 0, 3)).map_counts(double, "twice")
    assert seen == [[0, 0, 1], [0, 1, 0]]
    assert rows(doubled) == [(0, 0, 6), (0, 1, 4), (1, 0, 2)]
    assert list(doubled.frame) == [c.GIVEN, c.TRUE, "twice"]


def test_conditions_select_cells_and_frames_come_sorted() -> None:
    cells = table((1, 0, 1), (0, 1, 2), (0, 0, 3)).where(f"{c.GIVEN} != {c.TRUE}")
    (frame,) = cells.iter_frames()
    assert frame.to_numpy().tolist() == [[0, 1, 2], [1, 0, 1]]
