"""Estimators of Spark ML: searches, pipelines, many classes, seeds."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pyspark.ml import Pipeline
from pyspark.ml.classification import DecisionTreeClassifier, LogisticRegression, RandomForestClassifier
from pyspark.ml.evaluation import MulticlassClassificationEvaluator
from pyspark.ml.feature import VectorAssembler
from pyspark.ml.tuning import CrossValidator, ParamGridBuilder, TrainValidationSplit
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from sklearn.naive_bayes import GaussianNB

from cl_spark import CleanLearning, CleanLearningModel, cross_val_pred_probs
from cl_spark.methods.learning.estimators import find_unset_seeds
from tests.methods.learning.frames import blobs, training_frame

pytestmark = pytest.mark.matrix

NOISY = 9
"""So many labels are wrong: those of the first ids."""

COLS = ["x0", "x1", "x2"]
REGULARIZED = [1000.0, 0.01]
"""Regularization of two classifiers: one that learns next to nothing, and a good one."""


@pytest.fixture(scope="module")
def columns(spark: SparkSession) -> DataFrame:
    """90 examples of three classes, of which the first carry wrong labels; each feature is a column."""
    features, labels = blobs(90, seed=2)  # clouds that lie apart
    given = np.where(np.arange(90) < NOISY, (labels + 1) % 3, labels)
    df = training_frame(spark, features, given, true_label=labels)
    parts = [F.col("features")[i].alias(name) for i, name in enumerate(COLS)]
    return df.select("id", "label", "true_label", *parts).cache()


def pipeline(classifier: Any) -> Pipeline:
    return Pipeline(stages=[VectorAssembler(inputCols=COLS, outputCol="features"), classifier])


def search(kind: Any, estimator: Any, classifier: Any, **options: Any) -> Any:
    """A search for the better regularization of a classifier, which is the estimator or part of it."""
    return kind(
        estimator=estimator,
        estimatorParamMaps=ParamGridBuilder().addGrid(classifier.regParam, REGULARIZED).build(),
        evaluator=MulticlassClassificationEvaluator(metricName="accuracy"),
        **options,
    )


def count_right(model: Any, df: DataFrame) -> int:
    return int(model.transform(df).where("prediction = true_label").count())


@pytest.mark.slow
def test_a_search_tunes_the_pipeline_that_is_trained_on_clean_labels(columns: DataFrame) -> None:
    classifier = LogisticRegression(maxIter=5)
    learning = CleanLearning(pipeline(classifier), folds=2, features_col=COLS)
    found = search(CrossValidator, learning, classifier, numFolds=2, seed=0).fit(columns)
    poor, good = found.avgMetrics
    assert poor < 0.5 < 0.8 < good
    assert isinstance(found.bestModel, CleanLearningModel)
    assert found.bestModel.model.stages[-1].getRegParam() == REGULARIZED[1]
    assert learning.value("estimator").getStages()[-1].getRegParam() == 0.0, "the searched one stays"


@pytest.mark.slow
@pytest.mark.parametrize("inner", ["search of a pipeline", "pipeline that ends in a search", "search"])
def test_a_search_can_be_what_is_trained_on_clean_labels(
    columns: DataFrame, tmp_path: Path, inner: str
) -> None:
    classifier = LogisticRegression(maxIter=5)
    estimators = {
        "search of a pipeline": search(CrossValidator, pipeline(classifier), classifier, numFolds=2),
        "pipeline that ends in a search": pipeline(search(TrainValidationSplit, classifier, classifier)),
        "search": search(TrainValidationSplit, classifier, classifier),
    }
    learning = CleanLearning(estimators[inner], folds=2, features_col=COLS, how="reweight")
    learning.save(f"{tmp_path}/learning")
    model = CleanLearning.load(f"{tmp_path}/learning").fit(columns)
    assert len({row.id for row in model.label_issues.collect()} & set(range(NOISY))) >= NOISY - 1
    assert count_right(model, columns) >= 80
    model.save(f"{tmp_path}/model")
    assert count_right(CleanLearningModel.load(f"{tmp_path}/model"), columns) == count_right(model, columns)


def test_trees_learn_more_classes_than_they_infer_from_the_labels(spark: SparkSession) -> None:
    labels = np.arange(330) % 110
    df = training_frame(spark, np.stack([labels % 11, labels // 11], axis=1).astype(float), labels)
    classifier = DecisionTreeClassifier(impurity="entropy", maxDepth=9)
    rows = cross_val_pred_probs(df, classifier, folds=3).collect()
    assert {len(row.pred_probs) for row in rows} == {110}
    assert all(np.argmax(row.pred_probs) == row.label for row in rows)
    model = CleanLearning(classifier).fit(df, label_issues=df.where("id < 5").select("id"))
    assert model.model.numClasses == 110
    assert model.transform(df).where("prediction = label").count() == 330


def test_what_has_no_seed_of_its_own_gets_that_of_the_run(spark: SparkSession) -> None:
    df = training_frame(spark, *blobs(60))
    forest = RandomForestClassifier(numTrees=2, maxDepth=2)
    seeds = [(forest, 7), (forest.copy({forest.seed: 7}), 7), (forest.copy({forest.seed: 8}), 7)]
    unset, same, other = (
        {row.id: tuple(row.pred_probs) for row in cross_val_pred_probs(df, one, folds=2, seed=seed).collect()}
        for one, seed in seeds
    )
    assert unset == same != other
    whole = search(CrossValidator, pipeline(forest), LogisticRegression())
    assert {seed.parent for seed in find_unset_seeds(whole)} == {whole.uid, forest.uid}
    assert find_unset_seeds(pipeline(forest.copy({forest.seed: 7}))) == []


def test_a_param_of_the_class_is_that_of_the_object() -> None:
    learning = CleanLearning(GaussianNB())
    assert learning.copy({CleanLearning.how: "relabel"}).value("how") == "relabel"
    assert learning.value("how") == "prune"
