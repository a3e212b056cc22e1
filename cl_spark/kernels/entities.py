"""Entities in sequences of tags: spans, where two readings of a sentence differ, and tags out of place.

All functions take the tokens of many sentences, one sentence after the other.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from cl_spark.kernels.arrays import Bools, Int32s, Int64s


@dataclass(frozen=True)
class TagArrays:
    """Tags of K classes as arrays: kinds of entities, first and last tags.

    The last entry of each array is that of labels that are no class.

    Attributes:
        entity: (K + 1,) kind of entity of each class; 0 is none.
        begins: (K + 1,) True where the tag is the first of an entity: B and S.
        ends: (K + 1,) True where it is the last: E and S.
        entity_names: names of the kinds of entities; that of 0 is "O".
        must_end: True where an entity has to be closed, as in BIOES.
    """

    entity: Int32s
    begins: Bools
    ends: Bools
    entity_names: list[str]
    must_end: bool


class Spans(NamedTuple):
    """Entities; (m,) each.

    Attributes:
        first: first token.
        after: first token after it.
        entity: kind of entity.
    """

    first: Int64s
    after: Int64s
    entity: Int32s


def find_starts(tags: TagArrays, label: Int32s, opens: Bools) -> Bools:
    """Find the tokens that start an entity.

    A tag that goes on with an entity that is not there starts one.

    Args:
        tags: what classes say.
        label: (n,) classes, -1 where there is none.
        opens: (n,) True at the first token of a sentence.

    Example:
        >>> none = np.zeros(4, dtype=bool)  # classes O, B-PER, I-PER
        >>> bio = TagArrays(np.array([0, 1, 1, 0]), np.arange(4) == 1, none, ["O", "PER"], False)
        >>> find_starts(bio, np.array([1, 2, 0, 2]), np.array([True, False, False, False])).tolist()
        [True, False, False, True]
    """
    entity = tags.entity[label]
    before = np.roll(label, 1)
    goes_on = ~opens & ~tags.begins[label] & (tags.entity[before] == entity) & ~tags.ends[before]
    return np.asarray((entity > 0) & ~goes_on)


def find_spans(tags: TagArrays, label: Int32s, opens: Bools) -> Spans:
    """Find the entities; see `find_starts`.

    Example:
        >>> none = np.zeros(4, dtype=bool)  # classes O, B-PER, I-PER
        >>> bio = TagArrays(np.array([0, 1, 1, 0]), np.arange(4) == 1, none, ["O", "PER"], False)
        >>> spans = find_spans(bio, np.array([1, 2, 0, 2]), np.array([True, False, False, False]))
        >>> spans.first.tolist(), spans.after.tolist()
        ([0, 3], [2, 4])
    """
    starts = find_starts(tags, label, opens)
    is_inside = tags.entity[label] > 0
    # an entity is over where the next token starts another, is outside, or opens the next sentence
    is_last = is_inside & ~np.append(is_inside[1:] & ~starts[1:], False)
    first, last = np.flatnonzero(starts), np.flatnonzero(is_last)
    return Spans(first, last + 1, tags.entity[label[first]])


def find_regions(tags: TagArrays, given: Int32s, suggested: Int32s, opens: Bools) -> tuple[Int64s, Int64s]:
    """Find the stretches of tokens that entities cover, given or suggested: those that overlap are one.

    Args:
        tags: what classes say.
        given: (n,) given classes.
        suggested: (n,) suggested classes.
        opens: (n,) True at the first token of a sentence.

    Returns:
        First token of each, and the first token after it.
    """
    is_inside = np.zeros(len(given), dtype=bool)
    is_linked = np.zeros(len(given), dtype=bool)
    for label in (given, suggested):
        of_entity = tags.entity[label] > 0
        is_inside |= of_entity
        is_linked |= of_entity & ~find_starts(tags, label, opens)
    first = np.flatnonzero(is_inside & ~is_linked)
    is_last = is_inside & ~np.append(is_linked[1:], False)
    return first, np.flatnonzero(is_last) + 1


class Misplaced(NamedTuple):
    """Tags that contradict their neighbours; (n,) each.

    Attributes:
        without_start: True where a tag goes on with, or ends, an entity that the tag before has not begun.
        without_end: True where an entity that has to be closed is not.
    """

    without_start: Bools
    without_end: Bools


def find_misplaced(
    tags: TagArrays, label: Int32s, opens: Bools, follows: Bools, is_last: Bools, precedes: Bools
) -> Misplaced:
    """Find the tags that break their scheme.

    Args:
        tags: what classes say.
        label: (n,) classes, -1 where there is none.
        opens: (n,) True at the first token of a sentence.
        follows: (n,) True where the token before is known, or there is none.
        is_last: (n,) True at the last token of a sentence.
        precedes: (n,) True where the token after is known, or there is none.
    """
    is_inside = tags.entity[label] > 0
    is_start = find_starts(tags, label, opens)
    without_start = is_start & ~tags.begins[label] & follows
    if not tags.must_end:
        return Misplaced(without_start, np.zeros(len(label), dtype=bool))
    goes_on = np.append(is_inside[1:] & ~is_start[1:], False) & ~is_last
    return Misplaced(without_start, is_inside & ~tags.ends[label] & ~goes_on & precedes)
