"""The audit as functions: each asks one question of a `LabelAudit` of its own.

For several questions about the same data, make one `LabelAudit`: it scans the data once, and can be released.
The evidence behind a DataFrame that is returned here stays until that DataFrame is garbage-collected; in
files (`evidence_path`) until Python ends.
"""

from collections.abc import Sequence
from typing import Any

import pandas as pd
from numpy.typing import ArrayLike
from pyspark.sql import DataFrame, SparkSession

from cl_spark.methods.classification.health import HealthSummary
from cl_spark.methods.classification.label_audit import LabelAudit
from cl_spark.methods.classification.noise import NoiseRates


def find_label_issues(
    df: DataFrame | pd.DataFrame,
    *,
    id_col: str | Sequence[str] = "id",
    label_col: str = "label",
    pred_probs_col: str | Sequence[str] = "pred_probs",
    pred_probs_cols: Sequence[str] = (),
    class_names: Sequence[str] | None = None,
    num_classes: int | None = None,
    absent_prob: float = 0.0,
    probabilities: bool = False,
    check_ids: bool = True,
    filter_by: str = "prune_by_noise_rate",
    rank_by: str = "self_confidence",
    adjust_pred_probs: bool = False,
    frac_noise: float = 1.0,
    num_to_remove_per_class: Sequence[int] | None = None,
    min_examples_per_class: int = 1,
    num_issues: int | str | None = None,
    spark: SparkSession | None = None,
) -> DataFrame:
    """Find the examples whose label is probably wrong, and rank them: see `LabelAudit.find_label_issues`.

    The arguments are those of `LabelAudit` and of that method.

    Example:
        >>> issues = find_label_issues(df)
        >>> ", ".join(issues.columns)
        'id, given_label, suggested_label, label_quality, self_confidence, normalized_margin, rank'
    """
    audit = LabelAudit(
        df,
        id_col=id_col,
        label_col=label_col,
        pred_probs_col=pred_probs_col,
        pred_probs_cols=pred_probs_cols,
        class_names=class_names,
        num_classes=num_classes,
        absent_prob=absent_prob,
        probabilities=probabilities,
        check_ids=check_ids,
        spark=spark,
    )
    return audit.find_label_issues(
        filter_by=filter_by,
        rank_by=rank_by,
        adjust_pred_probs=adjust_pred_probs,
        frac_noise=frac_noise,
        num_to_remove_per_class=num_to_remove_per_class,
        min_examples_per_class=min_examples_per_class,
        num_issues=num_issues,
    )


def label_quality_scores(
    df: DataFrame | pd.DataFrame,
    *,
    method: str = "self_confidence",
    adjust_pred_probs: bool = False,
    **columns: Any,
) -> DataFrame:
    """Score the label of every example: see `LabelAudit.label_quality_scores`.

    Args:
        df: one row per example.
        method: the label quality score.
        adjust_pred_probs: score adjusted probabilities.
        columns: id_col, label_col, pred_probs_col, class_names and others, as for `LabelAudit`.

    Example:
        >>> label_quality_scores(df).columns
        ['id', 'given_label', 'predicted_label', 'label_quality']
    """
    audit = LabelAudit(df, **columns)
    return audit.label_quality_scores(method=method, adjust_pred_probs=adjust_pred_probs)


def ensemble_label_quality_scores(
    df: DataFrame | pd.DataFrame,
    pred_probs_cols: Sequence[str],
    weights: str | Sequence[float] = "uniform",
    *,
    method: str = "self_confidence",
    adjust_pred_probs: bool = False,
    **columns: Any,
) -> DataFrame:
    """Score the label of every example by several models: see `LabelAudit.ensemble_label_quality_scores`.

    Args:
        df: one row per example.
        pred_probs_cols: columns of predicted probabilities, each of a model, a fold or an epoch.
        weights: "uniform", "accuracy", "log_loss_search", or a number for each model.
        method: label quality score of each model.
        adjust_pred_probs: score adjusted probabilities.
        columns: id_col, label_col, class_names and others, as for `LabelAudit`.

    Example:
        >>> models = df.withColumn("second", df.pred_probs)
        >>> ", ".join(ensemble_label_quality_scores(models, ["pred_probs", "second"]).columns[3:6])
        'label_quality, correctness, disagreement'
    """
    audit = LabelAudit(df, pred_probs_cols=pred_probs_cols, **columns)
    return audit.ensemble_label_quality_scores(
        weights=weights, method=method, adjust_pred_probs=adjust_pred_probs
    )


def confident_thresholds(df: DataFrame | pd.DataFrame, **columns: Any) -> DataFrame:
    """Confident threshold of each class: see `LabelAudit.confident_thresholds`.

    Example:
        >>> confident_thresholds(df).columns
        ['class', 'examples', 'threshold']
    """
    with LabelAudit(df, **columns) as audit:
        return audit.confident_thresholds()


def confident_joint(df: DataFrame | pd.DataFrame, *, calibrate: bool = True, **columns: Any) -> DataFrame:
    """Non-zero cells of the confident joint: see `LabelAudit.confident_joint`.

    Example:
        >>> confident_joint(df, calibrate=False).columns
        ['given_label', 'true_label', 'count']
    """
    audit = LabelAudit(df, **columns)
    return audit.confident_joint(calibrate=calibrate)


def noise_rates(df: DataFrame | pd.DataFrame, *, method: str = "cnt", **columns: Any) -> NoiseRates:
    """Noise rates, inverse noise rates and the prior of the true classes: see `LabelAudit.noise_rates`.

    Example:
        >>> noise_rates(df).prior.columns
        ['class', 'prior']
    """
    audit = LabelAudit(df, **columns)
    return audit.noise_rates(method=method)


def num_label_issues(
    df: DataFrame | pd.DataFrame,
    *,
    estimation_method: str = "off_diagonal",
    confident_joint: ArrayLike | None = None,
    **columns: Any,
) -> int:
    """Estimate the number of label issues: see `LabelAudit.num_label_issues`.

    Example:
        >>> num_label_issues(df) >= 0
        True
    """
    with LabelAudit(df, **columns) as audit:
        return audit.num_label_issues(estimation_method=estimation_method, confident_joint=confident_joint)


def health_summary(
    df: DataFrame | pd.DataFrame, *, asymmetric: bool = False, **columns: Any
) -> HealthSummary:
    """Health of each class, of pairs of classes, and of the dataset: see `LabelAudit.health_summary`.

    Example:
        >>> 0 <= health_summary(df).overall_health <= 1
        True
    """
    audit = LabelAudit(df, **columns)
    return audit.health_summary(asymmetric=asymmetric)
