"""The multi-label audit, whatever holds the labels and probabilities, however they are partitioned."""

import json
import re
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from cl_spark import (
    ColumnTypeError,
    ConfigurationError,
    EmptyTableError,
    MissingColumnError,
    MultilabelAudit,
)
from cl_spark.methods.classification import cuts
from tests.methods.multilabel.frames import make_sets

pytestmark = pytest.mark.slow

NAMES = ["bird", "car", "dog", "hat", "sky"]
LABELS, PROBS = make_sets(seed=11, rows=150, classes=5)
SCHEMA = "id long, labels array<int>, pred_probs array<double>"
ROWS: list[tuple[int, list[int], list[float]]] = [
    (i, given, row.tolist()) for i, (given, row) in enumerate(zip(LABELS, PROBS, strict=True))
]
FILTERS = ["prune_by_noise_rate", "both", "confident_learning", "low_self_confidence"]

Answers = dict[str, list[Any]]


@pytest.fixture(scope="module")
def df(spark: SparkSession) -> DataFrame:
    return spark.createDataFrame(ROWS, SCHEMA).cache()


@pytest.fixture(scope="module")
def expected(df: DataFrame) -> Answers:
    return answer(df)


def collect(frame: DataFrame) -> list[Any]:
    return sorted((tuple(map(repr, row)) for row in frame.collect()), key=repr)


def answer(df: DataFrame, **options: Any) -> Answers:
    """Ask all questions of an audit."""
    with MultilabelAudit(df, **options) as audit:
        answers: dict[str, DataFrame] = {}
        for name in FILTERS:
            answers[name] = audit.find_label_issues(filter_by=name)
            answers[f"{name} per class"] = audit.find_label_issues_per_class(filter_by=name)
        if "num_classes" not in options:  # which lists of classes need
            answers["entropy"] = audit.find_label_issues(rank_by="confidence_weighted_entropy")
        answers["scores"] = audit.label_quality_scores()
        answers["softmin"] = audit.label_quality_scores(aggregate="softmin")
        answers["of classes"] = audit.label_quality_scores_per_class(method="normalized_margin")
        answers["thresholds"] = audit.confident_thresholds()
        health = audit.health_summary()
        answers["health"], answers["together"] = health.class_health, health.missing_together
        answers["rejected"] = audit.rejected()
        found = {name: collect(frame) for name, frame in answers.items()}
        return {**found, "overall": [health.overall_health, audit.num_label_issues()]}


def round_scores(answers: Answers) -> Answers:
    """Round all numbers that are no whole ones."""
    return {
        name: [
            tuple(
                f"{float(value):.12f}" if re.fullmatch(r"-?\d\.\d+(e-\d+)?", str(value)) else value
                for value in row
            )
            if isinstance(row, tuple)
            else round(row, 12)
            for row in rows
        ]
        for name, rows in answers.items()
    }


def add_names(df: DataFrame) -> DataFrame:
    names = F.array(*map(F.lit, NAMES))
    return df.withColumn("labels", F.transform("labels", lambda k: F.get(names, k)))


@pytest.mark.parametrize("partitions", [1, 7, 200])
def test_answers_do_not_depend_on_partitions(df: DataFrame, expected: Answers, partitions: int) -> None:
    assert answer(df.orderBy(F.rand(partitions)).repartition(partitions)) == expected


def test_many_rows_are_cut_and_ranked_by_histogram(
    df: DataFrame, expected: Answers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cuts, "FEW", 0)
    assert answer(df) == expected


def test_classes_left_out_of_lists_are_improbable(df: DataFrame) -> None:
    small = F.transform("pred_probs", lambda p: F.when(p < 0.25, F.lit(0.0)).otherwise(p))
    dense = df.withColumn("pred_probs", small)
    entries = F.filter(
        F.transform("pred_probs", lambda p, k: F.struct(k.alias("class"), p.alias("prob"))),
        lambda entry: entry["prob"] > 0,
    )
    sparse = dense.withColumn("pred_probs", entries)
    of_lists, of_arrays = answer(sparse, num_classes=5), answer(dense)
    del of_arrays["entropy"]
    assert round_scores(of_lists) == round_scores(of_arrays)  # sums in another order
    as_map = sparse.withColumn("pred_probs", F.map_from_entries("pred_probs"))
    with MultilabelAudit(as_map, num_classes=5) as audit:
        assert collect(audit.find_label_issues()) == of_lists["prune_by_noise_rate"]
        with pytest.raises(ConfigurationError, match="does not go with lists of classes"):
            audit.label_quality_scores(method="confidence_weighted_entropy")


def test_boolean_columns_and_names_say_the_same(df: DataFrame) -> None:
    names = [f"has_{name}" for name in NAMES]
    wide = df.select(
        "id", "pred_probs", *[F.array_contains("labels", k).alias(name) for k, name in enumerate(names)]
    )
    assert answer(wide, labels_col=names, class_names=NAMES) == answer(add_names(df), class_names=NAMES)
    with MultilabelAudit(wide, labels_col=names) as audit:
        found = audit.find_label_issues_per_class().select("class").distinct()
        assert {row[0] for row in found.collect()} <= set(names)
    columns = [f"p_{name}" for name in NAMES]
    probs = [F.get("pred_probs", F.lit(k)).alias(name) for k, name in enumerate(columns)]
    split = df.select("id", "labels", *probs)
    assert answer(split, pred_probs_col=columns) == answer(df)


def test_floats_are_those_numbers(df: DataFrame) -> None:
    floats = df.withColumn("pred_probs", F.col("pred_probs").cast("array<float>"))
    doubles = floats.withColumn("pred_probs", F.col("pred_probs").cast("array<double>"))
    assert answer(floats) == answer(doubles)


def test_names_are_shown_in_the_order_of_the_classes(df: DataFrame) -> None:
    with MultilabelAudit(df, class_names=NAMES) as audit:
        row = audit.find_label_issues().orderBy("rank").first()
        assert row is not None
        position = NAMES.index
        for labels in (row["given_labels"], row["suggested_labels"]):
            assert labels == sorted(labels, key=position)
        assert row["given_labels"] == [NAMES[k] for k in LABELS[row["id"]]]
        changed = set(row["given_labels"]) ^ set(row["suggested_labels"])
        by_class = audit.find_label_issues_per_class().where(F.col("id") == row["id"])
        assert {found["class"] for found in by_class.collect()} == changed


def test_a_class_named_twice_is_named_once(df: DataFrame, expected: Answers) -> None:
    assert answer(df.withColumn("labels", F.concat("labels", "labels"))) == expected


BAD_ROWS: dict[str, tuple[Any, Any, Any]] = {
    "null id": (None, [0], [0.1] * 5),
    "null label": (901, None, [0.1] * 5),
    "null label ": (902, [1, None], [0.1] * 5),
    "label outside 0..K-1": (903, [5], [0.1] * 5),
    "label outside 0..K-1 ": (904, [-1], [0.1] * 5),
    "null or empty pred_probs": (905, [0], None),
    "null or empty pred_probs ": (906, [0], []),
    "null inside pred_probs": (907, [0], [0.1, None, 0.1, 0.1, 0.1]),
    "NaN or infinity in pred_probs": (908, [0], [0.1, float("nan"), 0.1, 0.1, 0.1]),
    "value outside 0..1 in pred_probs": (909, [0], [0.1, 1.2, 0.1, 0.1, 0.1]),
    "value outside 0..1 in pred_probs ": (910, [0], [0.1, -0.2, 0.1, 0.1, 0.1]),
    "pred_probs of another length than K": (911, [0], [0.1] * 4),
    "pred_probs of another length than K ": (912, [0], [0.1] * 6),
    "pred_probs of another length than K  ": (914, [0], [0.1, 0.1, 0.1, 1.2]),
    "id of several rows": (913, [0], [0.1] * 5),
    "id of several rows ": (913, [1], [0.3] * 5),
}


def test_rows_that_cannot_be_used_are_rejected(spark: SparkSession, df: DataFrame, expected: Answers) -> None:
    dirty = df.unionByName(spark.createDataFrame(list(BAD_ROWS.values()), SCHEMA))
    found = answer(dirty)
    rejected = found.pop("rejected")
    assert found == {name: rows for name, rows in expected.items() if name != "rejected"}
    assert sorted(row[1] for row in rejected) == sorted(repr(reason.strip()) for reason in BAD_ROWS)
    with MultilabelAudit(dirty) as audit:
        assert audit.num_examples == len(ROWS)
        row = json.loads(audit.rejected().where("id = 903").collect()[0]["row"])
        assert row["labels"] == [5]


def test_names_of_no_class_are_rejected(spark: SparkSession, df: DataFrame) -> None:
    dirty = add_names(df).unionByName(
        spark.createDataFrame(
            [(901, ["cat"], [0.1] * 5)], "id long, labels array<string>, pred_probs array<double>"
        )
    )
    with MultilabelAudit(dirty, class_names=NAMES) as audit:
        assert [row["reason"] for row in audit.rejected().collect()] == ["unknown class name"]


def test_lists_that_are_no_sets_of_classes_are_rejected(spark: SparkSession) -> None:
    rows = [
        (1, [0], [(0, 0.9), (2, 0.8)]),
        (2, [1], []),
        (3, [2], [(2, 0.9)]),
        (4, [0], [(1, 0.9), (1, 0.2)]),
        (5, [0], [(3, 0.9)]),
    ]
    schema = "id int, labels array<int>, pred_probs array<struct<class:int,prob:float>>"
    with MultilabelAudit(spark.createDataFrame(rows, schema), num_classes=3) as audit:
        assert {row["id"] for row in audit.rejected().collect()} == {4, 5}
        found = audit.find_label_issues(filter_by="predicted_neq_given").orderBy("id").collect()
        assert [(row["id"], row["suggested_labels"]) for row in found] == [(1, [0, 2]), (2, [])]


def test_composite_ids(df: DataFrame, expected: Answers) -> None:
    keyed = df.select(F.lit("a").alias("source"), "*")
    with MultilabelAudit(keyed, id_col=["source", "id"]) as audit:
        issues = audit.find_label_issues()
        assert issues.columns[:2] == ["source", "id"]
        assert collect(issues.drop("source")) == expected["prune_by_noise_rate"]


def test_pandas_frames_are_read_too(spark: SparkSession, expected: Answers) -> None:
    frame = pd.DataFrame({"id": range(len(LABELS)), "labels": LABELS, "pred_probs": list(PROBS)})
    with MultilabelAudit(frame) as audit:
        assert collect(audit.find_label_issues()) == expected["prune_by_noise_rate"]


def test_classes_of_all_or_no_examples_have_no_issues(spark: SparkSession) -> None:
    probs = np.round(np.random.default_rng(0).random((40, 3)) * 0.4 + 0.3, 3)
    rows = [(i, [0, 1] if i % 3 else [0], row.tolist()) for i, row in enumerate(probs)]
    with MultilabelAudit(spark.createDataFrame(rows, SCHEMA)) as audit:
        thresholds = audit.confident_thresholds().orderBy("class").toPandas()
        assert thresholds["threshold_absent"][0] == 2.0
        assert thresholds["threshold"][2] == 2.0
        for filter_by in ("prune_by_noise_rate", "prune_by_class", "confident_learning"):
            found = audit.find_label_issues_per_class(filter_by=filter_by)
            assert {row["class"] for row in found.collect()} <= {1}


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"labels_col": "label"}, MissingColumnError, "labels_col"),
        ({"labels_col": "p"}, ColumnTypeError, "a set of labels is an array of class indices"),
        ({"labels_col": ["id", "x"]}, MissingColumnError, "labels_col"),
        ({"pred_probs_col": "p"}, ColumnTypeError, "one probability a row"),
        ({"labels_col": []}, ConfigurationError, "labels_col must name a boolean column per class"),
        ({"labels_col": ["a"]}, ConfigurationError, "labels_col must name a boolean column per class"),
        ({"class_names": ["a", "b"]}, EmptyTableError, "no row of the input can be used"),
        ({"num_classes": 1}, ConfigurationError, "num_classes=1"),
        ({"id_col": []}, ConfigurationError, "id_col names no column"),
        ({"id_col": "given"}, ConfigurationError, "'given' is the name of a column of the results"),
    ],
)
def test_what_cannot_be_audited_is_refused(
    df: DataFrame, options: dict[str, Any], error: type[Exception], message: str
) -> None:
    more = df.withColumn("p", F.lit(0.5)).withColumn("given", F.col("id"))
    with pytest.raises(error, match=message), MultilabelAudit(more, **options) as audit:
        audit.find_label_issues()


@pytest.mark.parametrize(
    ("question", "options", "message"),
    [
        ("find_label_issues", {"filter_by": "off_diagonal"}, "not a filter of several labels"),
        ("find_label_issues", {"filter_by": "best"}, "is not a filter"),
        ("find_label_issues", {"rank_by": "best"}, "rank_by='best' is no score of sets"),
        ("find_label_issues", {"num_issues": 5}, "num_issues has no effect"),
        (
            "find_label_issues",
            {"filter_by": "low_self_confidence", "num_issues": "off_diagonal"},
            "of sets of labels it is a number",
        ),
        ("find_label_issues", {"frac_noise": 2.0}, "must lie in"),
        ("find_label_issues_per_class", {"filter_by": "both", "min_examples_per_class": -1}, "negative"),
        ("label_quality_scores", {"method": "best"}, "method='best' is no score of sets"),
        ("label_quality_scores", {"aggregate": "mean"}, "aggregate='mean' is unknown"),
        ("label_quality_scores", {"alpha": 1.5}, "alpha=1.5 must lie"),
        ("label_quality_scores", {"aggregate": "softmin", "alpha": 0.5}, "alpha goes with"),
        ("label_quality_scores", {"aggregate": "softmin", "temperature": 0}, "must be above 0"),
        ("label_quality_scores", {"temperature": 0.5}, "temperature goes with"),
        ("label_quality_scores_per_class", {"method": "best"}, "method='best' is no score of sets"),
    ],
)
def test_options_that_mean_nothing_are_refused(
    df: DataFrame, question: str, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigurationError, match=message):
        getattr(MultilabelAudit(df), question)(**options)


def test_lowest_scores_are_as_many_as_asked_for(df: DataFrame) -> None:
    with MultilabelAudit(df) as audit:
        scores = audit.label_quality_scores().toPandas().sort_values(["label_quality", "id"])
        found = audit.find_label_issues(filter_by="low_self_confidence", num_issues=9).orderBy("rank")
        assert [row["id"] for row in found.collect()] == scores["id"].head(9).tolist()


def test_an_audit_shows_what_it_knows(df: DataFrame) -> None:
    audit = MultilabelAudit(df)
    assert "Not scanned yet" in audit._repr_html_()
    assert audit.num_examples == len(ROWS)
    assert "rejected rows" in audit._repr_html_()
    assert "overall health" in audit.health_summary()._repr_html_()
    audit.release()


def test_evidence_may_be_written_to_a_directory(df: DataFrame, expected: Answers, tmp_path: Any) -> None:
    found = answer(df, evidence_path=str(tmp_path / "evidence"))
    assert found == expected
    assert not list((tmp_path / "evidence").glob("*"))
