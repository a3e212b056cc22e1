"""Verdicts: the rule of the paper on its own votes, other rules, and what becomes of every answer."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from cl_spark import ColumnTypeError, ConfigurationError, InputError, MissingColumnError
from cl_spark.methods.review.verdicts import Verdicts, decide_verdicts

PUBLISHED = {
    "mnist": (100, 85, 2, 10, 0, 3),
    "cifar10": (275, 221, 32, 18, 0, 4),
    "cifar100": (2235, 1650, 210, 318, 20, 37),
    "caltech256": (2360, 1902, 99, 221, 115, 23),
    "imagenet": (5440, 2524, 598, 1428, 597, 293),
}
"""Checked, not an error, non-agreement, suggested, both, neither (Northcutt, Athalye, Mueller 2021)."""

QUEUE = pd.DataFrame(
    {"id": [1, 2, 3, 4], "given_label": list("abcd"), "suggested_label": list("bcda"), "rank": [1, 2, 3, 4]}
)


def answers_of(votes: dict[Any, str], letters: str = "gsbn") -> pd.DataFrame:
    """Long answers from a letter per vote: g, s, b, n; a dash is a skipped row."""
    names = dict(zip(letters, ("given", "suggested", "both", "neither"), strict=True)) | {"-": None}
    rows = [(i, f"r{n}", names[letter]) for i, given in votes.items() for n, letter in enumerate(given)]
    return pd.DataFrame(rows, columns=["id", "annotator", "answer"]).astype({"answer": object})


def decide(spark: SparkSession, answers: pd.DataFrame, queue: Any = QUEUE, **values: Any) -> Verdicts:
    schema = "id long, annotator string, answer string"
    rows = [tuple(None if part is pd.NA else part for part in row) for row in answers.itertuples(index=False)]
    frame = spark.createDataFrame(rows, schema).repartition(3)
    return decide_verdicts(frame, queue, spark=spark, **values)


def found(verdicts: Verdicts) -> dict[int, str]:
    return {row.id: row.verdict for row in verdicts.verdicts.collect()}


@pytest.mark.slow
@pytest.mark.parametrize("name", PUBLISHED)
def test_the_published_table_comes_out_of_the_votes(
    spark: SparkSession, shared_data: Path, name: str
) -> None:
    votes = spark.read.parquet(str(shared_data / "label-errors" / f"{name}_votes.parquet"))
    one_each = votes.select("id", F.explode("votes").alias("answer", "times")).select(
        "id", "answer", F.explode(F.sequence(F.lit(0), F.col("times"))).alias("n")
    )
    answers = one_each.where("n > 0").withColumn("annotator", F.concat("answer", F.lit("-"), "n"))
    verdicts = decide_verdicts(answers, votes, answer_names={"guessed": "suggested"})
    counts, rows = verdicts.counts, verdicts.verdicts
    both = rows.where("verdict = 'prune' AND both_votes > neither_votes").count()
    assert PUBLISHED[name] == (
        verdicts.num_queued,
        counts["not_an_error"],
        counts["non_agreement"],
        counts["correct"],
        both,
        counts["prune"] - both,
    )
    assert (verdicts.num_pending, verdicts.rejected_answers) == (0, {})


@pytest.mark.slow
def test_an_answer_decides_with_a_quorum_and_none_is_a_non_agreement(spark: SparkSession) -> None:
    verdicts = decide(spark, answers_of({1: "gggss", 2: "sssgn", 3: "bbbss", 4: "ggssn"}))
    rows = {row.id: row for row in verdicts.verdicts.collect()}
    assert found(verdicts) == {1: "not_an_error", 2: "correct", 3: "prune", 4: "non_agreement"}
    assert (rows[1].corrected_label, rows[2].corrected_label) == ("a", "c")
    assert (rows[3].corrected_label, rows[4].corrected_label) == (None, None)
    assert (rows[3].num_answers, rows[3].both_votes, rows[3].suggested_votes, rows[3].given_votes) == (
        5,
        3,
        2,
        0,
    )
    assert (rows[1].issue_rank, rows[1].stratum, rows[1].inclusion_probability) == (1, "top", 1.0)
    assert verdicts.counts == {"not_an_error": 1, "correct": 1, "prune": 1, "non_agreement": 1}
    assert (verdicts.num_decided, verdicts.num_pending) == (4, 0)


@pytest.mark.slow
def test_too_few_answers_leave_an_example_pending(spark: SparkSession) -> None:
    answers = answers_of({1: "gg", 2: "sss", 3: "gsn"})
    verdicts = decide(spark, answers)
    assert found(verdicts) == {2: "correct", 3: "non_agreement"}
    assert (verdicts.num_pending, verdicts.num_decided) == (2, 2)
    assert [tuple(row) for row in verdicts.progress.collect()] == [("top", 4, 2, 2)]
    # an example that two more people will look at is not decided against it
    assert found(decide(spark, answers, num_reviewers=5)) == {2: "correct"}
    assert found(decide(spark, answers, quorum=2)) == {1: "not_an_error", 2: "correct", 3: "non_agreement"}


@pytest.mark.slow
def test_of_two_answers_with_equally_many_votes_none_decides(spark: SparkSession) -> None:
    assert found(decide(spark, answers_of({1: "gggsss", 2: "gggss"}))) == {
        1: "non_agreement",
        2: "not_an_error",
    }
    assert found(decide(spark, answers_of({1: "g", 2: "gs"}), quorum=1)) == {
        1: "not_an_error",
        2: "non_agreement",
    }


@pytest.mark.matrix
def test_every_answer_is_accepted_or_rejected_with_one_reason(spark: SparkSession) -> None:
    rows = [
        (1, "a", "given"), (1, "b", "given"), (1, "c", "given"),
        (1, "d", "perhaps"), (2, "a", None), (None, "a", "given"), (2, None, "given"), (77, "a", "given"),
        (3, "a", "given"), (3, "a", "given"), (3, "b", "suggested"), (4, "a", "suggested"),
        (4, "b", "neither"), (3, "b", "maybe"), (4, "c", "given"), (4, "c", "neither"),
    ]  # fmt: skip
    queue = QUEUE.assign(suggested_label=["b", "c", "d", None])
    verdicts = decide(spark, pd.DataFrame(rows, columns=["id", "annotator", "answer"], dtype=object), queue)
    assert verdicts.rejected_answers == {
        "example that the queue does not have": 1,
        "null annotator": 1,
        "null id": 1,
        "several answers by one annotator to one example": 2,
        "answer that its annotator gave before": 1,
        "skipped: null answer": 1,
        "suggestion that the row does not have": 1,
        "unknown answer": 2,
    }
    assert verdicts.num_read == len(rows) == verdicts.num_accepted + sum(verdicts.rejected_answers.values())
    assert verdicts.num_accepted == 6
    rejected = verdicts.rejected.where("id = 77").collect()[0]
    assert rejected.reason == "example that the queue does not have"
    assert '"annotator":"a"' in rejected.row
    assert verdicts.rejected.count() == 10
    assert found(verdicts) == {1: "not_an_error"}


@pytest.mark.slow
def test_equal_answers_by_one_annotator_count_once_and_different_ones_not_at_all(
    spark: SparkSession,
) -> None:
    votes = answers_of({1: "ggg", 2: "ssn", 3: "gs"})
    changed = answers_of({3: "ns"})
    twice = pd.concat([votes, changed, votes])
    verdicts = decide(spark, twice, quorum=1)
    assert verdicts.rejected_answers == {
        "answer that its annotator gave before": 8,
        "several answers by one annotator to one example": 3,
    }
    assert verdicts.num_read == len(twice) == 18
    assert verdicts.num_accepted == 7
    rows = {row.id: row for row in verdicts.verdicts.collect()}
    assert (rows[1].given_votes, rows[2].suggested_votes, rows[2].neither_votes) == (3, 2, 1)
    assert (rows[3].num_answers, rows[3].verdict) == (1, "correct")
    # of two equal labels, given and suggested are one answer
    equal = QUEUE.assign(suggested_label=["a", "c", "d", "a"])
    both = pd.concat([answers_of({1: "g"}), answers_of({1: "s"})])
    assert decide(spark, both, equal, quorum=1).num_accepted == 1
    # an annotator without a quality may repeat an answer, too
    quality = pd.DataFrame({"annotator": ["r0"], "quality": [1.0]})
    weighted = decide(spark, pd.concat([votes, votes]), quorum=1, annotator_quality=quality)
    assert weighted.num_accepted == 3
    assert weighted.rejected_answers == {
        "annotator without a quality": 5,
        "answer that its annotator gave before": 8,
    }


@pytest.mark.slow
def test_case_and_spaces_of_answers_are_ignored(spark: SparkSession) -> None:
    rows = [
        (1, "a", "Given"),
        (1, "b", " GIVEN "),
        (2, "a", "Yes"),
        (3, "a", "B"),
        (3, "b", "b"),
        (4, "a", "x"),
    ]
    answers = pd.DataFrame(rows, columns=["id", "annotator", "answer"])
    names = {"YES": "suggested", "B": "given", "b": "suggested"}  # names that case alone tells apart
    verdicts = decide(spark, answers, quorum=1, answer_names=names)
    assert found(verdicts) == {1: "not_an_error", 2: "correct", 3: "non_agreement"}
    assert verdicts.rejected_answers == {"unknown answer": 1}


@pytest.mark.slow
def test_two_equal_labels_make_one_answer_of_given_and_suggested(spark: SparkSession) -> None:
    queue = QUEUE.assign(suggested_label=["a", "b", "d", "a"])
    verdicts = decide(spark, answers_of({1: "gsb", 2: "gsb", 3: "gsb"}), queue)
    assert found(verdicts) == {1: "not_an_error", 2: "not_an_error", 3: "non_agreement"}


@pytest.mark.slow
def test_weights_of_one_give_the_verdicts_of_no_weights(spark: SparkSession) -> None:
    answers = answers_of({1: "gggss", 2: "sssgn", 3: "bbnnn", 4: "ggssn"})
    ones = pd.DataFrame({"annotator": [f"r{i}" for i in range(5)], "quality": 0.7})
    plain, weighted = decide(spark, answers), decide(spark, answers, annotator_quality=ones)
    assert found(plain) == found(weighted)
    row = weighted.verdicts.where("id = 1").collect()[0]
    assert (row.given_votes, row.suggested_votes) == (2.1, 1.4)


@pytest.mark.matrix
def test_votes_weigh_as_much_as_their_annotators(spark: SparkSession) -> None:
    quality = pd.DataFrame({"annotator": ["r0", "r1", "r2"], "quality": [0.9, 0.1, 0.1]})
    # of 3 answers and a quorum of 2, an answer needs two thirds of the weights: 0.7333 of 1.1
    answers = answers_of({1: "gss", 2: "ggs", 3: "sggg"})
    verdicts = decide(spark, answers, quorum=2, annotator_quality=quality)
    assert found(verdicts) == {1: "not_an_error", 2: "not_an_error", 3: "correct"}
    assert verdicts.rejected_answers == {"annotator without a quality": 1}
    nobody = quality.assign(quality=0.0)
    assert found(decide(spark, answers_of({1: "ggg"}), annotator_quality=nobody)) == {1: "non_agreement"}


@pytest.mark.slow
def test_results_do_not_depend_on_partitions(spark: SparkSession) -> None:
    votes = {i: "gsbng-"[i % 3 :] for i in range(1, 5)}
    quality = pd.DataFrame(
        {"annotator": [f"r{i}" for i in range(6)], "quality": [0.1, 0.2, 0.3, 0.4, 0.5, 0.6]}
    )
    answers = answers_of(votes)
    kept = [
        sorted(map(str, decide(spark, frame, annotator_quality=quality, quorum=1).verdicts.collect()))
        for frame in (answers, answers.iloc[::-1])
    ]
    assert kept[0] == kept[1]


@pytest.mark.slow
def test_a_composite_key_and_strata_of_the_queue_are_kept(spark: SparkSession) -> None:
    schema = (
        "source string, n int, given_label int, suggested_label int, label_quality double, issue_rank long, "
        "place long, stratum string, inclusion_probability double"
    )
    queue = spark.createDataFrame(
        [("a", 1, 0, 1, 0.1, 1, 1, "top", 1.0), ("b", 1, 2, 1, 0.9, None, 2, "unflagged", 0.25)], schema
    )
    answers = spark.createDataFrame(
        [("a", 1, "x", "suggested"), ("b", 1, "x", "given"), ("b", 2, "x", "given")],
        "source string, n long, annotator string, answer string",
    )
    verdicts = decide_verdicts(answers, queue, id_col=["source", "n"], quorum=1)
    assert verdicts.verdicts.columns == [
        "source", "n", "given_label", "suggested_label", "verdict", "corrected_label", "num_answers",
        "given_votes", "suggested_votes", "both_votes", "neither_votes", "stratum", "inclusion_probability",
        "issue_rank", "label_quality",
    ]  # fmt: skip
    assert dict(verdicts.verdicts.dtypes)["n"] == "int"
    rows = {row.source: row for row in verdicts.verdicts.collect()}
    assert (rows["a"].corrected_label, rows["b"].corrected_label) == (1, 2)
    assert (rows["b"].stratum, rows["b"].inclusion_probability, rows["b"].issue_rank) == (
        "unflagged",
        0.25,
        None,
    )
    assert verdicts.rejected_answers == {"example that the queue does not have": 1}
    assert [row.stratum for row in verdicts.progress.collect()] == ["top", "unflagged"]


@pytest.mark.slow
def test_other_columns_and_names_may_be_given(spark: SparkSession) -> None:
    answers = pd.DataFrame({"id": [1, 2], "who": [7, 7], "said": ["yes", "no"]})
    verdicts = decide_verdicts(
        answers, QUEUE, annotator_col="who", answer_col="said", quorum=1, spark=spark,
        answer_names={"yes": "given", "no": "neither"},
    )  # fmt: skip
    assert found(verdicts) == {1: "not_an_error", 2: "prune"}
    assert "neither" not in str(verdicts.rejected_answers)
    assert "not an error" in verdicts._repr_html_()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("values", "error", "text"),
    [
        ({"quorum": 0}, ConfigurationError, "quorum"),
        ({"quorum": True}, ConfigurationError, "quorum"),
        ({"num_reviewers": 2}, ConfigurationError, "never give the 3"),
        ({"answer_names": {"x": "y"}}, ConfigurationError, "'x' stands for 'y'"),
        ({"answer_names": {1: "given"}}, ConfigurationError, "answer_names: 1 is no text"),
        ({"id_col": []}, ConfigurationError, "id_col"),
        ({"id_col": "nr"}, MissingColumnError, "nr"),
        ({"answer_col": "said"}, MissingColumnError, "answer_col"),
        ({"queue": QUEUE.drop(columns="suggested_label")}, MissingColumnError, "suggested_label"),
        ({"queue": QUEUE.assign(given_label=[1, 2, 3, 4])}, ColumnTypeError, "given_label"),
        ({"queue": QUEUE.assign(id=["1", "2", "3", "4"])}, ColumnTypeError, "do not compare"),
        ({"queue": QUEUE.assign(id=[1, 1, 2, 3])}, InputError, "2 rows share"),
        ({"queue": QUEUE.assign(stratum="top")}, InputError, "belong together"),
        (
            {"annotator_quality": pd.DataFrame({"annotator": ["r0", "r0"], "quality": [0.5, 0.5]})},
            InputError,
            "1 annotators",
        ),
        ({"annotator_quality": pd.DataFrame({"annotator": ["r0"], "quality": [-1.0]})}, InputError, "'r0'"),
        (
            {"annotator_quality": pd.DataFrame({"annotator": ["r0"], "quality": ["x"]})},
            ColumnTypeError,
            "quality",
        ),
    ],
)
def test_what_cannot_be_used_is_refused(
    spark: SparkSession, values: dict[str, Any], error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        decide(spark, answers_of({1: "ggg"}), **values)


@pytest.mark.slow
def test_a_spark_queue_with_odd_names_works(spark: SparkSession) -> None:
    queue = spark.createDataFrame(QUEUE.assign(image="x")).withColumnRenamed("id", "my id.`1`")
    answers = spark.createDataFrame([(1, "r", "given")], "id long, annotator string, answer string")
    named: DataFrame = answers.withColumnRenamed("id", "my id.`1`")
    verdicts = decide_verdicts(named, queue, id_col="my id.`1`", quorum=1)
    assert verdicts.verdicts.columns[0] == "my id.`1`"
    assert verdicts.num_decided == 1
