"""Gradient boosting by XGBoost and LightGBM, where they are installed."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from cl_spark import CleanLearning, CleanLearningModel, CrossValidation, cross_val_pred_probs
from tests.methods.learning.frames import blobs, training_frame

pytestmark = [pytest.mark.matrix, pytest.mark.usefixtures("spark")]

NOISY = 9
"""So many labels are wrong: those of the first ids."""

KINDS = ["xgboost", "lightgbm"]


def boosting(kind: str) -> Any:
    """A classifier of either package; the test is skipped where that is not installed."""
    package = pytest.importorskip(kind, reason=f"{kind} is not installed here: pip install {kind}")
    if kind == "xgboost":
        return package.XGBClassifier(n_estimators=10)
    return package.LGBMClassifier(n_estimators=10, min_child_samples=3, verbose=-1)


@pytest.fixture(scope="module")
def noisy(spark: SparkSession) -> DataFrame:
    """120 examples of three classes, of which the first carry wrong labels."""
    features, labels = blobs(120, seed=2)  # clouds that lie apart
    given = np.where(np.arange(120) < NOISY, (labels + 1) % 3, labels)
    return training_frame(spark, features, given, true_label=labels).cache()


def share_right(probs: DataFrame) -> float:
    """Share of the examples whose most probable class is their label, a class index."""
    return float(np.mean([np.argmax(row.pred_probs) == row.label for row in probs.collect()]))


@pytest.mark.parametrize("kind", KINDS)
def test_labels_may_be_indices_with_gaps_or_names(noisy: DataFrame, kind: str) -> None:
    classifier = boosting(kind)
    assert share_right(cross_val_pred_probs(noisy, classifier, folds=3)) > 0.8
    gap = cross_val_pred_probs(noisy.where("label != 1"), classifier, folds=3)
    assert share_right(gap) > 0.8
    assert gap.where("pred_probs[1] != 0").isEmpty()
    names = ["eel", "dog", "cow", "cat"]  # no example is a cow
    of_label = F.get(F.array(*map(F.lit, ["cat", "dog", "eel"])), F.col("label").cast("int"))
    named = noisy.withColumn("label", of_label)
    probs = cross_val_pred_probs(named, classifier, folds=3, class_names=names)
    indices = {name: index for index, name in enumerate(names)}
    rows = probs.collect()
    assert np.mean([np.argmax(row.pred_probs) == indices[row.label] for row in rows]) > 0.8
    assert {row.pred_probs[2] for row in rows} == {0.0}


@pytest.mark.parametrize("kind", KINDS)
def test_missing_features_are_used_and_partitions_do_not_matter(noisy: DataFrame, kind: str) -> None:
    classifier = boosting(kind).set_params(subsample=0.5)
    value = F.when(F.col("id") % 10 == 0, F.lit(float("nan")))
    holes = noisy.withColumn("features", F.transform("features", lambda x: F.coalesce(value, x)))
    found = []
    for partitions in (1, 7):
        with CrossValidation(holes.repartition(partitions), classifier, folds=2) as validation:
            assert validation.profile.rejected == {}
            assert validation.warnings() == []
            found.append(validation.pred_probs().orderBy("id").collect())
    assert found[0] == found[1]


@pytest.mark.parametrize("kind", KINDS)
def test_a_model_is_trained_on_clean_labels_saved_and_loaded(
    noisy: DataFrame, tmp_path: Path, kind: str
) -> None:
    classifier = boosting(kind)
    for how in ("prune", "reweight"):
        model = CleanLearning(classifier, folds=3, how=how).fit(noisy)
        model.write().overwrite().save(f"{tmp_path}/model")
        loaded = CleanLearningModel.load(f"{tmp_path}/model")
        columns = ["id", "probability", "prediction"]
        expected = model.transform(noisy).select("true_label", *columns).orderBy("id").collect()
        assert loaded.transform(noisy).select("true_label", *columns).orderBy("id").collect() == expected
        assert np.mean([row.prediction == row.true_label for row in expected]) > 0.9
    issues = CleanLearning(classifier, method="incv").find_label_issues(noisy)
    assert len({row.id for row in issues.collect()} & set(range(NOISY))) >= NOISY - 2


@pytest.mark.classic  # it works with RDDs
@pytest.mark.filterwarnings("ignore::UserWarning:xgboost.*", "ignore::FutureWarning:xgboost.*")
def test_xgboost_is_trained_by_all_workers(noisy: DataFrame, tmp_path: Path) -> None:
    package = pytest.importorskip(
        "xgboost.spark", reason="xgboost is not installed here: pip install xgboost"
    )
    classifier = package.SparkXGBClassifier(n_estimators=5, verbose=False)
    assert share_right(cross_val_pred_probs(noisy, classifier, folds=2)) > 0.8
    model = CleanLearning(classifier, folds=2, how="reweight").fit(noisy)
    model.save(f"{tmp_path}/model")
    found = [one.transform(noisy) for one in (model, CleanLearningModel.load(f"{tmp_path}/model"))]
    right = [one.where("prediction = true_label").count() for one in found]
    assert right[0] == right[1] > 100
