"""What is published about real data sets, and what the oracle finds in them."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession

from cl_spark import LabelAudit
from tests.frames import ids
from tests.oracle import cleanlab_oracle as oracle

pytestmark = pytest.mark.slow

PUBLISHED = {
    "mnist": {
        "prune_by_noise_rate": 15,
        "prune_by_class": 15,
        "both": 15,
        "confident_learning": 15,
        "predicted_neq_given": 87,
        "low_self_confidence": 15,
        "low_normalized_margin": 15,
    },
    "cifar10": {
        "prune_by_noise_rate": 284,
        "prune_by_class": 284,
        "both": 226,
        "confident_learning": 244,
        "predicted_neq_given": 706,
        "low_self_confidence": 244,
        "low_normalized_margin": 244,
    },
}
# accuracy, F1, precision, recall of the flags, as printed
PAPER = {
    "noise20_sparsity0": {
        "predicted_neq_given": (0.84, 0.71, 0.56, 0.98),
        "prune_by_class": (0.88, 0.76, 0.63, 0.96),
        "prune_by_noise_rate": (0.89, 0.77, 0.65, 0.93),
        "both": (0.90, 0.78, 0.67, 0.93),
        "off_diagonal": (0.89, 0.75, 0.67, 0.86),
    },
    "noise40_sparsity60": {
        "predicted_neq_given": (0.81, 0.79, 0.70, 0.90),
        "prune_by_class": (0.82, 0.79, 0.74, 0.85),
        "prune_by_noise_rate": (0.84, 0.80, 0.79, 0.82),
        "both": (0.83, 0.78, 0.79, 0.78),
        "off_diagonal": (0.84, 0.80, 0.77, 0.84),
    },
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_all_filters_flag_the_oracles_rows(spark: SparkSession, shared_data: Path, name: str) -> None:
    path = shared_data / "label-errors" / f"{name}_test.parquet"
    table = pq.read_table(path)
    labels, row_ids = table["label"].to_numpy(), table["id"].to_numpy()
    probs = np.stack(table["pred_probs"].to_pylist())
    with LabelAudit(spark.read.parquet(str(path))) as audit:
        for filter_by, number in PUBLISHED[name].items():
            expected = oracle.issues(labels, probs, filter_by)
            assert len(expected) == number
            assert ids(audit.find_label_issues(filter_by=filter_by)) == {
                int(row_ids[row]) for row in expected
            }, filter_by


def test_cifar10_candidates_are_the_published_ones(spark: SparkSession, shared_data: Path) -> None:
    votes = pq.read_table(shared_data / "label-errors" / "cifar10_votes.parquet")["id"].to_pylist()
    with LabelAudit(spark.read.parquet(str(shared_data / "label-errors" / "cifar10_test.parquet"))) as audit:
        issues = audit.find_label_issues(
            filter_by="low_normalized_margin", num_issues="off_diagonal_fraction"
        )
        assert len(votes) == 275
        assert ids(issues) == set(votes)


def test_mnist_candidates_are_the_100_lowest_margins(spark: SparkSession, shared_data: Path) -> None:
    votes = pq.read_table(shared_data / "label-errors" / "mnist_votes.parquet")["id"].to_pylist()
    with LabelAudit(spark.read.parquet(str(shared_data / "label-errors" / "mnist_test.parquet"))) as audit:
        issues = audit.find_label_issues(filter_by="low_normalized_margin", num_issues=100)
        assert len(votes) == 100
        assert ids(issues) == set(votes)


@pytest.mark.parametrize("setting", PAPER)
def test_the_papers_table_is_reproduced_to_its_digits(
    spark: SparkSession, shared_data: Path, setting: str
) -> None:
    path = shared_data / "cifar10-noise" / f"{setting}.parquet"
    table = pq.read_table(path, columns=["id", "label", "true_label"]).to_pandas().set_index("id")
    wrong = table.label != table.true_label
    with LabelAudit(spark.read.parquet(str(path))) as audit:
        for filter_by, printed in PAPER[setting].items():
            flagged = wrong.index.isin(ids(audit.find_label_issues(filter_by=filter_by)))
            hits = (flagged & wrong).sum()
            precision, recall = hits / flagged.sum(), hits / wrong.sum()
            found = (
                (flagged == wrong).mean(),
                2 * precision * recall / (precision + recall),
                precision,
                recall,
            )
            assert tuple(round(float(value), 2) for value in found) == printed, filter_by
