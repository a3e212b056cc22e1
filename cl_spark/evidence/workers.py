"""Functions that run in Spark's Python workers."""

import gc
import os
import socket
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from zipimport import zipimporter

import pyarrow as pa
from pyspark.sql import DataFrame

ArrowFunction = Callable[[Iterable[pa.RecordBatch]], Iterator[pa.RecordBatch]]
"""Record batches of a partition -> record batches."""

SETTLING_TASKS = 3
"""After so many Spark tasks a worker has imported all it needs."""

_num_tasks = 0
"""Spark tasks that this process has begun."""


def map_in_arrow(rows: DataFrame, function: ArrowFunction, schema: str) -> DataFrame:
    """Call `DataFrame.mapInArrow` with less of the time that each Spark task costs (0.17 s -> 0.01 s).

    Before a Spark task, Spark has Python look at its path anew, and Python then reads the directories of all
    archives on it again, Spark's own among them. After a Spark task, Python collects garbage among all that
    was ever imported. See `begin_task`. During a Spark task, Spark waits 0.04 s for an acknowledgement: see
    `acknowledge_at_once`.

    Args:
        rows: the input.
        function: what to run; it is sent to the workers.
        schema: columns of the record batches it makes, as Spark reads them.
    """
    return rows.mapInArrow(_TaskFunction(function), schema)


@dataclass(frozen=True)
class _TaskFunction:
    """A function whose Spark tasks begin with `begin_task`, and whose batches hold no large types."""

    function: ArrowFunction

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        begin_task()
        return self.function(_read_batches(batches))


def _read_batches(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    acknowledge_at_once()
    for batch in batches:
        yield without_large_types(batch)
        acknowledge_at_once()


def acknowledge_at_once() -> None:
    """Have Linux acknowledge at once what this process receives over TCP.

    Spark sends Python a task in parts, and its socket holds a small part back until the one before is
    acknowledged (Nagle's algorithm). Linux does that after 0.04 s, or with an answer, and Python answers when
    it has all parts. That was most of the time of a small task. It is a hint that holds until the next
    answer, and so is given before each batch. Elsewhere, and with other sockets, this does nothing.
    """
    quickly = getattr(socket, "TCP_QUICKACK", None)
    # with a default timeout, Python would make a socket that it opens by its number non-blocking
    if quickly is None or socket.getdefaulttimeout() is not None:
        return
    numbers: list[str] = []
    with suppress(OSError):  # not everybody may look there
        numbers = os.listdir("/proc/self/fd")
    for number in numbers:
        with suppress(OSError):  # no socket, or not of TCP
            connection = socket.socket(fileno=int(number))
            try:
                connection.setsockopt(socket.IPPROTO_TCP, quickly, 1)
            finally:
                connection.detach()  # it stays open


def add_column(batch: pa.RecordBatch, name: str, values: pa.Array) -> pa.RecordBatch:
    """Add a column to a record batch, which pyarrow 15 has no method for."""
    return pa.RecordBatch.from_arrays([*batch.columns, values], names=[*batch.schema.names, name])


def without_large_types(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Convert what a session with ``useLargeVarTypes`` sends into the types of any other session.

    Raises:
        pyarrow.ArrowInvalid: a column of the batch takes more than 2 GiB.
    """
    ordinary = pa.schema([field.with_type(_ordinary_type(field.type)) for field in batch.schema])
    if ordinary == batch.schema:
        return batch
    columns = [column.cast(kind) for column, kind in zip(batch.columns, ordinary.types, strict=True)]
    return pa.RecordBatch.from_arrays(columns, schema=ordinary)


def _ordinary_type(kind: pa.DataType) -> pa.DataType:
    """Find the type with offsets of 32 bits, at every level, of one that may have 64."""
    if pa.types.is_large_string(kind):
        return pa.string()
    if pa.types.is_large_binary(kind):
        return pa.binary()
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return pa.list_(_ordinary_field(kind.value_field))
    if pa.types.is_struct(kind):
        return pa.struct([_ordinary_field(field) for field in kind])
    if pa.types.is_map(kind):
        return pa.map_(_ordinary_field(kind.key_field), _ordinary_field(kind.item_field))
    return kind


def _ordinary_field(field: pa.Field) -> pa.Field:
    return field.with_type(_ordinary_type(field.type))


def begin_task() -> None:
    """Prepare this process for a Spark task.

    Importers of archives are dropped: they are made again only where something is imported from them. In the
    first few Spark tasks, all objects that exist are moved out of the garbage collector's sight: they are
    modules and classes, which stay.
    """
    global _num_tasks
    archives = [path for path, finder in sys.path_importer_cache.items() if isinstance(finder, zipimporter)]
    for path in archives:
        del sys.path_importer_cache[path]
    if _num_tasks < SETTLING_TASKS:
        gc.freeze()
    _num_tasks += 1
