"""Digits with planted faults: a wrong label, a copy, an outlier, a rare class, an order, missing features."""

from functools import cache

import numpy as np
import pandas as pd
from sklearn.datasets import load_digits

WRONG, COPY, FAR, EMPTY = 7, 9, 11, 13
"""Ids of the row with a wrong label, the copy of the row before, the outlier, the row without features."""


@cache
def digits() -> pd.DataFrame:
    """270 rows in the order of their labels, of which class 3 has two only."""
    found = load_digits()
    features, labels = found.data[:300], found.target[:300]
    kept = np.r_[np.flatnonzero(labels != 3), np.flatnonzero(labels == 3)[:2]]
    kept = kept[np.argsort(labels[kept], kind="stable")]
    features, labels = features[kept].copy(), labels[kept].copy()
    rng = np.random.default_rng(0)
    probs = rng.dirichlet(np.ones(10), len(labels))
    probs[np.arange(len(labels)), labels] += 1
    labels[WRONG] = 5
    features[COPY] = features[COPY - 1]
    features[FAR] = np.where(np.arange(64) == 0, 16.0, 0.0)
    features[EMPTY] = np.nan
    return pd.DataFrame(
        {
            "id": np.arange(len(labels)),
            "label": labels,
            "features": list(features),
            "pred_probs": list(probs / probs.sum(axis=1, keepdims=True)),
            "at": np.arange(len(labels)),
            "source": np.where(np.arange(len(labels)) < 12, "phone", "scan"),
        }
    )
