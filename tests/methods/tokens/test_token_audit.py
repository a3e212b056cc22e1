"""The audit of tokens: both forms of a table, rows that cannot be used, merged classes."""

import json
from collections import Counter
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from cl_spark import (
    ColumnTypeError,
    ConfigurationError,
    EmptyTableError,
    MissingColumnError,
    TokenAudit,
)
from tests.methods.tokens.frames import BIO, TOKEN_COLUMNS, Text, make_text, sentences_table, tokens_table

pytestmark = pytest.mark.matrix


@pytest.fixture(scope="module")
def text() -> Text:
    return make_text(80, 3)


@pytest.fixture(scope="module")
def table(spark: SparkSession, text: Text) -> DataFrame:
    return sentences_table(spark, text).cache()


def answers(audit: TokenAudit) -> dict[str, list[str]]:
    """Answers of all kinds."""
    with audit:
        found = {
            "issues": audit.find_label_issues(),
            "scores": audit.label_quality_scores(),
            "sentences": audit.sentence_scores(method="softmin"),
            "common": audit.common_issues(),
            "entities": audit.find_entity_issues(),
            "tags": audit.find_invalid_tags(),
            "health": audit.health_summary().class_health,
        }
        return {name: sorted(map(str, df.collect())) for name, df in found.items()}


def test_forms_and_partitions_change_nothing(spark: SparkSession, text: Text, table: DataFrame) -> None:
    options = {"class_names": BIO, "scheme": "BIO"}
    first = answers(TokenAudit(table.repartition(1), **options))
    assert all(first.values())
    assert answers(TokenAudit(table.repartition(7), **options)) == first
    assert answers(TokenAudit(tokens_table(spark, text), **TOKEN_COLUMNS, **options)) == first


def test_a_pandas_frame_is_sentences_too() -> None:
    frame = pd.DataFrame(
        {
            "id": ["a", "b"],
            "tokens": [["Rome", "is"], ["old"]],
            "labels": [[0, 0], [1]],
            "pred_probs": [[[0.1, 0.9], [0.9, 0.1]], [[0.4, 0.6]]],
        }
    )
    with TokenAudit(frame) as audit:
        issues = audit.find_label_issues(filter_by="predicted_neq_given")
        assert issues.columns == ISSUE_COLUMNS
        assert [(row.id, row.position, row.token) for row in issues.collect()] == [("a", 0, "Rome")]


def test_issues_can_be_kept_by_token_and_class(table: DataFrame) -> None:
    with TokenAudit(table, class_names=BIO) as audit:
        everything = audit.find_label_issues().collect()
        of_rome = audit.find_label_issues(tokens=["Rome", "York"]).collect()
        of_places = audit.find_label_issues(classes=["B-LOC"]).collect()
        assert 0 < len(of_rome) < len(everything) > len(of_places) > 0
        assert sorted(of_rome) == sorted(row for row in everything if row.token in ("Rome", "York"))
        assert sorted(of_places) == sorted(
            row for row in everything if "B-LOC" in (row.given_label, row.suggested_label)
        )
        with pytest.raises(ConfigurationError, match="classes: 'B-ORG' is no class; there are 'O', 'B-PER'"):
            audit.find_label_issues(classes=["B-ORG"])
        with pytest.raises(ConfigurationError, match="tokens must be a list, not the text 'Rome'"):
            audit.find_label_issues(tokens="Rome")
        pairs = {(row.given_label, row.suggested_label) for row in everything}
        left_out = sorted(pairs)[0]
        counted = audit.common_issues(exclude=[left_out]).collect()
    expected = Counter((row.token, row.given_label, row.suggested_label) for row in everything)
    assert {tuple(row)[:3]: row.issues for row in counted} == {
        kind: times for kind, times in expected.items() if kind[1:] != left_out
    }
    assert [row.issues for row in counted] == sorted((row.issues for row in counted), reverse=True)


def test_texts_that_no_issue_has_are_told_of(table: DataFrame, caplog: pytest.LogCaptureFixture) -> None:
    with TokenAudit(table, class_names=BIO) as audit:
        assert audit.find_label_issues(tokens=["Rome", "York"]).count() > 0
        assert "no issue has the text" not in caplog.text
        assert (
            audit.find_label_issues(tokens=["Rome", "rome", "nowhere"], classes=["O"]).columns
            == ISSUE_COLUMNS
        )
    assert "tokens: no issue has the text 'rome', 'nowhere'. Texts are compared as a whole" in caplog.text


@pytest.mark.parametrize(
    ("exclude", "told"),
    [
        (("NN", "VB"), "exclude: 'NN' is no pair: give a list of pairs of given and suggested label"),
        (("O", "B-PER"), "exclude: 'O' is no pair"),
        ([("O", "B-PER", "O")], "is no pair"),
        ([{"O", "B-PER"}], "is no pair"),
        ([3], "exclude: 3 is no pair"),
        ([("O", "B-PERS")], "exclude: 'B-PERS' is no class; there are 'O', 'B-PER', "),
        ([(0, 1)], "exclude: 0 is no class; there are 'O'"),
    ],
)
def test_what_is_no_pair_of_classes_cannot_be_left_out(table: DataFrame, exclude: Any, told: str) -> None:
    with pytest.raises(ConfigurationError, match=told):
        TokenAudit(table, class_names=BIO).common_issues(exclude=exclude)


ISSUE_COLUMNS = ["id", "position", "token", "given_label", "suggested_label", "label_quality",
                 "self_confidence", "normalized_margin", "rank"]  # fmt: skip

GOOD, BAD = [0.9, 0.1], [0.2, 0.8]


def test_sentences_that_cannot_be_used_are_rejected(spark: SparkSession) -> None:
    rows = [
        (1, ["a", "b"], [0, 1], [GOOD, BAD]),
        (2, ["a", "b"], [0], [GOOD, BAD]),
        (3, ["a"], [0], [GOOD, BAD]),
        (4, None, [0], [GOOD]),
        (5, ["a"], None, [GOOD]),
        (6, ["a"], [0], None),
        (7, [], [], []),
        (8, ["a", "b", "c"], [0, 1, 0], [GOOD] * 3),
        (8, ["a"], [0], [GOOD]),
        (None, ["a"], [1], [BAD]),
        (9, ["a", None, "c", "d", "e"], [0, 1, None, -100, 1], [GOOD, BAD, BAD, BAD, None]),
        (10, ["a", "b"], [0, 1], [[0.5, 0.3, 0.2], [float("nan"), 0.5]]),
    ]
    schema = "id int, tokens array<string>, labels array<int>, pred_probs array<array<double>>"
    with TokenAudit(spark.createDataFrame(rows, schema)) as audit:
        rejected = audit.rejected()
        assert rejected.columns == ["id", "position", "token", "reason", "row"]
        found = {(row.id, row.position): row.reason for row in rejected.collect()}
        contents = {row.id: json.loads(row.row) for row in rejected.collect()}
        assert audit.num_examples == 3
        assert {(row.id, row.position) for row in audit.label_quality_scores().collect()} == {
            (1, 0),
            (1, 1),
            (9, 0),
        }
    assert found == {
        (2, None): "tokens, labels and pred_probs of different lengths",
        (3, None): "tokens, labels and pred_probs of different lengths",
        (4, None): "null tokens, labels or pred_probs",
        (5, None): "null tokens, labels or pred_probs",
        (6, None): "null tokens, labels or pred_probs",
        (7, None): "sentence without tokens",
        (8, None): "id of several rows",
        (None, 0): "null id: id",
        (9, 1): "null id: token",
        (9, 2): "null label",
        (9, 3): "label outside 0..K-1",
        (9, 4): "null or empty pred_probs",
        (10, 0): "pred_probs of another length than K",
        (10, 1): "NaN or infinity in pred_probs",
    }
    assert contents[2] == {"id": 2, "tokens": ["a", "b"], "labels": [0], "pred_probs": [GOOD, BAD]}
    assert contents[9] == {"id": 9, "position": 4, "tokens": "e", "labels": 1}


def test_rejected_rows_have_the_names_of_the_input(spark: SparkSession) -> None:
    rows = [(1, "x", ["a", "b"], ["O", "?"], [GOOD, BAD]), (2, "y", ["a"], ["O", "O"], [BAD])]
    schema = "key int, `the.lang` string, words array<string>, tags array<string>, probs array<array<double>>"
    options = {"id_col": "key", "tokens_col": "words", "labels_col": "tags", "pred_probs_col": "probs"}
    df = spark.createDataFrame(rows, schema)
    with TokenAudit(df, slice_by=["the.lang"], class_names=["O", "B-PER"], **options) as audit:
        contents = [json.loads(row.row) for row in audit.rejected().orderBy("key").collect()]
    assert contents == [
        {"key": 1, "the.lang": "x", "position": 1, "words": "b", "tags": "?", "probs": BAD},
        {"key": 2, "the.lang": "y", "words": ["a"], "tags": ["O", "O"], "probs": [BAD]},
    ]
    tokens = spark.createDataFrame([(1, 0, "a", "?", *BAD), (1, 1, "b", "B-PER", *BAD)])
    tokens = tokens.toDF("key", "place", "word", "tag", "O", "B-PER")
    columns = {"id_col": "key", "tokens_col": "word", "labels_col": "tag", "position_col": "place"}
    with TokenAudit(tokens, pred_probs_col=["O", "B-PER"], slice_by=["tag"], **columns) as audit:
        (row,) = audit.rejected().collect()
    assert row.row.count('"tag"') == 1
    assert json.loads(row.row) == {
        "key": 1, "place": 0, "word": "a", "tag": "?", "O": 0.2, "B-PER": 0.8,
    }  # fmt: skip


def test_labels_beyond_an_int_are_rejected(spark: SparkSession) -> None:
    names = ["O", "B-PER", "I-PER"]
    rows = [(1, ["a", "b", "c"], [0, 2**32 + 1, 1], [[0.8, 0.1, 0.1]] * 3)]
    schema = "id int, tokens array<string>, labels array<bigint>, pred_probs array<array<double>>"
    df = spark.createDataFrame(rows, schema)
    for merge in (True, None):
        with TokenAudit(df, class_names=names, scheme="BIO", merge_classes=merge) as audit:
            rejected = {row.position: row.reason for row in audit.rejected().collect()}
            assert rejected == {1: "label outside 0..K-1"}
            if not merge:
                assert audit.find_invalid_tags().collect() == []


def test_ids_may_have_any_name_and_be_slices(spark: SparkSession, text: Text, table: DataFrame) -> None:
    rows = table.selectExpr("id % 3 AS source", "id AS `doc.id`", "tokens", "labels", "pred_probs")
    options = {"id_col": ["source", "doc.id"], "slice_by": ["source"], "class_names": BIO, "scheme": "BIO"}
    with TokenAudit(rows, **options) as audit, TokenAudit(table, class_names=BIO, scheme="BIO") as plain:
        assert audit.slice_health().count() == 3
        for ask in ("find_label_issues", "find_entity_issues", "find_invalid_tags", "sentence_scores"):
            ours, theirs = (getattr(one, ask)() for one in (audit, plain))
            assert ours.columns[:2] == ["source", "doc.id"]
            found = ours.drop("source", "rank").withColumnRenamed("doc.id", "id")
            assert sorted(map(str, found.collect())) == sorted(map(str, theirs.drop("rank").collect())), ask


def test_a_slice_that_is_named_twice_is_read_once(spark: SparkSession) -> None:
    rows = [(i, "web", ["a", "b"], [0, 1], [GOOD, BAD]) for i in range(2)]
    schema = "id int, source string, tokens array<string>, labels array<int>, pred_probs array<array<double>>"
    with TokenAudit(spark.createDataFrame(rows, schema), slice_by=["source", "Source"]) as audit:
        slices = audit.slice_health().orderBy("slice_column").collect()
    assert [(row.slice_column, row.slice_value, row.examples) for row in slices] == [
        ("Source", "web", 4),
        ("source", "web", 4),
    ]


def test_tokens_of_one_place_are_rejected(spark: SparkSession) -> None:
    rows = [
        ("a", 0, "x", 0, GOOD), ("a", 1, "y", 1, BAD), ("a", 1, "z", 1, BAD), ("b", 1, "y", 0, GOOD),
        ("b", None, "x", 0, GOOD),
    ]  # fmt: skip
    df = spark.createDataFrame(rows, "id string, place int, word string, label int, probs array<double>")
    with TokenAudit(df, **TOKEN_COLUMNS) as audit:
        found = sorted(
            (row.id, row.position, row.token, row.reason) for row in audit.rejected().fillna(-1).collect()
        )
        assert audit.num_examples == 2
    assert found == [
        ("a", 1, "y", "id of several rows"),
        ("a", 1, "z", "id of several rows"),
        ("b", -1, "x", "null id: position"),
    ]


def test_no_number_of_repeated_sentences_is_forced_into_memory(
    spark: SparkSession, table: DataFrame, capsys: pytest.CaptureFixture[str]
) -> None:
    """A table that was written twice has as many repeated ids as sentences; one with a key has none, and none
    of its arrays is shuffled.
    """
    few = table.where("id < 20").withColumn(
        "labels", F.expr("transform(labels, (l, i) -> if(i > 0, l, null))")
    )
    spark.conf.set("spark.sql.autoBroadcastJoinThreshold", "-1")
    plans = []
    try:
        for rows, num_rejected in ((few.unionAll(few.where("id > 0")), 38 + 1), (few, 20)):
            with TokenAudit(rows, class_names=BIO) as audit:
                rejected = audit.rejected()
                assert rejected.count() == num_rejected
                capsys.readouterr()
                rejected.explain()
                plans.append(capsys.readouterr().out)
    finally:
        spark.conf.unset("spark.sql.autoBroadcastJoinThreshold")
    assert "SortMergeJoin" in plans[0]
    assert "Broadcast" not in plans[0]
    assert "Join" not in plans[1]


@pytest.mark.parametrize("names", [True, False])
def test_classes_can_be_merged(spark: SparkSession, text: Text, names: bool) -> None:
    labels = np.concatenate(text.given)
    merged = np.array([0, 1, 1, 2, 2])
    probs = np.concatenate(text.probs)
    sums = np.stack([probs[:, merged == k].sum(axis=1) for k in range(3)], axis=1)
    table = sentences_table(spark, text, names=names)
    with TokenAudit(table, class_names=BIO, scheme="BIO", merge_classes=True) as audit:
        assert audit.predictions.names == ["O", "PER", "LOC"]
        scores = audit.label_quality_scores().orderBy("id", "position").toPandas()
        assert scores["given_label"].tolist() == np.array(["O", "PER", "LOC"])[merged[labels]].tolist()
        assert_allclose(scores["label_quality"], sums[np.arange(len(labels)), merged[labels]], atol=1e-12)
        with pytest.raises(ConfigurationError, match="reads tags, which merge_classes has merged"):
            audit.find_entity_issues()
    with TokenAudit(table, class_names=BIO, merge_classes={"B-LOC": "place", "I-LOC": "place"}) as audit:
        assert audit.predictions.names == ["O", "B-PER", "I-PER", "place"]


def test_what_cannot_be_merged_is_rejected(spark: SparkSession) -> None:
    names = ["O", "B-PER", "I-PER"]
    good = [0.8, 0.1, 0.1]
    rows = [
        (1, ["a"] * 6, ["O", "B-PER", "PER", "O", None, "O"], [good, good, good, [0.4, 0.6], good, [0.1] * 4])
    ]
    schema = "id int, tokens array<string>, labels array<string>, pred_probs array<array<double>>"
    df = spark.createDataFrame(rows, schema)
    with TokenAudit(df, class_names=names, scheme="BIO", merge_classes=True) as audit:
        reasons = {row.position: row.reason for row in audit.rejected().collect()}
    length = "pred_probs of another length than K"
    assert reasons == {2: "unknown class name", 3: length, 4: "null label", 5: length}
    wrong = df.withColumn("labels", F.expr("array(0, 1, 7, 0, null, -1)"))
    with TokenAudit(wrong, class_names=names, scheme="BIO", merge_classes=True) as audit:
        reasons = {row.position: row.reason for row in audit.rejected().collect()}
        given = {row.position: row.given_label for row in audit.label_quality_scores().collect()}
    outside = "label outside 0..K-1"
    assert reasons == {2: outside, 3: length, 4: "null label", 5: length}
    assert given == {0: "O", 1: "PER"}


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ("double(0.8) AS O, double(0.1) AS `B-PER`, double(0.1) AS `I-PER`, double(0) AS `B-MISC`", "B-MISC"),
        ("double(0.8) AS O, double(0.2) AS `B-PER`", "I-PER"),
    ],
)
def test_fields_that_are_no_class_cannot_be_merged(spark: SparkSession, fields: str, told: str) -> None:
    df = spark.range(1).selectExpr(
        "id", "0 AS place", "'a' AS word", "'O' AS label", f"struct({fields}) AS probs"
    )
    options = {"class_names": ["O", "B-PER", "I-PER"], "scheme": "BIO", **TOKEN_COLUMNS}
    for merge in (True, None):  # the same error as without
        with pytest.raises(
            ConfigurationError, match=f"'{told}' is not both a class name and a field of column"
        ):
            TokenAudit(df, merge_classes=merge, **options)


def refusals() -> list[tuple[dict[str, object], type[Exception], str]]:
    return [
        ({"labels_col": "id"}, ColumnTypeError, "labels_col: column 'id' is bigint; of a row per sentence"),
        ({"tokens_col": "id"}, ColumnTypeError, "tokens_col: column 'id' is bigint; of a row per sentence"),
        ({"pred_probs_col": "tokens"}, ColumnTypeError, "pred_probs_col: column 'tokens' is array<string>"),
        ({"labels_col": "nowhere"}, MissingColumnError, "labels_col: .*'nowhere'"),
        ({"position_col": "id"}, ColumnTypeError, "leave position_col out"),
        ({"position_col": "id", "labels_col": "x", "pred_probs_col": ["x", "y"], "class_names": BIO},
         ConfigurationError, "class_names has 5 names for 2 pred_probs columns"),
        ({"scheme": "BIO", "labels_col": "numbers"}, ConfigurationError, "scheme needs class_names"),
        ({}, ConfigurationError, "labels_col: column 'labels' holds class names, but nothing says"),
        ({"labels_col": "dates"}, ColumnTypeError, "labels_col: column 'dates' is array<date>"),
        ({"class_names": "OBI"}, ConfigurationError, "class_names must be a list of names"),
        ({"class_names": [*BIO, "O"]}, ConfigurationError, "class_names holds 'O' more than once"),
        ({"scheme": "BIO", "class_names": ["O", "B-O"]}, ConfigurationError, "'B-O' is a tag of entities"),
        ({"class_names": BIO, "slice_by": ["End"]}, ConfigurationError, "slice_by: 'End' is the name of"),
        ({"scheme": "IOB", "class_names": BIO}, ConfigurationError, "scheme='IOB' is unknown; choose"),
        ({"scheme": "BIO", "class_names": [*BIO[:4], "E-LOC"]}, ConfigurationError, "'E-LOC' is no tag of"),
        ({"merge_classes": True, "labels_col": "numbers"}, ConfigurationError, "needs class_names"),
        ({"merge_classes": True, "class_names": BIO}, ConfigurationError, "needs scheme='BIO'"),
        ({"merge_classes": {"X": "Y"}, "class_names": BIO}, ConfigurationError, "'X' is none of class_names"),
        ({"merge_classes": dict.fromkeys(BIO, "Y"), "class_names": BIO}, ConfigurationError, "leave two"),
        ({"id_col": []}, ConfigurationError, "id_col names no column"),
        ({"id_col": ["id", "id"], "class_names": BIO}, ConfigurationError, "labels_col, .* must be"),
        ({"position_col": "x", "labels_col": "End", "pred_probs_col": ["y", "y"]}, ConfigurationError,
         "must be different columns, got .*'pred_probs_col': .'y', 'y'."),
        ({"position_col": "x", "labels_col": "End", "pred_probs_col": ["y", "dates"]}, ColumnTypeError,
         "pred_probs_col: column 'dates' is array<date>; it must be a numeric column per class"),
        ({"position_col": "x", "labels_col": "End", "pred_probs_col": "dates"}, ColumnTypeError,
         "pred_probs_col: column 'dates' is array<date>; it must be an array"),
        ({"position_col": "x", "labels_col": "End", "pred_probs_col": "sparse"}, ConfigurationError,
         r"class_names: column 'sparse' lists some classes only \(map<int,double>\): pass class"),
    ]  # fmt: skip


@pytest.mark.parametrize(("options", "error", "told"), refusals())
def test_what_makes_no_sense_is_refused(
    table: DataFrame, options: dict[str, object], error: type[Exception], told: str
) -> None:
    more = ["array(1) AS numbers", "array(DATE'2026-01-31') AS dates", "map(1, 0.5D) AS sparse"]
    rows = table.selectExpr("*", "1 AS x", "0.5D AS y", "1 AS End", *more)
    with pytest.raises(error, match=told):
        TokenAudit(rows, **options)  # type: ignore[arg-type]


def test_messages_name_the_columns_of_the_input(spark: SparkSession) -> None:
    """Within the audit, the columns of labels and probabilities have names of their own."""
    columns = {"tokens_col": "words", "labels_col": "tags", "pred_probs_col": "model"}
    schema = "id int, words array<string>, tags array<string>, model array<array<double>>"
    rows = [(i, ["x", "y"], ["O", "per"], [[0.9, 0.1], [0.2, 0.8]]) for i in range(30)]
    df = spark.createDataFrame(rows, schema)
    with TokenAudit(df, class_names=["O", "PER"], **columns) as audit:
        (warning,) = audit.warnings()
        shown = audit._repr_html_()
    assert warning.message.endswith("while no label is 'PER': give class_names as column 'tags' spells them")
    assert all(f">{text}<" in shown for text in ("Token audit", "tags", "model"))
    with pytest.raises(EmptyTableError, match="check labels_col, pred_probs_col and class_names"):
        _ = TokenAudit(df, class_names=["o", "PER"], **columns).num_examples
    one_based = df.withColumn("tags", F.expr("transform(tags, tag -> if(tag = 'O', 1, 2))"))
    with TokenAudit(one_based, **columns) as audit:
        (warning,) = audit.warnings()
    assert warning.message.endswith("Indices count from 0: subtract 1 from column 'tags'")


def test_questions_that_make_no_sense_are_refused(table: DataFrame) -> None:
    audit = TokenAudit(table, class_names=BIO)
    for ask in (audit.find_entity_issues, audit.find_invalid_tags):
        with pytest.raises(ConfigurationError, match="reads tags: pass scheme='BIO' or 'BIOES'"):
            ask()
    with pytest.raises(
        ConfigurationError, match="slice_health needs columns to slice by: pass slice_by to TokenAudit"
    ):
        audit.slice_health()
    with pytest.raises(ConfigurationError, match="needs several models, which LabelAudit takes"):
        audit.ensemble_label_quality_scores()
    with pytest.raises(ConfigurationError, match="method='mean' is unknown"):
        audit.sentence_scores(method="mean")
    with pytest.raises(ConfigurationError, match="temperature=0 must be a number above 0"):
        audit.sentence_scores(method="softmin", temperature=0)
    with pytest.raises(ConfigurationError, match=r"temperature=0\.5 goes with method='softmin'"):
        audit.sentence_scores(temperature=0.5)
    with pytest.raises(ConfigurationError, match="id_col: 'Token' is the name of a column of results"):
        TokenAudit(table.withColumnRenamed("id", "Token"), id_col="Token", class_names=BIO)


def test_texts_may_be_asked_for_as_numbers(spark: SparkSession) -> None:
    rows = [(i, ["Rome", "2024"], ["A", "B"], [[0.1, 0.9], [0.1, 0.9]]) for i in range(20)]
    rows += [(20 + i, ["in", "2024"], ["B", "A"], [[0.1, 0.9], [0.1, 0.9]]) for i in range(3)]
    schema = "id int, tokens array<string>, labels array<string>, pred_probs array<array<double>>"
    with TokenAudit(spark.createDataFrame(rows, schema), class_names=["A", "B"]) as audit:
        by_model = {"filter_by": "predicted_neq_given"}
        numbers = audit.find_label_issues(tokens=[2024], **by_model).count()
        assert numbers == audit.find_label_issues(tokens=["2024"], **by_model).count() == 3
