"""Checks of a table for bad rows of every kind, against their definitions in memory."""

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from sklearn.metrics.pairwise import cosine_distances

from cl_spark import ConfigurationError, DataAudit, LabelAudit, MissingColumnError
from cl_spark.errors import ColumnTypeError
from cl_spark.methods.checks.groups import find_clusters
from cl_spark.methods.checks.issue_types import ISSUE_TYPES
from tests.methods.checks.frames import COPY, EMPTY, FAR, WRONG, digits

pytestmark = pytest.mark.matrix


@pytest.fixture(scope="module")
def df(spark: SparkSession) -> DataFrame:
    return spark.createDataFrame(digits())


@pytest.fixture(scope="module")
def audit(df: DataFrame) -> Iterator[DataAudit]:
    with DataAudit(df, order_col="at") as audit:
        yield audit


@pytest.fixture(scope="module")
def found(audit: DataAudit) -> dict[str, pd.DataFrame]:
    scores = audit.scores().toPandas()
    return {kind: rows.set_index("id").sort_index() for kind, rows in scores.groupby("issue_type")}


def there() -> pd.DataFrame:
    """The rows with features."""
    return digits().drop(EMPTY)


def distances() -> Any:
    far = cosine_distances(np.stack(there().features))
    np.fill_diagonal(far, np.inf)
    return far


def test_all_kinds_are_looked_for(found: dict[str, pd.DataFrame]) -> None:
    assert set(found) == set(ISSUE_TYPES)
    assert all(rows.score.between(0, 1).all() for rows in found.values())
    assert all((rows.why.notna() == rows.is_issue).all() for rows in found.values())


def test_planted_faults_are_found(found: dict[str, pd.DataFrame]) -> None:
    assert found["outlier"].is_issue[FAR]
    assert found["near_duplicate"].is_issue[[COPY - 1, COPY]].all()
    assert found["near_duplicate"].why[COPY] == f"one of 2 near copies; the first is {COPY - 1}"
    assert found["null"].index[found["null"].is_issue].tolist() == [EMPTY]
    assert found["data_valuation"].score.idxmin() == WRONG
    assert found["non_iid"].is_issue.sum() == 1


def test_labels_are_those_of_the_label_audit(df: DataFrame, found: dict[str, pd.DataFrame]) -> None:
    with LabelAudit(df) as labels:
        scores = labels.label_quality_scores().toPandas().set_index("id").label_quality.sort_index()
        issues = {row.id for row in labels.find_label_issues().collect()}
    assert (found["label"].score == scores).all()
    assert set(found["label"].index[found["label"].is_issue]) == issues


def test_a_class_far_below_its_share_is_an_issue(
    found: dict[str, pd.DataFrame],
) -> None:
    rare = digits().label == 3
    expected = np.where(rare, rare.mean(), 1.0)
    assert np.allclose(found["class_imbalance"].score, expected, rtol=1e-12)
    assert (
        found["class_imbalance"].is_issue == rare
    ).all()  # 2 of 273, and a tenth of an equal share is 2.73


def test_copies_are_scored_by_the_distance_to_the_nearest(found: dict[str, pd.DataFrame]) -> None:
    nearest = distances().min(axis=1)
    expected = 1 - np.exp(-nearest / np.median(nearest))
    assert np.allclose(found["near_duplicate"].score, expected, atol=1e-9)


def test_values_of_examples_are_those_of_cleanlab(spark: SparkSession) -> None:
    oracle = pytest.importorskip("cleanlab.data_valuation", reason="cleanlab is in the dev environment alone")
    rows = there().drop([COPY, FAR])  # which have neighbors at one distance: we take the lower id
    values = oracle.data_shapley_knn(rows.label.to_numpy(), features=np.stack(rows.features), k=10)
    with DataAudit(spark.createDataFrame(rows)) as audit:
        scores = audit.score("data_valuation").toPandas().set_index("id").sort_index()
    assert np.allclose(scores.score, values, atol=1e-9)
    assert (scores.is_issue == (values < 0.5 - 1e-12)).all()


def test_a_random_order_is_no_issue(spark: SparkSession) -> None:
    rows = there()
    rows["at"] = np.random.default_rng(5).permutation(len(rows)).astype("float64")
    with DataAudit(spark.createDataFrame(rows), order_col="at") as audit:
        scores = audit.score("non_iid").toPandas()
    assert not scores.is_issue.any()
    assert scores.score.mean() == pytest.approx(0.5, abs=0.05)


def test_slices_are_groups(spark: SparkSession) -> None:
    rows = digits()
    phone = rows.source == "phone"
    labels = rows.label.to_numpy()
    probs = np.stack(rows.pred_probs)
    probs[phone, labels[phone]] = 0.001  # the model knows nothing of phones
    probs /= probs.sum(axis=1, keepdims=True)
    rows["pred_probs"] = list(probs)
    confidence = probs[np.arange(len(rows)), labels]
    with DataAudit(spark.createDataFrame(rows), slice_by=["source"]) as audit:
        scores = audit.score("underperforming_group").toPandas().set_index("id").sort_index()
    assert (scores.is_issue == phone).all()
    assert np.allclose(scores.score[phone], confidence[phone].mean() / confidence.mean(), rtol=1e-9)
    assert scores.why[0].startswith("the model knows little of group source=phone (12 examples)")


def test_clusters_are_linked_cores_with_their_borders(spark: SparkSession, audit: DataAudit) -> None:
    close = [[b for b in range(6) if b != a][:5] for a in range(6)]
    lists = [(a, near, [0.1] * 5) for a, near in enumerate(close)]  # six cores
    lists += [(6, [0, 7, 8, 9, 10], [0.4] + [0.9] * 4)]  # near one of them, which does not know it
    lists += [
        (7, [8, 9, 10, 11, 6], [0.2] * 5),
        (8, [7, 6, 9, 10, 11], [0.2, 0.6, 0.9, 0.9, 0.9]),
    ]  # a core, its border
    frame = spark.createDataFrame(lists, "_id long, _neighbors array<long>, _distances array<double>")
    clusters = {row._id: row._group for row in find_clusters(frame, audit._storage, 50).collect()}
    assert clusters == {**dict.fromkeys(range(6), 0), **dict.fromkeys((6, 7, 8, 9, 10, 11), 7)}


def test_issues_tell_which_copies_belong_together(spark: SparkSession) -> None:
    rows = there().assign(name=lambda rows: [f"row {i:03}" for i in rows.id]).drop(columns="id")
    with DataAudit(spark.createDataFrame(rows), id_col="name") as audit:
        issues = audit.find_issues().toPandas()
        assert "group" not in audit.scores().columns
    copies = issues[issues.issue_type == "near_duplicate"]
    assert set(zip(copies.name, copies.group, strict=True)) == {
        (f"row {i:03}", f"row {COPY - 1:03}") for i in (COPY - 1, COPY)
    }
    assert issues.group.notna().sum() == 2


@pytest.mark.slow
def test_results_do_not_depend_on_partitions_or_order(df: DataFrame, found: dict[str, pd.DataFrame]) -> None:
    with DataAudit(df.orderBy(F.desc("id")).repartition(5), order_col="at") as audit:
        again = audit.scores().toPandas()
        issues = audit.find_issues().toPandas().sort_values("rank")
    for kind, rows in again.groupby("issue_type"):
        pd.testing.assert_frame_equal(rows.set_index("id").sort_index(), found[str(kind)])
    assert issues["rank"].tolist() == list(range(1, len(issues) + 1))
    assert len(issues) == sum(rows.is_issue.sum() for rows in found.values())
    assert issues.issue_type[:3].is_unique


def test_without_probabilities_neighbors_tell_wrong_labels(spark: SparkSession) -> None:
    rows = digits()[["id", "label", "features"]]
    with DataAudit(spark.createDataFrame(rows)) as audit:
        assert "underperforming_group" in audit.left_out
        scores = audit.score("label").toPandas().set_index("id")
    assert scores.is_issue[WRONG]
    assert scores.why[WRONG].startswith("given 5; likelier is ")
    assert EMPTY not in scores.index


def test_rows_without_an_id_of_their_own_are_rejected(spark: SparkSession) -> None:
    rows = digits()[["id", "label"]].astype("float64")
    rows.loc[0, "id"] = None
    rows.loc[1, "id"] = 2
    frame = spark.createDataFrame(rows).withColumn("id", F.expr("int(if(isnan(id), null, id))"))
    with DataAudit(frame.withColumn("label", F.expr("int(label)"))) as audit:
        assert (audit.num_read, audit.num_examples) == (len(rows), len(rows) - 3)
        assert audit.rejected_counts == {"null id": 1, "id of several rows": 2}
        rejected = audit.rejected().toPandas()
        summary = audit.summary().toPandas().set_index("issue_type")
    assert sorted(rejected.reason) == ["id of several rows"] * 2 + ["null id"]
    assert summary.examples["class_imbalance"] == len(rows) - 3
    assert summary.note["outlier"] == "not looked for: needs features_col or pred_probs_col"
    assert np.isnan(summary.issues["outlier"])


def test_copies_of_texts(spark: SparkSession) -> None:
    said = "the quick brown fox jumps over the lazy dog and goes home to sleep"
    rows = [
        (1, said),
        (2, said.upper()),
        (3, "something else that has nothing to do with any fox"),
        (4, None),
    ]
    with DataAudit(spark.createDataFrame(rows, "id int, text string"), text_col="text") as audit:
        assert audit.issue_types == ["near_duplicate"]
        scores = {row.id: (row.score, row.is_issue) for row in audit.score("near_duplicate").collect()}
    assert scores == {1: (0.0, True), 2: (0.0, True), 3: (1.0, False)}


def test_what_cannot_be_asked_is_refused(spark: SparkSession, df: DataFrame, audit: DataAudit) -> None:
    with pytest.raises(ConfigurationError, match="the columns of df allow no check"):
        DataAudit(spark.createDataFrame([(1, 2)], "id int, x int"))
    with pytest.raises(MissingColumnError, match="order_col"):
        DataAudit(df, order_col="nowhere")
    with pytest.raises(ConfigurationError, match="slice_by must be a list"):
        DataAudit(df, slice_by="source")
    with pytest.raises(ConfigurationError, match="k must be a whole number"):
        DataAudit(df, k=0)
    with pytest.raises(ConfigurationError, match="issue_type: 'odd' is none of label, outlier"):
        audit.score("odd")
    with pytest.raises(ConfigurationError, match="needs features_col"):
        DataAudit(df.select("id", "label")).score("null")
    with pytest.raises(ColumnTypeError, match=r"order_col: .* must be numbers, dates or times"):
        DataAudit(df, order_col="source")
    with pytest.raises(ColumnTypeError, match=r"text_col: .* must be text"):
        DataAudit(df, text_col="label")
    with pytest.raises(ConfigurationError, match="id_col"):
        DataAudit(df.withColumnRenamed("id", "row"), id_col="row")


def test_a_check_that_cannot_be_answered_stops_no_other(spark: SparkSession) -> None:
    few = digits()[["id", "label", "features"]].head(8)
    with DataAudit(spark.createDataFrame(few)) as audit:
        found = {row.issue_type for row in audit.scores().collect()}
        summary = audit.summary().toPandas().set_index("issue_type")
        told = [warning.code for warning in audit.warnings()]
    assert found == {"class_imbalance", "null"}
    assert summary.note["outlier"].startswith("k: 10 neighbors are asked for, and there are 7 other rows")
    assert np.isnan(summary.issues["outlier"])
    assert summary.examples["null"] == 8
    assert told == ["check_not_answered"] * 4


def test_classes_may_be_names_and_labels_missing(spark: SparkSession) -> None:
    rows = digits()[["id", "label", "features"]]
    names = rows.label.map(lambda label: f"digit {label}").where(rows.index % 20 != 0, None)
    with DataAudit(spark.createDataFrame(rows.assign(label=names))) as audit:
        scores = {kind: audit.score(kind).toPandas().set_index("id") for kind in audit.issue_types}
    assert scores["label"].why[WRONG].startswith("given digit 5; likelier is digit ")
    labeled = names.notna()
    assert set(scores["class_imbalance"].index) == set(rows.id[labeled])
    assert set(scores["data_valuation"].index) == set(rows.id[labeled]) - {EMPTY}
    assert scores["data_valuation"].score.idxmin() == WRONG


def test_labels_that_are_nan_are_missing(spark: SparkSession) -> None:
    rows = [(i, float(i % 2)) for i in range(100)] + [(100, float("nan"))]
    with DataAudit(spark.createDataFrame(rows, "id int, label double")) as audit:
        scores = audit.score("class_imbalance").toPandas()
    assert len(scores) == 100
    assert not scores.is_issue.any()


def test_probabilities_alone_tell_outliers(df: DataFrame) -> None:
    with DataAudit(df.select("id", "pred_probs")) as audit:
        assert audit.issue_types == ["outlier"]
        assert audit.scores().count() == len(digits())


def test_an_order_that_only_ids_have_is_none(spark: SparkSession) -> None:
    rows = there().assign(at=1)
    with DataAudit(spark.createDataFrame(rows), order_col="at") as audit:
        assert not audit.score("non_iid").toPandas().is_issue.any()


def test_first_rows_tell_doubts_about_labels_without_a_check(df: DataFrame) -> None:
    one_based = df.where("label <> 9").withColumn("label", F.col("label") + 1)
    with DataAudit(one_based) as audit:
        assert [warning.code for warning in audit.first_warnings()] == ["labels_one_based"]
        assert "outlier_audit" not in vars(audit._checks)
    for none in (df.withColumn("label", F.lit(None).cast("int")), df.withColumn("id", F.lit(1))):
        with DataAudit(none) as audit:
            assert audit.first_warnings() == []  # later rows may have labels, and ids of their own
    logits = df.withColumn("pred_probs", F.transform("pred_probs", lambda p: 9 * p))
    floats = df.drop("pred_probs").withColumn("label", F.col("label").cast("double"))
    for rows, told in (
        (logits, "label: no row of the input can be used (pred_probs that do not sum to 1"),
        (floats, "label: label_col: column 'label' is double; it must be a class index"),
    ):
        with DataAudit(rows) as audit:
            (warning,) = audit.first_warnings()
            assert warning.code == "check_not_answered"
            assert warning.message.startswith(told)
    with DataAudit(df.drop("label")) as audit:
        assert audit.first_warnings() == []


def test_other_columns_may_differ_in_case_only(df: DataFrame) -> None:
    again = df.select("id", "label", "features", "at", "source")
    again = again.unionAll(again.where("id = 3")).toDF("id", "label", "features", "note", "Note")
    with DataAudit(again) as audit:
        assert audit.num_examples == len(digits()) - 1
        assert audit.rejected_counts == {"id of several rows": 2}
        assert {json.loads(row.row)["Note"] for row in audit.rejected().collect()} == {"phone"}
        (empty,) = audit.index.rejected().collect()
        assert json.loads(empty.row)["note"] == EMPTY
        assert audit.score("class_imbalance").count() == len(digits()) - 1


def test_ids_may_have_any_name(df: DataFrame, found: dict[str, pd.DataFrame]) -> None:
    named = df.withColumnRenamed("id", "doc.id")
    with DataAudit(named.unionAll(named.where("`doc.id` = 3")), id_col="doc.id") as audit:
        assert audit.rejected_counts == {"id of several rows": 2}
        outliers = audit.score("outlier").toPandas().set_index("doc.id")
    assert set(found["outlier"].index) - set(outliers.index) == {3}
    assert outliers.is_issue[FAR]


def test_the_order_of_rows_without_features_does_not_matter(spark: SparkSession) -> None:
    rng = np.random.default_rng(0)
    rows = [(i, i, rng.normal(size=5).tolist() if i >= 100 else None) for i in range(300)]
    df = spark.createDataFrame(rows, "id int, at int, features array<double>")
    answers = []
    for table in (df, df.where("id >= 100")):
        with DataAudit(table, order_col="at") as audit:
            answers.append(audit.score("non_iid").toPandas().sort_values("id", ignore_index=True))
    pd.testing.assert_frame_equal(*answers)


def test_one_row_that_is_no_distribution_switches_no_check_off(df: DataFrame) -> None:
    wrong = F.array(F.lit(1.7), F.lit(-0.7), *[F.lit(0.0)] * 8)
    table = df.withColumn("pred_probs", F.when(F.col("id") == 5, wrong).otherwise(F.col("pred_probs")))
    with DataAudit(table) as audit:
        assert not audit.unanswered
        judged = {row.issue_type: row.examples for row in audit.summary().collect()}
    assert judged["label"] == judged["class_imbalance"] - 1


def test_a_label_that_is_no_class_is_told(df: DataFrame) -> None:
    soft = df.drop("pred_probs").withColumn("label", F.create_map(F.lit("cat"), F.lit(0.5)))
    with DataAudit(soft) as audit:
        assert set(audit.unanswered) == {"label", "class_imbalance", "data_valuation"}
        assert "column 'label' is map<string,double>" in audit.unanswered["class_imbalance"]
    with pytest.raises(
        ConfigurationError, match="id_col must be the name of one column, got \\['id', 'at'\\]"
    ):
        DataAudit(df, id_col=["id", "at"])
