"""Every shortcut has a fallback; each is forced here and must give the same answers."""

from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from cl_spark import ConfigurationError, LabelAudit
from cl_spark.evidence import predictions
from cl_spark.evidence.blocks import Source
from cl_spark.evidence.ids import find_repeated_ids
from cl_spark.kernels.row_evidence import ListingPolicy
from cl_spark.methods.classification import cells, cuts, noise, scan
from cl_spark.methods.classification import confident_joint as joint
from cl_spark.methods.classification.filters import FILTERS
from cl_spark.methods.classification.scan import Scan
from tests.frames import by_class, dense, ids
from tests.frames import predictions as table
from tests.oracle import reference
from tests.oracle.datasets import Data, dataset

pytestmark = pytest.mark.slow


@pytest.fixture
def scans(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Counts the further scans an audit asks for."""
    asked: list[str] = []
    for name in ("read_arrays", "read_wanted"):
        original = getattr(Scan, name)

        def counting(self: Scan, *classes: Any, original: Any = original) -> Source:
            asked.append("scan")
            return original(self, *classes)

        monkeypatch.setattr(Scan, name, counting)
    return asked


def same_issues(
    spark: SparkSession, data: Data, filters: tuple[str, ...] = FILTERS, **arguments: object
) -> None:
    with LabelAudit(table(spark, data.labels, data.probs), **arguments) as made:
        for filter_by in filters:
            expected = reference.issues(data.labels, data.probs, filter_by)
            assert ids(made.find_label_issues(filter_by=filter_by)) == expected, filter_by
        counts = dense(made.confident_joint(calibrate=False), "count", data.classes)
        assert np.array_equal(counts, reference.raised_joint(data.labels, data.probs))


def flat(seed: int = 31) -> Data:
    """Many classes above their thresholds at once, and many below: rows that scalars cannot settle."""
    rng = np.random.default_rng(seed)
    probs = rng.dirichlet(np.full(6, 2.0), 300)
    labels = np.array([rng.choice(6, p=row) for row in probs])
    return Data(labels, probs, seed)


def crossed() -> Data:
    """Rows below the threshold of the class they predict; a class whose threshold lies below every bound."""
    rows = [(0, (0.9, 0.05, 0.05))] * 30 + [(0, (0.36, 0.33, 0.31))] * 5 + [(1, (0.36, 0.33, 0.31))] * 5
    rows += [(2, (0.8, 0.12, 0.08))] * 5 + [(1, (0.37, 0.32, 0.31))] * 3
    labels, probs = zip(*rows, strict=True)
    return Data(np.array(labels), np.array(probs), 0)


def test_rows_that_scalars_cannot_settle_are_examined(spark: SparkSession, scans: list[str]) -> None:
    same_issues(
        spark, crossed(), ("confident_learning", "off_diagonal")
    )  # suspects from the evidence, others in another scan
    assert scans


def test_rows_whose_runners_up_are_not_listed_are_examined(
    spark: SparkSession, scans: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(predictions, "LISTING", ListingPolicy(max_listed=0))
    same_issues(spark, flat())
    assert scans


def test_pairs_that_take_classes_suspects_do_not_list_are_decided_by_another_scan(
    spark: SparkSession, scans: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(3)
    probs = rng.dirichlet(np.full(80, 0.02), 500)
    labels = np.where(rng.random(500) < 0.5, rng.integers(0, 6, 500), probs.argmax(axis=1))
    monkeypatch.setattr(predictions, "LISTING", ListingPolicy(min_suspect_prob=0.15))
    same_issues(spark, Data(labels, probs, 0), ("prune_by_noise_rate", "both"))
    assert scans


def test_pairs_whose_cut_may_lie_among_other_rows_are_decided_by_another_scan(
    spark: SparkSession, scans: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # one suspect of class 0; the budgets of its pairs reach into exact ties of rows that are no suspects
    probs = np.array(
        [[0.5, 0.5, 0.0]] * 12 + [[0.3, 0.4, 0.3]] + [[0.1, 0.9, 0.0]] * 6 + [[0.0, 0.2, 0.8]] * 6
    )
    labels = np.array([0] * 13 + [1] * 6 + [2] * 6)
    probs[:6, :2] += [[0.001, -0.001]]
    data = Data(labels, probs, 0)
    same_issues(spark, data, ("prune_by_noise_rate",))
    others = [dataset(seed, 250, 4, digits=1) for seed in range(40, 43)]
    for other in others:
        same_issues(spark, other, ("prune_by_noise_rate", "both"))
    monkeypatch.setattr(
        predictions, "LISTING", ListingPolicy(max_listed=0)
    )  # no runner-up is known, so no bound is good
    for other in others:
        same_issues(spark, other, ("prune_by_noise_rate", "both"))
    assert scans


def test_many_rows_are_cut_by_histogram(spark: SparkSession, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuts, "FEW", 0)
    data = dataset(33, 300, 5, digits=2)
    for other in (data, flat(), crossed()):
        same_issues(spark, other)
    with LabelAudit(table(spark, data.labels, data.probs)) as made:
        many = made.find_label_issues().orderBy("rank").toPandas()
    monkeypatch.undo()
    with LabelAudit(table(spark, data.labels, data.probs)) as made:
        few = made.find_label_issues().orderBy("rank").toPandas()
    assert many.equals(few)


@pytest.mark.parametrize(
    ("parts", "repeated"),
    [
        (["id"], 0),
        (["id * 2"], 0),
        (["id", "id + 500"], 1000),
        (["id", "id + 1000"], 0),
        (["if(id < 10, id, id + 7)", "-1 - id"], 0),
        (["if(id = 999, 0, id)"], 2),
        (["if(id >= 998, -9223372036854775808, id)"], 2),
        (["id", "if(id = 0, 5, 2000 + id)"], 2),
    ],
)
def test_whole_ids_are_compared_by_the_ranges_they_lie_in(
    spark: SparkSession, parts: list[str], repeated: int
) -> None:
    tables = [spark.range(0, 1000, 1, 4).selectExpr(f"{part} AS id", "id AS other") for part in parts]
    rows = reduce(DataFrame.unionByName, tables).selectExpr(
        "*", "int(other % 2) AS label", "array(0.4D, 0.6D) AS pred_probs"
    )
    for id_col in ("id", ["id", "other"]):  # several columns are grouped
        expected = (
            rows.groupBy(id_col)
            .count()
            .where("count > 1")
            .agg(F.coalesce(F.sum("count"), F.lit(0)))
            .collect()[0][0]
        )
        with LabelAudit(rows, id_col=id_col) as made:
            assert made.statistics.num_rejected == expected
        if id_col == "id":
            assert expected == repeated


@pytest.mark.parametrize("few", [True, False])
def test_repeated_ids_of_any_kind_are_found(spark: SparkSession, few: bool) -> None:
    rows = spark.createDataFrame(
        [("a", 1), ("b", 1), ("a", 2), ("a", 1), (None, 3), (None, 3)], "id string, part int"
    )
    assert sorted(
        map(
            tuple, find_repeated_ids(rows, ["id", "part"], lambda df: df, num_partitions=3, few=few).collect()
        )
    ) == [("a", 1)]
    assert find_repeated_ids(rows.where("part = 2"), ["id"], lambda df: df, num_partitions=1, few=few) is None


def test_joints_too_large_for_the_driver_stay_on_the_cluster(
    spark: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = dataset(34, 250, 6, missing=1)

    def answers() -> list[np.ndarray]:
        with LabelAudit(table(spark, data.labels, data.probs)) as made:
            health, rates = made.health_summary(), made.noise_rates(method="marginal_ps")
            return [
                dense(made.confident_joint(), "count", 6),
                dense(rates.rates, "noise_rate", 6),
                dense(rates.rates, "inverse_noise_rate", 6),
                by_class(rates.prior, "prior"),
                by_class(made.noise_rates().prior, "prior"),
                by_class(health.class_health, "label_noise"),
                np.array(sorted(map(tuple, health.overlapping_classes.collect()))),
                np.array([made.num_label_issues(estimation_method=name) for name in
                          ("off_diagonal", "off_diagonal_calibrated", "off_diagonal_fraction")]),
            ]  # fmt: skip

    on_driver = answers()
    monkeypatch.setattr(scan, "DRIVER_CELLS", 0)
    monkeypatch.setattr(cells, "PART_CELLS", 11)
    for module in (joint, noise):
        monkeypatch.setattr(module, "DENSE_CLASSES", 1)
    for ours, theirs in zip(answers(), on_driver, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-12)
    same_issues(spark, data, ("prune_by_noise_rate", "confident_learning"))
    with (
        LabelAudit(table(spark, data.labels, data.probs)) as made,
        pytest.raises(ConfigurationError, match="use 'cnt'"),
    ):
        made.noise_rates(method="eqn")


def test_sessions_that_refuse_to_cache_scan_again(
    spark: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PySparkException("[NOT_SUPPORTED_WITH_SERVERLESS] PERSIST TABLE is not supported")

    monkeypatch.setattr(type(spark.range(1)), "persist", refuse)
    same_issues(spark, flat(), ("prune_by_noise_rate", "off_diagonal"))


def test_evidence_may_be_kept_in_a_directory(
    spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        type(spark.range(1)), "persist", lambda *_: pytest.fail("cached although a directory was named")
    )
    same_issues(
        spark, flat(), ("prune_by_noise_rate", "off_diagonal"), evidence_path=str(tmp_path / "evidence")
    )
    assert list((tmp_path / "evidence").iterdir()) == []  # written, and removed at the end


def test_flagged_rows_without_arrays_are_read_again_for_their_entropy(
    spark: SparkSession, scans: list[str]
) -> None:
    data = flat()
    with LabelAudit(table(spark, data.labels, data.probs)) as made:
        issues = made.find_label_issues(
            filter_by="low_self_confidence", rank_by="confidence_weighted_entropy", num_issues=290
        )
        assert ids(issues) == reference.issues(data.labels, data.probs, "low_self_confidence", num_issues=290)
    assert scans
