"""Health of sets of labels: what is given and should not be, and what is missing and should be."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from cl_spark.kernels.arrays import Int64s
from cl_spark.methods.multilabel.predictions import CLASS
from cl_spark.tables import columns as c
from cl_spark.tables.card import card, worst_classes

WRONGLY_GIVEN, WRONGLY_MISSING = "wrongly_given", "wrongly_missing"


@dataclass(frozen=True)
class MultilabelHealth:
    """The health of a dataset's sets of labels.

    Attributes:
        class_health: one row per class, most issues first (ties: lower class index): class, examples
            (that are given the class), wrongly_given (issues among these), wrongly_missing (issues among all
            others), label_noise and inverse_label_noise (both as shares of all examples), class_quality
            (1 - label_noise: a class that is only missing too often has a high one).
        missing_together: pairs of classes that go missing in the same examples, most frequent first: class_a,
            class_b, examples.
        overall_health: 1 - num_issues / num_examples, in [0, 1].
        num_issues: examples with an issue of any class.
        num_examples: number of examples audited.
    """

    class_health: DataFrame
    missing_together: DataFrame
    overall_health: float
    num_issues: int
    num_examples: int

    def _repr_html_(self) -> str:
        all_right = F.col(c.CLASS_QUALITY) - F.col(c.INVERSE_LABEL_NOISE)
        return card(
            "Health of the sets of labels",
            {
                "overall health": f"{self.overall_health:.2%}",
                "examples with an issue": self.num_issues,
                "examples": self.num_examples,
            },
            heading="wrongly given or missing in the worst classes",
            bars=worst_classes(self.class_health.withColumn(c.LABEL_NOISE, 1 - all_right)),
        )


def count_issues_by_class(issues: DataFrame, num_classes: int) -> Int64s:
    """Count memberships by class and whether they are given: (K, 2)."""
    counts = issues.groupBy(c.GIVEN).agg(F.count(F.lit(1)).alias(c.COUNT)).toPandas()
    found = np.zeros(2 * num_classes, dtype=np.int64)
    found[counts[c.GIVEN]] = counts[c.COUNT]
    return found.reshape(-1, 2)


def estimate_class_health(counts: Int64s, given_counts: Int64s, num_examples: int) -> pd.DataFrame:
    """Estimate the health of each class from its issues.

    Args:
        counts: (K, 2) issues where the class is not given, and where it is.
        given_counts: (K,) examples that are given each class.
        num_examples: n.

    Returns:
        K rows by class index, most issues first, with the columns of `MultilabelHealth.class_health`.

    Example:
        >>> table = estimate_class_health(np.array([[0, 1], [3, 2]]), np.array([4, 5]), 10)
        >>> table[["class", "wrongly_given", "wrongly_missing", "class_quality"]].values.tolist()
        [[1.0, 2.0, 3.0, 0.8], [0.0, 1.0, 0.0, 0.9]]
    """
    inverse_noise, noise = counts.T / num_examples
    frame = pd.DataFrame(
        {
            c.CLASS: np.arange(len(given_counts)),
            c.EXAMPLES: given_counts,
            WRONGLY_GIVEN: counts[:, 1],
            WRONGLY_MISSING: counts[:, 0],
            c.LABEL_NOISE: noise,
            c.INVERSE_LABEL_NOISE: inverse_noise,
            c.CLASS_QUALITY: 1 - noise,
        }
    )
    order = np.argsort(-counts.sum(axis=1), kind="stable")
    return frame.iloc[order].reset_index(drop=True)


def find_missing_together(issues: DataFrame, ids: list[str]) -> DataFrame:
    """Find the pairs of classes that are missing and should be given in the same examples.

    Args:
        issues: memberships that are issues.
        ids: id columns.

    Returns:
        class_a, class_b (indices), examples.
    """
    missing = issues.where(F.col(c.GIVEN) % 2 == 0).groupBy(*ids).agg(F.collect_list(CLASS).alias("missing"))
    first = missing.select("missing", F.explode("missing").alias(c.CLASS_A))
    pairs = first.select(c.CLASS_A, F.explode("missing").alias(c.CLASS_B))
    return (
        pairs.where(F.col(c.CLASS_A) < F.col(c.CLASS_B))
        .groupBy(c.CLASS_A, c.CLASS_B)
        .agg(F.count(F.lit(1)).alias(c.EXAMPLES))
        .orderBy(F.desc(c.EXAMPLES), c.CLASS_A, c.CLASS_B)
    )
