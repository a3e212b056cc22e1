"""Health of classes from the joint, and Wilson's interval."""

import numpy as np
import pandas as pd
import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F
from scipy.stats import binomtest

from cl_spark.methods.classification.cells import CellTable
from cl_spark.methods.classification.health import estimate_class_health, wilson_columns, wilson_interval
from cl_spark.tables import columns as c


@pytest.mark.parametrize(("good", "examples"), [(90, 100), (0, 7), (7, 7), (1, 1), (123_456, 1_000_000)])
def test_the_interval_is_wilsons(good: int, examples: int) -> None:
    expected = binomtest(good, examples).proportion_ci(method="wilson")
    assert wilson_interval(good / examples, examples) == pytest.approx(
        (expected.low, expected.high), abs=1e-12
    )


def test_classes_come_worst_first_and_absent_classes_are_healthy() -> None:
    cells = [(0, 0, 6), (0, 1, 4), (1, 1, 9), (1, 0, 1)]
    joint = CellTable(None, 3, pd.DataFrame(cells, columns=[c.GIVEN, c.TRUE, c.COUNT]))
    health = estimate_class_health(joint, np.array([10, 10, 0]), np.array([0.5, 0.6, 2.0]))
    assert health[c.CLASS].tolist() == [0, 1, 2]
    assert health[c.ESTIMATED_LABEL_ISSUES].tolist() == [4, 1, 0]
    assert health[c.ESTIMATED_INVERSE_LABEL_ISSUES].tolist() == [1, 4, 0]
    assert health[c.LABEL_NOISE].tolist() == pytest.approx([0.4, 0.1, 0])
    assert health[c.INVERSE_LABEL_NOISE].tolist() == pytest.approx([1 / 7, 4 / 13, 0])
    assert health[c.CLASS_QUALITY].tolist() == pytest.approx([0.6, 0.9, 1])


def test_the_interval_of_very_many_examples_is_that_of_a_number(spark: SparkSession) -> None:
    row = spark.range(1).select(F.lit(0.25).alias("share"), F.lit(4_000_000_000).alias("examples"))
    found = row.select(*wilson_columns(F.col("share"), F.col("examples"))).collect()[0]
    assert tuple(found) == pytest.approx(wilson_interval(0.25, 4_000_000_000))
