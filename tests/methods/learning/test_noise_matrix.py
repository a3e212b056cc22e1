"""Noise matrices with the noise asked for, and labels flipped as they say."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from cl_spark.errors import ColumnTypeError, ConfigurationError, InputError, MissingColumnError
from cl_spark.methods.learning.flip_labels import flip_labels
from cl_spark.methods.learning.hash_cuts import count_parts
from cl_spark.methods.learning.noise_matrix import noise_bound, noise_matrix, noise_matrix_from_trace

pytestmark = pytest.mark.matrix

MATRIX = np.array([[0.7, 0.0, 0.25], [0.2, 0.9, 0.05], [0.1, 0.1, 0.7]])


def off_diagonal(matrix: Any) -> Any:
    """The matrix with a diagonal of zeros."""
    return matrix * (1 - np.eye(len(matrix)))


# The matrix -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("num_classes", [2, 3, 5, 10, 20])
@pytest.mark.parametrize("sparsity", [0.0, 0.2, 0.6, 0.9])
@pytest.mark.parametrize("share_of_bound", [1e-9, 0.1, 0.5, 0.9, 0.999999])
def test_the_matrix_has_the_noise_and_the_zeros_asked_for(
    num_classes: int, sparsity: float, share_of_bound: float
) -> None:
    bound = noise_bound(num_classes, sparsity)
    if bound == 0:
        assert round(sparsity * num_classes * (num_classes - 1)) == num_classes * (num_classes - 1)
        return
    for seed in range(5):
        matrix = noise_matrix(num_classes, noise=bound * share_of_bound, sparsity=sparsity, seed=seed)
        assert matrix.shape == (num_classes, num_classes)
        assert matrix.dtype == np.float64
        assert matrix.min() >= 0
        assert matrix.sum(axis=0) == pytest.approx(np.ones(num_classes), abs=1e-12)
        assert (1 - matrix.diagonal()).mean() == pytest.approx(bound * share_of_bound, abs=1e-12)
        assert (matrix == 0).sum() == round(sparsity * num_classes * (num_classes - 1))
        assert (matrix.diagonal() > off_diagonal(matrix).max(axis=0)).all()


def test_much_noise_leaves_the_diagonal_greatest() -> None:
    matrix = noise_matrix(10, noise=0.7)
    assert matrix.diagonal().mean() == pytest.approx(0.3)
    assert (matrix.argmax(axis=0) == np.arange(10)).all()


def test_classes_differ_in_their_noise_and_seeds_in_their_matrix() -> None:
    matrix = noise_matrix(10, noise=0.4, sparsity=0.6)
    assert np.ptp(matrix.diagonal()) > 0.2
    assert (matrix == noise_matrix(10, noise=0.4, sparsity=0.6, seed=0)).all()
    other = noise_matrix(10, noise=0.4, sparsity=0.6, seed=1)
    assert ((matrix == 0) != (other == 0)).any()


def test_no_noise_is_the_identity_whatever_the_sparsity() -> None:
    for sparsity in (0.0, 0.5, 1.0):
        assert (noise_matrix(4, noise=0, sparsity=sparsity) == np.eye(4)).all()
    assert (noise_matrix_from_trace(4, 4) == np.eye(4)).all()


def test_a_class_of_zeros_only_has_no_noise_and_the_others_carry_more() -> None:
    # 2 of 6 entries are left, for at least one class there is none
    matrix = noise_matrix(3, noise=0.3, sparsity=4 / 6, seed=1)
    free = off_diagonal(matrix).sum(axis=0) == 0
    assert free.any()
    assert (matrix.diagonal()[free] == 1).all()
    assert (1 - matrix.diagonal()).sum() == pytest.approx(0.9)


def test_zeros_are_spread_as_far_as_the_noise_needs() -> None:
    # 9 entries carry 0.45 if they are in 9 columns, which a random pattern hardly has
    matrix = noise_matrix(10, noise=0.449, sparsity=0.9)
    assert sorted((off_diagonal(matrix) > 0).sum(axis=0)) == [0, *[1] * 9]


@pytest.mark.parametrize(
    ("options", "bound"),
    [
        ({"noise": 0.7, "sparsity": 0.9}, r"below 0\.45 \(trace above 5\.5\)"),
        ({"noise": 0.9}, r"below 0\.9 \(trace above 1\)"),
        ({"noise": 0.1, "sparsity": 1.0}, r"below 0 \(trace above 10\)"),
    ],
)
def test_the_bound_of_the_noise_is_told(options: dict[str, float], bound: str) -> None:
    with pytest.raises(ConfigurationError, match=bound):
        noise_matrix(10, **options)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_classes": 1}, "num_classes=1 must be a whole number of at least 2"),
        ({"num_classes": 2.5}, "num_classes=2.5 must be"),
        ({"noise": -0.1}, "noise=-0.1 must be at least 0"),
        ({"noise": 1.0}, "noise=1.0 must be"),
        ({"noise": float("nan")}, "noise=nan must be"),
        ({"sparsity": 1.1}, "sparsity=1.1 must be from 0 to 1"),
        ({"seed": -1}, "seed=-1 must be a whole number"),
        ({"seed": 0.5}, "seed=0.5 must be a whole number"),
    ],
)
def test_arguments_out_of_range_are_named(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        noise_matrix(**{"num_classes": 3, "noise": 0.2, **arguments})


def test_a_trace_tells_the_noise() -> None:
    matrix = noise_matrix_from_trace(10, 6, sparsity=0.6, seed=3)
    assert np.trace(matrix) == pytest.approx(6)
    assert matrix == pytest.approx(noise_matrix(10, noise=0.4, sparsity=0.6, seed=3))
    for wrong in (0, 10.5, float("nan")):
        with pytest.raises(ConfigurationError, match="trace="):
            noise_matrix_from_trace(10, wrong)
    with pytest.raises(ConfigurationError, match=r"trace above 5\.5"):
        noise_matrix_from_trace(10, 5, sparsity=0.9)


def test_a_prior_checks_that_labels_are_most_often_given_to_their_class() -> None:
    prior = np.array([0.4, 0.3, 0.3])
    matrix = noise_matrix_from_trace(3, 2.4, prior=prior)
    joint = matrix * prior
    assert (joint.argmax(axis=1) == np.arange(3)).all()
    assert (matrix == noise_matrix_from_trace(3, 2.4)).all()
    with pytest.raises(ConfigurationError, match=r"prior: label 0 would be given to more .* class [12]"):
        noise_matrix_from_trace(3, 2.4, prior=[0.01, 0.49, 0.5])


@pytest.mark.parametrize("prior", [[0.5, 0.5], [0.5, 0.6, 0.1], [1.2, -0.1, -0.1], [np.nan, 0.5, 0.5]])
def test_a_prior_is_a_distribution(prior: list[float]) -> None:
    with pytest.raises(ConfigurationError, match="must be 3 shares, at least 0, that sum to 1"):
        noise_matrix_from_trace(3, 2.4, prior=prior)


# The labels -------------------------------------------------------------------------------------------------


def true_labels(spark: SparkSession, counts: Sequence[int], *, partitions: int = 3) -> DataFrame:
    """A table of ids and true labels, so many of each class, its rows shuffled over partitions."""
    labels = np.random.default_rng(2).permutation(np.repeat(np.arange(len(counts)), counts))
    frame = pd.DataFrame({"id": np.arange(len(labels)), "label": labels})
    return spark.createDataFrame(frame, "id long, label int").repartition(partitions)


def pair_counts(flipped: DataFrame) -> Counter[tuple[Any, Any]]:
    """The rows by (given label, true label)."""
    rows = flipped.groupBy("label", "true_label").count().collect()
    return Counter({(row.label, row.true_label): row["count"] for row in rows})


def expected_counts(counts: Sequence[int], matrix: Any) -> Counter[tuple[Any, Any]]:
    """The counts of the pairs as the matrix says, without zeros."""
    parts = [count_parts(count, matrix[:, true]).tolist() for true, count in enumerate(counts)]
    return Counter(
        {(i, true): num for true, part in enumerate(parts) for i, num in enumerate(part) if num > 0}
    )


def labels_by_id(flipped: DataFrame) -> dict[Any, Any]:
    return {
        row.id: (row.label, row.true_label) for row in flipped.select("id", "label", "true_label").collect()
    }


def test_labels_are_flipped_as_often_as_the_matrix_says(spark: SparkSession) -> None:
    counts = [100, 37, 1]
    df = true_labels(spark, counts)
    flipped = flip_labels(df, MATRIX)
    assert flipped.columns == ["id", "label", "true_label"]
    assert [field.dataType for field in flipped.schema] == [df.schema[i].dataType for i in (0, 1, 1)]
    pairs = pair_counts(flipped)
    assert pairs == expected_counts(counts, MATRIX)
    assert pairs == {
        (0, 0): 70, (1, 0): 20, (2, 0): 10,
        (1, 1): 33, (2, 1): 4,
        (2, 2): 1,
    }  # fmt: skip
    true = {row.id: row.label for row in df.collect()}
    assert {id_: label for id_, (_, label) in labels_by_id(flipped).items()} == true


@pytest.mark.parametrize(("num_classes", "sparsity"), [(2, 0.0), (7, 0.6), (20, 0.3)])
def test_counts_are_exact_for_any_matrix(spark: SparkSession, num_classes: int, sparsity: float) -> None:
    counts = np.random.default_rng(num_classes).integers(0, 60, num_classes).tolist()
    matrix = noise_matrix(num_classes, noise=0.4, sparsity=sparsity)
    flipped = flip_labels(true_labels(spark, counts), matrix, seed=5)
    assert pair_counts(flipped) == expected_counts(counts, matrix)


def test_counts_of_many_rows_of_one_class_are_exact(spark: SparkSession) -> None:
    df = spark.range(20_000).selectExpr("id", "if(id % 1000 = 0, 1, 2) AS label")
    flipped = flip_labels(df, MATRIX)
    assert pair_counts(flipped) == expected_counts([0, 20, 19_980], MATRIX)


def test_the_result_does_not_depend_on_partitions(spark: SparkSession) -> None:
    results = [
        labels_by_id(flip_labels(true_labels(spark, [40, 50, 60], partitions=partitions), MATRIX, seed=3))
        for partitions in (1, 2, 7)
    ]
    assert results[0] == results[1] == results[2]


def test_the_result_does_not_depend_on_the_width_of_ids_and_labels(spark: SparkSession) -> None:
    df = true_labels(spark, [40, 50, 60])
    flipped = labels_by_id(flip_labels(df, MATRIX))
    narrow = df.select(F.col("id").cast("int"), F.col("label").cast("tinyint"))
    assert labels_by_id(flip_labels(narrow, MATRIX)) == flipped
    decimals = df.select("id", F.col("label").cast("decimal(5,2)"))
    assert labels_by_id(flip_labels(decimals, MATRIX)) == flipped
    floats = flip_labels(df.select("id", F.col("label").cast("float")), MATRIX)
    assert labels_by_id(floats) == flipped
    assert [kind for _, kind in floats.dtypes] == ["bigint", "float", "float"]


def test_another_seed_flips_other_rows_and_as_many(spark: SparkSession) -> None:
    df = true_labels(spark, [40, 50, 60])
    first, second = (flip_labels(df, MATRIX, seed=seed) for seed in (0, 1))
    assert labels_by_id(first) != labels_by_id(second)
    assert pair_counts(first) == pair_counts(second)


def test_labels_may_be_names(spark: SparkSession) -> None:
    names = ["cat", "dog's", "a.b"]
    df = true_labels(spark, [40, 50, 60])
    named = df.withColumn("label", F.element_at(F.array(*map(F.lit, names)), F.col("label") + 1))
    flipped = labels_by_id(flip_labels(named, MATRIX, class_names=names))
    indices = labels_by_id(flip_labels(df, MATRIX, class_names=names))
    assert flipped == {id_: (names[given], names[true]) for id_, (given, true) in indices.items()}


def test_ids_may_be_several_columns_and_names_odd(spark: SparkSession) -> None:
    df = true_labels(spark, [40, 50, 60]).selectExpr(
        "id % 2 AS `a.b`", "id AS `c``d`", "'x' AS other", "label AS `my label`"
    )
    flipped = flip_labels(df, MATRIX, id_col=["a.b", "c`d"], label_col="MY LABEL")
    assert flipped.columns == ["a.b", "c`d", "other", "my label", "true_label"]
    pairs = pair_counts(flipped.withColumnRenamed("my label", "label"))
    assert pairs == expected_counts([40, 50, 60], MATRIX)


def test_rows_of_a_repeated_id_get_the_same_label(spark: SparkSession) -> None:
    df = true_labels(spark, [40, 50, 60])
    flipped = flip_labels(df.unionByName(df), MATRIX)
    assert flipped.count() == 300
    assert flipped.distinct().count() == 150
    counts, wanted = pair_counts(flipped), expected_counts([80, 100, 120], MATRIX)
    assert all(abs(counts[pair] - wanted[pair]) <= 1 for pair in counts | wanted)


def test_an_empty_table_stays_empty(spark: SparkSession) -> None:
    flipped = flip_labels(true_labels(spark, [1, 1, 1]).where("id < 0"), MATRIX)
    assert flipped.count() == 0


def test_labels_that_name_no_class_are_counted_and_one_is_shown(spark: SparkSession) -> None:
    rows = [(0, 0.0), (1, 1.5), (2, None), (3, float("nan")), (4, 3.0), (5, -1.0), (6, 2.0)]
    df = spark.createDataFrame(rows, "id long, label double")
    with pytest.raises(
        InputError, match=r"'label' is not a class index from 0 to 2: 5 \(null: 1\), such as -1\.0"
    ):
        flip_labels(df, MATRIX)
    whole = spark.createDataFrame([(0, 2**40), (1, 0)], "id long, label long")
    with pytest.raises(InputError, match=r": 1 \(null: 0\), such as 1099511627776"):
        flip_labels(whole, MATRIX)
    nulls = spark.createDataFrame([(0, None), (1, 0)], "id long, label int")
    with pytest.raises(InputError, match=r": 1 \(null: 1\), such as null"):
        flip_labels(nulls, MATRIX)
    names = spark.createDataFrame([(0, "a"), (1, "x\n"), (2, "b"), (3, None)], "id long, label string")
    with pytest.raises(InputError, match=r"is not one of class_names: 2 \(null: 1\), such as 'x\\n'"):
        flip_labels(names, MATRIX, class_names=["a", "b", "c"])


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        (np.ones((2, 3)) / 2, r"shape \(2, 3\); it must be square"),
        (np.zeros((0, 0)), "must be square"),
        (np.array([1.0]), "must be square"),
        (np.array([[0.9, np.nan], [0.1, 1.0]]), "holds nan"),
        (np.array([[1.1, 0.0], [-0.1, 1.0]]), "holds 1.1"),
        (np.array([[0.9, 0.1], [0.2, 0.9]]), "column 0 sums to 1.1;"),
        (np.array([[0.9, 0.2], [0.1, 0.7]]), "column 1 sums to 0.9;"),
    ],
)
def test_a_matrix_that_is_no_noise_matrix_is_refused(spark: SparkSession, matrix: Any, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        flip_labels(true_labels(spark, [1, 1]), matrix)


def test_columns_that_cannot_be_used_are_named(spark: SparkSession) -> None:
    df = true_labels(spark, [2, 2, 2])
    with pytest.raises(ConfigurationError, match="'true_label', which flip_labels adds"):
        flip_labels(df.withColumn("True_Label", F.lit(1)), MATRIX)
    with pytest.raises(
        MissingColumnError, match="label_col: no column 'y' in the table; it has 'id', 'label'"
    ):
        flip_labels(df, MATRIX, label_col="y")
    with pytest.raises(MissingColumnError, match="id_col: no column 'key'"):
        flip_labels(df, MATRIX, id_col=["id", "key"])
    with pytest.raises(ConfigurationError, match="id_col names no column"):
        flip_labels(df, MATRIX, id_col=[])
    with pytest.raises(ConfigurationError, match="id_col: 'label' is the label"):
        flip_labels(df, MATRIX, id_col=["id", "label"])


def test_labels_and_names_that_do_not_go_together_are_refused(spark: SparkSession) -> None:
    df = true_labels(spark, [2, 2, 2])
    named = df.withColumn("label", F.lit("a"))
    with pytest.raises(ConfigurationError, match="column 'label' holds names: pass class_names"):
        flip_labels(named, MATRIX)
    for wrong in (["a", "b"], ["a", "b", "a"], "abc"):
        with pytest.raises(ConfigurationError, match="must be 3 different names"):
            flip_labels(named, MATRIX, class_names=wrong)
    with pytest.raises(ColumnTypeError, match="column 'label' is boolean"):
        flip_labels(df.withColumn("label", F.lit(True)), MATRIX)
    with pytest.raises(ColumnTypeError, match=r"is tinyint; .* that holds 0 to 199"):
        flip_labels(df.withColumn("label", F.lit(1).cast("tinyint")), np.eye(200))
    with pytest.raises(ConfigurationError, match="seed=-1"):
        flip_labels(df, MATRIX, seed=-1)
