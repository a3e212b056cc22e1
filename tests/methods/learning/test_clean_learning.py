"""Learning with noisy labels in one call."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pyspark import cloudpickle
from pyspark.ml import Pipeline, PipelineModel
from pyspark.ml.classification import LogisticRegression as SparkLogisticRegression
from pyspark.ml.evaluation import MulticlassClassificationEvaluator
from pyspark.ml.feature import RFormula, VectorAssembler
from pyspark.ml.functions import array_to_vector
from pyspark.ml.tuning import CrossValidator, ParamGridBuilder
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier

from cl_spark import (
    CleanLearning,
    CleanLearningModel,
    ColumnTypeError,
    ConfigurationError,
    EstimatorError,
    InputError,
    MissingColumnError,
    OutputError,
    cross_val_pred_probs,
)
from tests.methods.learning.frames import blobs, training_frame

pytestmark = pytest.mark.matrix

cloudpickle.register_pickle_by_value(sys.modules[__name__])  # its classes are not on the workers' path

NOISY = 15
"""So many labels are wrong: those of the first ids."""


class Recorder(GaussianNB):
    """Remembers what it was trained on."""

    def fit(self, features: Any, labels: Any, sample_weight: Any = None) -> "Recorder":
        self.seen = (np.asarray(features), np.asarray(labels), sample_weight)
        return super().fit(features, labels, sample_weight)


WRONG = 4
"""So many labels of `truths` are wrong."""

TRUE_FIRST = ["true", "false"]


@pytest.fixture(scope="module")
def noisy(spark: SparkSession) -> DataFrame:
    """150 examples of three classes, of which the first carry wrong labels."""
    features, labels = blobs(150)
    given = labels.copy()
    given[:NOISY] = (given[:NOISY] + 1) % 3
    frame = training_frame(spark, features, given, true_label=labels, weight=np.full(150, 2.0))
    return frame.cache()


@pytest.fixture(scope="module")
def truths(spark: SparkSession) -> DataFrame:
    """60 examples whose labels are booleans, of which the first are wrong, and the probability of true."""
    features, labels = blobs(60, 2)
    given = np.where(np.arange(60) < WRONG, 1 - labels, labels).astype(bool)
    p_true = np.where(np.arange(60) % 5, np.where(labels, 0.875, 0.125), labels)
    return training_frame(spark, features, given, p_true=p_true).cache()


def accuracy(model: Any, df: DataFrame) -> float:
    predicted = model.transform(df)
    return float(predicted.where(F.col("prediction") == F.col("true_label")).count() / df.count())


def test_pruning_leaves_the_issues_out_and_weighs_what_is_left(noisy: DataFrame) -> None:
    learning = CleanLearning(Recorder(), min_examples_per_class=1)
    model = learning.fit(noisy)
    issues = {row.id for row in model.label_issues.collect()}
    assert len(issues & set(range(NOISY))) >= 10
    assert issues == {row.id for row in learning.find_label_issues(noisy).collect()}
    _, labels, weights = model.model.seen
    assert len(labels) == 150 - len(issues)
    same = {row.given_label: row.noise_rate for row in model.noise_rates.rates.collect()
            if row.given_label == row.true_label}  # fmt: skip
    np.testing.assert_allclose(weights, [1 / same[label] for label in labels])
    assert accuracy(model, noisy) > 0.8
    assert model.confident_thresholds.count() == 3


def test_given_probabilities_make_the_same_issues_and_nothing_is_trained_for_them(noisy: DataFrame) -> None:
    probs = cross_val_pred_probs(noisy, GaussianNB())
    expected = CleanLearning(GaussianNB()).find_label_issues(noisy).orderBy("rank").collect()
    again = CleanLearning(GaussianNB()).find_label_issues(noisy, pred_probs=probs.drop("label"))
    assert again.orderBy("rank").collect() == expected
    model = CleanLearning(GaussianNB()).fit(noisy, pred_probs=probs)
    assert model.label_issues.orderBy("rank").collect() == expected
    with pytest.raises(InputError, match="10 of 150 examples have no prediction"):
        CleanLearning(GaussianNB()).find_label_issues(noisy, pred_probs=probs.where("id >= 10"))


def test_given_issues_are_pruned_without_estimates(noisy: DataFrame) -> None:
    issues = noisy.where(F.col("id") < NOISY).select("id")
    model = CleanLearning(Recorder()).fit(noisy, label_issues=issues)
    _, labels, weights = model.model.seen
    assert len(labels) == 150 - NOISY
    assert weights is None
    assert model.noise_rates is None


def test_relabelling_takes_the_suggested_label(noisy: DataFrame) -> None:
    model = CleanLearning(Recorder(), how="relabel").fit(noisy)
    suggested = {row.id: row.suggested_label for row in model.label_issues.collect()}
    given = {row.id: row.label for row in noisy.collect()}
    _, labels, _ = model.model.seen
    assert labels.tolist() == [suggested.get(i, given[i]) for i in range(150)]
    with pytest.raises(ConfigurationError, match="needs the column 'suggested_label'"):
        CleanLearning(GaussianNB(), how="relabel").fit(noisy, label_issues=model.label_issues.select("id"))


@pytest.mark.slow
def test_reweighting_keeps_all_and_weighs_wrong_labels_less(noisy: DataFrame) -> None:
    model = CleanLearning(Recorder(), how="reweight", weight_col="weight").fit(noisy)
    _, labels, weights = model.model.seen
    assert len(labels) == 150
    assert weights[:NOISY].mean() < 0.5 * weights[NOISY:].mean()
    assert weights.max() > 1.5  # the weights of the input are factors
    with pytest.raises(ConfigurationError, match="KNeighborsClassifier takes no weights"):
        CleanLearning(KNeighborsClassifier(), how="reweight").fit(noisy)


def test_names_of_classes_come_back_as_predicted_labels(noisy: DataFrame) -> None:
    names = F.array(*map(F.lit, ["cat", "dog", "eel"]))
    named = noisy.withColumn("label", F.get(names, F.col("label").cast("int")))
    model = CleanLearning(GaussianNB()).fit(named)
    by_index = CleanLearning(GaussianNB()).fit(noisy)
    rows = model.transform(named).orderBy("id").collect()
    assert {row.predicted_label for row in rows} == {"cat", "dog", "eel"}
    expected = by_index.transform(noisy).orderBy("id").collect()
    assert [row.prediction for row in rows] == [row.prediction for row in expected]
    assert {row.given_label for row in model.label_issues.collect()} <= {"cat", "dog", "eel"}


def test_rows_that_cannot_be_predicted_get_null(noisy: DataFrame) -> None:
    model = CleanLearning(GaussianNB()).fit(noisy)
    odd = noisy.sparkSession.createDataFrame(
        [(1, [0.0, 0.0, 0.0]), (2, [0.0, float("nan"), 0.0]), (3, [0.0]), (4, None)],
        "id long, features array<double>",
    )
    found = {row.id: row.prediction for row in model.transform(odd).collect()}
    assert found[1] is not None
    assert found[2] is None
    assert found[3] is None
    assert found[4] is None


def test_a_model_survives_saving_and_loading(noisy: DataFrame, tmp_path: Path) -> None:
    path = f"{tmp_path}/model"
    for estimator in (GaussianNB(), SparkLogisticRegression(maxIter=5)):
        model = CleanLearning(estimator).fit(noisy)
        model.write().overwrite().save(path)
        loaded = CleanLearningModel.load(path)
        columns = ["id", "prediction"]
        expected = model.transform(noisy).select(columns).orderBy("id").collect()
        assert loaded.transform(noisy).select(columns).orderBy("id").collect() == expected
        assert loaded.label_issues.orderBy("rank").collect() == model.label_issues.orderBy("rank").collect()
        assert loaded.noise_rates.rates.count() == model.noise_rates.rates.count()
    with pytest.raises(InputError, match="path"):
        CleanLearningModel.load(f"{tmp_path}/nothing")


def test_it_is_copied_saved_and_loaded_as_an_estimator(noisy: DataFrame, tmp_path: Path) -> None:
    learning = CleanLearning(GaussianNB(var_smoothing=0.5), folds=3, how="relabel")
    copied = learning.copy({learning.folds: 4})
    assert (learning.value("folds"), copied.value("folds"), copied.value("how")) == (3, 4, "relabel")
    copied.save(f"{tmp_path}/learning")
    loaded = CleanLearning.load(f"{tmp_path}/learning")
    assert (loaded.uid, loaded.value("folds"), loaded.value("how")) == (copied.uid, 4, "relabel")
    assert loaded.value("estimator").var_smoothing == 0.5


@pytest.mark.slow
def test_it_goes_into_a_pipeline_and_a_search(noisy: DataFrame, tmp_path: Path) -> None:
    columns = noisy.select(
        "id", "label", "true_label", *[F.col("features")[i].alias(f"x{i}") for i in range(3)]
    )
    learning = CleanLearning(SparkLogisticRegression(maxIter=3), folds=2)
    assembler = VectorAssembler(inputCols=["x0", "x1", "x2"], outputCol="features")
    model = Pipeline(stages=[assembler, learning]).fit(columns)
    model.save(f"{tmp_path}/pipeline")
    loaded = PipelineModel.load(f"{tmp_path}/pipeline")
    assert accuracy(loaded, columns) == accuracy(model, columns) > 0.85
    search = CrossValidator(
        estimator=CleanLearning(GaussianNB(), folds=2),
        estimatorParamMaps=ParamGridBuilder().addGrid(CleanLearning.how, ["prune", "relabel"]).build(),
        evaluator=MulticlassClassificationEvaluator(labelCol="true_label", metricName="accuracy"),
        numFolds=2,
        seed=0,  # its default is the hash of a text, which Python salts
    )
    features, labels = blobs(150, seed=2)  # clouds that lie apart
    given = np.where(np.arange(150) < NOISY, (labels + 1) % 3, labels)
    best = search.fit(training_frame(noisy.sparkSession, features, given, true_label=labels))
    assert len(best.avgMetrics) == 2
    assert min(best.avgMetrics) > 0.8
    assert isinstance(best.bestModel, CleanLearningModel)


def test_what_cannot_work_is_told(noisy: DataFrame) -> None:
    with pytest.raises(ConfigurationError, match="how must be one of prune, reweight, relabel, got 'wash'"):
        CleanLearning(GaussianNB(), how="wash")  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="estimator: pass the classifier"):
        CleanLearning().fit(noisy)
    everything = noisy.where("label = 0").select("id")
    with pytest.raises(InputError, match="examples of class 0 are issues"):
        CleanLearning(GaussianNB()).fit(noisy, label_issues=everything)
    bad = LogisticRegression(C=-1.0)
    with pytest.raises(EstimatorError, match="LogisticRegression: InvalidParameterError"):
        CleanLearning(bad).fit(noisy)
    with pytest.raises(EstimatorError, match="LogisticRegression of Spark ML could not be trained"):
        CleanLearning(SparkLogisticRegression(family="binomial")).fit(noisy)


def test_names_given_to_indices_and_suggestions_that_are_no_class(noisy: DataFrame) -> None:
    names = ["cat", "dog", "eel"]
    by_index = CleanLearning(Recorder(), how="relabel").fit(noisy)
    named = CleanLearning(Recorder(), how="relabel", class_names=names).fit(noisy)
    assert named.model.seen[1].tolist() == by_index.model.seen[1].tolist()
    assert {row.suggested_label for row in named.label_issues.collect()} <= set(names)
    weighed = CleanLearning(Recorder(), how="reweight", class_names=names).fit(noisy)
    expected = CleanLearning(Recorder(), how="reweight").fit(noisy).model.seen[2]
    np.testing.assert_allclose(weighed.model.seen[2], expected)
    odd = noisy.limit(1).select("id", F.lit("cow").alias("suggested_label"))
    with pytest.raises(InputError, match="suggested_label 'cow' is no class"):
        CleanLearning(GaussianNB(), how="relabel", class_names=names).fit(noisy, label_issues=odd)


def test_booleans_that_are_named_true_and_false_are_corrected_as_what_they_say(truths: DataFrame) -> None:
    probs = truths.select("id", F.array("p_true", 1 - F.col("p_true")).alias("pred_probs"))
    model = CleanLearning(Recorder(), how="reweight", class_names=TRUE_FIRST).fit(truths, pred_probs=probs)
    weights = model.model.seen[2]
    assert weights[:WRONG].max() < weights[WRONG:].min()
    issues = truths.where(F.col("id") < WRONG).select("id", (~F.col("label")).alias("suggested_label"))
    relabel = CleanLearning(Recorder(), how="relabel", class_names=TRUE_FIRST)
    labels = relabel.fit(truths, label_issues=issues).model.seen[1]
    assert labels.tolist() == (1 - blobs(60, 2)[1]).tolist()
    with pytest.raises(InputError, match=r"the suggested_label 0\.5 is no class"):
        relabel.fit(truths, label_issues=issues.select("id", F.lit(0.5).alias("suggested_label")))


def test_issues_of_the_user_are_examples_of_the_table_each_once(noisy: DataFrame) -> None:
    learning = CleanLearning(GaussianNB())
    issues = noisy.where("id < 3").select("id")
    cases = [
        (issues.union(issues), InputError, "3 of 6 rows repeat the id of another row"),
        (
            issues.selectExpr("id + 1000 AS id"),
            InputError,
            "3 of 3 ids are of no example in the table, such as",
        ),
        (issues.selectExpr("CAST(id AS STRING) AS id"), ColumnTypeError, "column 'id' is string, and bigint"),
        (issues.selectExpr("id AS key"), MissingColumnError, "no id column 'id'; there are 'key'"),
    ]
    for given, error, message in cases:
        with pytest.raises(error, match=message):
            learning.fit(noisy, label_issues=given)
    with pytest.raises(ConfigurationError, match="how='reweight' weighs all examples"):
        CleanLearning(GaussianNB(), how="reweight").fit(noisy, label_issues=issues)
    probs = cross_val_pred_probs(noisy, GaussianNB())
    model = CleanLearning(Recorder()).fit(noisy, pred_probs=probs, label_issues=issues)
    assert model.model.seen[2] is not None  # the probabilities tell the noise rates, and these the weights


def test_probabilities_of_the_user_fit_the_table(noisy: DataFrame) -> None:
    probs = cross_val_pred_probs(noisy, GaussianNB()).drop("label")
    with pytest.raises(MissingColumnError, match="pred_probs: no column 'pred_probs'"):
        CleanLearning(GaussianNB()).find_label_issues(noisy, pred_probs=probs.drop("pred_probs"))
    longer = probs.withColumn("pred_probs", F.concat("pred_probs", F.array(F.lit(0.0))))
    with pytest.raises(InputError, match="probabilities of 4 classes, and labels of 3: pass class_names"):
        CleanLearning(GaussianNB()).find_label_issues(noisy, pred_probs=longer)


@pytest.mark.slow
def test_probabilities_of_the_user_are_judged_and_used_in_every_form(truths: DataFrame) -> None:
    learning = CleanLearning(Recorder(), how="reweight", class_names=TRUE_FIRST)
    forms = {
        "array": "array(p_true, 1 - p_true)",
        "number": "1 - p_true",
        "map": "map_filter(map('true', p_true, 'false', 1 - p_true), (name, p) -> p > 0)",
        "list": "filter(array(struct(1 AS c, 1 - p_true AS p), struct(0 AS c, p_true AS p)), x -> x.p > 0)",
    }
    weights = {}
    for form, sql in forms.items():
        probs = truths.select("id", F.expr(sql).alias("pred_probs"))
        weights[form] = learning.fit(truths, pred_probs=probs).model.seen[2].tolist()
        assert weights[form] == weights["array"], form
    odd = truths.select("id", F.expr("if(id = 7, 3.2D, 1 - p_true)").alias("pred_probs"))
    with pytest.raises(InputError, match="1 of 60 examples have no prediction"):
        learning.find_label_issues(truths, pred_probs=odd)


def test_weights_need_an_estimator_that_takes_some(noisy: DataFrame) -> None:
    with pytest.raises(ConfigurationError, match="weight_col: KNeighborsClassifier takes no weights"):
        CleanLearning(KNeighborsClassifier(), weight_col="weight").fit(noisy)
    with pytest.raises(ConfigurationError, match="its weightCol is 'other', and weight_col is None"):
        CleanLearning(SparkLogisticRegression(weightCol="other")).fit(noisy)


def test_spark_ml_answers_null_for_rows_that_cannot_be_used(noisy: DataFrame) -> None:
    model = CleanLearning(SparkLogisticRegression(maxIter=3), folds=2).fit(noisy)
    rows = [(1, [0.0, 0.0, 0.0]), (2, [0.0, float("nan"), 0.0]), (3, [0.0]), (4, None)]
    odd = noisy.sparkSession.createDataFrame(rows, "id long, features array<double>")
    found = model.transform(odd)
    assert found.columns[:2] == ["id", "features"]
    predicted = {row.id: row.prediction for row in found.collect()}
    assert predicted[1] is not None
    assert [predicted[i] for i in (2, 3, 4)] == [None, None, None]


def test_spark_ml_answers_null_for_vectors_that_cannot_be_used(truths: DataFrame) -> None:
    def to_vectors(df: DataFrame) -> DataFrame:
        vector = F.when(F.col("features").isNotNull(), array_to_vector("features"))
        return df.withColumn("features", vector)

    model = CleanLearning(SparkLogisticRegression(maxIter=3), folds=2).fit(to_vectors(truths))
    rows = [(1, [0.0, 0.0, 0.0]), (2, [0.0, float("nan"), 0.0]), (3, [0.0]), (4, None)]
    odd = truths.sparkSession.createDataFrame(rows, "id long, features array<double>")
    found = model.transform(to_vectors(odd))
    assert found.columns[:2] == ["id", "features"]
    predicted = {row.id: row.prediction for row in found.collect()}
    assert predicted[1] is not None
    assert [predicted[i] for i in (2, 3, 4)] == [None, None, None]
    again = {row.id: row.prediction for row in model.transform(to_vectors(truths)).collect()}
    plain = model.model.transform(to_vectors(truths)).collect()
    assert again == {row.id: row.prediction for row in plain}


def test_weights_are_no_features_of_a_formula(noisy: DataFrame) -> None:
    columns = noisy.select("id", "label", *[F.col("features")[i].alias(f"x{i}") for i in range(3)])
    pipeline = Pipeline(stages=[RFormula(formula="label ~ . - x2"), SparkLogisticRegression(maxIter=3)])
    model = CleanLearning(pipeline, folds=2, features_col=["x0", "x1", "x2"]).fit(columns)
    assert model.label_issues.count() > 0
    assert model.model.stages[-1].numFeatures == 3  # with the id
    assert model.transform(columns).where("prediction IS NULL").count() == 0


def test_nothing_is_overwritten_in_silence(noisy: DataFrame, tmp_path: Path) -> None:
    model = CleanLearning(GaussianNB(), folds=2).fit(noisy)
    with pytest.raises(ConfigurationError, match="has a column 'probability' already"):
        model.transform(model.transform(noisy))
    path = f"{tmp_path}/models[1]"
    model.save(path)
    with pytest.raises(OutputError, match="something is saved in"):
        model.save(path)
    with pytest.raises(OutputError, match="this was loaded from"):
        CleanLearningModel.load(path).write().overwrite().save(path)
    model.write().overwrite().save(path)
    assert len(list((tmp_path / "models[1]").glob("parts-*"))) == 1
    model.release()
    assert model.label_issues.count() > 0
