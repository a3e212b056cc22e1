"""Learning with noisy labels as a run: issues, and a model that was trained without them."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError
from pyspark.sql import SparkSession
from sklearn.naive_bayes import GaussianNB

from cl_spark import (
    CleanLearning,
    CleanLearningConfig,
    CleanLearningModel,
    ConfigurationError,
    RunError,
    read_run,
    run_clean_learning,
)
from cl_spark.methods.classification.filters import FILTERS, PRUNING
from cl_spark.tasks.label_audit.stages import check_options
from cl_spark.tasks.registry import task_of
from tests.methods.learning.frames import blobs, training_frame

pytestmark = pytest.mark.matrix

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


def test_a_rerun_removes_the_model_that_it_replaces_but_not_before_it_is_recorded(
    spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, out = str(tmp_path / "data"), str(tmp_path / "out")
    training_frame(spark, *blobs(60)).write.parquet(data)
    values: dict[str, Any] = {"data": data, "output": out, "format": "parquet", "estimator": NAIVE_BAYES}
    config = CleanLearningConfig(**values, run_id="first", folds=2)
    run_clean_learning(spark, config.model_copy(update={"run_id": "other"}))
    first = run_clean_learning(spark, config).run.record.model_path
    models = tmp_path / "out" / "models" / "first"
    with monkeypatch.context() as patched:
        patched.setattr("cl_spark.runs.run._reconcile", fail)
        with pytest.raises(RunError, match="the power went out"):
            run_clean_learning(spark, config)
    assert len(list(models.iterdir())) == 2
    assert CleanLearningModel.load(first).label_issues.count() >= 0
    (models / "kept by a person" / "a").mkdir(parents=True)
    (models / "kept by a person" / "a" / "b").write_text("")
    last = run_clean_learning(spark, config).run.record.model_path
    assert sorted(map(str, models.iterdir())) == [last, str(models / "kept by a person")]
    assert read_run(out, "first", spark=spark).record.model_path == last
    CleanLearningModel.load(last)
    CleanLearningModel.load(read_run(out, "other", spark=spark).record.model_path)


def fail(*_: Any) -> None:
    raise RunError("the power went out")


def test_issues_by_incv_are_those_of_the_library(spark: SparkSession, tmp_path: Path) -> None:
    features, labels = blobs(150, seed=4)
    names = np.array(["cat", "dog", "eel"])
    given = names[np.where(np.arange(150) < 15, (labels + 1) % 3, labels)]
    df = training_frame(spark, features, given)
    data, out = str(tmp_path / "data"), str(tmp_path / "out")
    df.write.parquet(data)
    config = CleanLearningConfig(
        data=data, output=out, format="parquet", estimator=NAIVE_BAYES, method="incv", folds=2, report=True
    )
    result = run_clean_learning(spark, config)
    found = result.issues().orderBy("rank")
    expected = CleanLearning(GaussianNB(), method="incv").find_label_issues(df).orderBy("rank")
    assert found.select(expected.columns).collect() == expected.collect()
    of_label = "pred_probs[CAST(array_position(array('cat', 'dog', 'eel'), label) AS INT) - 1] AS p"
    probs = result.run.table("pred_probs").selectExpr("id", of_label)
    assert found.join(probs, "id").where("self_confidence = p").count() == result.num_issues > 10
    assert found.where("normalized_margin IS NULL").isEmpty()
    assert f"{result.num_issues} label issues by incv" in "".join(task_of(result.run).headline(result.run))
    assert "by incv" in Path(str(result.report)).read_text()
    model = CleanLearningModel.load(result.run.record.model_path)
    assert model.noise_rates is None
    assert model.model.class_count_.sum() == result.run.record.num_trained == 150 - result.num_issues


def test_options_of_filters_and_weights_do_not_go_with_incv() -> None:
    base: dict[str, Any] = {"data": "./d", "output": "./o", "estimator": NAIVE_BAYES, "method": "incv"}
    with pytest.raises(ValidationError, match="filter_by, frac_noise: method incv has no such option"):
        CleanLearningConfig(**base, filter_by="both", frac_noise=0.5)
    with pytest.raises(ValidationError, match="how: reweight follows from noise rates, which method incv"):
        CleanLearningConfig(**base, how="reweight")
    with pytest.raises(ValidationError, match="'confident_learning' or 'incv'"):
        CleanLearningConfig(**{**base, "method": "luck"})
    assert CleanLearningConfig(**base, filter_by="prune_by_noise_rate", how="relabel").method == "incv"


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
