"""The Spark audit, whole, against the oracle: one audit per data set answers everything."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from pyspark.sql import SparkSession

from cl_spark import LabelAudit
from cl_spark.methods.classification.filters import FILTERS
from tests.frames import by_class, dense, ids, predictions
from tests.oracle import cleanlab_oracle as oracle
from tests.oracle import reference
from tests.oracle.datasets import Data, dataset, datasets

pytestmark = pytest.mark.slow
PRUNING = ("prune_by_noise_rate", "prune_by_class", "both")

CORNERS = {
    "two classes": dataset(1, 120, 2),
    "two classes, heavy ties": dataset(2, 200, 2, digits=1),
    "imbalanced, classes missing": dataset(3, 300, 8, missing=2, imbalance=1.5),
    "a class never confident": dataset(4, 250, 5, never_confident=True),
    "heavy ties": dataset(5, 400, 4, digits=1),
    "ties, many classes": dataset(6, 400, 30, digits=2, missing=3),
    "200 classes": dataset(7, 400, 200),
}


@pytest.mark.parametrize("name", CORNERS)
def test_every_answer_equals_the_oracles(spark: SparkSession, name: str) -> None:
    data = CORNERS[name]
    labels, probs, classes = data.labels, data.probs, data.classes
    with LabelAudit(predictions(spark, labels, probs)) as audit:
        for filter_by in FILTERS:
            expected = (reference if filter_by == "off_diagonal" else oracle).issues(labels, probs, filter_by)
            assert ids(audit.find_label_issues(filter_by=filter_by)) == expected, filter_by

        np.testing.assert_allclose(
            by_class(audit.confident_thresholds(), "threshold"), oracle.thresholds(labels, probs), rtol=1e-12
        )
        for calibrate in (False, True):
            ours = dense(audit.confident_joint(calibrate=calibrate), "count", classes)
            assert np.array_equal(ours, oracle.confident_joint(labels, probs, calibrate=calibrate))
        _same_noise(audit, labels, probs)
        _same_health(audit, labels, probs)

        for method in ("off_diagonal", "off_diagonal_calibrated"):
            assert audit.num_label_issues(estimation_method=method) == oracle.num_issues(
                labels, probs, method
            )
        joint = np.asfortranarray(reference.raised_joint(labels, probs))
        ours = audit.num_label_issues(estimation_method="off_diagonal_custom", confident_joint=joint)
        assert ours == oracle.num_issues(labels, probs, "off_diagonal_custom", confident_joint=joint)

        probabilities = probs.max() <= 1
        for method in ("self_confidence", "normalized_margin", "confidence_weighted_entropy"):
            if probabilities:
                scores = audit.label_quality_scores(method=method).orderBy("id").toPandas().label_quality
                np.testing.assert_allclose(scores, oracle.scores(labels, probs, method), atol=1e-6)
        adjusted = audit.label_quality_scores(method="normalized_margin", adjust_pred_probs=True)
        expected = oracle.scores(labels, probs, "normalized_margin", adjust=True)
        np.testing.assert_allclose(adjusted.orderBy("id").toPandas().label_quality, expected, atol=1e-6)


def _same_noise(audit: LabelAudit, labels: np.ndarray, probs: np.ndarray) -> None:
    classes = probs.shape[1]
    joint = oracle.confident_joint(labels, probs, calibrate=True)
    rates = audit.noise_rates().rates
    for method in ("cnt", "marginal", "marginal_ps", "eqn"):
        try:
            prior, noise, inverse = oracle.latent(labels, joint, method)
        except np.linalg.LinAlgError:
            continue  # a class nothing is of: the oracle cannot solve it either
        if method == "cnt":
            np.testing.assert_allclose(dense(rates, "noise_rate", classes), np.nan_to_num(noise), atol=1e-9)
            np.testing.assert_allclose(
                dense(rates, "inverse_noise_rate", classes).T, np.nan_to_num(inverse), atol=1e-9
            )
        np.testing.assert_allclose(
            by_class(audit.noise_rates(method=method).prior, "prior"), prior, atol=1e-9
        )


def _same_health(audit: LabelAudit, labels: np.ndarray, probs: np.ndarray) -> None:
    health, theirs = audit.health_summary(), oracle.class_health(labels, probs)
    for ours, column in {
        "estimated_label_issues": "Label Issues",
        "estimated_inverse_label_issues": "Inverse Label Issues",
        "label_noise": "Label Noise",
        "inverse_label_noise": "Inverse Label Noise",
        "class_quality": "Label Quality Score",
    }.items():
        np.testing.assert_allclose(
            by_class(health.class_health, ours), theirs[column], atol=1e-9, err_msg=column
        )
    assert health.overall_health == pytest.approx(oracle.overall_health(labels, probs), abs=1e-12)
    for asymmetric in (False, True):
        pairs = audit.health_summary(asymmetric=asymmetric).overlapping_classes.collect()
        expected = oracle.overlapping(labels, probs, asymmetric)
        probability = {
            (row["Class Index A"], row["Class Index B"]): (
                row["Joint Probability"],
                row["Num Overlapping Examples"],
            )
            for _, row in expected.iterrows()
            if row["Joint Probability"] > 0
        }
        assert {(row.class_a, row.class_b) for row in pairs} == set(probability)
        for row in pairs:
            share, count = probability[row.class_a, row.class_b]
            assert row.joint_probability == pytest.approx(share, abs=1e-12)
            assert row.examples == count


@pytest.mark.parametrize(
    "options",
    [
        {"frac_noise": 0.5},
        {"min_examples_per_class": 0},
        {"min_examples_per_class": 5, "frac_noise": 0.3},
        {"min_examples_per_class": 30},
    ],
    ids=str,
)
def test_pruning_options_flag_the_oracles_rows(spark: SparkSession, options: dict[str, float]) -> None:
    data = dataset(21, 400, 6, imbalance=1.5, digits=2)
    with LabelAudit(predictions(spark, data.labels, data.probs)) as audit:
        for filter_by in PRUNING:
            expected = oracle.issues(data.labels, data.probs, filter_by, **options)
            assert ids(audit.find_label_issues(filter_by=filter_by, **options)) == expected, filter_by


def test_numbers_to_remove_follow_the_given_class(spark: SparkSession) -> None:
    data, wanted = dataset(22, 300, 4), [9, 0, 3, 14]
    with LabelAudit(predictions(spark, data.labels, data.probs)) as audit:
        for filter_by in PRUNING:
            find = oracle if filter_by == "prune_by_class" else reference
            expected = find.issues(data.labels, data.probs, filter_by, num_to_remove_per_class=wanted)
            assert (
                ids(audit.find_label_issues(filter_by=filter_by, num_to_remove_per_class=wanted)) == expected
            )


@pytest.mark.parametrize("rank_by", ["self_confidence", "normalized_margin", "confidence_weighted_entropy"])
@pytest.mark.parametrize("adjust", [False, True])
def test_issues_are_ranked_as_by_the_oracle(spark: SparkSession, rank_by: str, adjust: bool) -> None:
    if adjust and rank_by == "confidence_weighted_entropy":
        return
    data = dataset(23, 300, 5)
    with LabelAudit(predictions(spark, data.labels, data.probs)) as audit:
        issues = audit.find_label_issues(rank_by=rank_by, adjust_pred_probs=adjust).orderBy("rank").toPandas()
    assert issues.id.tolist() == oracle.ranking(data.labels, data.probs, rank_by, adjust)
    assert issues["rank"].tolist() == list(range(1, len(issues) + 1))


def test_float_arrays_give_the_rows_of_their_doubles(spark: SparkSession) -> None:
    data = dataset(24, 300, 7, dtype="float32")
    with LabelAudit(predictions(spark, data.labels, data.probs, element="float")) as audit:
        for filter_by in FILTERS[:7]:
            assert ids(audit.find_label_issues(filter_by=filter_by)) == oracle.issues(
                data.labels, data.probs, filter_by
            )


def test_logits_are_audited_by_the_methods_that_do_not_depend_on_scale(spark: SparkSession) -> None:
    data = dataset(25, 300, 5)
    logits = np.log(data.probs) * 3 + 1
    assert logits.min() < 0 < 1 < logits.max() + 1
    with LabelAudit(predictions(spark, data.labels, logits)) as audit:
        for filter_by in FILTERS:
            expected = reference.issues(data.labels, logits, filter_by)
            assert ids(audit.find_label_issues(filter_by=filter_by)) == expected, filter_by


@settings(max_examples=5, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(data=datasets)
def test_random_data_sets_flag_the_oracles_rows(spark: SparkSession, data: Data) -> None:
    with LabelAudit(predictions(spark, data.labels, data.probs, seed=data.seed)) as audit:
        for filter_by in FILTERS[:7]:
            assert ids(audit.find_label_issues(filter_by=filter_by)) == oracle.issues(
                data.labels, data.probs, filter_by
            )
