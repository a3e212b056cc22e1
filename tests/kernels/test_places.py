"""Where classes stand in lists: whatever part of the rows a table holds."""

import numpy as np
import pytest

from cl_spark.kernels import row_evidence as evidence


@pytest.mark.parametrize("table", [1, 7, 14, 21, 10_000])
@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 50])
def test_places_are_those_of_a_search(monkeypatch: pytest.MonkeyPatch, table: int, size: int) -> None:
    monkeypatch.setattr(evidence, "LOOKUP_SIZE", table)
    rng = np.random.default_rng(size)
    lists = [rng.choice(7, rng.integers(1, 7), replace=False) for _ in range(size)]
    row, of_class = np.repeat(np.arange(size), list(map(len, lists))), np.concatenate(lists)
    rows = np.sort(rng.integers(0, size, 40))
    classes = rng.integers(0, 7, 40)
    entries = {pair: i for i, pair in enumerate(zip(row.tolist(), of_class.tolist(), strict=True))}
    expected = [entries.get(pair, -1) for pair in zip(rows.tolist(), classes.tolist(), strict=True)]
    assert evidence.find_entries(row, of_class, rows, classes, 7).tolist() == expected
    assert evidence.find_entries(row, of_class, row, of_class, 7).tolist() == list(range(len(row)))
