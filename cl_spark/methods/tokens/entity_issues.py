"""Entities whose tags are issues, and tags that break their scheme: functions of the tokens of sentences."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from cl_spark.evidence.validity import to_flags
from cl_spark.evidence.workers import add_column
from cl_spark.kernels.arrays import Bools, Float64s, Int32s, Int64s
from cl_spark.kernels.entities import Spans, TagArrays, find_misplaced, find_regions, find_spans
from cl_spark.tables import columns as c

PARTS = "_parts"
"""Column of the tokens of a sentence, sorted by position."""

START, END, TOKENS, KIND = "start", "end", "tokens", "kind"
GIVEN_ENTITIES, SUGGESTED_ENTITIES = "given_entities", "suggested_entities"
PREVIOUS_LABEL, NEXT_LABEL = "previous_label", "next_label"

NO_START, NO_END = (
    "goes on with an entity that the tag before has not begun",
    "begins an entity that is not closed",
)

_ENTITY = "array<struct<entity:string,start:bigint,end:bigint>>"
ENTITY_TYPES = {
    START: "bigint", END: "bigint", TOKENS: "array<string>", GIVEN_ENTITIES: _ENTITY,
    SUGGESTED_ENTITIES: _ENTITY, KIND: "string", c.LABEL_QUALITY: "double",
}  # fmt: skip
"""Columns that `EntityIssues` adds to the ids of a sentence."""

INVALID_TYPES = {
    "position": "bigint", "token": "string", c.GIVEN_LABEL: "string", PREVIOUS_LABEL: "string",
    NEXT_LABEL: "string", c.REASON: "string",
}  # fmt: skip
"""Columns that `InvalidTags` adds to them."""

MISSING, NOT_AN_ENTITY, OTHER_TYPE, OTHER_BOUNDARY, OTHER_BOTH, OTHER_TAGS = range(6)
KINDS = ("missing", "not_an_entity", "type", "boundary", "type_and_boundary", "tags")
"""Faults of an entity, see `TokenAudit.find_entity_issues`."""


@dataclass(frozen=True)
class Tokens:
    """The tokens of a batch of sentences, one sentence after the other.

    Attributes:
        sentence: (n,) which sentence each is of.
        parts: (n,) parts of each token.
        class_names: names of the classes.
    """

    sentence: Int64s
    parts: pa.StructArray
    class_names: Sequence[str]

    @classmethod
    def read(cls, batch: pa.RecordBatch, class_names: Sequence[str]) -> "Tokens":
        """Read the tokens of a batch."""
        column = batch.column(PARTS)
        lengths = column.value_lengths().to_numpy(zero_copy_only=False)
        return cls(np.repeat(np.arange(len(lengths)), lengths), column.flatten(), class_names)

    def part(self, name: str) -> pa.Array:
        """(n,) a part of each token."""
        return self.parts.field(name)

    def classes(self, name: str) -> Int32s:
        """(n,) class indices of a part that holds names; -1 where it is none."""
        found = pc.index_in(self.part(name), value_set=pa.array(self.class_names, pa.string()))
        return np.asarray(found.fill_null(-1).to_numpy(zero_copy_only=False), dtype=np.int32)

    @property
    def is_first(self) -> Bools:
        """(n,) True at the first token of a sentence."""
        return np.asarray(np.diff(self.sentence, prepend=-1) != 0)

    @property
    def is_last(self) -> Bools:
        """(n,) True at the last token of a sentence."""
        return np.append(self.is_first[1:], True)[: len(self.sentence)]


@dataclass(frozen=True)
class SentenceFunction(ABC):
    """Function of batches of sentences: for each finding, the ids of its sentence and further columns.

    Attributes:
        tags: prefixes and entities of the classes.
        class_names: names of the classes.
        ids: id columns.
    """

    tags: TagArrays
    class_names: Sequence[str]
    ids: Sequence[str]

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Read the sentences of a Spark task."""
        for batch in batches:
            if batch.num_rows:
                tokens = Tokens.read(batch, self.class_names)
                first, columns = self.find(tokens)
                found = batch.select(list(self.ids)).take(pa.array(tokens.sentence[first]))
                for name, values in columns.items():
                    found = add_column(found, name, values)
                yield found

    @abstractmethod
    def find(self, tokens: Tokens) -> tuple[Int64s, dict[str, pa.Array]]:
        """Find something among tokens: the first token of each finding, and its columns."""


class EntityIssues(SentenceFunction):
    """Function of batches of sentences: the entities that are issues, with the columns `ENTITY_TYPES`."""

    def find(self, tokens: Tokens) -> tuple[Int64s, dict[str, pa.Array]]:
        """Find the entities."""
        position = tokens.part("position").to_numpy(zero_copy_only=False).astype(np.int64)
        given, predicted = tokens.classes(c.GIVEN_LABEL), tokens.classes(c.PREDICTED_LABEL)
        score = tokens.part(c.LABEL_QUALITY)  # null where a token is no issue
        is_changed = to_flags(score.is_valid()) & (given >= 0) & (given != predicted)
        suggested = np.where(is_changed, predicted, given)
        # after a token that was rejected, nothing is known to go on
        opens = tokens.is_first | np.roll(given < 0, 1)
        first, after = find_regions(self.tags, given, suggested, opens)
        changed = np.append(0, np.cumsum(is_changed))
        has_changed = changed[after] > changed[first]
        first, after = first[has_changed], after[has_changed]
        of_given = find_spans(self.tags, given, opens)
        of_suggested = find_spans(self.tags, suggested, opens)
        lowest = np.where(is_changed, score.to_numpy(zero_copy_only=False), np.inf)
        kinds = _tell_kinds(first, after, of_given, of_suggested)
        columns = {
            START: pa.array(position[first]),
            END: pa.array(position[after - 1] + 1),
            TOKENS: _list_tokens(tokens.part("token"), first, after),
            GIVEN_ENTITIES: self._list_entities(of_given, first, after, position),
            SUGGESTED_ENTITIES: self._list_entities(of_suggested, first, after, position),
            KIND: pa.array(KINDS).take(pa.array(kinds)),
            c.LABEL_QUALITY: pa.array(_find_lowest(lowest, first, after)),
        }
        return first, columns

    def _list_entities(self, spans: Spans, first: Int64s, after: Int64s, position: Int64s) -> pa.Array:
        """List the entities within each region."""
        chosen, offsets = _find_within(spans, first, after)
        entity = pa.array(self.tags.entity_names).take(pa.array(spans.entity[chosen]))
        start, end = position[spans.first[chosen]], position[spans.after[chosen] - 1] + 1
        parts = pa.StructArray.from_arrays([entity, pa.array(start), pa.array(end)], ["entity", START, END])
        return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), parts)


def _find_within(spans: Spans, first: Int64s, after: Int64s) -> tuple[Int64s, Int64s]:
    """Find the spans within each region: their numbers, and where those of each region begin and end."""
    begin, end = np.searchsorted(spans.first, first), np.searchsorted(spans.first, after)
    offsets = np.append(0, np.cumsum(end - begin))
    return np.repeat(begin - offsets[:-1], end - begin) + np.arange(offsets[-1]), offsets


def _list_tokens(text: pa.Array, first: Int64s, after: Int64s) -> pa.Array:
    offsets = np.append(0, np.cumsum(after - first))
    index = np.repeat(first - offsets[:-1], after - first) + np.arange(offsets[-1])
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), text.take(pa.array(index)))


def _find_lowest(values: Float64s, first: Int64s, after: Int64s) -> Float64s:
    """Find the lowest value of each region."""
    if not len(first):
        return np.zeros(0)
    bounds = np.stack([first, after], axis=1).ravel()
    return np.asarray(np.minimum.reduceat(np.append(values, np.inf), bounds)[::2])


def _tell_kinds(first: Int64s, after: Int64s, given: Spans, suggested: Spans) -> Int64s:
    """Tell what is wrong with the entities of each region: indices of `KINDS`."""
    (ours, ends), (theirs, their_ends) = (_find_within(spans, first, after) for spans in (given, suggested))
    num_given, num_suggested = np.diff(ends), np.diff(their_ends)
    has_both = (num_given > 0) & (num_suggested > 0)
    # of regions with as many entities on both sides, these are compared one by one
    pairs = has_both & (num_given == num_suggested)
    a, b = ours[np.repeat(pairs, num_given)], theirs[np.repeat(pairs, num_suggested)]
    region = np.repeat(np.flatnonzero(pairs), num_given[pairs])
    other_bounds = (given.first[a] != suggested.first[b]) | (given.after[a] != suggested.after[b])
    other_kind = given.entity[a] != suggested.entity[b]
    same_bounds, of_one_kind = (
        pairs & (np.bincount(region, differs, len(first)) == 0) for differs in (other_bounds, other_kind)
    )
    lowest, highest = np.full(len(first), np.iinfo(np.int32).max), np.full(len(first), -1)
    for spans, chosen, counts in ((given, ours, num_given), (suggested, theirs, num_suggested)):
        of_region = np.repeat(np.arange(len(first)), counts)
        np.minimum.at(lowest, of_region, spans.entity[chosen])
        np.maximum.at(highest, of_region, spans.entity[chosen])
    of_one_kind |= lowest == highest
    return np.select(
        [num_given == 0, num_suggested == 0, same_bounds & of_one_kind, same_bounds, of_one_kind],
        [MISSING, NOT_AN_ENTITY, OTHER_TAGS, OTHER_TYPE, OTHER_BOUNDARY],
        OTHER_BOTH,
    )


class InvalidTags(SentenceFunction):
    """Function of batches of sentences: the tags that break their scheme, with columns `INVALID_TYPES`."""

    def find(self, tokens: Tokens) -> tuple[Int64s, dict[str, pa.Array]]:
        """Find the tags."""
        label = tokens.classes(c.GIVEN_LABEL)
        is_known, is_first, is_last = label >= 0, tokens.is_first, tokens.is_last
        # beside a token whose label is none, nothing is known to be out of place
        found = find_misplaced(
            self.tags,
            label,
            opens=is_first,
            follows=is_first | np.roll(is_known, 1),
            is_last=is_last,
            precedes=is_last | np.roll(is_known, -1),
        )
        rows = np.flatnonzero(is_known & (found.without_start | found.without_end))
        text = tokens.part(c.GIVEN_LABEL)
        columns = {
            "position": tokens.part("position").take(pa.array(rows)),
            "token": tokens.part("token").take(pa.array(rows)),
            c.GIVEN_LABEL: text.take(pa.array(rows)),
            PREVIOUS_LABEL: text.take(pa.array(rows - 1, mask=is_first[rows])),
            NEXT_LABEL: text.take(pa.array(rows + 1, mask=is_last[rows])),
            c.REASON: pa.array(np.where(found.without_start[rows], NO_START, NO_END)),
        }
        return rows, columns
