"""Models compared by given and by corrected labels."""

from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from scipy.stats import binomtest

from cl_spark.errors import (
    ConfigurationError,
)
from cl_spark.methods.learning import hits
from cl_spark.methods.learning.model_comparison import ModelComparison, benchmark_models
from cl_spark.methods.learning.model_predictions import list_tables, select_predictions
from cl_spark.methods.learning.reviewed_labels import HASH, read_labels
from cl_spark.tables import columns as c
from cl_spark.tables.example_ids import ExampleIds

pytestmark = [pytest.mark.matrix, pytest.mark.usefixtures("spark")]

TABLES = ("accuracy", "class_accuracy", "rank_changes", "prevalence_accuracy", "flip_prevalences")
MODELS = ("good", "honest", "memory")
N, K = 300, 4


def one_hot(predicted: Any, classes: int = K) -> list[list[float]]:
    """Probabilities that put a class first."""
    return (np.eye(classes)[np.asarray(predicted)] * 0.8 + 0.2 / classes).tolist()


@pytest.fixture(scope="module")
def probs() -> dict[str, np.ndarray]:
    """Rounded, so that many probabilities are equal."""
    rng = np.random.default_rng(5)
    return {model: rng.dirichlet(np.full(K, 0.7), N).round(1) for model in MODELS}


@pytest.fixture(scope="module")
def given() -> np.ndarray:
    return np.random.default_rng(6).integers(0, K, N)


@pytest.fixture(scope="module")
def corrected(given: np.ndarray) -> np.ndarray:
    """Of 90 reviewed examples 60 have another label, 10 have no right label (-1)."""
    labels = given.copy()
    labels[:60] = (given[:60] + 1 + np.arange(60) % (K - 1)) % K
    labels[60:70] = -1
    return labels


@pytest.fixture(scope="module")
def predictions(spark: SparkSession, probs: dict[str, np.ndarray]) -> DataFrame:
    frame = pd.concat(
        pd.DataFrame({"id": range(N), "model": model, "pred_probs": values.tolist()})
        for model, values in probs.items()
    ).sample(frac=1, random_state=0)
    return (
        spark.createDataFrame(frame, "id long, model string, pred_probs array<double>").repartition(3).cache()
    )


@pytest.fixture(scope="module")
def labels(given: np.ndarray) -> pd.DataFrame:
    return pd.DataFrame({"id": range(N), "label": given})


@pytest.fixture(scope="module")
def corrected_labels(corrected: np.ndarray) -> pd.DataFrame:
    """A null comes as NaN here, as in most tables of pandas."""
    reviewed = corrected[:90].astype(float)
    return pd.DataFrame({"id": range(90), "corrected_label": np.where(reviewed < 0, np.nan, reviewed)})


@pytest.fixture(scope="module")
def comparison(
    predictions: DataFrame, labels: pd.DataFrame, corrected_labels: pd.DataFrame
) -> ModelComparison:
    return benchmark_models(predictions, labels, corrected_labels, top_k=(2, 1))


def find_positions(probs: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """How many classes come before the label; of equal probabilities, the lower class does."""
    order = np.argsort(-probs, axis=1, kind="stable")
    return np.argmax(order == labels[:, None], axis=1)


def expected_correct(probs: np.ndarray, labels: np.ndarray, chosen: np.ndarray, k: int) -> tuple[int, int]:
    return int(chosen.sum()), int((find_positions(probs, labels)[chosen] < k).sum())


def content(comparison: ModelComparison) -> dict[str, list[str]]:
    return {name: [str(row) for row in getattr(comparison, name).collect()] for name in TABLES}


# Accuracy ---------------------------------------------------------------------------------------------------


def test_accuracy_is_that_of_numpy_for_each_model_label_kind_subset_and_k(
    comparison: ModelComparison, probs: dict[str, np.ndarray], given: np.ndarray, corrected: np.ndarray
) -> None:
    rows = comparison.accuracy.collect()
    assert len(rows) == 3 * 2 * 2 * 2
    has_right = corrected >= 0
    subsets = {"all": has_right, "corrected": has_right & (corrected != given)}
    by_kind = {"given": given, "corrected": corrected}
    for row in rows:
        expected = expected_correct(probs[row.model], by_kind[row.label_kind], subsets[row.subset], row.top_k)
        assert (row.examples, row.correct) == expected
        assert row.accuracy == row.correct / row.examples
        interval = binomtest(row.correct, row.examples).proportion_ci(method="wilson")
        assert (row.lower, row.upper) == pytest.approx((interval.low, interval.high), abs=1e-12)


def test_the_examples_are_counted_by_what_the_review_said(comparison: ModelComparison) -> None:
    assert comparison.models == MODELS
    assert (comparison.num_classes, comparison.num_examples, comparison.num_reviewed) == (K, N, 90)
    assert (comparison.num_corrected, comparison.num_without_right_label) == (60, 10)
    assert comparison.noise_prevalence == 60 / 290
    assert "without a right label" in comparison._repr_html_()


def test_models_are_ranked_by_hits_and_ties_go_to_the_lower_name(comparison: ModelComparison) -> None:
    for _, group in comparison.accuracy.toPandas().groupby(["label_kind", "subset", "top_k"]):
        by_hits = group.sort_values(["correct", "model"], ascending=[False, True])
        assert by_hits["rank"].tolist() == [1, 2, 3]
    frame = pd.DataFrame({"id": [1, 2], "pred_probs": one_hot([0, 1])})
    tied = benchmark_models(
        {"b": frame, "a": frame},
        pd.DataFrame({"id": [1, 2], "label": [0, 1]}),
        pd.DataFrame({"id": [1], "corrected_label": [2]}),
        top_k=[1],
    )
    assert {(row.model, row.rank) for row in tied.accuracy.collect()} == {("a", 1), ("b", 2)}
    assert tied.flip_prevalences.where("flip_prevalence IS NOT NULL").isEmpty()


def test_class_accuracy_counts_each_example_for_the_class_of_its_label(
    comparison: ModelComparison, probs: dict[str, np.ndarray], given: np.ndarray, corrected: np.ndarray
) -> None:
    rows = comparison.class_accuracy.collect()
    assert len(rows) == 2 * 3 * K
    for row in rows:
        by_kind = given if row.label_kind == "given" else corrected
        chosen = (corrected >= 0) & (by_kind == row["class"])
        assert (row.examples, row.correct) == expected_correct(probs[row.model], by_kind, chosen, 1)


def test_rank_changes_put_both_ranks_side_by_side(comparison: ModelComparison) -> None:
    accuracy = comparison.accuracy.toPandas().set_index(["label_kind", "subset", "top_k", "model"])["rank"]
    rows = comparison.rank_changes.collect()
    assert len(rows) == 2 * 2 * 3
    for row in rows:
        assert row.rank_given == accuracy["given", row.subset, row.top_k, row.model]
        assert row.rank_corrected == accuracy["corrected", row.subset, row.top_k, row.model]
        assert row.change == row.rank_given - row.rank_corrected


@pytest.mark.parametrize("num_top", [1, 3, 7, hits.MAX_ROUNDS + 1])
def test_top_classes_are_in_the_order_of_a_stable_sort(spark: SparkSession, num_top: int) -> None:
    rng = np.random.default_rng(num_top)
    tied = [rng.random((20, 12)).round(1), np.eye(12)[:2], np.zeros((1, 12))]
    values = np.vstack([*tied, -rng.random((2, 12))])
    for element in ("float", "double"):
        schema = f"row int, {c.PROBS} array<{element}>"
        frame = spark.createDataFrame([(i, row.tolist()) for i, row in enumerate(values)], schema)
        found = {row.row: row._top for row in hits.add_top_classes(frame, num_top).collect()}
        order = np.argsort(-values.astype(np.float32), axis=1, kind="stable")[:, :num_top]
        assert found == dict(enumerate(order.tolist()))


# Noise prevalence -------------------------------------------------------------------------------------------


def benchmark_pair(on_corrected: dict[str, list[int]], prevalences: list[float] | None) -> ModelComparison:
    """Models "a", which is right on 80 unchanged examples, and "b", which is wrong there.

    Another 20 examples have the given label 0 and the corrected label 1; what models predict there is told.
    """
    unchanged = {"a": [2] * 80, "b": [3] * 80}
    frames = {
        model: pd.DataFrame({"id": range(100), "pred_probs": one_hot(predicted + unchanged[model])})
        for model, predicted in on_corrected.items()
    }
    return benchmark_models(
        frames,
        pd.DataFrame({"id": range(100), "label": [0] * 20 + [2] * 80}),
        pd.DataFrame({"id": range(20), "corrected_label": [1] * 20}),
        top_k=[1],
        prevalences=prevalences,
    )


def test_a_pair_flips_where_corrected_examples_outweigh_the_others() -> None:
    """By given labels "a" is always first. By corrected labels it has u hits of u + 20, and "b" has 20."""
    made = benchmark_pair({"a": [0] * 20, "b": [1] * 20}, [0.2, 0.4, 0.5, 0.6, 1.0])
    table = made.prevalence_accuracy.where("model = 'a'").orderBy("prevalence").toPandas()
    assert table.examples.tolist() == [100, 50, 40, 33, 20]
    assert table.prevalence.tolist() == [0.2, 0.4, 0.5, 20 / 33, 1.0]
    assert table.correct_given.tolist() == [100, 50, 40, 33, 20]
    assert table.correct_corrected.tolist() == [80, 30, 20, 13, 0]
    assert table.rank_given.tolist() == [1] * 5
    assert table.rank_corrected.tolist() == [1, 1, 1, 2, 2]
    flips = made.flip_prevalences.collect()
    assert [tuple(row) for row in flips] == [(1, "a", "b", 20 / 33, 1.0)]


def test_a_pair_may_agree_again_at_higher_prevalences() -> None:
    """By corrected labels "b" passes "a" where fewer than 15 others are left, by given ones below 5."""
    on_corrected = {"a": [2] * 20, "b": [0] * 5 + [1] * 15}
    made = benchmark_pair(on_corrected, [0.2, 0.5, 20 / 34, 2 / 3, 1.0])
    assert [tuple(row) for row in made.flip_prevalences.collect()] == [(1, "a", "b", 20 / 34, 2 / 3)]
    never = benchmark_pair(on_corrected, [0.2, 0.5, 1.0])
    assert [tuple(row) for row in never.flip_prevalences.collect()] == [(1, "a", "b", None, None)]


def test_examples_are_removed_in_the_order_of_their_hashes(
    comparison: ModelComparison,
    probs: dict[str, np.ndarray],
    labels: pd.DataFrame,
    corrected_labels: pd.DataFrame,
    given: np.ndarray,
    corrected: np.ndarray,
    spark: SparkSession,
) -> None:
    both = read_labels(
        spark.createDataFrame(labels),
        spark.createDataFrame(corrected_labels),
        ExampleIds.of("id"),
        "label",
        "corrected_label",
        None,
        0,
    )
    hashes = both.rows.select("_id_0", HASH).toPandas().sort_values("_id_0")[HASH].to_numpy(dtype=np.int64)
    # as Python has whole numbers of any size, the bucket can be computed as it is defined
    buckets = np.array([int(value) * hits.NUM_BUCKETS >> 64 for value in hashes.view(np.uint64)])
    rows = comparison.prevalence_accuracy.collect()
    assert len({row.prevalence for row in rows}) == 20
    assert min(row.prevalence for row in rows) == comparison.noise_prevalence
    is_corrected, is_unchanged = (corrected >= 0) & (corrected != given), corrected == given
    for row in rows:
        num_kept = row.examples - 60
        in_order = np.sort(buckets[is_unchanged])
        chosen = is_corrected | (is_unchanged & (buckets <= (in_order[num_kept - 1] if num_kept else -1)))
        assert row.prevalence == 60 / row.examples
        for kind, by_kind in (("given", given), ("corrected", corrected)):
            expected = expected_correct(probs[row.model], by_kind, chosen, row.top_k)
            assert (row.examples, row[f"correct_{kind}"]) == expected
            assert row[f"accuracy_{kind}"] == expected[1] / expected[0]


def test_another_seed_removes_other_examples(
    predictions: DataFrame, labels: pd.DataFrame, corrected_labels: pd.DataFrame, comparison: ModelComparison
) -> None:
    other = benchmark_models(predictions, labels, corrected_labels, top_k=(1, 2), seed=1)
    assert content(other)["prevalence_accuracy"] != content(comparison)["prevalence_accuracy"]
    assert content(other)["accuracy"] == content(comparison)["accuracy"]


def test_without_corrections_there_is_one_prevalence_and_no_accuracy_on_corrected_examples() -> None:
    frame = pd.DataFrame({"id": [1, 2], "pred_probs": one_hot([0, 1])})
    labels = pd.DataFrame({"id": [1, 2], "label": [0, 1]})
    unchanged = pd.DataFrame({"id": [1], "corrected_label": [0]})
    made = benchmark_models({"a": frame}, labels, unchanged, top_k=[1])
    assert made.noise_prevalence == 0
    row = made.accuracy.where("subset = 'corrected' AND label_kind = 'given'").collect()[0]
    assert (row.examples, row.correct, row.accuracy, row.lower, row.upper, row["rank"]) == (0, 0, *[None] * 4)
    assert [tuple(row)[:3] for row in made.prevalence_accuracy.collect()] == [(1, 0.0, 2)]
    assert made.flip_prevalences.isEmpty()
    with pytest.raises(ConfigurationError, match="No corrected label differs"):
        benchmark_models({"a": frame}, labels, unchanged, prevalences=[0.5])


# Input ------------------------------------------------------------------------------------------------------


def test_results_do_not_depend_on_partitions_nor_on_how_predictions_come(
    predictions: DataFrame,
    labels: pd.DataFrame,
    corrected_labels: pd.DataFrame,
    comparison: ModelComparison,
    spark: SparkSession,
) -> None:
    ordered = predictions.orderBy(F.desc("id")).coalesce(1)
    narrow = ordered.withColumn("id", F.col("id").cast("int"))
    floats = {
        model: narrow.where(F.col("model") == model).withColumn("label", F.lit(7))
        for model in reversed(MODELS)
    }
    spread = spark.createDataFrame(labels.sample(frac=1, random_state=1)).repartition(5)
    assert content(benchmark_models(floats, spread, corrected_labels, top_k=(1, 2))) == content(comparison)


def test_labels_may_be_names_or_numbers_of_any_type(
    predictions: DataFrame,
    labels: pd.DataFrame,
    corrected_labels: pd.DataFrame,
    comparison: ModelComparison,
    spark: SparkSession,
) -> None:
    names = ["cat", "dog", "a.b", "3"]
    named = labels.assign(label=[names[i] for i in labels.label])
    exact = [None if np.isnan(value) else Decimal(int(value)) for value in corrected_labels.corrected_label]
    decimals = spark.createDataFrame(
        list(zip(corrected_labels.id, exact, strict=True)), "id long, corrected_label decimal(10, 2)"
    )
    made = benchmark_models(predictions, named, decimals, class_names=names, top_k=(1, 2))
    expected = comparison.class_accuracy.toPandas()
    expected["class"] = [names[i] for i in expected["class"]]
    pd.testing.assert_frame_equal(made.class_accuracy.toPandas(), expected)
    assert content(made)["accuracy"] == content(comparison)["accuracy"]
    with pytest.raises(ConfigurationError, match="pass class_names in the order of the probabilities"):
        benchmark_models(predictions, named, decimals)


def test_columns_may_have_any_names_and_keys_several_columns() -> None:
    frame = pd.DataFrame({"day.x": ["m", "m", "t"], "no`": [1, 2, 1], "p r": one_hot([0, 1, 2])})
    keys = frame[["day.x", "no`"]]
    made = benchmark_models(
        pd.concat([frame.assign(**{"the model": "a"}), frame.assign(**{"the model": "b"})]),
        keys.assign(**{"the label": [0, 1, 1]}),
        keys[2:].assign(fixed=[2]),
        id_col=["day.x", "no`"],
        model_col="the model",
        pred_probs_col="p r",
        label_col="the label",
        corrected_col="fixed",
        top_k=[1],
    )
    assert [row.correct for row in made.accuracy.where("model = 'b' AND subset = 'all'").collect()] == [2, 3]


def test_arrays_are_not_shuffled_even_if_labels_are_too_many_to_broadcast(
    predictions: DataFrame,
    labels: pd.DataFrame,
    corrected_labels: pd.DataFrame,
    spark: SparkSession,
    capsys: pytest.CaptureFixture[str],
) -> None:
    ids = ExampleIds.of("id")
    both = read_labels(
        *map(spark.createDataFrame, (labels, corrected_labels)), ids, "label", "corrected_label", None, 0
    )
    many = replace(both, rows=both.rows.hint("merge"))
    selected = select_predictions(list_tables(predictions), ids, "model", "pred_probs")
    hits.count_by_kind(selected, many, (1, 5)).explain("formatted")
    plan = capsys.readouterr().out
    exchanges = [
        part for part in plan.split("\n\n") if "Exchange\nInput" in part and "hashpartitioning" in part
    ]
    assert "SortMergeJoin" in plan
    assert len(exchanges) == 3  # of predictions, of labels, and of counts
    assert not [part for part in exchanges if "pred_probs" in part]


# Real data --------------------------------------------------------------------------------------------------


def test_a_real_model_overtakes_one_that_copies_the_given_labels_of_cifar10(shared_data: Path) -> None:
    """Three of five reviewers for the other class correct a label; without three for either, none is right.

    The copy is right by corrected labels on all examples but the corrected ones, at every prevalence.
    """
    home = shared_data / "label-errors"
    table, votes = (pd.read_parquet(home / f"cifar10_{name}.parquet") for name in ("test", "votes"))
    names = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
    counts = pd.DataFrame([dict(row) for row in votes.votes]).fillna(0)
    right = votes.suggested_label.where(counts.guessed >= 3, votes.given_label.where(counts.given >= 3))
    copy = pd.DataFrame({"id": table.id, "pred_probs": one_hot(table.label, 10)})
    made = benchmark_models(
        {"real": table[["id", "pred_probs"]], "copy": copy},
        table[["id", "label"]],
        pd.DataFrame({"id": votes.id, "corrected_label": right}),
        class_names=names,
        top_k=[1],
    )
    assert made.num_reviewed == 275
    assert made.num_corrected == (counts.guessed >= 3).sum() > 0
    assert made.num_without_right_label == right.isna().sum() > 0
    curve = made.prevalence_accuracy.toPandas()
    copied = curve[curve.model == "copy"]
    assert (copied.accuracy_given == 1).all()
    assert np.allclose(copied.accuracy_corrected, 1 - copied.prevalence)
    real = curve[curve.model == "real"].set_index("prevalence").accuracy_corrected
    flip = made.flip_prevalences.collect()[0].flip_prevalence
    assert made.noise_prevalence < flip < 1
    assert (real > 1 - real.index).tolist() == (real.index >= flip).tolist()
    first = made.accuracy.where("model = 'real' AND label_kind = 'given' AND subset = 'all'").collect()[0]
    is_kept = ~table.id.isin(votes.id[right.isna()])
    predicted = np.vstack(table.pred_probs).argmax(axis=1)
    assert first.correct == (predicted == table.label)[is_kept].sum()
