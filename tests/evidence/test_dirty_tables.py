"""Random dirty tables: every row is accepted or rejected for a reason, and nothing but this package's errors
comes out.
"""

import math
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyspark.sql import SparkSession

from cl_spark import ClSparkError, LabelAudit
from cl_spark.evidence import native_evidence
from cl_spark.kernels.dense_probs import SUM_TOLERANCE

CLASSES = 3
NUMBERS = st.one_of(
    st.floats(0, 1, width=32),
    st.sampled_from(
        [0.0, 1.0, 1 / 3, 0.5, -0.25, 1e-12, 1.5, float("nan"), float("inf"), float("-inf"), 6e8, -7e8]
    ),
)
PROBS = st.one_of(
    st.none(),
    st.lists(st.one_of(NUMBERS, st.none()), max_size=5),
    st.lists(st.floats(0.015625, 1, width=32), min_size=CLASSES, max_size=CLASSES).map(
        lambda row: [x / sum(row) for x in row]
    ),
    st.lists(NUMBERS, min_size=CLASSES, max_size=CLASSES),
)
LABELS = st.one_of(st.integers(0, CLASSES - 1), st.sampled_from([None, -1, CLASSES, 2**31 - 1, -(2**31)]))
IDS = st.one_of(st.integers(0, 40), st.none())
TABLES = st.lists(st.tuples(IDS, LABELS, PROBS), max_size=12)


def is_usable(rows: list[Any], row: Any, promised: bool) -> bool:
    """What the documentation says of one row, said again in plain Python, for K = 3."""
    number, label, probs = row
    if number is None or label is None or not probs or sum(other[0] == number for other in rows) > 1:
        return False
    if (
        len(probs) != CLASSES
        or any(p is None or not math.isfinite(p) for p in probs)
        or not 0 <= label < CLASSES
    ):
        return False
    if abs(max(probs)) >= 2**29 or abs(probs[label]) >= 2**29:
        return False
    return not promised or (min(probs) >= 0 and abs(sum(probs) - 1) <= SUM_TOLERANCE)


@pytest.mark.slow
@pytest.mark.timeout(900)
@settings(
    max_examples=100, deadline=None, suppress_health_check=list(HealthCheck), database=None, derandomize=True
)
@given(rows=TABLES, promised=st.booleans())
def test_every_row_of_a_dirty_table_is_accounted_for(
    spark: SparkSession, rows: list[Any], promised: bool
) -> None:
    df = spark.createDataFrame(rows, "id long, label int, pred_probs array<double>").coalesce(1)
    usable = {row[0] for row in rows if is_usable(rows, row, promised)}
    with (
        pytest.MonkeyPatch.context() as patch,
        LabelAudit(df, num_classes=CLASSES, probabilities=promised) as audit,
    ):
        patch.setattr(native_evidence, "SHORT_ARRAY", 1)  # else no array so short stays in Spark
        try:
            issues = {row.id for row in audit.find_label_issues(filter_by="predicted_neq_given").collect()}
        except ClSparkError:
            assert not usable
            return
        assert issues <= usable
        assert {row.id for row in audit.label_quality_scores().collect()} == usable
        refused = audit.rejected().collect()
        assert audit.num_examples + audit.statistics.num_rejected == len(rows)
        assert len(refused) == audit.statistics.num_rejected == len(rows) - len(usable)
        assert all(row.reason for row in refused)
