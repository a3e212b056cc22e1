"""Entities that are issues, and tags out of place, by both schemes."""

import pytest
from pyspark.sql import Row, SparkSession

from cl_spark import TokenAudit

pytestmark = pytest.mark.slow

BIO = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]
BIOES = ["O", "B-PER", "I-PER", "E-PER", "S-PER"]


def audit_of(spark: SparkSession, names: list[str], scheme: str, *sentences: tuple[str, str]) -> TokenAudit:
    """An audit of sentences, each the given and the predicted tags."""
    rows = []
    for i, (given, predicted) in enumerate(sentences):
        tags, found = given.split(), [names.index(tag) for tag in predicted.split()]
        probs = [[0.8 if k == tag else 0.05 for k in range(len(names))] for tag in found]
        rows.append((i, [f"w{j}" for j in range(len(tags))], tags, probs))
    schema = "id int, tokens array<string>, labels array<string>, pred_probs array<array<double>>"
    return TokenAudit(spark.createDataFrame(rows, schema), class_names=names, scheme=scheme)


def show(entities: list[Row]) -> list[str]:
    return [f"{one.entity} {one.start}-{one.end}" for one in entities]


@pytest.mark.parametrize(
    ("given", "predicted", "expected"),
    [
        ("O O O", "O B-PER I-PER", [(1, 3, [], ["PER 1-3"], "missing")]),
        ("B-PER I-PER O", "O O O", [(0, 2, ["PER 0-2"], [], "not_an_entity")]),
        ("B-PER I-PER O", "B-LOC I-LOC O", [(0, 2, ["PER 0-2"], ["LOC 0-2"], "type")]),
        ("B-PER I-PER O", "B-PER I-PER I-PER", [(0, 3, ["PER 0-2"], ["PER 0-3"], "boundary")]),
        ("B-PER I-PER I-PER", "B-PER B-PER I-PER", [(0, 3, ["PER 0-3"], ["PER 0-1", "PER 1-3"], "boundary")]),
        ("B-PER O", "B-LOC I-LOC", [(0, 2, ["PER 0-1"], ["LOC 0-2"], "type_and_boundary")]),
        ("O I-PER O", "O B-PER O", [(1, 2, ["PER 1-2"], ["PER 1-2"], "tags")]),
        ("B-PER B-PER O B-LOC", "B-PER O O B-LOC", [(1, 2, ["PER 1-2"], [], "not_an_entity")]),
        ("B-PER O B-LOC O", "O O O B-LOC",
         [(0, 1, ["PER 0-1"], [], "not_an_entity"), (2, 3, ["LOC 2-3"], [], "not_an_entity"),
          (3, 4, [], ["LOC 3-4"], "missing")]),
        ("B-PER I-PER O B-LOC", "B-PER I-PER O B-LOC", []),
    ],
)  # fmt: skip
def test_entities_tell_what_is_wrong_with_them(
    spark: SparkSession, given: str, predicted: str, expected: list[tuple[object, ...]]
) -> None:
    others = ("B-PER I-PER B-LOC I-LOC O", "B-PER I-PER B-LOC I-LOC O")
    with audit_of(spark, BIO, "BIO", (given, predicted), others) as audit:
        issues = audit.find_label_issues(filter_by="predicted_neq_given")
        rows = audit.find_entity_issues(issues).orderBy("id", "start").collect()
    found = [
        (row.start, row.end, show(row.given_entities), show(row.suggested_entities), row.kind) for row in rows
    ]
    assert found == expected
    assert all(row.id == 0 and row.tokens == [f"w{j}" for j in range(row.start, row.end)] for row in rows)
    assert all(row.label_quality == 0.05 for row in rows)
    assert sorted(row["rank"] for row in rows) == list(range(1, len(rows) + 1))


def test_nothing_is_known_beside_a_token_that_is_rejected(spark: SparkSession) -> None:
    """Whatever the places are: those of letters, or of tokens some of which are left out."""
    good, person = [0.8, 0.05, 0.05, 0.05, 0.05], [0.05, 0.8, 0.05, 0.05, 0.05]
    more = [0.05, 0.05, 0.8, 0.05, 0.05]
    rows = [
        ("a", 0, "met", "O", good), ("a", 4, None, "B-PER", person), ("a", 9, "Hopper", "I-PER", more),
        ("b", 0, "Ada", "B-PER", person), ("b", 4, "King", "I-PER", more), ("b", 9, "Byron", "O", more),
        ("c", 7, "Ada", "B-PER", person), ("c", 8, None, "O", good), ("c", 9, "King", "O", more),
    ]  # fmt: skip
    df = spark.createDataFrame(rows, "id string, at int, word string, label string, probs array<double>")
    names = {"position_col": "at", "tokens_col": "word", "labels_col": "label", "pred_probs_col": "probs"}
    with TokenAudit(df, class_names=BIO, scheme="BIO", **names) as audit:
        assert audit.find_invalid_tags().collect() == []
        issues = audit.find_label_issues(filter_by="predicted_neq_given")
        found = audit.find_entity_issues(issues).orderBy("id").collect()
    assert [(row.id, row.start, row.end, row.kind) for row in found] == [
        ("b", 0, 10, "boundary"),
        ("c", 9, 10, "missing"),
    ]
    assert found[0].tokens == ["Ada", "King", "Byron"]


START, END = "goes on with an entity that the tag before has not begun", "begins an entity that is not closed"


@pytest.mark.parametrize(
    ("scheme", "tags", "expected"),
    [
        ("BIO", "I-PER O B-PER I-PER I-LOC", {0: START, 4: START}),
        ("BIO", "B-PER B-PER I-PER O", {}),
        ("BIOES", "B-PER I-PER E-PER S-PER O", {}),
        ("BIOES", "B-PER O E-PER S-PER I-PER", {0: END, 2: START, 4: START}),
        ("BIOES", "B-PER B-PER E-PER O B-PER", {0: END, 4: END}),
        ("BIOES", "S-PER E-PER O O O", {1: START}),
        ("BIO", "X I-PER O I-PER", {3: START}),
        ("BIOES", "B-PER X O B-PER X", {}),
    ],
)
def test_tags_out_of_place_are_told(
    spark: SparkSession, scheme: str, tags: str, expected: dict[int, str]
) -> None:
    names = BIO if scheme == "BIO" else BIOES
    known = " ".join(tag if tag in names else "O" for tag in tags.split())
    with audit_of(spark, names, scheme, (tags, known), ("O B-PER I-PER", "O B-PER I-PER")) as audit:
        rows = [row for row in audit.find_invalid_tags().collect() if row.id == 0]
    assert {row.position: row.reason for row in rows} == expected
    around = [None, *tags.split(), None]
    for row in rows:
        assert [row.previous_label, row.given_label, row.next_label] == around[
            row.position : row.position + 3
        ]
