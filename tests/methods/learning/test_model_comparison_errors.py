"""Input that models cannot be compared on: it is counted by reason, and examples are named."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from cl_spark.errors import (
    ColumnTypeError,
    ConfigurationError,
    EmptyTableError,
    InputError,
    MissingColumnError,
    SingleClassError,
    SourceChangedError,
)
from cl_spark.methods.learning import hits
from cl_spark.methods.learning.model_comparison import benchmark_models
from cl_spark.methods.learning.model_predictions import list_tables, select_predictions
from cl_spark.methods.learning.reviewed_labels import read_labels
from cl_spark.tables.example_ids import ExampleIds

pytestmark = [pytest.mark.matrix, pytest.mark.usefixtures("spark")]

N, K = 300, 4


@pytest.fixture(scope="module")
def predictions(spark: SparkSession) -> DataFrame:
    """Models "good" and "memory", which both predict all classes in turn."""
    rows = [(i, model, np.eye(K)[i % K].tolist()) for i in range(N) for model in ("good", "memory")]
    return spark.createDataFrame(rows, "id long, model string, pred_probs array<double>").cache()


@pytest.fixture(scope="module")
def labels() -> pd.DataFrame:
    return pd.DataFrame({"id": range(N), "label": np.arange(N) % K})


@pytest.fixture(scope="module")
def corrected_labels() -> pd.DataFrame:
    """60 corrected labels among 290 examples with a right label."""
    label = np.arange(1, 71) % K
    return pd.DataFrame({"id": range(70), "corrected_label": np.where(np.arange(70) < 60, label, np.nan)})


def test_a_model_that_lacks_examples_or_has_some_twice_is_named(
    predictions: DataFrame, labels: pd.DataFrame, corrected_labels: pd.DataFrame
) -> None:
    is_memory = F.col("model") == "memory"
    changed = F.when(is_memory & F.col("id").isin(7, 11), 9).otherwise(F.col("id"))
    swapped = predictions.withColumn("id", changed)
    with pytest.raises(InputError) as caught:
        benchmark_models(swapped, labels, corrected_labels)
    message = str(caught.value)
    assert f"model 'memory' lacks 2 of {N} examples (such as id 7)" in message
    assert "model 'memory' has several rows of 1 examples (such as id 9)" in message
    assert "good" not in message
    by_model = {
        "none": predictions.where("false"),
        "memory": predictions.where(is_memory & (F.col("id") < 100)),
    }
    with pytest.raises(InputError) as caught:
        benchmark_models(by_model, labels, corrected_labels)
    assert "model 'memory' lacks 200 of 300 examples (such as id 100)" in str(caught.value)
    assert "model 'none' lacks 300 of 300 examples (such as id 0)" in str(caught.value)


def test_predictions_that_cannot_be_used_are_counted_by_model_and_reason(spark: SparkSession) -> None:
    good, nan, inf = [0.6, 0.4], float("nan"), float("inf")
    rows = [
        ("a", 1, good),
        ("a", 2, [0.5, nan]),
        ("a", 3, [-inf, 0.0]),
        ("a", 4, [0.5, None]),
        ("a", 5, [0.1, 0.2, 0.7]),
        ("a", 6, None),
        ("a", 7, []),
        ("a", 99, good),
        ("a", None, good),
        (None, 1, good),
        *[("b", i, good) for i in range(1, 8)],
    ]
    predictions = spark.createDataFrame(rows, "model string, id long, pred_probs array<double>")
    labels = pd.DataFrame({"id": range(1, 8), "label": [0, 1] * 3 + [0]})
    corrected = pd.DataFrame({"id": [1], "corrected_label": [1]})
    with pytest.raises(InputError) as caught:
        benchmark_models(predictions, labels, corrected)
    message = str(caught.value)
    for text in (
        "model None, null model: 1 (such as id 1)",
        "model 'a', null id: 1;",
        "model 'a', null or empty pred_probs: 2 (such as id 6)",
        "model 'a', null inside pred_probs: 1 (such as id 4)",
        "model 'a', NaN or infinity in pred_probs: 2 (such as id 2)",
        "model 'a', pred_probs of another length than K = 2, such as 3: 1 (such as id 5)",
        "model 'a', prediction without a label: 1 (such as id 99)",
    ):
        assert text in message
    assert "'b'" not in message


def test_tables_that_change_while_they_are_read_are_noticed(
    predictions: DataFrame, labels: pd.DataFrame, corrected_labels: pd.DataFrame, spark: SparkSession
) -> None:
    ids = ExampleIds.of("id")
    tables = map(spark.createDataFrame, (labels, corrected_labels))
    both = read_labels(*tables, ids, "label", "corrected_label", None, 0)
    selected = select_predictions(list_tables(predictions), ids, "model", "pred_probs")
    with pytest.raises(SourceChangedError, match="predictions or labels changed while they were read"):
        hits.count_hits(selected, replace(both, num_examples=N + 1), (1,), K)


def test_labels_that_cannot_be_used_are_counted_by_table_and_reason(spark: SparkSession) -> None:
    frame = pd.DataFrame({"id": range(1, 8), "pred_probs": [[0.7, 0.3]] * 7})
    labels = spark.createDataFrame(
        [
            (1, 0.0),
            (2, float("nan")),
            (3, None),
            (4, 1.5),
            (5, -1.0),
            (6, 0.0),
            (6, 1.0),
            (None, 0.0),
            (7, 1.0),
        ],
        "id long, label double",
    )
    corrected = spark.createDataFrame(
        [(1, 1), (1, 2), (7, -3), (8, 0), (None, 0)], "id long, corrected_label int"
    )
    with pytest.raises(InputError) as caught:
        benchmark_models({"a": frame}, labels, corrected)
    for text in (
        "labels, null label: 2 (such as id 2)",
        "labels, label outside 0..K-1: 2 (such as id 4)",
        "labels, id of several rows: 2 (such as id 6)",
        "labels, null id: 1;",
        "corrected_labels, id of several rows: 2 (such as id 1)",
        "corrected_labels, label outside 0..K-1: 1 (such as id 7)",
        "corrected_labels, corrected label of an example that labels does not hold: 1 (such as id 8)",
        "corrected_labels, null id: 1",
    ):
        assert text in str(caught.value)


def test_labels_beyond_the_classes_of_the_probabilities_are_refused(
    predictions: DataFrame, labels: pd.DataFrame, corrected_labels: pd.DataFrame
) -> None:
    beyond = corrected_labels.assign(corrected_label=corrected_labels.corrected_label.replace(0, 9))
    with pytest.raises(InputError, match=r"such as id \d+.*outside 0..K-1, up to 9; pred_probs hold K = 4"):
        benchmark_models(predictions, labels, beyond)
    with pytest.raises(InputError, match=r"corrected_labels, label outside 0..K-1"):
        benchmark_models(predictions, labels, beyond, class_names=list("abcd"))
    named = labels.assign(label=[f"class {i}" for i in labels.label])
    with pytest.raises(InputError, match=r"labels, unknown class name: \d+ \(such as id"):
        benchmark_models(predictions, named, corrected_labels, class_names=["class 0", "class 1", "x", "y"])


def test_tables_without_examples_are_refused(
    predictions: DataFrame, labels: pd.DataFrame, corrected_labels: pd.DataFrame, spark: SparkSession
) -> None:
    no_labels = [spark.createDataFrame([], f"id long, {col} int") for col in ("label", "corrected_label")]
    with pytest.raises(EmptyTableError, match="predictions has no rows"):
        benchmark_models(predictions.where("false"), labels, corrected_labels)
    with pytest.raises(EmptyTableError, match="labels has no rows"):
        benchmark_models(predictions, *no_labels)
    none_right = labels.rename(columns={"label": "corrected_label"}).assign(corrected_label=np.nan)
    with pytest.raises(EmptyTableError, match="all 300 examples have a null corrected label"):
        benchmark_models(predictions, labels, none_right)
    one_class = pd.DataFrame({"id": range(2), "pred_probs": [[1.0]] * 2})
    zeros = [pd.DataFrame({"id": range(2), col: 0}) for col in ("label", "corrected_label")]
    with pytest.raises(SingleClassError, match="at least 2"):
        benchmark_models({"a": one_class}, *zeros)


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"top_k": ()}, ConfigurationError, "top_k must list whole numbers"),
        ({"top_k": (0, 1)}, ConfigurationError, "top_k must list whole numbers"),
        ({"top_k": "15"}, ConfigurationError, "top_k must list whole numbers"),
        ({"seed": 0.5}, ConfigurationError, "seed must be a whole number"),
        ({"class_names": "abcd"}, ConfigurationError, "must be a list of names"),
        ({"class_names": ["a", "a"]}, ConfigurationError, "holds 'a' more than once"),
        ({"class_names": ["a"]}, ConfigurationError, "at least 2 classes"),
        ({"prevalences": []}, ConfigurationError, "prevalences holds no value"),
        ({"prevalences": [0.1, 1]}, ConfigurationError, r"0\.1 cannot be reached.* prevalence of 0\.206897"),
        ({"prevalences": ["1"]}, ConfigurationError, "must be numbers, got '1'"),
        ({"prevalences": [1.5]}, ConfigurationError, "1.5 cannot be reached"),
        ({"id_col": []}, ConfigurationError, "id_col must be the id column"),
        ({"id_col": "key"}, MissingColumnError, "id_col: no column 'key' in labels"),
        ({"label_col": "y"}, MissingColumnError, "label_col: no column 'y' in labels; it has 'id', 'label'"),
        ({"corrected_col": "y"}, MissingColumnError, "no column 'y' in corrected_labels"),
        ({"model_col": "m"}, MissingColumnError, "no column 'm' in predictions"),
        ({"model_col": "id"}, ColumnTypeError, "names of models are strings"),
        ({"pred_probs_col": "model"}, ColumnTypeError, "must be array<float> or array<double>"),
    ],
)
def test_arguments_that_cannot_be_used_are_refused(
    predictions: DataFrame,
    labels: pd.DataFrame,
    corrected_labels: pd.DataFrame,
    options: dict[str, Any],
    error: type[Exception],
    text: str,
) -> None:
    with pytest.raises(error, match=text):
        benchmark_models(predictions, labels, corrected_labels, **options)


@pytest.mark.parametrize(
    ("change", "error", "text"),
    [
        (lambda table: {}, ConfigurationError, "maps no model to a table"),
        (lambda table: {1: table}, ConfigurationError, "got 1 as a name"),
        (lambda table: {"a": [1]}, ConfigurationError, r"predictions\['a'\] must be a DataFrame"),
        (
            lambda table: table.withColumn("id", F.col("id").cast("string")),
            ColumnTypeError,
            "bigint in labels and string in predictions, which do not compare",
        ),
    ],
)
def test_predictions_of_the_wrong_kind_are_refused(
    predictions: DataFrame,
    labels: pd.DataFrame,
    corrected_labels: pd.DataFrame,
    change: Callable[[DataFrame], Any],
    error: type[Exception],
    text: str,
) -> None:
    with pytest.raises(error, match=text):
        benchmark_models(change(predictions), labels, corrected_labels)
