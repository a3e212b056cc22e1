"""Functions of Spark's Python workers: what a Spark task begins with."""

import gc
import os
import pickle
import socket
import sys
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any
from zipimport import zipimporter

import pyarrow as pa
import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from cl_spark import LabelAudit
from cl_spark.evidence import workers
from cl_spark.evidence.workers import SETTLING_TASKS, acknowledge_at_once, begin_task, without_large_types
from tests.frames import ids

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


def test_batches_are_acknowledged_before_each_is_read(
    freezes: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    monkeypatch.setattr(workers, "acknowledge_at_once", lambda: seen.append("acknowledged"))

    def read() -> Iterator[pa.RecordBatch]:
        for _ in range(2):
            seen.append("read")
            yield BATCH

    assert len(list(workers._TaskFunction(reverse)(read()))) == 2
    assert seen == ["acknowledged", "read", "acknowledged", "read", "acknowledged"]


def test_where_nobody_may_look_at_open_files_nothing_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "TCP_QUICKACK", 12, raising=False)

    def refuse(path: str) -> list[str]:
        raise PermissionError(path)

    monkeypatch.setattr(os, "listdir", refuse)
    acknowledge_at_once()


@pytest.mark.skipif(not hasattr(socket, "TCP_QUICKACK"), reason="Linux alone can be asked")
@pytest.mark.parametrize("timeout", [None, 5.0])
def test_connections_acknowledge_at_once_and_stay_as_they_are(timeout: float | None) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        client = socket.create_connection(server.getsockname())
        connection, _ = server.accept()
    with client, connection:
        for end in (client, connection):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 0)
        socket.setdefaulttimeout(timeout)
        try:
            acknowledge_at_once()
        finally:
            socket.setdefaulttimeout(None)
        for end in (client, connection):
            assert end.getsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK) == (timeout is None)
            assert os.get_blocking(end.fileno())
        client.sendall(b"still open")
        assert connection.recv(16) == b"still open"


LARGE = pa.schema(
    [
        ("text", pa.large_string()),
        ("bytes", pa.large_binary()),
        ("list", pa.large_list(pa.float32())),
        ("structs", pa.list_(pa.struct([("name", pa.large_string()), ("p", pa.float64())]))),
        ("map", pa.map_(pa.large_string(), pa.large_list(pa.int64()))),
    ]
)
ORDINARY = pa.schema(
    [
        ("text", pa.string()),
        ("bytes", pa.binary()),
        ("list", pa.list_(pa.float32())),
        ("structs", pa.list_(pa.struct([("name", pa.string()), ("p", pa.float64())]))),
        ("map", pa.map_(pa.string(), pa.list_(pa.int64()))),
    ]
)
ROWS = [
    {
        "text": "a",
        "bytes": b"b",
        "list": [1, None],
        "structs": [{"name": "x", "p": 0.5}],
        "map": [("k", [1])],
    },
    {"text": None, "bytes": None, "list": None, "structs": [], "map": []},
]


def test_large_types_become_ordinary_ones_at_every_level() -> None:
    large = pa.RecordBatch.from_pylist(ROWS, LARGE)
    for batch, rows in ((large, ROWS), (large.slice(1), ROWS[1:]), (large.slice(2), [])):
        converted = without_large_types(batch)
        converted.validate(full=True)
        assert converted.schema == ORDINARY
        assert converted.to_pylist() == rows


def test_ordinary_batches_pass_untouched() -> None:
    batch = pa.RecordBatch.from_pylist(ROWS, ORDINARY)
    assert without_large_types(batch) is batch


LARGE_TYPES = "spark.sql.execution.arrow.useLargeVarTypes"


@pytest.fixture
def own_settings(spark: SparkSession) -> Iterator[None]:
    yield
    spark.conf.unset(LARGE_TYPES)


@pytest.mark.slow
@pytest.mark.usefixtures("own_settings")
@pytest.mark.parametrize("form", ["arrays", "lists of class and probability"])
def test_a_session_that_sends_large_types_finds_the_same_issues(form: str, df: Any) -> None:
    rows = df.withColumn("id", F.concat(F.lit("row "), "id"))
    if form != "arrays":
        listed = F.transform("pred_probs", lambda p, k: F.struct(k.cast("int").alias("k"), p.alias("p")))
        rows = rows.withColumn("pred_probs", listed)
    found = []
    for large in ("true", "false"):
        rows.sparkSession.conf.set(LARGE_TYPES, large)
        with LabelAudit(rows, num_classes=4) as audit:
            found.append(ids(audit.find_label_issues()))
            assert audit.rejected().count() == 0
    assert found[0] == found[1] != set()
