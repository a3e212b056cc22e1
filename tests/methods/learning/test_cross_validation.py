"""Out-of-sample probabilities by cross-validation."""

import sys
from typing import Any

import numpy as np
import pytest
from pyspark import cloudpickle
from pyspark.sql import SparkSession
from pyspark.sql import functions as F
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.svm import LinearSVC

from cl_spark import (
    ConfigurationError,
    CrossValidation,
    EstimatorError,
    InputError,
    LabelAudit,
    MissingColumnError,
    SingleClassError,
    SourceChangedError,
    cross_val_pred_probs,
)
from cl_spark.methods.learning.cross_validation import check_predicted
from cl_spark.methods.learning.estimators import takes_missing, train
from tests.methods.learning.frames import blobs, training_frame

pytestmark = pytest.mark.matrix

cloudpickle.register_pickle_by_value(sys.modules[__name__])  # its classes are not on the workers' path


class Reversed(GaussianNB):
    """A classifier whose classes are in another order than the labels."""

    def fit(self, features: Any, labels: Any, sample_weight: Any = None) -> "Reversed":
        super().fit(features, labels, sample_weight)
        return self

    def predict_proba(self, features: Any) -> Any:
        probs = super().predict_proba(features)
        return probs if not hasattr(self, "backwards") else probs[:, ::-1]


class Broken:
    """A classifier that fails."""

    def fit(self, features: Any, labels: Any) -> None:
        raise ValueError("the moon is in the wrong house")

    def predict_proba(self, features: Any) -> Any:
        return np.zeros((len(features), 3))


class Contiguous(GaussianNB):
    """A classifier that takes only the labels 0, 1, 2, ..., without gaps, as XGBClassifier does."""

    def fit(self, features: Any, labels: Any) -> "Contiguous":
        if not np.array_equal(np.unique(labels), np.arange(len(np.unique(labels)))):
            raise ValueError(f"Expected: 0, 1, ..., got {np.unique(labels)}")
        super().fit(features, labels)
        return self


def collect(frame: Any) -> dict[Any, Any]:
    return {row.id: (row.label, row.fold, tuple(row.pred_probs)) for row in frame.collect()}


def test_each_example_is_predicted_by_a_model_that_never_saw_it(spark: SparkSession) -> None:
    features, _ = blobs(200)
    labels = np.random.default_rng(3).integers(0, 2, 200)
    df = training_frame(spark, features, labels)
    memoriser = KNeighborsClassifier(1)
    rows = cross_val_pred_probs(df, memoriser).collect()
    right = np.mean([np.argmax(row.pred_probs) == row.label for row in rows])
    assert len(rows) == 200
    assert 0.35 < right < 0.65
    seen = memoriser.fit(features, labels).score(features, labels)
    assert seen == 1.0


def test_folds_and_probabilities_are_those_of_scikit_learn_on_the_same_folds(spark: SparkSession) -> None:
    features, labels = blobs()
    found = collect(cross_val_pred_probs(training_frame(spark, features, labels), LogisticRegression()))
    folds = np.array([found[i][1] for i in range(len(labels))])
    for fold in range(5):
        model = LogisticRegression(random_state=fold).fit(features[folds != fold], labels[folds != fold])
        expected = model.predict_proba(features[folds == fold])
        probs = np.array([found[i][2] for i in np.flatnonzero(folds == fold)])
        np.testing.assert_array_equal(probs, expected)
    sizes = [np.bincount(labels[folds == fold], minlength=3) for fold in range(5)]
    assert np.ptp(sizes, axis=0).max() <= 1


@pytest.mark.parametrize("partitions", [1, 7, 200])
def test_probabilities_do_not_depend_on_partitions(spark: SparkSession, partitions: int) -> None:
    features, labels = blobs(60)
    expected = collect(
        cross_val_pred_probs(training_frame(spark, features, labels), LogisticRegression(), folds=3)
    )
    df = training_frame(spark, features, labels, partitions=partitions, seed=partitions)
    assert collect(cross_val_pred_probs(df, LogisticRegression(), folds=3)) == expected


def test_another_seed_makes_other_folds_and_repeats_average_them(spark: SparkSession) -> None:
    features, labels = blobs(60)
    df = training_frame(spark, features, labels)
    once = collect(cross_val_pred_probs(df, GaussianNB(), folds=3))
    other = collect(cross_val_pred_probs(df, GaussianNB(), folds=3, seed=1))
    assert {key: value[1] for key, value in once.items()} != {key: value[1] for key, value in other.items()}
    twice = collect(cross_val_pred_probs(df, GaussianNB(), folds=3, repeats=2))
    assert {key: value[:2] for key, value in twice.items()} == {key: value[:2] for key, value in once.items()}
    assert any(twice[key][2] != once[key][2] for key in once)
    assert np.allclose([sum(value[2]) for value in twice.values()], 1.0)


def test_groups_stay_together_and_close_a_leak(spark: SparkSession) -> None:
    random = np.random.default_rng(5)
    unique = random.normal(0, 1, (60, 3))
    labels = random.integers(0, 2, 60)
    features, copies = np.repeat(unique, 4, axis=0), np.repeat(labels, 4)
    df = training_frame(spark, features, copies, group=np.repeat([f"g{i}" for i in range(60)], 4))
    memoriser = KNeighborsClassifier(1)
    leaky = cross_val_pred_probs(df, memoriser)
    closed = cross_val_pred_probs(df, memoriser, group_col="group")
    is_right = F.get("pred_probs", F.col("label").cast("int")) > 0.5
    assert leaky.where(is_right).count() > 0.9 * 240
    assert closed.where(is_right).count() < 0.7 * 240
    folds = closed.join(df.select("id", "group"), "id").groupBy("group")
    assert folds.agg(F.count_distinct("fold").alias("folds")).where("folds > 1").isEmpty()


def test_names_of_classes_are_in_alphabetical_order_or_as_given(spark: SparkSession) -> None:
    features, labels = blobs(60)
    names = np.array(["cat", "dog", "ant"])
    df = training_frame(spark, features, names[labels])
    sorted_names = collect(cross_val_pred_probs(df, GaussianNB(), folds=3))
    given = collect(cross_val_pred_probs(df, GaussianNB(), folds=3, class_names=["dog", "cat", "ant", "cow"]))
    label, _, probs = sorted_names[0]
    assert label == "cat"
    assert given[0][2] == pytest.approx((probs[2], probs[1], probs[0], 0.0))
    with CrossValidation(df, GaussianNB(), folds=3) as validation, validation.audit() as audit:
        assert audit.num_examples == 60
        assert {row.given_label for row in audit.label_quality_scores().collect()} == set(names)


def test_what_it_returns_can_be_audited(spark: SparkSession) -> None:
    features, labels = blobs(120)
    noisy = labels.copy()
    noisy[:6] = (noisy[:6] + 1) % 3
    df = training_frame(spark, features, noisy)
    with LabelAudit(cross_val_pred_probs(df, GaussianNB())) as audit:
        issues = {row.id for row in audit.find_label_issues().collect()}
    assert len(issues & set(range(6))) >= 5


def test_features_may_be_vectors_columns_or_texts(spark: SparkSession) -> None:
    from pyspark.ml.functions import array_to_vector

    features, labels = blobs(60)
    df = training_frame(spark, features, labels)
    expected = collect(cross_val_pred_probs(df, GaussianNB(), folds=3))
    vectors = df.withColumn("features", array_to_vector("features"))
    assert collect(cross_val_pred_probs(vectors, GaussianNB(), folds=3)) == expected
    columns = df.select("id", "label", *[F.col("features")[i].alias(f"x {i}") for i in range(3)])
    by_columns = cross_val_pred_probs(columns, GaussianNB(), folds=3, features_col=["x 0", "x 1", "x 2"])
    assert collect(by_columns) == expected
    words = np.array(["red rose tulip", "blue sky sea", "green grass tree"])
    text = training_frame(spark, features, labels, text=words[labels])
    pipeline = make_pipeline(TfidfVectorizer(), LogisticRegression())
    found = collect(cross_val_pred_probs(text, pipeline, folds=3, features_col="text"))
    assert all(np.argmax(probs) == label for label, _, probs in found.values())


def test_rows_that_cannot_be_used_are_rejected_with_reasons(spark: SparkSession) -> None:
    good = [(i, i % 2, [float(i % 2) * 4 + i / 50, 1.0]) for i in range(20)]
    bad = [
        (100, None, [1.0, 2.0]),
        (101, -3, [1.0, 2.0]),
        (102, 1, [1.0, float("nan")]),
        (103, 1, [1.0, None]),
        (104, 1, [1.0]),
        (105, 0, None),
        (None, 0, [1.0, 2.0]),
        (107, 0, [1.0, 2.0]),
        (107, 1, [1.0, 2.0]),
    ]
    df = spark.createDataFrame(good + bad, "id long, label int, features array<double>")
    with CrossValidation(df, GaussianNB(), folds=2) as validation:
        assert validation.pred_probs().count() == 20
        reasons = {(row.id, row.reason) for row in validation.rejected().collect()}
        assert validation.profile.num_read == 29
        assert sum(validation.profile.rejected.values()) == 9
    assert reasons == {
        (100, "null label"),
        (101, "label outside 0..K-1"),
        (102, "null, NaN or infinity in features"),
        (103, "null, NaN or infinity in features"),
        (104, "features of another number than 2"),
        (105, "null or empty features"),
        (None, "null id"),
        (107, "id of several rows"),
    }


def test_bad_input_is_told_before_anything_is_trained(spark: SparkSession) -> None:
    features, labels = blobs(12)
    df = training_frame(spark, features, labels)
    with pytest.raises(ConfigurationError, match="LinearSVC has no method predict_proba"):
        cross_val_pred_probs(df, LinearSVC())
    with pytest.raises(ConfigurationError, match="is a class; pass an object"):
        cross_val_pred_probs(df, GaussianNB)
    with pytest.raises(ConfigurationError, match="folds must be a whole number of at least 2, got 1"):
        cross_val_pred_probs(df, GaussianNB(), folds=1)
    with pytest.raises(MissingColumnError, match="features_col: no column 'pixels'"):
        cross_val_pred_probs(df, GaussianNB(), features_col="pixels")
    with pytest.raises(InputError, match="12 examples for 13 folds"):
        cross_val_pred_probs(df, GaussianNB(), folds=13)
    with pytest.raises(SingleClassError, match="all 4 examples carry the label 1"):
        cross_val_pred_probs(df.where("label = 1"), GaussianNB())
    with pytest.raises(InputError, match="class 2 has 1 example: a model"):
        cross_val_pred_probs(df.where("label < 2 OR id = 2"), GaussianNB())
    grouped = df.withColumn("group", F.when(F.col("label") == 2, "x").otherwise(F.col("id").cast("string")))
    with pytest.raises(InputError, match="group_col: all 4 examples of class 2"):
        cross_val_pred_probs(grouped, GaussianNB(), folds=2, group_col="group")


def test_an_estimator_that_fails_tells_its_message_without_a_trace(spark: SparkSession) -> None:
    features, labels = blobs(30)
    with pytest.raises(EstimatorError) as caught:
        cross_val_pred_probs(training_frame(spark, features, labels), Broken())
    assert "Broken: ValueError: the moon is in the wrong house (at test_cross_validation.py" in str(
        caught.value
    )
    assert "Traceback" not in str(caught.value)


def test_warnings_of_an_estimator_are_told(spark: SparkSession) -> None:
    features, labels = blobs(60)
    with CrossValidation(
        training_frame(spark, features, labels), LogisticRegression(max_iter=1), folds=2
    ) as validation:
        (warning,) = validation.warnings()
    assert warning.code == "estimator"
    assert "ConvergenceWarning" in warning.message
    assert "(2 of 2 models" in warning.message


def test_spark_ml_trains_by_all_workers(spark: SparkSession) -> None:
    from pyspark.ml import Pipeline
    from pyspark.ml.classification import LogisticRegression as SparkLogisticRegression
    from pyspark.ml.feature import VectorAssembler

    features, labels = blobs(60)
    df = training_frame(spark, features, labels)
    found = collect(cross_val_pred_probs(df, SparkLogisticRegression(maxIter=5), folds=3))
    columns = df.select("id", "label", *[F.col("features")[i].alias(f"x{i}") for i in range(3)])
    pipeline = Pipeline(
        stages=[
            VectorAssembler(inputCols=["x0", "x1", "x2"], outputCol="features"),
            SparkLogisticRegression(maxIter=5),
        ]
    )
    cols = ["x0", "x1", "x2"]
    again = collect(cross_val_pred_probs(columns.repartition(7), pipeline, folds=3, features_col=cols))
    assert {key: value[:2] for key, value in again.items()} == {
        key: value[:2] for key, value in found.items()
    }
    for key, value in found.items():
        assert again[key][2] == pytest.approx(value[2], abs=1e-9)
    assert np.mean([np.argmax(value[2]) == value[0] for value in found.values()]) > 0.8


def test_a_pipeline_that_reads_all_columns_does_not_see_the_label(spark: SparkSession) -> None:
    from pyspark.ml import Pipeline
    from pyspark.ml.classification import LogisticRegression as SparkLogisticRegression
    from pyspark.ml.feature import RFormula

    random = np.random.default_rng(1)
    df = training_frame(spark, random.normal(0, 1, (120, 1)), random.integers(0, 2, 120))
    df = df.select("id", F.col("label").alias("y"), F.col("features")[0].alias("x"))
    pipeline = Pipeline(stages=[RFormula(formula="y ~ ."), SparkLogisticRegression(labelCol="y", maxIter=20)])
    rows = cross_val_pred_probs(df, pipeline, label_col="y", features_col=["x"], folds=3).collect()
    assert 0.3 < np.mean([np.argmax(row.pred_probs) == row.label for row in rows]) < 0.7


def test_a_class_that_a_model_orders_otherwise_gets_its_own_column(spark: SparkSession) -> None:
    from cl_spark.methods.learning.estimators import predict_probs

    features, labels = blobs(30)
    model = Reversed().fit(features, labels)
    expected = predict_probs(model, features, 4)
    model.backwards, model.classes_ = True, model.classes_[::-1]
    np.testing.assert_array_equal(predict_probs(model, features, 4), expected)
    assert (expected[:, 3] == 0).all()


def test_booleans_that_are_named_true_and_false_mean_what_they_say(spark: SparkSession) -> None:
    features, labels = blobs(60, 2)
    df = training_frame(spark, features, labels.astype(bool))
    with CrossValidation(df, GaussianNB(), folds=3, class_names=["true", "false"]) as validation:
        with validation.audit() as audit:
            rows = audit.label_quality_scores().collect()
        assert validation.pred_probs().schema["label"].dataType.simpleString() == "boolean"
    given = dict(zip(range(60), labels, strict=True))
    assert all(row.given_label == ("true" if given[row.id] else "false") for row in rows)
    assert np.mean([row.given_label == row.predicted_label for row in rows]) > 0.8


def test_a_label_is_no_feature_however_it_is_spelt(spark: SparkSession) -> None:
    df = training_frame(spark, *blobs(12)).withColumn("x", F.col("features")[0])
    with pytest.raises(ConfigurationError, match="features_col: 'label' is the label"):
        cross_val_pred_probs(df, GaussianNB(), features_col=["LABEL", "x"])


def test_rows_with_missing_features_are_used_where_a_pipeline_fills_them(spark: SparkSession) -> None:
    features, labels = blobs(40, 2)
    features[3, 1] = np.nan
    df = training_frame(spark, features, labels)
    filling = make_pipeline(SimpleImputer(), LogisticRegression())
    assert cross_val_pred_probs(df, filling, folds=2).count() == 40
    assert cross_val_pred_probs(df, LogisticRegression(), folds=2).count() == 39
    scaled = make_pipeline(StandardScaler(), LogisticRegression())
    assert cross_val_pred_probs(df, scaled, folds=2).count() == 39


def test_a_pipeline_that_drops_rows_is_told_from_an_input_that_changed(spark: SparkSession) -> None:
    from pyspark.ml import Pipeline
    from pyspark.ml.classification import LogisticRegression as SparkLogisticRegression
    from pyspark.ml.feature import VectorAssembler

    columns = training_frame(spark, *blobs(40, 2)).selectExpr(
        "id", "label", "if(id < 3, null, features[0]) AS x", "features[1] AS y"
    )
    assembler = VectorAssembler(inputCols=["x", "y"], outputCol="features", handleInvalid="skip")
    pipeline = Pipeline(stages=[assembler, SparkLogisticRegression(maxIter=2)])
    dropped = (
        "Pipeline made 37 of 40 predictions: a stage drops rows, as VectorAssembler does with "
        "handleInvalid='skip'. Set handleInvalid='keep'"
    )
    with pytest.raises(EstimatorError, match=dropped):
        cross_val_pred_probs(columns, pipeline, features_col=["x", "y"], folds=2)
    data = CrossValidation(columns, pipeline, features_col=["x", "y"]).data
    check_predicted(data, pipeline, 40, 40)
    for estimator, predicted in ((pipeline, 41), (GaussianNB(), 37)):
        with pytest.raises(
            SourceChangedError, match=f"40 predictions were expected, and there are {predicted}"
        ):
            check_predicted(data, estimator, 40, predicted)


def test_which_estimators_take_missing_features() -> None:
    trees = HistGradientBoostingClassifier()
    by_column = ColumnTransformer([("a", SimpleImputer(), ["a"]), ("b", OneHotEncoder(), ["b"])])
    partly = ColumnTransformer([("a", SimpleImputer(), ["a"]), ("b", StandardScaler(), ["b"])])
    assert takes_missing(make_pipeline(StandardScaler(), trees))
    assert takes_missing(GridSearchCV(trees, {}))
    assert takes_missing(make_pipeline(by_column, LogisticRegression()))
    assert takes_missing(make_pipeline(StandardScaler(), SimpleImputer(), LogisticRegression()))
    assert not takes_missing(make_pipeline(partly, LogisticRegression()))
    assert not takes_missing(Broken())


def test_labels_that_leave_zero_out_are_warned_of(spark: SparkSession) -> None:
    features, labels = blobs(40, 2)
    with CrossValidation(training_frame(spark, features, labels + 1), GaussianNB(), folds=2) as validation:
        (warning,) = validation.warnings()
    assert warning.code == "labels_without_zero"
    assert "labels are from 1 to 2" in warning.message


def test_fewer_groups_than_folds_are_refused(spark: SparkSession) -> None:
    df = training_frame(spark, *blobs(20, 2), group=np.arange(20) % 3)
    with pytest.raises(InputError, match="there are 3 groups for 4 folds"):
        cross_val_pred_probs(df, GaussianNB(), folds=4, group_col="group")


def test_an_estimator_that_takes_no_gaps_in_the_labels_gets_none(spark: SparkSession) -> None:
    df = training_frame(spark, *blobs(60)).where("label != 1")
    expected = collect(cross_val_pred_probs(df, GaussianNB(), folds=2))
    assert collect(cross_val_pred_probs(df, Contiguous(), folds=2)) == expected
    assert {probs[1] for _, _, probs in expected.values()} == {0.0}
    features, labels = blobs(30)
    model = train(Contiguous(), features, labels * 2, None, 0)
    assert set(model.predict(features)) == {0, 2, 4}
    with pytest.raises(ValueError, match="the moon is in the wrong house"):
        train(Broken(), features, labels * 2, None, 0)


def test_a_label_that_the_estimator_knows_by_another_name_is_no_feature(spark: SparkSession) -> None:
    from pyspark.ml import Pipeline
    from pyspark.ml.classification import LogisticRegression as SparkLogisticRegression
    from pyspark.ml.feature import RFormula

    random = np.random.default_rng(1)
    df = training_frame(spark, random.normal(0, 1, (120, 1)), random.integers(0, 2, 120))
    df = df.select("id", F.col("label").alias("Category"), F.col("features")[0].alias("x"))
    pipeline = Pipeline(stages=[RFormula(formula="label ~ ."), SparkLogisticRegression(maxIter=20)])
    rows = cross_val_pred_probs(df, pipeline, label_col="category", features_col=["x"], folds=3).collect()
    assert 0.3 < np.mean([np.argmax(row.pred_probs) == row.label for row in rows]) < 0.7
    spelt = df.withColumnRenamed("Category", "Label")  # two columns of one name, to Spark
    assert cross_val_pred_probs(spelt, pipeline, features_col=["x"], folds=3).count() == 120


def test_a_null_vector_is_a_row_without_features(spark: SparkSession) -> None:
    from pyspark.ml.functions import array_to_vector

    df = training_frame(spark, *blobs(30))
    vectors = df.withColumn("features", F.when(F.col("id") != 7, array_to_vector("features")))
    with CrossValidation(vectors, GaussianNB(), folds=2) as validation:
        assert validation.pred_probs().count() == 29
        assert [row.id for row in validation.rejected().collect()] == [7]
