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
import pandas as pd

_argsort = np.argsort


def _stable_argsort(a: Any, axis: int = -1, kind: str | None = None, order: Any = None, **more: Any) -> Any:
    return _argsort(a, axis=axis, kind="stable", order=order)


np.argsort = _stable_argsort
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    os.environ.setdefault("TQDM_DISABLE", "1")
    from cleanlab import classification, count, dataset, filter, rank
    from cleanlab import multiannotator as annotators


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


def multiannotator(labels: pd.DataFrame, probs: np.ndarray, consensus_method: str) -> dict[str, Any]:
    """labels: examples x annotators, NaN where there is none; probs: (n, K), or (models, n, K)."""
    with _quiet():
        if probs.ndim == 3:
            return annotators.get_label_quality_multiannotator_ensemble(labels, probs, verbose=False)
        return annotators.get_label_quality_multiannotator(
            labels, probs, consensus_method=consensus_method, verbose=False
        )


def active_learning_scores(
    labels: pd.DataFrame, probs: np.ndarray, unlabeled: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Without temperature scaling, which the oracle bases on miscounted vote shares."""
    found = annotators.find_best_temp_scaler
    annotators.find_best_temp_scaler = lambda *_, **__: 1.0
    try:
        with _quiet():
            if probs.ndim == 3:
                return annotators.get_active_learning_scores_ensemble(labels, probs, unlabeled)
            return annotators.get_active_learning_scores(labels, probs, unlabeled)
    finally:
        annotators.find_best_temp_scaler = found


def ensemble_scores(
    labels: np.ndarray, probs: list[np.ndarray], weights: Any, method: str, adjust_pred_probs: bool
) -> np.ndarray:
    """Label quality scores of several models."""
    how: dict[str, Any] = {"weight_ensemble_members_by": weights}
    if not isinstance(weights, str):
        how = {"weight_ensemble_members_by": "custom", "custom_weights": np.asarray(weights)}
    with _quiet():
        return rank.get_label_quality_ensemble_scores(
            labels, probs, method=method, adjust_pred_probs=adjust_pred_probs, verbose=False, **how
        )


def token_issues(labels: list[Any], probs: list[np.ndarray], filter_by: str) -> list[tuple[int, int]]:
    """Issues of tokens as pairs of sentence and position, the lowest self-confidence first."""
    from cleanlab.token_classification import filter as of_tokens

    with _quiet():
        found = of_tokens.find_label_issues(
            [of.tolist() for of in labels],
            probs,
            filter_by=filter_by,
            return_indices_ranked_by="self_confidence",
            n_jobs=1,
        )
    return [(int(sentence), int(token)) for sentence, token in found]


def sentence_scores(labels: list[Any], probs: list[np.ndarray], method: str, score: str) -> np.ndarray:
    """Label quality scores of sentences."""
    from cleanlab.token_classification import rank as of_tokens

    with _quiet():
        scores, _ = of_tokens.get_label_quality_scores(
            [of.tolist() for of in labels], probs, sentence_score_method=method, token_score_method=score
        )
    return np.asarray(scores)


def common_issues(
    issues: list[tuple[int, int]], tokens: list[list[str]], labels: list[Any], probs: list[np.ndarray]
) -> pd.DataFrame:
    """Texts, given and predicted class, and how often they are issues."""
    from cleanlab.token_classification import summary

    with _quiet():
        return summary.common_label_issues(
            issues, tokens, labels=[of.tolist() for of in labels], pred_probs=probs, top=10_000, verbose=False
        )
