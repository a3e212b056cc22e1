"""pandas DataFrames as Spark's."""

import numpy as np
import pandas as pd
import pytest
from pyspark.sql import SparkSession

from cl_spark import (
    ColumnTypeError,
    ConfigurationError,
    LabelAudit,
    confident_joint,
    confident_thresholds,
    find_label_issues,
    health_summary,
    label_quality_scores,
    noise_rates,
    num_label_issues,
)
from cl_spark.tables.pandas_frames import to_spark

pytestmark = pytest.mark.slow

LABELS = np.arange(60) % 3
PROBS = np.full((60, 3), 0.1)
PROBS[np.arange(60), np.where(np.arange(60) < 6, (LABELS + 1) % 3, LABELS)] = 0.8
FRAME = pd.DataFrame({"id": np.arange(60), "label": LABELS, "pred_probs": list(PROBS)})


def test_every_function_takes_one(spark: SparkSession) -> None:
    assert {row.id for row in find_label_issues(FRAME).collect()} == set(range(6))
    assert {row.id for row in find_label_issues(FRAME, spark=spark).collect()} == set(range(6))
    assert num_label_issues(FRAME) == 6
    assert label_quality_scores(FRAME).count() == 60
    assert confident_thresholds(FRAME).count() == 3
    assert confident_joint(FRAME).count() >= 3
    assert noise_rates(FRAME).prior.count() == 3
    assert health_summary(FRAME).overall_health == pytest.approx(0.9)
    with LabelAudit(FRAME.drop(columns="label"), labels=FRAME[["id", "label"]]) as audit:
        assert audit.find_label_issues().count() == 6


def test_types_of_numpy_and_pandas_become_those_of_spark(spark: SparkSession) -> None:
    frame = pd.DataFrame(
        {
            "half": np.array([0.5, 1], "float16"),
            "unsigned": np.array([1, 2], "uint64"),
            "category": pd.Categorical(["b", "a"]),
            "time": pd.date_range("2026-01-01", periods=2).astype("datetime64[ns]"),
            "halves": [np.array([0.5], "float16"), None],
            "number": pd.array([1, None], dtype="Int64"),
            "nothing": [None, None],
            7: ["x", "y"],
        },
        index=pd.Index(["i", "j"], name="key"),
    )
    df = to_spark(frame, spark)
    kinds = dict(df.dtypes)
    assert kinds.pop("time").startswith("timestamp")
    assert kinds == {
        "key": "string",
        "half": "float",
        "unsigned": "bigint",
        "category": "string",
        "halves": "array<float>",
        "number": "bigint",
        "nothing": "string",
        "7": "string",
    }
    first = df.orderBy("key").first()
    assert first is not None
    assert (first.key, first.category, first.halves, first["7"]) == ("i", "b", [0.5], "x")


@pytest.mark.parametrize(
    ("frame", "name"),
    [
        (FRAME.set_index("id", drop=False), "id"),
        (pd.concat([FRAME, FRAME[["label"]]], axis=1), "label"),
        (FRAME.assign(**{"1": 0}).rename(columns={"label": 1}), "1"),
        (FRAME.set_index(["id", np.arange(60)]).rename(columns={"label": "level_1"}), "level_1"),
    ],
)
def test_names_of_several_columns_are_refused(frame: pd.DataFrame, name: str, spark: SparkSession) -> None:
    with pytest.raises(ConfigurationError, match=f"queue: several columns are called '{name}'"):
        to_spark(frame, spark, argument="queue")


def test_what_is_no_dataframe_or_no_type_is_told(
    spark: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(
        ConfigurationError, match=r"df must be a DataFrame of Spark or pandas, not builtins.list"
    ):
        find_label_issues([1, 2])  # type: ignore[arg-type]
    with pytest.raises(ColumnTypeError, match="labels: column 'label' cannot be used"):
        LabelAudit(FRAME, labels=pd.DataFrame({"id": [1, 2], "label": ["a", 2]}))
    monkeypatch.setattr("cl_spark.tables.pandas_frames.SparkSession.getActiveSession", lambda: None)
    with pytest.raises(ConfigurationError, match=r"no active Spark session .*start_session.*pass spark="):
        find_label_issues(FRAME)
