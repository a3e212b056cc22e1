"""The evidence, packed: a row of Spark's for each block of some ten thousand rows, which numpy reads as they lie in memory."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql import DataFrame

from cl_spark.evidence.ids import IdRange, id_range
from cl_spark.evidence.workers import map_in_arrow
from cl_spark.kernels.row_evidence import Bools, Floats, Int32s, ListedProbs, suspects
from cl_spark.tables import columns as c

SCHEMA = "of_suspects int, rows binary, ids binary, listed binary, arrays binary"
"""A block holds suspects (1) or others (0): what asks for suspects reads hardly any others, as Spark's cache knows which numbers
are where."""

PARTS = ("rows", "ids", "listed", "arrays")
"""What a block is kept as, each read only where it is asked for: numbers, ids, listed classes, kept arrays."""

CLASSES = ("given", "predicted", "confident", "length")
"""Whole numbers that are kept in as few bytes as hold them."""

BLOCK_ROWS = 2**16
"""Rows a block is filled up to."""

BLOCK_BYTES = 2**23
"""Kept arrays a block is filled up to."""

TASK_BYTES = 2**31 - 2**26
"""Spark hands the blocks of a partition to Python together, and its buffers end at 2 GiB."""


@dataclass(frozen=True)
class Block:
    """The evidence of n rows, (n,) each.

    Attributes:
        given: given class; -1 where there is none.
        predicted: predicted class.
        own: self-confidence.
        best: highest probability.
        second: highest probability of another class than the predicted.
        bar: no other class has a higher probability unless it is listed.
        refusal: why a row cannot be used, 0 if it can; None where all can.
        length: how many classes each row tells of; one number where all tell of as many.
        confident: confident class, where it was read from the arrays.
        id_range: lowest and highest id of the rows packed since the last block that told it, and whether all differ
            (`ids.id_range`).
        ids: id and slice columns; None where they were not asked for.
        listed: the other classes listed.
        kept: which rows have their array in `arrays`.
        arrays: their arrays.
    """

    given: Int32s
    predicted: Int32s
    self_confidence: Floats
    max_prob: Floats
    second_max_prob: Floats
    unlisted_max_prob: Floats
    rejection: NDArray[np.int8] | None = None
    length: Int32s | int = 0
    confident: Int32s | None = None
    id_range: IdRange | None = None
    ids: pa.RecordBatch | None = None
    listed: ListedProbs | None = None
    kept: NDArray[np.int64] | None = None
    arrays: pa.Array | None = None

    def __len__(self) -> int:
        return len(self.given)

    @property
    def usable(self) -> Bools:
        """Whether each row can be used, as far as it tells by itself."""
        return np.ones(len(self), dtype=bool) if self.rejection is None else np.asarray(self.rejection == 0)

    @property
    def suspects(self) -> Bools:
        """Whether each row could be an issue at all."""
        return suspects(self.given, self.predicted, self.self_confidence, self.max_prob)

    @property
    def without_array(self) -> Bools:
        """Whether a row's array is not at hand."""
        without = np.ones(len(self), dtype=bool)
        without[self.kept] = False
        return without

    @property
    def least_score(self) -> NDArray[np.float64]:
        """No class that is not listed gives a row a lower ``p_given - p_other`` than this."""
        return np.asarray(self.self_confidence.astype(np.float64) - self.unlisted_max_prob.astype(np.float64))

    def accepted(self, num_classes: int) -> "Block":
        """The rows that can be used."""
        if self.rejection is None and isinstance(self.length, int) and self.length == num_classes:
            return self
        return replace(
            self.where(self.usable & (self.length == num_classes)), rejection=None, length=num_classes
        )

    def where(self, chosen: Bools) -> "Block":
        """Some of the rows."""
        place = np.cumsum(chosen) - 1
        listed, kept, arrays = self.listed, self.kept, self.arrays
        if listed is not None:
            listed = listed.where(chosen[listed.row])
            listed = replace(listed, row=place[listed.row].astype(np.int32))
        if kept is not None and arrays is not None:
            inside = chosen[kept]
            kept, arrays = place[kept[inside]], arrays.filter(pa.array(inside))
        ids = None if self.ids is None else self.ids.filter(pa.array(chosen))
        of_rows = {
            name: values
            for name, values in vars(self).items()
            if isinstance(values, np.ndarray) and name != "kept"
        }
        scalars: dict[str, Any] = {name: values[chosen] for name, values in of_rows.items()}
        return replace(self, **scalars, ids=ids, listed=listed, kept=kept, arrays=arrays)

    def frame(
        self, rows: NDArray[np.int64] | Bools, names: Sequence[str], more: dict[str, Any] | None = None
    ) -> pa.RecordBatch:
        """Ids and numbers of some rows (in any order, as often as they are named) as columns, with further ones."""
        index = np.flatnonzero(rows) if rows.dtype == bool else rows
        columns: dict[str, Any] = {}
        if self.ids is not None:
            taken = self.ids.take(pa.array(index)).columns
            columns = {
                name: values
                for name, values in zip(self.ids.schema.names, taken, strict=True)
                if name in names
            }
        known = {
            c.GIVEN: self.given,
            c.PREDICTED: self.predicted,
            c.EVIDENCE_SELF_CONFIDENCE: self.self_confidence,
            c.MAX_PROB: self.max_prob,
            c.SECOND_MAX_PROB: self.second_max_prob,
        }
        columns |= {name: pa.array(values[index]) for name, values in known.items() if name in names}
        columns |= {name: pa.array(values) for name, values in (more or {}).items()}
        return pa.RecordBatch.from_pydict(columns)

    def packed(self, *, of_suspects: bool) -> pa.RecordBatch:
        """The block as one row of `SCHEMA`."""
        assert self.ids is not None
        assert self.listed is not None
        scalars: dict[str, Any] = {
            name: getattr(self, name)
            for name in (
                "given",
                "predicted",
                "self_confidence",
                "max_prob",
                "second_max_prob",
                "unlisted_max_prob",
                "rejection",
                "confident",
            )
        }
        metadata = {} if self.id_range is None else {"id_range": json.dumps(self.id_range)}
        if isinstance(self.length, np.ndarray):
            scalars["length"] = self.length
        else:
            metadata["length"] = str(self.length)
        rows = pa.RecordBatch.from_pydict(
            {
                name: _narrow(values) if name in CLASSES else values
                for name, values in scalars.items()
                if values is not None
            }
        ).replace_schema_metadata(metadata)
        listed = pa.RecordBatch.from_pydict(vars(self.listed))
        arrays = pa.RecordBatch.from_pydict({"kept": pa.array(self.kept, pa.int64()), "arrays": self.arrays})
        parts = [_one(_written(part)) for part in (rows, self.ids, listed, arrays)]
        return pa.RecordBatch.from_arrays(
            [pa.array([int(of_suspects)], pa.int32()), *parts], names=["of_suspects", *PARTS]
        )

    @staticmethod
    def unpacked(packed: dict[str, pa.Buffer]) -> "Block":
        """The block in a row, as far as columns were asked for."""
        rows = _read(packed["rows"])
        scalars: dict[str, Any] = {
            name: column.to_numpy() for name, column in zip(rows.schema.names, rows.columns, strict=True)
        }
        scalars |= {name: scalars[name].astype(np.int32) for name in CLASSES if name in scalars}
        if rows.schema.metadata and b"length" in rows.schema.metadata:
            scalars["length"] = int(rows.schema.metadata[b"length"])
        if rows.schema.metadata and b"id_range" in rows.schema.metadata:
            scalars["id_range"] = tuple(json.loads(rows.schema.metadata[b"id_range"]))
        if "ids" in packed:
            scalars["ids"] = _read(packed["ids"])
        if "listed" in packed:
            scalars["listed"] = ListedProbs(
                *(column.to_numpy() for column in _read(packed["listed"]).columns)
            )
        if "arrays" in packed:
            kept, scalars["arrays"] = _read(packed["arrays"]).columns
            scalars["kept"] = kept.to_numpy()
        return Block(**scalars)


def concat_blocks(blocks: list[Block]) -> Block:
    """One block after the other."""
    if len(blocks) == 1:
        return blocks[0]
    starts = np.cumsum([0, *map(len, blocks)])[:-1]

    def whole(name: str) -> Any:
        return np.concatenate([getattr(block, name) for block in blocks])

    scalars: dict[str, Any] = {
        name: whole(name)
        for name in (
            "given",
            "predicted",
            "self_confidence",
            "max_prob",
            "second_max_prob",
            "unlisted_max_prob",
        )
    }
    if any(block.rejection is not None for block in blocks):
        none = [
            np.zeros(len(block), dtype=np.int8) if block.rejection is None else block.rejection
            for block in blocks
        ]
        scalars["rejection"] = np.concatenate(none)
    lengths = {block.length if isinstance(block.length, int) else None for block in blocks}
    scalars["length"] = lengths.pop()
    if lengths or scalars["length"] is None:
        scalars["length"] = np.concatenate(
            [np.broadcast_to(np.int32(block.length), len(block)) for block in blocks]
        )
    if blocks[0].confident is not None:
        scalars["confident"] = whole("confident")
    entries = [
        replace(block.listed, row=block.listed.row + np.int32(start))
        for block, start in zip(blocks, starts, strict=True)
        if block.listed is not None
    ]
    kept = [block.kept + start for block, start in zip(blocks, starts, strict=True) if block.kept is not None]
    ids = pa.Table.from_batches([block.ids for block in blocks]).combine_chunks().to_batches()[0]
    arrays = pa.concat_arrays([block.arrays for block in blocks])
    return Block(
        **scalars, ids=ids, listed=ListedProbs.concat(entries), kept=np.concatenate(kept), arrays=arrays
    )


def pack_blocks(blocks: Iterable[Block], whole_id: str | None = None) -> Iterator[pa.RecordBatch]:
    """Blocks as rows of `SCHEMA`, small ones joined, suspects parted from others.

    Args:
        blocks: the blocks of a task.
        whole_id: an id column of whole numbers, whose range is to be told.

    Raises:
        ValueError: the blocks of this task are more than Spark can hand on.
    """
    waiting, suspects = _Waiting(), _Waiting()
    ids: list[pa.Array] = []
    written = 0

    def packed(block: Block, *, of_suspects: bool) -> pa.RecordBatch:
        nonlocal written
        if ids:
            block = replace(block, id_range=id_range(pa.concat_arrays(ids)))
            ids.clear()
        batch = block.packed(of_suspects=of_suspects)
        written += batch.nbytes
        if written > TASK_BYTES:
            raise ValueError(
                "a partition of the input has more rows than fit a task (evidence of 2 GiB): repartition the input"
            )
        return batch

    def parted(block: Block) -> Iterator[pa.RecordBatch]:
        if whole_id is not None and block.ids is not None:
            ids.append(block.ids.column(whole_id))
        suspect = block.suspects
        if not suspect.all():
            yield packed(block.where(~suspect), of_suspects=False)
        if suspect.any():
            suspects.add(block.where(suspect))
            if suspects.is_full:
                yield packed(suspects.taken(), of_suspects=True)

    for block in blocks:
        waiting.add(block)
        if waiting.is_full:
            yield from parted(waiting.taken())
    if waiting.rows:
        yield from parted(waiting.taken())
    if suspects.rows:
        yield packed(suspects.taken(), of_suspects=True)


class _Waiting:
    """Blocks that wait to be joined."""

    def __init__(self) -> None:
        self._blocks: list[Block] = []
        self.rows = self._bytes = 0

    def add(self, block: Block) -> None:
        """One more, unless it is empty."""
        if len(block):
            self._blocks.append(block)
            self.rows += len(block)
            self._bytes += 0 if block.arrays is None else block.arrays.nbytes

    @property
    def is_full(self) -> bool:
        return self.rows >= BLOCK_ROWS or self._bytes >= BLOCK_BYTES

    def taken(self) -> Block:
        """All of them as one."""
        blocks, self._blocks, self.rows, self._bytes = self._blocks, [], 0, 0
        return concat_blocks(blocks)


Kernel = Callable[[Iterator[Block]], Iterator[pa.RecordBatch]]
"""The blocks of a task -> what is made of them."""

Source = Callable[[Kernel, str, Sequence[str]], DataFrame]
"""What a kernel makes of all blocks of accepted rows, with a schema, and the parts of blocks it asks for."""


def map_blocks(
    packed: DataFrame, kernel: Kernel, schema: str, parts: Sequence[str] = (), num_classes: int | None = None
) -> DataFrame:
    """What a kernel makes of the blocks of each partition.

    Args:
        packed: rows of `SCHEMA`.
        kernel: batches of ``schema`` from blocks.
        schema: the columns that are made.
        parts: which of `PARTS` the kernel asks for beside "rows"; others are not read.
        num_classes: K, to give the kernel accepted rows only.
    """

    def batches(source: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        yield from kernel(_accepted(unpack_blocks(source), num_classes))

    return map_in_arrow(packed.select("rows", *parts), batches, schema)


def ddl(types: Mapping[str, str]) -> str:
    """A schema of columns, as Spark reads it."""
    return ", ".join(f"`{name}` {kind}" for name, kind in types.items())


def unpack_blocks(source: Iterable[pa.RecordBatch]) -> Iterator[Block]:
    """The blocks in rows of `SCHEMA`, of as many columns as there are."""
    for batch in source:
        for i in range(batch.num_rows):
            yield Block.unpacked({name: batch.column(name)[i].as_buffer() for name in batch.schema.names})


def _accepted(blocks: Iterator[Block], num_classes: int | None) -> Iterator[Block]:
    return blocks if num_classes is None else (block.accepted(num_classes) for block in blocks)


def _narrow(values: NDArray[Any]) -> NDArray[Any]:
    """Whole numbers in as few bytes as hold them."""
    for kind in (np.int8, np.int16):
        if values.min(initial=0) >= np.iinfo(kind).min and values.max(initial=0) <= np.iinfo(kind).max:
            return values.astype(kind)
    return values


def _written(batch: pa.RecordBatch) -> pa.Buffer:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return sink.getvalue()


def _one(buffer: pa.Buffer) -> pa.Array:
    """A binary column of one value."""
    return pa.Array.from_buffers(
        pa.binary(), 1, [None, pa.py_buffer(np.array([0, buffer.size], dtype=np.int32)), buffer]
    )


def _read(buffer: pa.Buffer) -> pa.RecordBatch:
    return pa.ipc.open_stream(buffer).read_next_batch()
