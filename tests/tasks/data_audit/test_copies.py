"""Groups of copies as a report shows them: which, in which order, and how many of their members."""

from collections.abc import Iterable
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from cl_spark.report import budget
from cl_spark.tasks.data_audit import copies
from cl_spark.tasks.data_audit.copies import make_groups, read_copies, tell_groups

pytestmark = pytest.mark.matrix
SCHEMA = "id string, group string, score double, rank long, given_label int, text string"


def issues(spark: SparkSession, groups: Iterable[tuple[int, float]]) -> DataFrame:
    """Groups of as many members and with such a score, each of whose first row has another label."""
    rows: list[Any] = []
    for i, (size, score) in enumerate(groups):
        ids = [f"{i}-{j}" for j in range(size)]
        rows += [
            (id_, ids[0], score, len(rows) + j + 1, int(j == 0), f"text {id_}") for j, id_ in enumerate(ids)
        ]
    return spark.createDataFrame(rows, SCHEMA).repartition(3)


def test_the_closest_groups_come_first_and_of_these_the_largest(
    spark: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copies, "GROUPS", 3)
    monkeypatch.setattr(copies, "MEMBERS", 4)
    found = read_copies(issues(spark, [(2, 0.1), (2, 0.0), (6, 0.0), (2, 0.05)]), ["id"], ["text"], 10)
    assert found is not None
    assert found.num_groups == 4
    assert found.others.id.tolist() == ["0-0", "0-1"]
    groups = make_groups(found, ["id"], ["text"], {"given_label": "label", "score": "score"})
    assert [group.title for group in groups] == ["Group 2-0", "Group 1-0", "Group 3-0"]
    assert groups[0].note == "6 near copies, the first 4 by id are shown"
    assert groups[1].note == "2 near copies"
    assert groups[1].alert == "2 different labels"
    assert [card.title for card in groups[0].cards] == ["id 2-0", "id 2-1", "id 2-2", "id 2-3"]
    first, last = groups[0].cards[0], groups[2].cards[1]
    assert first.facts == {"label": "1", "score": "0"}
    assert first.note == "at distance 0"
    assert first.media == {"text": {"text": "text 2-0"}}
    assert last.facts == {"label": "0", "score": "0.05"}
    assert last.note == ""


def test_what_is_read_is_bounded_by_groups_members_rows_and_bytes(
    spark: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copies, "GROUPS", 2)
    monkeypatch.setattr(copies, "MEMBERS", 2)
    monkeypatch.setattr(budget, "PAGE_BYTES", 400)
    rows = issues(spark, [(3, 0.1), (3, 0.0), (3, 0.2), (3, 0.3)])
    rows = rows.selectExpr("*", "concat('data:image/png;base64,', repeat('A', 78)) AS image")  # 100 bytes
    found = read_copies(rows, ["id"], ["image"], 2)
    assert found is not None
    assert found.members.id.tolist() == ["1-0", "1-1", "0-0", "0-1"]
    assert found.others.id.tolist() == ["2-0", "2-1"]
    assert found.members.image.notna().all()
    assert found.others.image.isna().all(), "the images of groups come first"


def test_runs_that_did_not_tell_groups_have_none(spark: SparkSession) -> None:
    rows = issues(spark, [(2, 0.0)])
    assert read_copies(rows.drop("group"), ["id"], [], 10) is None
    assert read_copies(rows.withColumn("group", F.lit(None).cast("string")), ["id"], [], 10) is None
    unlabeled = read_copies(rows.drop("given_label"), ["id"], [], 10)
    assert unlabeled is not None
    (group,) = make_groups(unlabeled, ["id"], [], {"given_label": "label"})
    assert (group.alert, group.cards[0].facts) == ("", {})


def test_a_sentence_tells_which_groups_are_shown() -> None:
    order = "Groups with the closest copies come first, of these the largest"
    assert tell_groups(12, 50) == f"{order}; the table data_issues holds all."
    assert tell_groups(1_400, 1_000) == (
        "The first 12 of 1,400 groups are shown, with at most 8 members each, and up to 1,000 rows of the "
        f"others; the table data_issues holds all. {order}."
    )
