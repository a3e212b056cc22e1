"""Random data sets that reach the corners: imbalance, missing classes, ties, classes that are never
confident.
"""

from dataclasses import dataclass

import numpy as np
from hypothesis import strategies as st


@dataclass(frozen=True)
class Data:
    labels: np.ndarray
    probs: np.ndarray
    seed: int

    @property
    def classes(self) -> int:
        return self.probs.shape[1]


def dataset(
    seed: int,
    n: int,
    classes: int,
    *,
    digits: int | None = None,
    missing: int = 0,
    imbalance: float = 0.0,
    never_confident: bool = False,
    dtype: str = "float64",
) -> Data:
    """Labels drawn from noisy probabilities; at least two classes are labelled."""
    rng = np.random.default_rng(seed)
    prior = (1 + np.arange(classes)) ** -imbalance
    if missing:
        prior[rng.choice(classes, min(missing, classes - 2), replace=False)] = 0
    true = rng.choice(classes, n, p=prior / prior.sum())
    logits = rng.normal(size=(n, classes))
    logits[np.arange(n), true] += rng.normal(3, 1.5, n)
    if never_confident:
        logits[:, rng.integers(classes)] -= 6
    probs = np.exp(logits)
    probs /= probs.sum(axis=1, keepdims=True)
    present = np.flatnonzero(prior)
    labels = np.where(rng.random(n) < 0.2, rng.choice(present, n), true)
    labels[:2] = present[:2]
    if digits is not None:
        probs = probs.round(digits)
    return Data(labels.astype(np.int64), probs.astype(dtype).astype(np.float64), seed)


datasets = st.builds(
    dataset,
    seed=st.integers(0, 2**31),
    n=st.integers(20, 400),
    classes=st.one_of(st.integers(2, 12), st.sampled_from([25, 60, 200])),
    digits=st.sampled_from([None, None, 1, 2, 3]),
    missing=st.integers(0, 3),
    imbalance=st.sampled_from([0.0, 0.5, 1.5]),
    never_confident=st.booleans(),
    dtype=st.sampled_from(["float64", "float32"]),
)
