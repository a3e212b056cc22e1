"""The noise experiment on wine: its findings and accuracies are plausible, and are those of the package."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pyspark.sql import SparkSession
from sklearn.metrics import accuracy_score

from scripts.noise_experiment.methods import METHODS, new_network
from scripts.noise_experiment.page import build_page
from scripts.noise_experiment.reading import summarise_corrections
from scripts.noise_experiment.results import CorrectionResult
from scripts.noise_experiment.run import parse_arguments, run_corrections
from scripts.noise_experiment.training import CONFIDENT_LEARNING, prune_weights, train_networks
from scripts.noise_experiment.trials import (
    FILTERS,
    Audited,
    Condition,
    NoisyData,
    audit_labels,
    draw_noise,
    list_conditions,
)

pytestmark = pytest.mark.slow

CONDITION = Condition("wine", 3, 0.2, (0.0,))
IMPOSSIBLE = Condition("wine", 3, 0.7, (0.0,))


@pytest.fixture(scope="module")
def corrected(spark: SparkSession) -> CorrectionResult:
    """One condition for one seed; its training is compared with `CleanLearning.fit` for each correction."""
    return run_corrections(spark, CONDITION, [0], check=True)


@pytest.fixture(scope="module")
def data(spark: SparkSession) -> NoisyData:
    return draw_noise(spark, CONDITION, seed=0)


@pytest.fixture(scope="module")
def audited(data: NoisyData) -> Audited:
    """The audit by the probabilities of the network, which was trained in Spark."""
    return audit_labels(data, new_network(3, seed=0), seed=0)


def test_pruning_is_not_worse_than_all_labels_and_not_better_than_true_ones(
    corrected: CorrectionResult,
) -> None:
    accuracies = {way: values[0] for way, values in corrected.accuracies.items()}
    assert accuracies["prune"] >= accuracies["all labels"] - 0.02
    assert accuracies["prune"] <= accuracies["true labels"]
    assert all(0.5 < accuracy <= 1 for accuracy in accuracies.values())


def test_cleanlab_prunes_the_same_examples_and_learns_as_much(corrected: CorrectionResult) -> None:
    assert corrected.num_same_if_stable == 1
    assert corrected.accuracies["prune"] == corrected.accuracies["cleanlab"]


@pytest.mark.parametrize("name", FILTERS)
def test_every_filter_finds_wrong_labels(name: str, corrected: CorrectionResult) -> None:
    (precision,), (recall,), (f1,) = (
        scores[name] for scores in (corrected.precision, corrected.recall, corrected.f1)
    )
    assert 0.2 < precision <= 1  # the share of wrong labels is 0.2
    assert 0 < recall <= 1
    assert f1 == pytest.approx(2 * precision * recall / (precision + recall))


def test_as_many_labels_are_wrong_as_the_noise_says(data: NoisyData) -> None:
    assert data.is_wrong.mean() == pytest.approx(CONDITION.noise, abs=0.02)
    assert data.accuracy(data.y_test) == 1.0


def test_networks_are_trained_by_every_method_and_on_what_every_filter_leaves(
    data: NoisyData, audited: Audited
) -> None:
    accuracies = train_networks(data, audited, CONDITION.noise, seed=0)
    assert {*accuracies} == {*METHODS, *CONFIDENT_LEARNING, "true_labels"}
    assert min(accuracies.values()) > 0.5
    assert accuracies["both"] >= accuracies["baseline"] - 0.02


def test_probabilities_of_the_network_are_out_of_sample(data: NoisyData, audited: Audited) -> None:
    np.testing.assert_allclose(audited.pred_probs.sum(axis=1), 1.0)
    network = new_network(3, seed=0).fit(data.X_train, data.y_given)
    in_sample = accuracy_score(data.y_given, network.predict(data.X_train))
    assert accuracy_score(data.y_given, audited.pred_probs.argmax(axis=1)) < in_sample - 0.1


def test_classes_that_lost_nothing_keep_their_weight() -> None:
    rates = np.array([[0.8, 0.0], [0.2, 1.0]])
    np.testing.assert_array_equal(prune_weights(np.array([0, 1]), np.array([0, 0, 1]), rates), [1.25, 1.0])
    assert prune_weights(np.array([0, 1]), np.array([0, 1]), rates) is None


def test_equal_matrices_are_one_condition_and_impossible_ones_are_listed() -> None:
    two_classes = list_conditions({"breast_cancer": 2}, [0.4], [0.0, 0.2, 0.4, 0.6])
    assert [condition.sparsity for condition in two_classes] == ["0, 0.2", "0.4, 0.6"]
    assert [condition.is_possible for condition in two_classes] == [True, False]
    assert [condition.bound for condition in two_classes] == [0.5, 0.25]


def test_the_page_shows_possible_and_impossible_conditions(corrected: CorrectionResult) -> None:
    compared = {name: [0.5] for name in (*METHODS, *CONFIDENT_LEARNING, "true_labels")}
    page = build_page(
        [CONDITION, IMPOSSIBLE],
        {CONDITION: corrected},
        [CONDITION, IMPOSSIBLE],
        {CONDITION: compared},
        1,
        "command",
    )
    assert page.count("| wine | 0.7 | 0 | not possible: noise must be below 0.667 |") == 4
    assert "Not possible: wine (noise 0.7, sparsity 0): noise must be below 0.667." in page
    assert "| INCV | **50.0** |" in page
    assert "has the highest mean in 0 of 1" in " ".join(page.split())  # all means are equal


def test_the_summary_names_conditions_where_pruning_does_not_help(corrected: CorrectionResult) -> None:
    accuracies = {**corrected.accuracies, "all labels": [0.9], "prune": [0.9], "cleanlab": [0.8]}
    equal = replace(corrected, accuracies=accuracies, num_same_issues=0)
    lines = " ".join(summarise_corrections({CONDITION: equal}))
    assert "in 0 of 1 conditions" in lines
    assert "wine (noise 0.2, sparsity 0): 90.0 against 90.0 %" in lines
    assert "10.00 points of accuracy in the mean" in lines
    assert "for 0 of 1 noisy data sets" in lines


def test_a_quick_run_writes_no_page_unless_told_to() -> None:
    assert parse_arguments(["--quick"]).output is None
    assert parse_arguments(["--quick", "--output", "page.md"]).output == Path("page.md")
    assert parse_arguments([]).output == Path("docs/experiments.md")


def test_unknown_data_sets_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse_arguments(["--datasets", "wine,iris"])
    assert "'iris' is none of digits, breast_cancer, wine" in capsys.readouterr().err
