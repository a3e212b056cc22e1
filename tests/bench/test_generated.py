"""Generated predictions: the same shape gives the same bytes, and the data are like those of a model."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cl_spark.bench import generated
from cl_spark.bench.generated import Shape, generate

SHAPE = Shape(rows=1_000, classes=6, files=3, row_group=100, seed=7)


def read(shape: Shape, directory: Path) -> pa.Table:
    return pq.read_table(generate(shape, directory)).sort_by("id")


def content(path: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in path.iterdir()}


def test_the_same_shape_gives_the_same_bytes_and_another_seed_others(tmp_path: Path) -> None:
    first = content(generate(SHAPE, tmp_path / "a"))
    assert content(generate(SHAPE, tmp_path / "b")) == first
    other = content(generate(replace(SHAPE, seed=8), tmp_path / "a"))
    assert other.keys() == first.keys() == {f"part-{n:05}.parquet" for n in range(3)} | {"_SUCCESS"}
    assert other != first
    labels = [read(replace(SHAPE, noise=0.0, seed=seed), tmp_path)["label"] for seed in (7, 8)]
    assert labels[0] != labels[1]


def test_every_row_is_a_distribution_over_the_classes_in_the_type_asked_for(tmp_path: Path) -> None:
    for dtype, kind in (("float32", pa.float32()), ("float64", pa.float64())):
        table = read(replace(SHAPE, dtype=dtype), tmp_path)
        assert table["id"].to_pylist() == list(range(1_000))
        assert table.schema.field("pred_probs").type.value_type == kind
        probs = np.array(table["pred_probs"].to_pylist())
        assert probs.shape == (1_000, 6)
        assert probs.min() >= 0
        assert probs.sum(axis=1) == pytest.approx(np.ones(1_000), abs=1e-5)


def test_the_model_agrees_with_most_labels_but_the_noisy_ones(tmp_path: Path) -> None:
    for noise, low, high in ((0.0, 0.8, 1.0), (0.5, 0.4, 0.6)):
        table = read(replace(SHAPE, classes=60, noise=noise), tmp_path)  # of few, neighbours may be the class
        labels = table["label"].to_numpy()
        assert set(labels) == set(range(60))
        agreed = np.mean(np.array(table["pred_probs"].to_pylist()).argmax(axis=1) == labels)
        assert low < agreed <= high


def test_skew_is_the_share_of_rows_of_the_first_class(tmp_path: Path) -> None:
    labels = read(replace(SHAPE, noise=0.0, skew=0.6), tmp_path)["label"].to_numpy()
    assert np.mean(labels == 0) == pytest.approx(0.6 + 0.4 / 6, abs=0.05)


def test_listed_classes_are_distinct_and_in_order_and_the_true_one_is_among_them(tmp_path: Path) -> None:
    table = read(replace(SHAPE, classes=40, top=8, noise=0.0), tmp_path)
    for label, entries in zip(table["label"].to_pylist(), table["pred_probs"].to_pylist(), strict=True):
        classes = [entry["class"] for entry in entries]
        assert classes == sorted(set(classes))
        assert label in classes
        assert 5 <= len(classes) <= 8, "neighbours may be one class"
        assert 0 <= min(classes) <= max(classes) < 40
        assert sum(entry["prob"] for entry in entries) <= 1 + 1e-5


def test_rows_come_in_parts_and_row_groups_so_that_memory_stays_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(generated, "ROWS_AT_ONCE", 6 * 50)
    path = generate(SHAPE, tmp_path)
    sizes = [pq.ParquetFile(file).metadata for file in sorted(path.glob("*.parquet"))]
    assert [one.num_rows for one in sizes] == [333, 333, 334]
    assert max(one.row_group(n).num_rows for one in sizes for n in range(one.num_row_groups)) == 50


def test_data_that_are_there_are_not_written_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = generate(SHAPE, tmp_path)
    monkeypatch.setattr(generated, "_rows", lambda *_: pytest.fail("it was written again"))
    assert generate(SHAPE, tmp_path) == path
    (path / "_SUCCESS").unlink()
    with pytest.raises(pytest.fail.Exception):
        generate(SHAPE, tmp_path)


def test_names_tell_shapes_apart() -> None:
    others = {"rows": 1, "classes": 7, "noise": 0.1, "skew": 0.1, "top": 3, "seed": 1, "dtype": "float64"}
    names = {replace(SHAPE, **{key: value}).name for key, value in others.items()}
    assert len(names | {SHAPE.name}) == len(others) + 1
