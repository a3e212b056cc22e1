"""Packed blocks: Spark keeps each block as one row of binary columns, which numpy reads without copying."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame

from cl_spark.evidence.blocks import NUMBERS, Block, BlockParts, KeptArrays, Kernel, concat_blocks
from cl_spark.evidence.ids import ID_RANGES_SCHEMA, IdRanges, find_id_ranges
from cl_spark.evidence.workers import map_in_arrow
from cl_spark.kernels.arrays import Int32s, Ints
from cl_spark.kernels.row_evidence import ListedProbs

PACKED_SCHEMA = f"of_suspects int, {ID_RANGES_SCHEMA}, rows binary, ids binary, listed binary, kept binary"
"""A packed block. It holds suspects (``of_suspects`` 1) or others (0): Spark's cache knows the least and
greatest number of each of its batches, so that a query of suspects reads hardly any others. Some blocks tell
the ranges of ids. ``rows`` holds the numbers of each row, the other columns `blocks.PARTS`; each column is
read only where it is asked for."""

_RANGES = pa.list_(pa.struct({"first": pa.int64(), "last": pa.int64()}))

_SCALARS = (*NUMBERS, "rejection", "confident", "min_prob")
_CLASSES = ("given", "predicted", "confident", "num_probs")

BLOCK_ROWS = 2**16
"""Rows that a block is filled up to."""

BLOCK_BYTES = 2**23
"""Bytes of kept arrays that a block is filled up to."""

TASK_BYTES = 2**31 - 2**26
"""Spark hands the blocks of a partition to Python together, in buffers of at most 2 GiB."""


def pack(block: Block, *, of_suspects: bool, id_ranges: IdRanges | None = None) -> pa.RecordBatch:
    """Pack a block that holds all its parts as one row of `PACKED_SCHEMA`."""
    scalars = {name: values for name in _SCALARS if (values := getattr(block, name)) is not None}
    metadata = {}
    if isinstance(block.num_probs, int):
        metadata["num_probs"] = str(block.num_probs)
    else:
        scalars["num_probs"] = block.num_probs
    rows = pa.RecordBatch.from_pydict(
        {name: _narrow(values) if name in _CLASSES else values for name, values in scalars.items()}
    )
    listed = pa.RecordBatch.from_pydict(vars(block.listed))
    kept = pa.RecordBatch.from_pydict(
        {"rows": pa.array(block.kept.rows, pa.int64()), "arrays": block.kept.arrays}
    )
    ranges, differ = id_ranges or (None, None)
    return pa.RecordBatch.from_pydict(
        {
            "of_suspects": pa.array([int(of_suspects)], pa.int32()),
            "id_ranges": pa.array([ranges], _RANGES),
            "ids_differ": pa.array([differ], pa.bool_()),
            "rows": _binary_column(rows.replace_schema_metadata(metadata)),
            "ids": _binary_column(block.ids),
            "listed": _binary_column(listed),
            "kept": _binary_column(kept),
        }
    )


def unpack(packed: Mapping[str, pa.Buffer]) -> Block:
    """Unpack a block from the binary columns of its row: ``rows``, and the parts that were asked for."""
    rows = _read(packed["rows"])
    scalars: dict[str, Any] = {
        name: column.to_numpy() for name, column in zip(rows.schema.names, rows.columns, strict=True)
    }
    scalars |= {name: scalars[name].astype(np.int32) for name in _CLASSES if name in scalars}
    if rows.schema.metadata and b"num_probs" in rows.schema.metadata:
        scalars["num_probs"] = int(rows.schema.metadata[b"num_probs"])
    ids, listed, kept = (
        _read(packed[part]) if part in packed else None for part in ("ids", "listed", "kept")
    )
    parts = BlockParts(
        ids=ids,
        listed=None if listed is None else ListedProbs(*(column.to_numpy() for column in listed.columns)),
        kept=None if kept is None else KeptArrays(kept.column("rows").to_numpy(), kept.column("arrays")),
    )
    return Block(**scalars, parts=parts)


def pack_blocks(blocks: Iterable[Block], whole_id: str | None = None) -> Iterator[pa.RecordBatch]:
    """Pack the blocks of a Spark task as rows of `PACKED_SCHEMA`.

    Small blocks are joined, and suspects are packed apart from others.

    Args:
        blocks: blocks that hold all their parts.
        whole_id: an id column of whole numbers, whose range the packed blocks tell.

    Raises:
        ValueError: the blocks of this Spark task are more than Spark can hand on.
    """
    packer = _Packer(whole_id)
    waiting = _BlockBuffer()
    for block in blocks:
        waiting.add(block)
        if waiting.is_full:
            yield from packer.pack_full(waiting.take())
    if waiting.num_rows:
        yield from packer.pack_full(waiting.take())
    yield from packer.pack_rest()


class _Packer:
    """Packs the blocks of a Spark task; suspects wait until they fill a block."""

    def __init__(self, whole_id: str | None) -> None:
        self._whole_id = whole_id
        self._suspects = _BlockBuffer()
        self._untold_ids: list[pa.Array] = []
        self._num_bytes = 0

    def pack_full(self, block: Block) -> Iterator[pa.RecordBatch]:
        """Pack the rows of a block that are no suspects, and suspects once they fill a block."""
        if self._whole_id is not None:
            self._untold_ids.append(block.ids.column(self._whole_id))
        suspect = block.suspects
        if not suspect.all():
            yield self._pack(block.where(~suspect), of_suspects=False)
        if suspect.any():
            self._suspects.add(block.where(suspect))
            if self._suspects.is_full:
                yield self._pack(self._suspects.take(), of_suspects=True)

    def pack_rest(self) -> Iterator[pa.RecordBatch]:
        """Pack the suspects that wait."""
        if self._suspects.num_rows:
            yield self._pack(self._suspects.take(), of_suspects=True)

    def _pack(self, block: Block, *, of_suspects: bool) -> pa.RecordBatch:
        # A block tells the ranges of all ids since the last ones told, so that a run of ids whose rows are
        # suspects and others in turn stays one range.
        id_ranges = find_id_ranges(pa.concat_arrays(self._untold_ids)) if self._untold_ids else None
        self._untold_ids.clear()
        batch = pack(block, of_suspects=of_suspects, id_ranges=id_ranges)
        self._num_bytes += batch.nbytes
        if self._num_bytes > TASK_BYTES:
            raise ValueError(
                "a partition of the input has more rows than fit a task (evidence of 2 GiB): "
                "repartition the input"
            )
        return batch


class _BlockBuffer:
    """Blocks that wait to be joined."""

    def __init__(self) -> None:
        self._blocks: list[Block] = []
        self.num_rows = self._num_bytes = 0

    def add(self, block: Block) -> None:
        """Add a block, unless it is empty."""
        if len(block):
            self._blocks.append(block)
            self.num_rows += len(block)
            self._num_bytes += block.kept.arrays.nbytes

    @property
    def is_full(self) -> bool:
        return self.num_rows >= BLOCK_ROWS or self._num_bytes >= BLOCK_BYTES

    def take(self) -> Block:
        """Empty the buffer: all its blocks as one."""
        blocks, self._blocks, self.num_rows, self._num_bytes = self._blocks, [], 0, 0
        return concat_blocks(blocks)


def map_blocks(
    packed: DataFrame, kernel: Kernel, schema: str, parts: Sequence[str] = (), num_classes: int | None = None
) -> DataFrame:
    """Map a kernel over the packed blocks of each partition.

    Args:
        packed: rows of `PACKED_SCHEMA`.
        kernel: what to run.
        schema: columns of the record batches it makes.
        parts: which of `blocks.PARTS` it asks for; others are not read.
        num_classes: K, to give the kernel accepted rows only; None gives it all rows.
    """
    return map_in_arrow(packed.select("rows", *parts), _PackedKernel(kernel, num_classes), schema)


@dataclass(frozen=True)
class _PackedKernel:
    """A kernel of blocks as a function of record batches of packed blocks."""

    kernel: Kernel
    num_classes: int | None

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        blocks = unpack_blocks(batches)
        if self.num_classes is not None:
            blocks = accept_blocks(blocks, self.num_classes)
        return self.kernel(blocks)


def unpack_blocks(batches: Iterable[pa.RecordBatch]) -> Iterator[Block]:
    """Unpack the blocks in some columns of `PACKED_SCHEMA`: ``rows``, and the parts that were asked for."""
    for batch in batches:
        for i in range(batch.num_rows):
            yield unpack({name: batch.column(name)[i].as_buffer() for name in batch.schema.names})


def accept_blocks(blocks: Iterable[Block], num_classes: int) -> Iterator[Block]:
    """Keep the accepted rows of each block."""
    for block in blocks:
        yield block.accepted(num_classes)


def ddl(types: Mapping[str, str]) -> str:
    """Write a schema of columns as Spark reads it."""
    return ", ".join(f"`{name}` {kind}" for name, kind in types.items())


def _narrow(values: Ints) -> Ints:
    """Convert whole numbers to the narrowest type that holds them all."""
    for kind in (np.int8, np.int16):
        if values.min(initial=0) >= np.iinfo(kind).min and values.max(initial=0) <= np.iinfo(kind).max:
            return values.astype(kind)
    return values


def _binary_column(batch: pa.RecordBatch) -> pa.Array:
    """Write a record batch as a binary column of one value, which shares its bytes."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    buffer = sink.getvalue()
    offsets: Int32s = np.array([0, buffer.size], dtype=np.int32)
    return pa.Array.from_buffers(pa.binary(), 1, [None, pa.py_buffer(offsets), buffer])


def _read(buffer: pa.Buffer) -> pa.RecordBatch:
    return pa.ipc.open_stream(buffer).read_next_batch()
