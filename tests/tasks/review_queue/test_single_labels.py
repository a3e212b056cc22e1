"""The review queue of sets of labels: which single labels it has, and that chance alone decides of the random
ones.
"""

import json
from collections import Counter
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as xml

import pytest
from pyspark.sql import DataFrame, Row, SparkSession
from pyspark.sql import functions as F

from cl_spark import (
    ConfigurationError,
    MultilabelAudit,
    ReviewQueueConfig,
    Run,
    SourceChangedError,
    export_label_studio,
    review_queue,
    run_review_queue,
)
from cl_spark.tasks.registry import write_report
from cl_spark.terminal.command_line import exit_code
from tests.tasks.review_queue.photos import IDS, NAMES, NUM_PHOTOS, audit_photos, photo_frame, photos

pytestmark = [pytest.mark.matrix, pytest.mark.tables]

COLUMNS = [
    "id", "class", "given_label", "suggested_label", "label_quality", "issue_rank", "place", "stratum",
    "inclusion_probability", "url",
]  # fmt: skip


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("photos")


@pytest.fixture(scope="module")
def run(spark: SparkSession, home: Path) -> Run:
    return audit_photos(spark, photo_frame(spark).repartition(3), home)


@pytest.fixture(scope="module")
def queue(run: Run) -> list[Row]:
    """A queue with rows of every stratum."""
    return rows(review_queue(run, 30, random_share=0.3))


def rows(queue: DataFrame) -> list[Row]:
    return queue.orderBy("place").collect()


def in_stratum(queue: list[Row], stratum: str) -> list[Row]:
    return [row for row in queue if row.stratum == stratum]


def config(home: Path, **values: Any) -> ReviewQueueConfig:
    out = str(home / "out")
    keys = {"run_location": out, "budget": 30, "random_share": 0.3, "output": out, "format": "parquet"}
    return ReviewQueueConfig.model_validate({**keys, "id_col": IDS, "run": "night", **values})


def test_it_has_the_worst_single_labels_and_random_ones_of_both_kinds(run: Run, queue: list[Row]) -> None:
    issues = run.table("class_issues").count()
    assert list(queue[0].asDict()) == COLUMNS
    assert [row.place for row in queue] == list(range(1, 31))
    assert sorted(row.issue_rank for row in in_stratum(queue, "top")) == list(range(1, 13))
    assert all(row.issue_rank > 12 for row in in_stratum(queue, "flagged"))
    shares = {row.stratum: row.inclusion_probability for row in queue}
    num_others = (NUM_PHOTOS - 2) * len(NAMES) - issues
    assert shares == {"top": 1.0, "flagged": 9 / (issues - 12), "unflagged": 9 / num_others}
    assert Counter(row.stratum for row in queue) == {"top": 12, "flagged": 9, "unflagged": 9}


def test_its_labels_are_those_of_the_input_and_the_contrary(run: Run, queue: list[Row]) -> None:
    given = photos().set_index("id")["labels"]
    for row in queue:
        labels = ["absent", "present"] if row["class"] in given[row.id] else ["present", "absent"]
        assert [row.suggested_label, row.given_label] == labels
        assert row.url == f"http://host/{row.id}.png"
    ranks = {(row.id, row["class"]): row["rank"] for row in run.table("class_issues").collect()}
    assert [row.issue_rank for row in queue] == [ranks.get((row.id, row["class"])) for row in queue]


def test_rows_that_are_no_issues_have_the_score_of_the_audit(spark: SparkSession, queue: list[Row]) -> None:
    with MultilabelAudit(photo_frame(spark), class_names=NAMES) as audit:
        scores = {
            (row.id, row["class"]): row.label_quality
            for row in audit.label_quality_scores_per_class().collect()
        }
    assert all(row.label_quality == scores[row.id, row["class"]] for row in queue)


def test_no_issue_and_no_rejected_example_is_among_the_others(run: Run) -> None:
    issues = {(row.id, row["class"]) for row in run.table("class_issues").collect()}
    queue = review_queue(run, 1_000, random_share=0.5)
    others = in_stratum(rows(queue), "unflagged")
    drawn = {(row.id, row["class"]) for row in others}
    assert not drawn & issues
    # at most one of an example, and none of an example whose turn it was with a class that is an issue
    assert NUM_PHOTOS - 2 - len(issues) <= len(drawn) == len({row.id for row in others}) < NUM_PHOTOS - 2
    assert {NUM_PHOTOS - 1, NUM_PHOTOS - 2}.isdisjoint(row.id for row in others)
    size = (NUM_PHOTOS - 2) * len(NAMES) - len(issues)
    assert {row.inclusion_probability for row in others} == {len(drawn) / size}
    assert {row.issue_rank for row in in_stratum(rows(queue), "top")} == set(range(1, len(issues) + 1))


def test_every_class_and_example_is_drawn_about_as_often(run: Run) -> None:
    issues = Counter(row["class"] for row in run.table("class_issues").collect())
    drawn = [
        row
        for seed in range(4)
        for row in in_stratum(rows(review_queue(run, 120, random_share=0.5, seed=seed)), "unflagged")
    ]
    assert len(drawn) == 240
    total = sum(NUM_PHOTOS - 2 - issues[name] for name in NAMES)
    by_class = Counter(row["class"] for row in drawn)
    for name in NAMES:
        expected = 240 * (NUM_PHOTOS - 2 - issues[name]) / total
        assert abs(by_class[name] - expected) < 4 * expected**0.5
    # four draws of a quarter of the examples: 1 - (3 / 4)^4 of them are expected
    assert abs(len({row.id for row in drawn}) / (NUM_PHOTOS - 2) - 0.68) < 0.1


def test_the_same_seed_gives_the_same_queue_whatever_the_partitioning(
    spark: SparkSession, queue: list[Row], tmp_path: Path
) -> None:
    shuffled = audit_photos(spark, photo_frame(spark).repartition(7, F.rand(1)), tmp_path)
    assert rows(review_queue(shuffled, 30, random_share=0.3)) == queue


def test_a_limit_is_one_of_issues_of_a_class_and_classes_take_turns(run: Run) -> None:
    issues = run.table("class_issues").orderBy("rank").collect()
    limited = in_stratum(rows(review_queue(run, 20, per_class=2, random_share=0)), "top")
    of_class = [[row["rank"] for row in issues if row["class"] == name] for name in NAMES]
    worst = sorted(rank for ranks in of_class for rank in ranks[:2])
    assert sorted(row.issue_rank for row in limited) == worst
    in_turn = in_stratum(rows(review_queue(run, 8, diversify_by="class", random_share=0)), "top")
    assert sorted(row.issue_rank for row in in_turn) == worst
    by_url = in_stratum(rows(review_queue(run, 8, diversify_by="url", random_share=0)), "top")
    assert len({row.id for row in by_url}) == 8


def test_a_filter_that_chooses_other_examples_than_single_labels_has_a_queue(
    spark: SparkSession, tmp_path: Path
) -> None:
    lowest = audit_photos(spark, photo_frame(spark), tmp_path, filter_by="low_self_confidence", num_issues=3)
    found = rows(review_queue(lowest, 30, diversify_by="url"))
    assert len(found) == 30
    assert all(row.url == f"http://host/{row.id}.png" for row in found)


def test_an_input_that_has_changed_is_an_error_that_says_what_to_do(
    spark: SparkSession, tmp_path: Path
) -> None:
    run = audit_photos(spark, photo_frame(spark), tmp_path)
    photo_frame(spark).limit(3).write.mode("append").parquet(str(tmp_path / "in"))
    with pytest.raises(SourceChangedError, match=r"which has changed since: .* set random_share to 0"):
        review_queue(run, 20)
    assert review_queue(run, 20, random_share=0).count() == 20


def test_its_run_records_strata_and_its_files_ask_for_the_class(
    spark: SparkSession, run: Run, queue: list[Row], home: Path
) -> None:
    files = {"label_studio": "tasks.json", "csv": "review.csv", "page": "review.html"}
    exports = {key: str(home / name) for key, name in files.items()}
    done = run_review_queue(spark, config(home, run_id="queue", **exports)).run
    issues, record = run.table("class_issues").count(), done.record
    assert done.id_columns == IDS
    assert (record.num_top, record.num_flagged) == (12, issues - 12)
    assert record.num_unflagged == (NUM_PHOTOS - 2) * len(NAMES) - issues
    written = done.table("review_queue").orderBy("place").collect()
    assert [tuple(row[name] for name in COLUMNS) for row in written] == list(map(tuple, queue))
    tasks = json.loads((home / "tasks.json").read_text(encoding="utf-8"))
    for task, row in zip(tasks, queue, strict=True):
        assert task["data"]["question"] == f'Is it "{row["class"]}"?'
        (chosen,) = task["predictions"][0]["result"][0]["value"]["choices"]
        assert chosen == (row.given_label if row.issue_rank is None else row.suggested_label)
    view = xml.parse(home / "tasks.xml").getroot()
    (answers,) = view.iter("Choices")
    assert [choice.get("value") for choice in answers] == ["present", "absent", "neither"]
    assert "$question" in [header.get("value") for header in view.iter("Header")]
    header = (home / "review.csv").read_text(encoding="utf-8-sig").splitlines()[0]
    assert header == "place,id,class,given_label,suggested_label,url,answer,label,annotator"
    assert r"Is it \"bird\"?" in (home / "review.html").read_text(encoding="utf-8")
    assert Path(write_report(done, str(home / "report.html"))).is_file()


def test_its_command_needs_the_class_among_the_ids(
    run: Run, home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = [
        "review",
        "--run-location",
        str(home / "out"),
        "--budget",
        "9",
        "--output",
        str(tmp_path / "out"),
    ]
    assert exit_code([*flags, "--format", "parquet"]) == 2
    assert "say id_col: [id, class]" in " ".join(capsys.readouterr().err.split())
    assert exit_code([*flags, "--format", "parquet", "--id-col", "id,class"]) == 0
    assert "9 rows to look at, of run night" in " ".join(capsys.readouterr().out.split())


def test_nobody_chooses_another_class(run: Run, tmp_path: Path) -> None:
    queue = review_queue(run, 5)
    with pytest.raises(ConfigurationError, match="class_names: people are asked whether an example has a"):
        export_label_studio(queue, str(tmp_path / "tasks.json"), id_col=IDS, class_names=NAMES)
