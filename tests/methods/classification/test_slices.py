"""Health of slices."""

import numpy as np
import pytest
from pyspark.sql import DataFrame

from cl_spark import (
    ConfigurationError,
    LabelAudit,
)

pytestmark = pytest.mark.matrix


def test_slices_add_up_and_have_wilson_intervals(df: DataFrame) -> None:
    from scipy.stats import binomtest

    with LabelAudit(df, slice_by=["source", "day"]) as made:
        slices = made.slice_health().toPandas()
        issues = made.num_label_issues()
    for _, rows in slices.groupby("slice_column"):
        assert rows.examples.sum() == 200
        assert rows.off_diagonal_issues.sum() == issues > 0
    assert slices.slice_value.isna().sum() == 1
    for row in slices.itertuples():
        interval = binomtest(row.examples - row.off_diagonal_issues, row.examples).proportion_ci(
            method="wilson"
        )
        assert np.allclose([row.lower, row.upper], [interval.low, interval.high])
    with LabelAudit(df) as made, pytest.raises(ConfigurationError, match="pass slice_by"):
        made.slice_health()


def test_slice_columns_may_come_with_the_labels(df: DataFrame) -> None:
    with LabelAudit(
        df.select("id", "pred_probs"), labels=df.select("id", "label", "source"), slice_by=["source"]
    ) as made:
        assert {row.slice_value: row.examples for row in made.slice_health().collect()} == {"a": 20, "b": 180}
