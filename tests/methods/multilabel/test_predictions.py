"""The order of boolean columns, which says which class each is of."""

import pytest
from pyspark.sql import SparkSession

from cl_spark import ConfigurationError, LabelAudit, MultilabelAudit
from cl_spark.evidence.class_columns import check_class_order


@pytest.mark.parametrize(
    ("columns", "names"),
    [
        (["cat", "dog"], ["dog", "cat"]),
        (["dog", "cat"], ["Cat", "Dog"]),
        (["dog", "cat", "is_bird"], ["cat", "dog", "bird"]),
        (["a", "A"], ["A", "a"]),
        (["cat", "dog", "bird"], ["dog", "wolf"]),
    ],
)
def test_a_column_called_like_a_class_at_another_place_is_refused(
    columns: list[str], names: list[str]
) -> None:
    with pytest.raises(ConfigurationError, match=r"labels_col: column .* is number .* of class_names"):
        check_class_order("labels_col", columns, names)


@pytest.mark.parametrize(
    ("columns", "names"),
    [
        (["cat", "dog"], ["cat", "dog"]),
        (["cat", "dog"], ["Cat", "DOG"]),
        (["a", "A"], ["a", "A"]),
        (["has_cat", "has_dog"], ["dog", "cat"]),
    ],
)
def test_columns_in_the_order_of_the_classes_are_taken(columns: list[str], names: list[str]) -> None:
    check_class_order("labels_col", columns, names)


@pytest.mark.slow
def test_an_audit_checks_the_order(spark: SparkSession) -> None:
    df = spark.createDataFrame(
        [(1, True, False, [0.1, 0.9])], "id int, dog boolean, cat boolean, p array<double>"
    )
    with pytest.raises(ConfigurationError, match="column 'dog' is number 1, but class 'Dog' is number 2 of"):
        MultilabelAudit(df, labels_col=["dog", "cat"], pred_probs_col="p", class_names=["Cat", "Dog"])


@pytest.mark.slow
def test_columns_of_probabilities_are_in_the_order_of_the_classes(spark: SparkSession) -> None:
    df = spark.createDataFrame(
        [(1, [0], 0, 0.1, 0.9)], "id int, labels array<int>, label int, cat double, dog double"
    )
    told = "pred_probs_col: column 'dog' is number 1, but class 'dog' is number 2 of class_names"
    for audit in (MultilabelAudit, LabelAudit):
        with pytest.raises(ConfigurationError, match=told):
            audit(df, pred_probs_col=["dog", "cat"], class_names=["cat", "dog"])
        audit(df, pred_probs_col=["cat", "dog"], class_names=["cat", "dog"]).release()
