"""cleanlab 2.9.0 as oracle: its answers, from its public functions only.

Its sorts are unstable (tied rows, and even its calibrated joint, depend on the CPU), so `numpy.argsort` is
made stable before it is imported. Stable means: ascending score, lower row first, which is "the lower id
wins" where ids follow row order.
"""

import contextlib
import io
import os
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np

_argsort = np.argsort


def _stable_argsort(a: Any, axis: int = -1, kind: str | None = None, order: Any = None, **more: Any) -> Any:
    return _argsort(a, axis=axis, kind="stable", order=order)


np.argsort = _stable_argsort
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    os.environ.setdefault("TQDM_DISABLE", "1")
    from cleanlab import classification, count, dataset, filter, rank


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    with warnings.catch_warnings(), np.errstate(all="ignore"), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        yield


def issues(labels: np.ndarray, probs: np.ndarray, filter_by: str, **options: Any) -> set[int]:
    with _quiet():
        mask = filter.find_label_issues(labels, probs, filter_by=filter_by, n_jobs=1, **options)
    return set(np.flatnonzero(mask).tolist())


def ranking(labels: np.ndarray, probs: np.ndarray, rank_by: str, adjust: bool) -> list[int]:
    with _quiet():
        return filter.find_label_issues(
            labels,
            probs,
            n_jobs=1,
            return_indices_ranked_by=rank_by,
            rank_by_kwargs={"adjust_pred_probs": adjust},
        ).tolist()


def thresholds(labels: np.ndarray, probs: np.ndarray) -> np.ndarray:
    with _quiet():
        return count.get_confident_thresholds(labels, probs)


def confident_joint(labels: np.ndarray, probs: np.ndarray, calibrate: bool) -> np.ndarray:
    with _quiet():
        return count.compute_confident_joint(labels, probs, calibrate=calibrate)


def calibrated(joint: np.ndarray, labels: np.ndarray) -> np.ndarray:
    with _quiet():
        return count.calibrate_confident_joint(joint, labels)


def num_issues(labels: np.ndarray, probs: np.ndarray, method: str, **options: Any) -> int:
    with _quiet():
        return int(count.num_label_issues(labels, probs, estimation_method=method, **options))


def latent(labels: np.ndarray, joint: np.ndarray, method: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Prior of the true classes, noise matrix [given, true], inverse noise matrix [true, given]."""
    with _quiet():
        return count.estimate_latent(joint, labels, py_method=method)


def class_health(labels: np.ndarray, probs: np.ndarray) -> Any:
    with _quiet():
        return dataset.rank_classes_by_label_quality(labels, probs).set_index("Class Index").sort_index()


def overlapping(labels: np.ndarray, probs: np.ndarray, asymmetric: bool) -> Any:
    with _quiet():
        return dataset.find_overlapping_classes(labels, probs, asymmetric=asymmetric)


def overall_health(labels: np.ndarray, probs: np.ndarray) -> float:
    with _quiet():
        return float(dataset.overall_label_health_score(labels, probs, verbose=False))


def scores(labels: np.ndarray, probs: np.ndarray, method: str, adjust: bool = False) -> np.ndarray:
    with _quiet():
        return rank.get_label_quality_scores(labels, probs, method=method, adjust_pred_probs=adjust)


def learnt(
    model: Any, features: np.ndarray, labels: np.ndarray, probs: np.ndarray, **options: Any
) -> tuple[set[int], Any]:
    """The issues of CleanLearning with given probabilities, and the classifier it trains without them."""
    with _quiet():
        learning = classification.CleanLearning(model, find_label_issues_kwargs=options)
        learning.fit(features, labels, pred_probs=probs)
    return set(np.flatnonzero(learning.get_label_issues()["is_label_issue"]).tolist()), learning.clf
