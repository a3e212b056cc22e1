"""The network of the noise experiment: its gradients, its seed, and scikit-learn's contract."""

from collections.abc import Callable

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.utils.estimator_checks import check_estimator

from scripts.noise_experiment.datasets import load_split
from scripts.noise_experiment.losses import (
    Floats,
    HardBootstrapping,
    Loss,
    NoiseAdaptationLayer,
    SoftBootstrapping,
    SymmetricCrossEntropy,
    cross_entropy,
)
from scripts.noise_experiment.network import Network

NOISE_RATES = np.array([[0.7, 0.2, 0.1], [0.1, 0.6, 0.3], [0.25, 0.25, 0.5]])


def finite_differences(value: Callable[[], float], parameters: Floats, step: float = 1e-6) -> Floats:
    """The gradient of a value by each parameter, which is moved a little to both sides."""
    gradient = np.empty_like(parameters)
    for index, parameter in np.ndenumerate(parameters):
        parameters[index] = parameter + step
        above = value()
        parameters[index] = parameter - step
        gradient[index] = (above - value()) / (2 * step)
        parameters[index] = parameter
    return gradient


def small_data(num_rows: int = 12) -> tuple[Floats, np.ndarray]:
    random = np.random.default_rng(3)
    return random.normal(size=(num_rows, 4)), np.arange(num_rows) % 3


@pytest.mark.parametrize(
    "loss",
    [
        cross_entropy,
        SymmetricCrossEntropy(),
        SoftBootstrapping(),
        HardBootstrapping(),
        NoiseAdaptationLayer(np.log(NOISE_RATES)),
    ],
    ids=["cross_entropy", "symmetric", "soft_bootstrapping", "hard_bootstrapping", "noise_adaptation"],
)
@pytest.mark.parametrize("is_soft", [False, True], ids=["one_hot", "soft"])
def test_gradients_are_those_of_finite_differences(loss: Loss, is_soft: bool) -> None:
    network = Network(hidden=5, l2=0.1, random_state=0)
    rows, targets = network.initialise(*small_data())
    network.parameters_ += np.random.default_rng(1).normal(0.0, 0.5, network.parameters_.shape)
    if is_soft:
        targets = 0.7 * targets + 0.3 * targets[::-1]
    weights = np.linspace(0.0, 2.0, len(rows))
    expected = finite_differences(
        lambda: network.gradient(rows, targets, loss, weights)[0], network.parameters_
    )
    np.testing.assert_allclose(network.gradient(rows, targets, loss, weights)[1], expected, atol=1e-7)


def test_the_gradient_of_the_noise_layer_is_that_of_finite_differences() -> None:
    logits = np.random.default_rng(0).normal(size=(12, 3))
    targets = np.eye(3)[np.arange(12) % 3]
    layer = NoiseAdaptationLayer(np.log(NOISE_RATES))
    expected = finite_differences(lambda: float(layer(logits, targets)[0].mean()), layer.logits)
    np.testing.assert_allclose(layer.gradient(logits, targets), expected, atol=1e-8)


def test_the_reverse_cross_entropy_of_a_label_is_minus_a_times_the_other_classes_probability() -> None:
    losses, _ = SymmetricCrossEntropy(alpha=0.0, beta=1.0, log_zero=-6.0)(
        np.log(np.array([[0.2, 0.3, 0.5]])), np.array([[0.0, 1.0, 0.0]])
    )
    np.testing.assert_allclose(losses, 6 * 0.7)


def test_the_noise_layer_starts_at_the_confusion() -> None:
    probs = np.array([[0.8, 0.2], [0.6, 0.4], [0.1, 0.9]])
    layer = NoiseAdaptationLayer.from_confusion(probs, np.eye(2)[[0, 1, 1]])
    np.testing.assert_allclose(layer.noise_rates, [[0.8 / 1.5, 0.7 / 1.5], [0.2 / 1.5, 1.3 / 1.5]])


def test_the_same_seed_gives_the_same_model() -> None:
    split = load_split("wine", seed=0)
    first, again, other = (
        Network(epochs=5, random_state=seed).fit(split.X_train, split.y_train).predict_proba(split.X_test)
        for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 0.01


def test_fitting_again_forgets_what_was_learnt_before() -> None:
    X, y = small_data()
    network = Network(epochs=5, random_state=1).fit(X, y[::-1])
    np.testing.assert_array_equal(
        network.fit(X, y).predict_proba(X), Network(epochs=5, random_state=1).fit(X, y).predict_proba(X)
    )


def test_the_network_keeps_the_contract_of_scikit_learn() -> None:
    check_estimator(
        Network(learning_rate=0.01, random_state=0),
        expected_failed_checks={
            "check_sample_weight_equivalence_on_dense_data": "batches differ when rows are repeated"
        },
        on_skip=None,
    )


def test_a_clone_has_the_settings_but_not_the_weights() -> None:
    network = Network(hidden=7, loss=SymmetricCrossEntropy(alpha=0.5), random_state=0).fit(*small_data())
    copy = clone(network)
    assert copy.get_params() == network.get_params()
    assert not hasattr(copy, "classes_")


def test_it_learns_digits() -> None:
    split = load_split("digits", seed=0)
    network = Network(random_state=0).fit(split.X_train, split.y_train)
    assert network.score(split.X_test, split.y_test) > 0.95


def test_rows_of_weight_zero_teach_nothing() -> None:
    X, y = small_data()
    weights = np.where(np.arange(len(X)) < 6, 0.0, 1.0)
    wrong = np.where(weights == 0, (y + 1) % 3, y)
    right, ignored = (
        Network(epochs=5, num_classes=3, random_state=0)
        .fit(X, labels, sample_weight=weights)
        .predict_proba(X)
        for labels in (y, wrong)
    )
    np.testing.assert_array_equal(right, ignored)


def test_only_the_ratios_of_weights_count() -> None:
    X, y = small_data()
    once, twice, none = (
        Network(epochs=5, random_state=0).fit(X, y, sample_weight=weights).predict_proba(X)
        for weights in (np.ones(len(X)), np.full(len(X), 2.0), None)
    )
    np.testing.assert_array_equal(once, twice)
    np.testing.assert_array_equal(once, none)


def test_labels_may_be_names() -> None:
    X, y = small_data()
    network = Network(epochs=2, random_state=0).fit(X, np.array(["b", "c", "a"])[y])
    assert network.classes_.tolist() == ["a", "b", "c"]
    assert set(network.predict(X)) <= {"a", "b", "c"}


def test_a_class_that_does_not_occur_has_a_probability_where_the_number_of_classes_is_given() -> None:
    X, y = small_data()
    probs = Network(num_classes=5, random_state=0).fit(X, y).predict_proba(X)
    assert probs.shape == (12, 5)
    np.testing.assert_allclose(probs.sum(axis=1), 1.0)
    assert probs[:, 3:].max() < 0.1


@pytest.mark.parametrize(
    ("labels", "weights", "message"),
    [
        ([0, 1, 3], None, "from 0 to 2; they are from 0 to 3"),
        ([-1, 1, 2], None, "from 0 to 2; they are from -1 to 2"),
        (["a", "b", "c"], None, "class indices"),
        ([0, 1, 2], [1.0, 2.0], r"the shape \(3,\), one per row; it has \(2,\)"),
        ([0, 1, 2], [1.0, -1.0, 1.0], "not negative"),
        ([0, 1, 2], [1.0, np.nan, 1.0], "finite"),
        ([0, 1, 2], [0.0, 0.0, 0.0], "not zero for all rows"),
    ],
)
def test_wrong_labels_and_weights_are_refused(
    labels: list[object], weights: list[float] | None, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        Network(num_classes=3).fit(np.eye(3), np.array(labels), sample_weight=weights)
