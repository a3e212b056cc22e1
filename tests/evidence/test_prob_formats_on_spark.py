"""Lists of the classes worth listing mean what the whole array means; and long arrays, of which the evidence
keeps few.
"""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from cl_spark import ConfigurationError, LabelAudit
from cl_spark.evidence import predictions
from cl_spark.kernels.row_evidence import ListingPolicy
from tests.frames import ids
from tests.frames import predictions as table
from tests.oracle import reference
from tests.oracle.datasets import Data

pytestmark = pytest.mark.matrix
FORMS = {
    "map": "map_from_entries(entries)",
    "struct": "entries",
    "swapped": "transform(entries, e -> named_struct('p', e.p, 'k', e.k))",
}


def peaked(seed: int, rows: int, classes: int, listed: int) -> Data:
    """Rows with a few classes above 0; labels drawn from them, so some are wrong. Values are rounded, so some
    tie.
    """
    rng = np.random.default_rng(seed)
    probs = np.zeros((rows, classes))
    for row in probs:
        row[rng.choice(classes, listed, replace=False)] = rng.dirichlet(np.full(listed, 0.5)).round(2)
    labels = np.array([rng.choice(classes, p=(row + 1e-3) / (row + 1e-3).sum()) for row in probs])
    return Data(labels, probs, seed)


def sparse(spark: SparkSession, data: Data, form: str) -> DataFrame:
    rng = np.random.default_rng(1)
    entries = [[(int(k), float(row[k])) for k in rng.permutation(np.flatnonzero(row))] for row in data.probs]
    frame = pd.DataFrame({"id": np.arange(len(entries)), "label": data.labels, "entries": entries})
    df = spark.createDataFrame(
        frame, "id long, label int, entries array<struct<k: int, p: double>>"
    ).repartition(3)
    return df.select("id", "label", F.expr(FORMS[form]).alias("pred_probs"))


def answers(df: DataFrame, filters: tuple[str, ...], **arguments: Any) -> list[Any]:
    with LabelAudit(df, **arguments) as audit:
        found: list[Any] = [
            audit.find_label_issues(filter_by=name).orderBy("rank").toPandas() for name in filters
        ]
        found.append(
            audit.confident_joint_table()
            .toPandas()
            .sort_values(["given_label", "true_label"], ignore_index=True)
        )
        for method in ("self_confidence", "normalized_margin", "confidence_weighted_entropy"):
            found.append(audit.label_quality_scores(method=method).orderBy("id").toPandas())
        found.append(audit.label_quality_scores(adjust_pred_probs=True).orderBy("id").toPandas())
        return found


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS)
def test_sparse_equals_dense(spark: SparkSession, form: str) -> None:
    data = peaked(51, 300, 6, 4)
    filters = ("both", "off_diagonal", "low_self_confidence") if form == "map" else ("prune_by_noise_rate",)
    whole = answers(table(spark, data.labels, data.probs), filters)
    for ours, theirs in zip(answers(sparse(spark, data, form), filters, num_classes=6), whole, strict=True):
        pd.testing.assert_frame_equal(ours, theirs)


@pytest.mark.slow
@pytest.mark.parametrize("policy", [ListingPolicy(), ListingPolicy(0.2, 0.15), ListingPolicy(max_listed=4)])
def test_long_arrays_need_not_be_kept(
    spark: SparkSession, monkeypatch: pytest.MonkeyPatch, policy: ListingPolicy
) -> None:
    """Suspects' arrays kept for none or some: the same issues, as an array or as a list."""
    monkeypatch.setattr(predictions, "LISTING", policy)
    data = peaked(52, 600, 80, 5)
    filters = ("prune_by_noise_rate", "confident_learning")
    for df, arguments in (
        (table(spark, data.labels, data.probs), {}),
        (sparse(spark, data, "struct"), {"num_classes": 80}),
    ):
        with LabelAudit(df, **arguments) as audit:
            for name in filters:
                assert ids(audit.find_label_issues(filter_by=name)) == reference.issues(
                    data.labels, data.probs, name
                ), name


@pytest.mark.slow
def test_the_value_of_absent_classes_is_told(spark: SparkSession) -> None:
    data = peaked(53, 120, 5, 3)
    raised = Data(data.labels, np.where(data.probs == 0, 0.001, data.probs), 0)
    whole = answers(table(spark, raised.labels, raised.probs), ("prune_by_noise_rate",))
    listed = answers(
        sparse(spark, data, "struct"), ("prune_by_noise_rate",), num_classes=5, absent_prob=0.001
    )
    for ours, theirs in zip(listed, whole, strict=True):
        pd.testing.assert_frame_equal(ours, theirs)


@pytest.mark.slow
def test_lists_that_mean_nothing_are_rejected(spark: SparkSession) -> None:
    good = [(i, i % 3, [(i % 3, 0.8), ((i + 1) % 3, 0.2)]) for i in range(12)]
    bad = [
        (20, 0, [(0, 0.5), (0, 0.5)], "class listed twice or outside 0..K-1 in pred_probs"),
        (21, 0, [(7, 0.5)], "class listed twice or outside 0..K-1 in pred_probs"),
        (22, 0, [(-1, 0.5)], "class listed twice or outside 0..K-1 in pred_probs"),
        (23, 0, [(0, 0.0), (1, 0.0)], "no class listed above the value of absent ones"),
        (24, 0, [], "null or empty pred_probs"),
        (25, 0, None, "null or empty pred_probs"),
        (26, 0, [(0, None)], "null inside pred_probs"),
        (27, 0, [(None, 0.5)], "null inside pred_probs"),
        (28, 0, [(0, float("nan"))], "NaN or infinity in pred_probs"),
        (29, 3, [(0, 0.9)], "label outside 0..K-1"),
    ]
    schema = "id long, label int, pred_probs array<struct<k: int, p: double>>"
    df = spark.createDataFrame([*good, *[row[:3] for row in bad]], schema)
    with LabelAudit(df, num_classes=3) as audit:
        assert audit.num_examples == 12
        assert {row.id: row.reason for row in audit.rejected().collect()} == {row[0]: row[3] for row in bad}


def test_sparse_lists_need_the_number_of_classes(spark: SparkSession) -> None:
    df = spark.createDataFrame([(1, 0, {0: 0.5})], "id long, label int, pred_probs map<int, float>")
    with pytest.raises(ConfigurationError, match="pass num_classes"):
        LabelAudit(df)
    with pytest.raises(ConfigurationError, match="num_classes=3 must be at least 2 and agree"):
        LabelAudit(df, num_classes=3, class_names=["a", "b"])
    with pytest.raises(ConfigurationError, match="absent_prob goes with sparse"):
        LabelAudit(table(spark, [0, 1], [[0.5, 0.5]] * 2), absent_prob=0.1)


def test_a_null_vector_is_a_row_without_probabilities(spark: SparkSession) -> None:
    from pyspark.ml.functions import array_to_vector

    rows = [(i, i % 2, [0.9, 0.1] if i % 2 == 0 else [0.2, 0.8]) for i in range(20)]
    df = spark.createDataFrame(rows, "id long, label int, pred_probs array<double>")
    vectors = df.withColumn("pred_probs", F.when(F.col("id") != 3, array_to_vector("pred_probs")))
    with LabelAudit(vectors) as audit:
        assert audit.num_examples == 19
        assert [(row.id, row.reason) for row in audit.rejected().collect()] == [
            (3, "null or empty pred_probs")
        ]
    labels = df.select("id", "label").union(spark.createDataFrame([(99, 1)], "id long, label int"))
    known = vectors.where("id != 3").drop("label")
    with LabelAudit(known, labels=labels) as audit:
        reasons = {row.id: row.reason for row in audit.rejected().collect()}
    assert reasons == {3: "label without a prediction", 99: "label without a prediction"}
