"""The test of the order of rows."""

import itertools

import numpy as np
import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from cl_spark.methods.checks.row_order import OrderTest, estimate_p_value, find_positions, find_statistic


def test_the_gaps_of_all_pairs_of_places_differ_from_chance_by_nothing() -> None:
    for num_rows in (2, 3, 10):
        gaps = [b - a for a, b in itertools.combinations(range(num_rows), 2)]
        assert find_statistic(np.array(gaps), num_rows) == pytest.approx(0, abs=1e-12)


def test_the_statistic_is_the_greatest_difference_of_two_distributions() -> None:
    rng = np.random.default_rng(1)
    gaps = rng.integers(1, 20, 30)
    all_gaps = np.array([b - a for a, b in itertools.combinations(range(20), 2)])
    differences = [abs((gaps <= x).mean() - (all_gaps <= x).mean()) for x in range(20)]
    assert find_statistic(gaps, 20) == pytest.approx(max(differences))


def test_values_by_chance_are_probable_and_others_are_not() -> None:
    chance = np.random.default_rng(2).normal(0.1, 0.01, 25)
    assert estimate_p_value(0.1, chance) == pytest.approx(0.5, abs=0.2)
    assert estimate_p_value(0.3, chance) < 1e-9
    assert estimate_p_value(0.0, chance) > 1 - 1e-9
    assert estimate_p_value(0.2, np.full(25, 0.1)) == 0
    assert OrderTest(0.3, 0.01).is_issue
    assert not OrderTest(0.1, 0.4).is_issue


@pytest.mark.parametrize("kind", ["date", "timestamp_ntz", "timestamp_ltz"])
def test_times_have_one_order_whatever_the_settings_of_the_session(spark: SparkSession, kind: str) -> None:
    # in Berlin, a clock that is put forward shows 03:30 for 02:30, which would be later than 03:10
    texts = ["2026-03-29 01:59:59.5", "2026-03-29 02:30:00", "2026-03-29 03:10:00", "2026-04-01 00:00:00"]
    df = spark.createDataFrame(list(enumerate(texts)), "id int, text string")
    settings = {"spark.sql.session.timeZone": "Europe/Berlin", "spark.sql.timestampType": "TIMESTAMP_NTZ"}
    before = {name: str(spark.conf.get(name)) for name in settings}
    for name, value in settings.items():
        spark.conf.set(name, value)
    try:
        rows = df.select("id", F.expr(f"CAST(text AS {kind})").alias("at"))
        placed = find_positions(rows, "id", "at").collect()
    finally:
        for name, value in before.items():
            spark.conf.set(name, value)
    positions = {row[0]: row[1] for row in placed}
    assert positions[3] == 4
    if kind == "timestamp_ntz":
        assert positions == {0: 1, 1: 2, 2: 3, 3: 4}
