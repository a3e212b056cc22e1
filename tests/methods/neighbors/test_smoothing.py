"""Predicted probabilities mixed with those of the rows that are near."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from cl_spark import LabelAudit, NeighborIndex, smooth_pred_probs
from cl_spark.errors import ColumnTypeError, ConfigurationError, EmptyTableError, MissingColumnError
from cl_spark.kernels.nearest import find_nearest
from cl_spark.methods.neighbors import smoothing
from cl_spark.methods.neighbors.smoothing import MixProbs

pytestmark = pytest.mark.matrix

ROWS = np.random.default_rng(0).normal(size=(60, 5))
PROBS = np.random.default_rng(1).dirichlet(np.ones(3), 60)
NEAR = find_nearest(ROWS, ROWS, 4, "cosine", own=np.arange(60)).positions


def make_table(spark: SparkSession, probs: object, kind: str = "int") -> DataFrame:
    labels = PROBS.argmax(axis=1) if kind == "int" else np.array(["a", "b", "c"])[PROBS.argmax(axis=1)]
    frame = pd.DataFrame({"id": range(60), "features": ROWS.tolist(), "label": labels, "pred_probs": probs})
    schema = f"id long, features array<double>, label {kind}, pred_probs array<double>"
    return spark.createDataFrame(frame.sample(frac=1, random_state=0), schema).repartition(3)


def read(smoothed: object) -> pd.DataFrame:
    return smoothed.toPandas().sort_values("id", ignore_index=True)  # type: ignore[attr-defined]


def test_probabilities_are_mixed_with_the_mean_of_the_neighbors(spark: SparkSession) -> None:
    df = make_table(spark, PROBS.tolist())
    found = read(smooth_pred_probs(df, own_weight=0.25, k=4))
    expected = 0.25 * PROBS + 0.75 * PROBS[NEAR].mean(axis=1)
    assert np.allclose(np.stack(found.pred_probs), expected, rtol=1e-14)
    assert found.columns.tolist() == ["id", "label", "pred_probs"]
    assert found.label.tolist() == PROBS.argmax(axis=1).tolist()
    same = read(smooth_pred_probs(df, own_weight=1, k=4))
    assert np.array_equal(np.stack(same.pred_probs), PROBS)


def test_unusable_probabilities_are_kept_and_mixed_with_none(
    spark: SparkSession, caplog: pytest.LogCaptureFixture
) -> None:
    given: list[list[float] | None] = [list(probs) for probs in PROBS]
    given[3], given[5], given[8] = None, [0.5, 0.5], [0.5, float("nan"), 0.5]
    df = make_table(spark, given, "string")
    found = read(smooth_pred_probs(df, k=4)).pred_probs
    assert "3 rows of df cannot be used" in caplog.text
    assert found[3] is None
    assert list(found[5]) == [0.5, 0.5]
    assert np.isnan(found[8][1])
    for i in (row for row in range(60) if row not in (3, 5, 8)):
        usable = [near for near in NEAR[i] if near not in (3, 5, 8)]
        assert np.allclose(found[i], (PROBS[i] + PROBS[usable].mean(axis=0)) / 2, rtol=1e-14)
    with LabelAudit(smooth_pred_probs(df, k=4), class_names=["a", "b", "c"]) as audit:
        assert audit.num_rejected == 3


def test_ids_of_several_rows_are_told_once(spark: SparkSession, caplog: pytest.LogCaptureFixture) -> None:
    df = make_table(spark, PROBS.tolist())
    again = df.unionAll(df.where("id IN (3, 5)"))
    found = read(smooth_pred_probs(again, k=4))
    assert caplog.text.count("id of several rows: 4") == caplog.text.count("id of several rows") == 1
    assert found.id.tolist() == [i for i in range(60) if i not in (3, 5)]


def test_rows_that_only_the_index_has_are_not_answered(spark: SparkSession) -> None:
    df = make_table(spark, PROBS.tolist()).cache()
    with NeighborIndex(df) as index:
        found = read(smooth_pred_probs(df.where("id < 50"), k=4, index=index))
        assert found.id.tolist() == list(range(50))
        near = [[i for i in row if i < 50] for row in NEAR[:50]]
        expected = [(PROBS[i] + PROBS[row].mean(axis=0)) / 2 for i, row in enumerate(near)]
        assert np.allclose(np.stack(found.pred_probs), expected, rtol=1e-14)


def test_nothing_depends_on_partitions(spark: SparkSession, monkeypatch: pytest.MonkeyPatch) -> None:
    df = make_table(spark, PROBS.tolist())
    expected = np.stack(read(smooth_pred_probs(df, k=4)).pred_probs)
    monkeypatch.setattr(smoothing, "BYTES_OF_PARTITION", 1000)
    again = read(smooth_pred_probs(df.orderBy(F.desc("id")).repartition(7), k=4))
    assert np.array_equal(np.stack(again.pred_probs), expected)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 100])
def test_neighbors_may_come_in_several_batches(size: int) -> None:
    rows = [(i, place, PROBS[(i + place + 1) % 60].tolist(), i) for i in range(9) for place in (-1, 0, 1, 2)]
    rows.insert(0, (-1, -1, [1.0, 0.0, 0.0], 7))  # without neighbors
    columns = [pa.array(column) for column in zip(*rows, strict=True)]
    batch = pa.RecordBatch.from_arrays(columns, names=["_id", "_place", "pred_probs", "label"])
    parts = [batch.slice(start, size) for start in range(0, len(rows), size)]
    found = pa.Table.from_batches(MixProbs(3, 0.5)([*parts, batch.slice(0, 0)])).to_pandas()
    assert found["_id"].tolist() == list(range(-1, 9))
    assert found["label"].tolist() == [7, *range(9)]
    expected = [(PROBS[i] + PROBS[[i + 1, i + 2, i + 3]].mean(axis=0)) / 2 for i in range(9)]
    assert np.allclose(np.stack(found["pred_probs"]), [[1, 0, 0], *expected], rtol=1e-14)


def test_arguments_are_checked(spark: SparkSession) -> None:
    df = make_table(spark, PROBS.tolist())
    for weight in (-0.1, 1.5, True):
        with pytest.raises(ConfigurationError, match="own_weight must be from 0 to 1"):
            smooth_pred_probs(df, own_weight=weight)
    with pytest.raises(
        EmptyTableError, match="none of 60 rows can be used: negative value in pred_probs: 60"
    ):
        smooth_pred_probs(make_table(spark, (PROBS - 1).tolist()))
    with pytest.raises(MissingColumnError, match="pred_probs_col: no column 'probs'"):
        smooth_pred_probs(df, pred_probs_col="probs")
    with pytest.raises(ColumnTypeError, match="pred_probs_col"):
        smooth_pred_probs(df, pred_probs_col="label")
