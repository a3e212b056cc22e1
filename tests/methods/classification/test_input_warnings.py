"""Warnings about the input: which data raise them, and which do not. Most tests need no Spark."""

import dataclasses
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from cl_spark import LabelAudit
from cl_spark.bench.generated import Shape, generate
from cl_spark.evidence.validity import RejectionReason
from cl_spark.kernels.confident_class import choose_confident_class
from cl_spark.kernels.fixed_point import split_limbs
from cl_spark.methods.classification.cells import CellTable
from cl_spark.methods.classification.input_warnings import GivenLabels, close_cycles, find_input_warnings
from cl_spark.methods.classification.thresholds import ClassStatistics, ConfidenceSum
from cl_spark.tables import columns as c
from tests.frames import predictions
from tests.oracle.datasets import Data, dataset, datasets

NO_SESSION: Any = None


def cells(labels: np.ndarray, classes: np.ndarray, num_classes: int) -> CellTable:
    """Cells of given class and another class of some rows."""
    rows = pd.DataFrame({c.GIVEN: labels, c.TRUE: classes}, dtype=np.int64)[classes >= 0]
    return CellTable(NO_SESSION, num_classes, rows.value_counts().reset_index(name=c.COUNT))


def judge(
    labels: np.ndarray,
    probs: np.ndarray,
    *,
    names: list[str] | None = None,
    rejected: Counter[int] | None = None,
    reasons: Counter[RejectionReason] | None = None,
) -> dict[str, str]:
    """The warnings about some labels, by code; labels outside 0..K-1 are rejected."""
    num_classes, labels = probs.shape[1], np.asarray(labels)
    is_class = (labels >= 0) & (labels < num_classes)
    seen = Counter(np.minimum(labels[~is_class], num_classes + 1).tolist()) + (rejected or Counter())
    labels, probs = labels[is_class], probs[is_class]
    own = probs[np.arange(len(labels)), labels]
    sums = {}
    for k in np.unique(labels).tolist():
        limbs = [int(limb.sum()) for limb in split_limbs(own[labels == k])]
        sums[k] = ConfidenceSum(int((labels == k).sum()), *limbs)
    statistics = ClassStatistics(
        num_classes, sums, float(own.min()), float(probs.max()), reasons or Counter(), seen
    )
    confident = choose_confident_class(probs, statistics.thresholds())
    predicted, counted = (cells(labels, of, num_classes) for of in (probs.argmax(axis=1), confident))
    found = find_input_warnings(statistics, predicted, counted, GivenLabels("label", bool(names), names))
    return {warning.code: warning.message for warning in found}


def shuffled(data: Data) -> np.ndarray:
    return np.random.default_rng(data.seed).permutation(data.labels)


# No false alarm ---------------------------------------------------------------------------------------------


@given(datasets)
@settings(max_examples=150, deadline=None)
def test_data_of_ordinary_noise_raise_no_warning(data: Data) -> None:
    assert judge(data.labels, data.probs) == {}


@pytest.mark.parametrize("noise", [0.01, 0.05, 0.2, 0.4])
@pytest.mark.parametrize(("rows", "classes"), [(60, 3), (500, 2), (2_000, 10), (5_000, 500)])
def test_generated_data_raise_no_warning(tmp_path: Path, rows: int, classes: int, noise: float) -> None:
    path = generate(Shape(rows, classes, noise=noise, neighbours=min(3, classes), files=1), tmp_path)
    table = pq.read_table(path)
    probs = np.stack(table["pred_probs"].to_pylist()).astype(np.float64)
    assert judge(table["label"].to_numpy(), probs) == {}


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        "label-errors/mnist_test",
        "label-errors/cifar10_test",
        "cifar10-noise/noise20_sparsity0",
        "cifar10-noise/noise40_sparsity60",
    ],
)
def test_real_data_raise_no_warning(spark: SparkSession, shared_data: Path, name: str) -> None:
    with LabelAudit(spark.read.parquet(str(shared_data / f"{name}.parquet"))) as audit:
        assert audit.warnings() == []


@pytest.mark.parametrize("size", [2, 5, 20, 60])
@pytest.mark.parametrize("seed", range(20))
def test_tables_of_few_rows_raise_no_warning_whatever_their_labels(seed: int, size: int) -> None:
    rng = np.random.default_rng(seed)
    classes = int(rng.integers(2, 8))
    assert judge(rng.integers(0, classes, size), rng.dirichlet(np.ones(classes), size)) == {}


def test_labels_of_one_class_tell_nothing_of_agreement() -> None:
    data = dataset(1, 2_000, 4)
    assert judge(np.zeros(2_000, dtype=int), data.probs) == {}


def test_a_rare_class_that_the_model_misses_is_no_chance() -> None:
    probs = np.tile([0.999, 0.001], (5_000, 1))
    probs[:3] = [0.4, 0.6]
    labels = np.zeros(5_000, dtype=int)
    labels[-3:] = 1
    assert judge(labels, probs) == {}


def test_a_model_that_is_honestly_good_is_not_in_sample() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 10, 10_000)
    probs = np.full((10_000, 10), 1e-4)
    predicted = np.where(rng.random(10_000) < 0.004, (labels + 1) % 10, labels)
    probs[np.arange(10_000), predicted] = 1 - 9e-4
    assert judge(labels, probs) == {}


def test_a_class_that_is_never_predicted_is_not_called_by_the_name_of_one_without_examples() -> None:
    for seed in range(40):
        data = dataset(seed, 1_000, 3, missing=1, never_confident=True)
        assert judge(data.labels, data.probs) == {}


def test_labels_of_one_class_have_no_order() -> None:
    assert judge(np.zeros(1_000, dtype=int), np.tile([0.1, 0.6, 0.3], (1_000, 1))) == {}


# Labels that count from 1 -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("rows", "classes"), [(150, 3), (300, 2), (1_000, 10), (3_000, 200)])
@pytest.mark.parametrize("seed", range(5))
def test_labels_that_count_from_1_are_told(seed: int, rows: int, classes: int) -> None:
    data = dataset(seed, rows, classes)
    found = judge(data.labels + 1, data.probs)
    assert set(found) >= {"labels_one_based"}
    assert "class_order_permuted" not in found
    assert "agreement_by_chance" not in found
    assert f"rows with label {classes} are rejected" in found["labels_one_based"]
    assert "subtract 1 from column 'label'" in found["labels_one_based"]


def test_labels_that_count_from_1_are_told_where_none_is_rejected() -> None:
    data = dataset(3, 1_000, 6)
    is_last = data.labels == 5
    found = judge(data.labels[~is_last] + 1, data.probs[~is_last])
    assert list(found) == ["labels_one_based"]
    assert "rejected" not in found["labels_one_based"]


def test_labels_that_are_names_count_from_nowhere() -> None:
    data = dataset(3, 1_000, 6)
    is_last = data.labels == 5
    found = judge(data.labels[~is_last] + 1, data.probs[~is_last], names=list("abcdef"))
    assert list(found) == ["class_order_permuted"]


def test_a_class_0_without_examples_and_a_broken_label_are_no_labels_from_1() -> None:
    data = dataset(3, 1_000, 6)
    labels = np.where(data.labels == 0, 6, data.labels)
    assert "labels_one_based" not in judge(labels, data.probs)


# Order of the classes ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("rows", "classes"), [(150, 2), (150, 3), (1_000, 10), (5_000, 200)])
@pytest.mark.parametrize("seed", range(5))
def test_permuted_columns_are_told_with_the_order_that_mends_them(seed: int, rows: int, classes: int) -> None:
    data = dataset(seed, rows, classes)
    permuted = np.roll(np.arange(classes), 1)
    if classes > 3:
        permuted = np.random.default_rng(seed).permutation(permuted)
    probs = data.probs[:, permuted]
    found = judge(data.labels, probs)
    assert list(found) == ["class_order_permuted"]
    if classes <= 10:
        order = [int(word) for word in found["class_order_permuted"].split("[")[1].split("]")[0].split(",")]
        assert (probs[:, order] == data.probs).all()


def test_two_columns_of_many_that_are_swapped_are_told() -> None:
    data = dataset(5, 3_000, 20)
    order = np.arange(20)
    order[[3, 11]] = 11, 3
    found = judge(data.labels, data.probs[:, order])
    assert list(found) == ["class_order_permuted"]
    assert str(order.tolist()) in found["class_order_permuted"]
    assert "of 2 classes" in found["class_order_permuted"]


def test_names_in_the_wrong_order_are_told_by_name() -> None:
    data = dataset(5, 500, 3)  # the columns are cat, dog, bird
    given = np.array([2, 0, 1])[data.labels]  # their indices among the names bird... as configured
    found = judge(given, data.probs, names=["dog", "bird", "cat"])
    assert "Reorder class_names to 'cat', 'dog', 'bird'" in found["class_order_permuted"]


def test_of_many_classes_a_few_places_are_named() -> None:
    data = dataset(5, 5_000, 60)
    found = judge(data.labels, np.roll(data.probs, 1, axis=1))
    assert "0 at the place of 1, 1 at the place of 2" in found["class_order_permuted"]
    assert found["class_order_permuted"].endswith("and 55 more")


@pytest.mark.parametrize(
    ("nearest", "order"),
    [
        ([0, 1, 2], [0, 1, 2]),
        ([1, 2, 0], [1, 2, 0]),
        ([1, 0, 0], [1, 0, 2]),  # a class that leads into a cycle
        ([1, 1, 1], [0, 1, 2]),
        ([-1, 0, 1, 2], [3, 0, 1, 2]),  # labels 1, 2, 3: class 0 has no examples
        ([2, 2, -1], [0, 1, 2]),  # two classes lead to the one without examples
        ([-1, -1], [0, 1]),
    ],
)
def test_a_mapping_of_classes_is_kept_as_far_as_it_is_a_permutation(
    nearest: list[int], order: list[int]
) -> None:
    assert close_cycles(np.array(nearest)).tolist() == order


# Agreement by chance ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("rows", "classes"), [(600, 2), (400, 3), (500, 10), (4_000, 100)])
@pytest.mark.parametrize("seed", range(5))
def test_shuffled_labels_are_told(seed: int, rows: int, classes: int) -> None:
    data = dataset(seed, rows, classes)
    found = judge(shuffled(data), data.probs)
    assert list(found) == ["agreement_by_chance"]
    assert "are expected of shuffled labels" in found["agreement_by_chance"]


# Probabilities of the training data -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def digits() -> tuple[np.ndarray, np.ndarray]:
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    return images, labels


@pytest.mark.parametrize("noise", [0.0, 0.1])
@pytest.mark.parametrize("kind", ["forest", "neighbour"])
def test_probabilities_of_the_training_data_are_told(
    digits: tuple[np.ndarray, np.ndarray], kind: str, noise: float
) -> None:
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.model_selection import cross_val_predict
    from sklearn.neighbors import KNeighborsClassifier

    images, labels = digits
    rng = np.random.default_rng(0)
    labels = np.where(rng.random(len(labels)) < noise, rng.integers(0, 10, len(labels)), labels)
    model = RandomForestClassifier(60, random_state=0) if kind == "forest" else KNeighborsClassifier(1)
    found = judge(labels, model.fit(images, labels).predict_proba(images))
    assert list(found) == ["probabilities_in_sample"]
    assert "of 1,797 labels, at a mean self-confidence of" in found["probabilities_in_sample"]
    out_of_sample = cross_val_predict(model, images, labels, cv=3, method="predict_proba")
    assert judge(labels, out_of_sample) == {}


def test_scores_are_not_called_in_sample() -> None:
    labels = np.arange(1_000) % 3
    assert judge(labels, np.eye(3)[labels] * 30 - 10) == {}


# Rejected rows ----------------------------------------------------------------------------------------------


def test_a_class_of_which_all_rows_are_rejected_is_told() -> None:
    data = dataset(7, 1_000, 4)
    kept = data.labels != 2
    found = judge(data.labels[kept], data.probs[kept], rejected=Counter({2: 7}))
    assert list(found) == ["class_rejected"]
    assert found["class_rejected"].startswith("all rows of class 2 are rejected (7). ")


def test_a_class_of_which_most_rows_are_rejected_is_told_by_name() -> None:
    data = dataset(7, 1_000, 4)
    accepted = np.flatnonzero(data.labels == 2)[:5]
    kept = (data.labels != 2) | np.isin(np.arange(1_000), accepted)
    found = judge(
        data.labels[kept], data.probs[kept], names=["a", "b", "c\n", "d"], rejected=Counter({2: 12, 1: 3})
    )
    assert found["class_rejected"].startswith("12 of 17 rows of class 'c\\\\n' are rejected. ")


def test_of_many_small_classes_some_lose_all_rows_by_chance() -> None:
    data = dataset(7, 2_000, 1_000)
    seen = Counter(data.labels[:100].tolist())
    assert judge(data.labels[100:], data.probs[100:], rejected=seen) == {}


def test_names_spelled_in_two_ways_are_told() -> None:
    data = dataset(7, 1_000, 4)
    kept = data.labels != 2
    seen: dict[str, Any] = {
        "names": ["cat", "dog", "bird", "cow"],
        "reasons": Counter({RejectionReason.UNKNOWN_CLASS: 9}),
        "rejected": Counter({-1: 9}),
    }
    found = judge(data.labels[kept], data.probs[kept], **seen)
    assert list(found) == ["class_names_unknown"]
    assert "9 rows are rejected" in found["class_names_unknown"]
    assert "no label is 'bird'" in found["class_names_unknown"]
    assert judge(data.labels, data.probs, **seen) == {}


# In an audit ------------------------------------------------------------------------------------------------


@pytest.mark.matrix
def test_an_audit_tells_its_warnings_and_logs_each_once(
    spark: SparkSession, caplog: pytest.LogCaptureFixture
) -> None:
    data = dataset(11, 300, 3)
    with LabelAudit(predictions(spark, data.labels + 1, data.probs)) as audit:
        audit.find_label_issues().count()
        audit.health_summary()
        found = audit.warnings()
        assert [warning.code for warning in found] == ["labels_one_based"]
        assert found == audit.warnings()
        assert "warning: labels look 1-based" in audit._repr_html_()
    logged = [record.getMessage() for record in caplog.records if "1-based" in record.getMessage()]
    assert logged == [f"{found[0].message} (labels_one_based)"]


@pytest.mark.matrix
def test_cells_on_the_cluster_tell_the_same(spark: SparkSession) -> None:
    data = dataset(5, 1_000, 5)
    local = dataclasses.replace(cells(data.labels, (data.labels + 2) % 5, 5), spark=spark)
    statistics = ClassStatistics(5, {0: ConfidenceSum(1_000, 500, 0, 0)}, 0.1, 0.9)
    labels = GivenLabels("label", False, None)
    spread = dataclasses.replace(local, frame=local.to_spark())
    here, there = (find_input_warnings(statistics, table, table, labels) for table in (local, spread))
    assert here == there
    assert [warning.code for warning in here] == ["class_order_permuted"]


def test_rejected_rows_are_counted_by_given_class(spark: SparkSession) -> None:
    data = dataset(5, 60, 3)
    labels, probs = data.labels.copy(), data.probs.copy()
    probs[labels == 2] = np.nan
    labels[:3] = 3, 4, 900
    lost = int((labels == 2).sum())
    with LabelAudit(predictions(spark, labels, probs)) as audit:
        assert audit.statistics.rejected_labels == {2: lost, 3: 1, 4: 2}
        assert [warning.code for warning in audit.warnings()] == ["class_rejected"]


def test_rejected_labels_are_counted_alike_in_any_blocks(spark: SparkSession) -> None:
    data = dataset(5, 60, 3)
    df = predictions(spark, data.labels, data.probs)
    lost = df.withColumns({"id": F.col("id") + 1000, "pred_probs": F.lit(None).cast("array<double>")})
    short = lost.withColumns({"id": F.col("id") + 1000, "pred_probs": F.array(F.lit(0.5), F.lit(0.5))})
    expected = {k: 2 * int((data.labels == k).sum()) for k in range(3)}
    for table in (df.union(lost).union(short), df.union(lost).union(short).coalesce(1)):
        with LabelAudit(table) as audit:
            assert audit.statistics.rejected_labels == expected
