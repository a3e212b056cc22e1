"""Spans of entities, and tags out of place, against a reading of one tag after the other."""

import numpy as np
import pytest

from cl_spark.kernels.entities import TagArrays, find_misplaced, find_regions, find_spans, find_starts

TAGS = ["O", "B-A", "I-A", "E-A", "S-A", "B-B", "I-B", "E-B", "S-B"]
"""Classes of BIOES with two kinds of entities; BIO has the first three of each."""


def arrays(must_end: bool) -> TagArrays:
    kinds = np.array([0, 1, 1, 1, 1, 2, 2, 2, 2, 0], dtype=np.int32)
    begins = np.array([tag[0] in "BS" for tag in TAGS] + [False])
    ends = np.array([tag[0] in "ES" for tag in TAGS] + [False])
    return TagArrays(kinds, begins, ends, ["O", "A", "B"], must_end)


def read(tags: list[str]) -> list[tuple[int, int, str]]:
    """Entities of one sentence as a person reads them: first token, first token after, kind."""
    found: list[tuple[int, int, str]] = []
    kind, first = "", 0
    for i, tag in enumerate([*tags, "O"]):
        shape, _, now = tag.partition("-")
        ended = i > 0 and tags[i - 1][0] in "ES"
        if kind and (shape in "OBS" or now != kind or ended):
            found.append((first, i, kind))
            kind = ""
        if now and not kind:
            kind, first = now, i
    return found


def sentences(seed: int) -> tuple[list[list[str]], np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    lengths = rng.integers(1, 12, 15)
    label = rng.integers(0, len(TAGS), lengths.sum()).astype(np.int32)
    opens = np.zeros(len(label), dtype=bool)
    opens[np.cumsum(lengths) - lengths] = True
    said = [[TAGS[k] for k in part] for part in np.split(label, np.cumsum(lengths)[:-1])]
    return said, label, opens


@pytest.mark.parametrize("seed", range(20))
def test_spans_are_read_as_people_read_them(seed: int) -> None:
    said, label, opens = sentences(seed)
    at, expected = 0, []
    for tags in said:
        expected += [(at + first, at + after, kind) for first, after, kind in read(tags)]
        at += len(tags)
    spans, names = find_spans(arrays(True), label, opens), arrays(True).entity_names
    found = [(int(a), int(b), names[k]) for a, b, k in zip(*spans, strict=True)]
    assert found == expected
    assert np.flatnonzero(find_starts(arrays(True), label, opens)).tolist() == [
        first for first, _, _ in found
    ]


@pytest.mark.parametrize("seed", range(20))
def test_regions_are_spans_of_either_reading_that_overlap(seed: int) -> None:
    _, given, opens = sentences(seed)
    suggested = np.where(np.random.default_rng(seed).random(len(given)) < 0.3, 0, given).astype(np.int32)
    parts = [find_spans(arrays(True), label, opens) for label in (given, suggested)]
    spans = sorted((int(a), int(b)) for part in parts for a, b in zip(part.first, part.after, strict=True))
    expected: list[list[int]] = []
    for first, after in spans:
        if expected and first < expected[-1][1]:
            expected[-1][1] = max(expected[-1][1], after)
        else:
            expected.append([first, after])
    first, after = find_regions(arrays(True), given, suggested, opens)
    assert [list(pair) for pair in zip(first.tolist(), after.tolist(), strict=True)] == expected


@pytest.mark.parametrize(
    ("must_end", "said", "without_start", "without_end"),
    [
        (False, "O B-A I-A I-A", "", ""),
        (False, "I-A O B-A I-B", "0 3", ""),
        (False, "B-A B-A", "", ""),
        (True, "B-A E-A S-A O", "", ""),
        (True, "B-A O", "", "0"),
        (True, "B-A I-A", "", "1"),
        (True, "E-A", "0", ""),
        (True, "B-A E-B", "1", "0"),
        (True, "S-A I-A E-A", "1", ""),
    ],
)
def test_tags_out_of_place(must_end: bool, said: str, without_start: str, without_end: str) -> None:
    label = np.array([TAGS.index(tag) for tag in said.split()], dtype=np.int32)
    opens, is_last, known = (
        np.arange(len(label)) == 0,
        np.arange(len(label)) == len(label) - 1,
        np.full(len(label), True),
    )
    found = find_misplaced(arrays(must_end), label, opens, known, is_last, known)
    assert " ".join(map(str, np.flatnonzero(found.without_start))) == without_start
    assert " ".join(map(str, np.flatnonzero(found.without_end))) == without_end
    unknown = find_misplaced(arrays(must_end), label, opens, ~known, is_last, ~known)
    assert not unknown.without_start.any()  # nothing is said beside tokens that nobody knows
    assert not unknown.without_end.any()
