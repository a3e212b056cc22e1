"""Data of the experiment: three sets that scikit-learn brings, split by a seed, and labels made wrong."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_breast_cancer, load_digits, load_wine
from sklearn.model_selection import train_test_split

from scripts.noise_experiment.losses import Floats

DATASETS: Mapping[str, Callable[..., Any]] = {
    "digits": load_digits,
    "breast_cancer": load_breast_cancer,
    "wine": load_wine,
}
"""Loaders by name: 1,797 rows of 10 classes, 569 of 2, and 178 of 3."""


@dataclass(frozen=True)
class Split:
    """Training and test rows with their true labels.

    Attributes:
        num_classes: K; labels are from 0 to K - 1.
        X_train: (n, d) training rows.
        y_train: (n,) their true labels.
        X_test: (m, d) test rows.
        y_test: (m,) their true labels.
    """

    num_classes: int
    X_train: Floats
    y_train: NDArray[np.int64]
    X_test: Floats
    y_test: NDArray[np.int64]


def load_split(name: str, seed: int, test_share: float = 1 / 3) -> Split:
    """Load a data set and split it, each class in the same proportion.

    Args:
        name: one of `DATASETS`.
        seed: of the split.
        test_share: share of test rows. A third leaves about 1,200 training rows of digits.

    Raises:
        ValueError: if there is no such data set.

    Example:
        >>> split = load_split("wine", seed=0)
        >>> split.num_classes, split.X_train.shape, split.X_test.shape
        (3, (118, 13), (60, 13))
    """
    if name not in DATASETS:
        raise ValueError(f"the data set must be one of {', '.join(DATASETS)}; it is {name!r}")
    X, y = DATASETS[name](return_X_y=True)
    X_train, X_test, y_train, y_test = train_test_split(
        X.astype(np.float64), y.astype(np.int64), test_size=test_share, stratify=y, random_state=seed
    )
    return Split(int(y.max()) + 1, X_train, y_train, X_test, y_test)


def flip_uniformly(y: NDArray[np.int64], num_classes: int, noise_rate: float, seed: int) -> NDArray[np.int64]:
    """Give a share of the rows another label, each other class being as likely.

    Args:
        y: (n,) labels from 0 to K - 1.
        num_classes: K.
        noise_rate: share of the rows, rounded to a whole number of them.
        seed: of the choice of rows and labels.

    Example:
        >>> y = np.array([0, 1, 2, 0])
        >>> int((flip_uniformly(y, 3, 0.5, seed=0) != y).sum())
        2
    """
    random = np.random.default_rng(seed)
    flipped = random.permutation(len(y))[: round(noise_rate * len(y))]
    noisy = y.copy()
    noisy[flipped] = (noisy[flipped] + random.integers(1, num_classes, len(flipped))) % num_classes
    return noisy
