"""The check for classes that have far too few examples."""

from dataclasses import dataclass
from typing import Any

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import BooleanType, DoubleType, FloatType, NumericType, StringType

from cl_spark.errors import ColumnTypeError
from cl_spark.methods.checks.check_columns import answer
from cl_spark.tables.columns import quoted

RARE = 0.1
"""Part of an equal share, 1 / K, below which the rarest class is an issue."""


@dataclass(frozen=True)
class RarestClass:
    """The class with the fewest examples; of two the lower one.

    Attributes:
        label: the class.
        examples: its examples.
        share: its share of all examples with a label.
        num_classes: K, the classes that there are.
    """

    label: Any
    examples: int
    share: float
    num_classes: int

    @property
    def is_issue(self) -> bool:
        """Whether there are too few of it."""
        return self.share < RARE / self.num_classes


def check_labels(df: DataFrame, label_col: str) -> None:
    """Check that a column holds labels.

    Raises:
        ColumnTypeError: it holds something else, such as maps of which a row's class is not known.
    """
    kind = df.schema[label_col].dataType
    if not isinstance(kind, NumericType | BooleanType | StringType):
        raise ColumnTypeError(
            f"label_col: column {label_col!r} is {kind.simpleString()}; labels are class indices or names"
        )


def select_label(df: DataFrame, label_col: str) -> Column:
    """Select a label; NaN is a missing one."""
    label = F.col(quoted(label_col))
    if not isinstance(df.schema[label_col].dataType, FloatType | DoubleType):
        return label
    return F.when(~F.isnan(label), label)


def find_rarest_class(df: DataFrame, label_col: str) -> RarestClass | None:
    """Find the rarest class by a scan; None where no row has a label.

    Example:
        >>> labels = spark.createDataFrame([(i, min(i, 1)) for i in range(40)], "id int, label int")
        >>> find_rarest_class(labels, "label")
        RarestClass(label=0, examples=1, share=0.025, num_classes=2)
    """
    label = select_label(df, label_col).alias("label")
    counts = df.select(label).where("label IS NOT NULL").groupBy("label").agg(F.count(F.lit(1)).alias("rows"))
    found = counts.agg(
        F.min(F.struct("rows", "label")).alias("least"),
        F.sum("rows").alias("all"),
        F.count(F.lit(1)).alias("K"),
    ).collect()[0]
    if found["least"] is None:
        return None
    rows, label_value = found["least"]
    return RarestClass(label_value, rows, rows / found["all"], found["K"])


def score_classes(df: DataFrame, id_col: str, label_col: str, rarest: RarestClass) -> DataFrame:
    """Score rows by how rare their class is: the share of the rarest class, and 1 for all others.

    Source: as cleanlab's Datalab defines it; specification, section 19.
    """
    label = select_label(df, label_col)
    is_rarest = label == F.lit(rarest.label)
    why = (
        f"class {rarest.label} has {rarest.examples:,} examples, {rarest.share:.2%} of all, of "
        f"{rarest.num_classes:,} classes"
    )
    return answer(
        df.where(label.isNotNull()),
        id_col,
        F.when(is_rarest, F.lit(rarest.share)).otherwise(1.0),
        is_rarest & F.lit(rarest.is_issue),
        F.lit(why),
    )
