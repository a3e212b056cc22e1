"""Learning with noisy labels as a run: issues, and a model that was trained without them."""

from pathlib import Path

import pytest
from pydantic import ValidationError
from pyspark.sql import SparkSession

from cl_spark import CleanLearningConfig, CleanLearningModel, ConfigurationError, run_clean_learning
from cl_spark.classification.filters import FILTERS, PRUNING
from cl_spark.tasks.label_audit.stages import check_options
from cl_spark.tasks.registry import task_of
from tests.learning.frames import blobs, training_frame

NAIVE_BAYES = "sklearn.naive_bayes.GaussianNB"


def test_it_saves_a_model_that_was_trained_without_the_issues(spark: SparkSession, tmp_path: Path) -> None:
    features, labels = blobs(90)
    given = labels.copy()
    given[:9] = (given[:9] + 1) % 3
    df = training_frame(spark, features, given)
    data = str(tmp_path / "data")
    df.write.parquet(data)
    config = CleanLearningConfig(
        data=data, output=str(tmp_path / "out"), format="parquet", estimator=NAIVE_BAYES, run_id="first"
    )
    result = run_clean_learning(spark, config)
    record = result.run.record
    assert record.num_trained == 90 - result.num_issues < 90
    assert Path(record.model_path).parent == tmp_path / "out" / "models" / "first"
    model = CleanLearningModel.load(record.model_path)
    assert model.model.class_count_.sum() == pytest.approx(record.num_trained, rel=0.5)  # weighted
    assert model.transform(df).where("prediction IS NULL").isEmpty()
    assert {row.id for row in model.label_issues.collect()} == {row.id for row in result.issues().collect()}
    again = run_clean_learning(spark, config)
    assert again.num_issues == result.num_issues
    assert "trained on" in "".join(task_of(again.run).headline(again.run))


def test_a_schema_has_no_place_for_the_model() -> None:
    with pytest.raises(ValidationError, match="model_path: the directory to save the model to"):
        CleanLearningConfig(data="lake.digits", output="lake.audits", estimator=NAIVE_BAYES)


def test_options_of_pruning_go_with_pruning_only() -> None:
    base = {"data": "./d", "output": "./o", "estimator": NAIVE_BAYES}
    for filter_by in FILTERS:
        config = CleanLearningConfig(**base, filter_by=filter_by)
        check_options(config)
        assert ("min_examples_per_class" in config.filter_arguments) == (filter_by in PRUNING)
    wrong = CleanLearningConfig(**base, filter_by="confident_learning", min_examples_per_class=5)
    with pytest.raises(ConfigurationError, match="min_examples_per_class"):
        check_options(wrong)
