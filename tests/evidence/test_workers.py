"""Functions of Spark's Python workers: what a Spark task begins with."""

import gc
import pickle
import sys
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from zipimport import zipimporter

import pyarrow as pa
import pytest

from cl_spark.evidence import workers
from cl_spark.evidence.workers import SETTLING_TASKS, begin_task

BATCH = pa.RecordBatch.from_pydict({"x": [1, 2]})


@pytest.fixture
def freezes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A process without Spark tasks yet; holds a number for each time that garbage was put out of sight."""
    frozen: list[int] = []
    monkeypatch.setattr(gc, "freeze", lambda: frozen.append(1))
    monkeypatch.setattr(workers, "_num_tasks", 0)
    return frozen


def reverse(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    return (batch.take(pa.array([1, 0])) for batch in batches)


def test_importers_of_archives_are_dropped_and_others_stay(
    freezes: list[int], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    archive = str(tmp_path / "a.zip")
    with zipfile.ZipFile(archive, "w") as opened:
        opened.writestr("module.py", "")
    cache = {archive: zipimporter(archive), f"{archive}/inner": zipimporter(archive), "/lib": None}
    monkeypatch.setattr(sys, "path_importer_cache", cache)
    begin_task()
    assert cache == {"/lib": None}


def test_modules_are_put_out_of_the_collectors_sight_in_the_first_tasks_only(freezes: list[int]) -> None:
    for _ in range(SETTLING_TASKS + 2):
        begin_task()
    assert len(freezes) == SETTLING_TASKS


def test_a_function_is_shipped_by_name_and_begins_a_task(freezes: list[int]) -> None:
    shipped = pickle.loads(pickle.dumps(workers._TaskFunction(reverse)))
    (batch,) = shipped([BATCH])
    assert batch.to_pydict() == {"x": [2, 1]}
    assert len(freezes) == 1
