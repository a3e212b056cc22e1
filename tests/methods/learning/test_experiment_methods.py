"""The methods of the noise experiment on digits: they learn, and the parts of each do what its paper says."""

from dataclasses import dataclass

import numpy as np
import pytest

from scripts.noise_experiment.datasets import DATASETS, flip_uniformly, load_split
from scripts.noise_experiment.methods import (
    METHODS,
    MOST_REMOVED,
    AdaptedNetwork,
    Classifier,
    Mixup,
    SelectiveNetwork,
    co_teaching,
    incv,
    methods_given,
    noise_rate_from_agreement,
    remove_ratio,
    s_model,
)

NOISE_RATE = 0.4


@dataclass(frozen=True)
class Digits:
    """Digits of which 600 have labels, and a share of these are wrong."""

    X_train: np.ndarray
    y_train: np.ndarray
    y_noisy: np.ndarray
    X_test: np.ndarray
    y_test: np.ndarray

    def accuracy(self, model: Classifier) -> float:
        return float(np.mean(model.predict_proba(self.X_test).argmax(axis=1) == self.y_test))


@pytest.fixture(scope="module")
def digits() -> Digits:
    split = load_split("digits", seed=0)
    y_train = split.y_train[:600]
    y_noisy = flip_uniformly(y_train, 10, NOISE_RATE, seed=0)
    return Digits(split.X_train[:600], y_train, y_noisy, split.X_test, split.y_test)


@pytest.fixture(scope="module")
def fitted(digits: Digits) -> dict[str, Classifier]:
    """Each method fitted on the noisy labels."""
    return {
        name: method(digits.X_train, digits.y_noisy, 10, 0)
        for name, method in methods_given(NOISE_RATE).items()
    }


@pytest.mark.parametrize("name", METHODS)
def test_every_method_learns_clean_digits(name: str, digits: Digits) -> None:
    model = methods_given(0.0)[name](digits.X_train, digits.y_train, 10, 0)
    assert digits.accuracy(model) > 0.85


@pytest.mark.parametrize("name", METHODS)
def test_every_method_learns_something_where_four_labels_of_ten_are_wrong(
    name: str, digits: Digits, fitted: dict[str, Classifier]
) -> None:
    assert digits.accuracy(fitted[name]) > 0.5


def test_methods_that_choose_their_examples_do_better_than_the_baseline(
    digits: Digits, fitted: dict[str, Classifier]
) -> None:
    accuracies = {name: digits.accuracy(model) for name, model in fitted.items()}
    assert min(accuracies["co_teaching"], accuracies["incv"]) > accuracies["baseline"]


@pytest.mark.parametrize("name", METHODS)
def test_the_same_seed_gives_the_same_probabilities_of_all_classes(name: str) -> None:
    split = load_split("wine", seed=0)
    first, again = (METHODS[name](split.X_train, split.y_train, 4, 5) for _ in range(2))
    probs = first.predict_proba(split.X_test)
    assert probs.shape == (60, 4)
    np.testing.assert_allclose(probs.sum(axis=1), 1.0)
    np.testing.assert_array_equal(probs, again.predict_proba(split.X_test))


@pytest.mark.parametrize("name", ["co_teaching", "incv"])
def test_the_selected_examples_have_fewer_wrong_labels(
    name: str, digits: Digits, fitted: dict[str, Classifier]
) -> None:
    model = fitted[name]
    assert isinstance(model, SelectiveNetwork)
    is_wrong = digits.y_noisy != digits.y_train
    assert is_wrong[model.selected].mean() < NOISE_RATE / 2
    assert model.selected[~is_wrong].mean() > 0.6


def test_co_teaching_keeps_the_share_of_each_batch_that_is_not_to_be_forgotten(
    fitted: dict[str, Classifier],
) -> None:
    model = fitted["co_teaching"]
    assert isinstance(model, SelectiveNetwork)
    assert model.noise_rate == NOISE_RATE
    # 600 rows are nine batches of 64 and one of 24, each rounded down
    assert model.selected.sum() == 9 * 38 + 14


def test_co_teaching_estimates_the_noise_rate_it_is_not_told(digits: Digits) -> None:
    y_noisy = flip_uniformly(digits.y_train, 10, 0.2, seed=0)
    assert co_teaching(digits.X_train, digits.y_train, 10, 0).noise_rate < 0.1
    assert co_teaching(digits.X_train, y_noisy, 10, 0).noise_rate == pytest.approx(0.2, abs=0.1)


def test_incv_estimates_the_noise_rate(digits: Digits) -> None:
    y_noisy = flip_uniformly(digits.y_train, 10, 0.2, seed=0)
    assert incv(digits.X_train, digits.y_train, 10, 0).noise_rate < 0.1
    assert incv(digits.X_train, y_noisy, 10, 0).noise_rate == pytest.approx(0.2, abs=0.1)


@pytest.mark.parametrize("num_classes", [2, 10])
@pytest.mark.parametrize("noise_rate", [0.0, 0.1, 0.4, 0.5])
def test_the_noise_rate_follows_from_the_agreement(noise_rate: float, num_classes: int) -> None:
    agreement = (1 - noise_rate) ** 2 + noise_rate**2 / (num_classes - 1)
    assert noise_rate_from_agreement(agreement, num_classes) == pytest.approx(noise_rate, abs=1e-7)


def test_labels_that_are_predicted_more_rarely_than_by_chance_say_nothing() -> None:
    assert noise_rate_from_agreement(0.05, 10) == pytest.approx(0.9)
    assert noise_rate_from_agreement(0.4, 2) == pytest.approx(0.5)


def test_incv_removes_more_examples_the_more_noise_there_is_up_to_a_bound() -> None:
    assert remove_ratio(0.0) == 0.0
    assert remove_ratio(0.4) == pytest.approx(2 / 3)
    assert remove_ratio(0.9) == MOST_REMOVED


def test_the_matrix_of_the_s_model_stays_row_stochastic(fitted: dict[str, Classifier]) -> None:
    model = fitted["s_model"]
    assert isinstance(model, AdaptedNetwork)
    assert model.noise_rates.shape == (10, 10)
    assert model.noise_rates.min() >= 0
    np.testing.assert_allclose(model.noise_rates.sum(axis=1), 1.0)


def test_the_s_model_finds_more_noise_where_there_is_more(
    digits: Digits, fitted: dict[str, Classifier]
) -> None:
    noisy = fitted["s_model"]
    clean = s_model(digits.X_train, digits.y_train, 10, 0)
    assert isinstance(noisy, AdaptedNetwork)
    assert np.diag(noisy.noise_rates).mean() < np.diag(clean.noise_rates).mean() - 0.05


def test_mixup_mixes_rows_and_targets_alike() -> None:
    targets = np.eye(4)[[0, 1, 2, 3, 0]]
    rows, mixed = Mixup(alpha=1.0)(targets * 2, targets, np.random.RandomState(0))
    np.testing.assert_allclose(rows, mixed * 2)
    np.testing.assert_allclose(mixed.sum(axis=1), 1.0)
    assert np.abs(mixed - targets).max() > 0


@pytest.mark.parametrize("name", DATASETS)
def test_splits_keep_the_proportions_of_the_classes_and_differ_by_seed(name: str) -> None:
    split, other = load_split(name, seed=0), load_split(name, seed=1)
    shares = [np.bincount(y, minlength=split.num_classes) / len(y) for y in (split.y_train, split.y_test)]
    np.testing.assert_allclose(shares[0], shares[1], atol=0.02)
    assert not np.array_equal(split.X_test, other.X_test)


def test_an_unknown_data_set_is_refused() -> None:
    with pytest.raises(ValueError, match=r"digits, breast_cancer, wine; it is 'iris'"):
        load_split("iris", seed=0)


def test_uniform_noise_gives_a_share_of_the_rows_another_label() -> None:
    y = np.arange(3000) % 3
    noisy = flip_uniformly(y, 3, 0.3, seed=0)
    assert (noisy != y).sum() == 900
    counts = np.bincount((noisy - y)[noisy != y] % 3, minlength=3)
    assert counts[0] == 0
    assert counts[1:].min() > 400
    np.testing.assert_array_equal(noisy, flip_uniformly(y, 3, 0.3, seed=0))
