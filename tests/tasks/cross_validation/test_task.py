"""Cross-validation as a run: its tables, its report and its command come from the machinery."""

import json
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from cl_spark import (
    ConfigurationError,
    CrossValidation,
    CrossValidationConfig,
    EstimatorError,
    RejectedRowsError,
    cross_val_pred_probs,
    read_run,
    run_cross_validation,
)
from cl_spark.methods.learning.estimators import load_estimator
from cl_spark.runs.config import load_config
from cl_spark.tables.schema import REJECTED
from cl_spark.tasks.cross_validation.tables import TABLES
from cl_spark.terminal.command_line import exit_code
from tests.methods.learning.frames import blobs, training_frame

pytestmark = pytest.mark.matrix

NAIVE_BAYES = "sklearn.naive_bayes.GaussianNB"


@pytest.fixture(scope="module")
def data(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> str:
    """90 examples of three classes, some labels wrong, and two rows that cannot be used."""
    features, labels = blobs(90)
    labels[:9] = (labels[:9] + 1) % 3
    good = training_frame(spark, features, labels, note=[f"n{i}" for i in range(90)])
    bad = good.limit(2).withColumn("id", F.col("id") + 1000).withColumn("label", F.lit(None).cast("long"))
    path = str(tmp_path_factory.mktemp("training") / "data")
    good.unionByName(bad).write.parquet(path)
    return path


def config(data: str, output: Path, **values: Any) -> CrossValidationConfig:
    keys = {
        "data": data,
        "output": str(output),
        "format": "parquet",
        "estimator": NAIVE_BAYES,
        "folds": 3,
        "max_rejected_fraction": 0.1,
        "review_columns": ["note"],
    }
    return CrossValidationConfig.model_validate({**keys, **values})


def rows(frame: DataFrame) -> list[Any]:
    return sorted(map(tuple, frame.collect()))


def test_it_writes_probabilities_issues_and_the_accuracy_of_each_model(
    spark: SparkSession, data: str, tmp_path: Path
) -> None:
    settings = config(data, tmp_path / "out", gates=["accuracy >= 0.99", "num_classes >= 3"], report=True)
    result = run_cross_validation(spark, settings)
    run = result.run
    assert (run.record.num_read, run.record.num_examples, run.record.num_rejected) == (92, 90, 2)
    assert run.record.task == "cross_validation"
    assert result.failed_gates == run.failed_gates
    assert len(result.failed_gates) == 1
    expected = cross_val_pred_probs(spark.read.parquet(data), load_estimator(NAIVE_BAYES), folds=3)
    assert rows(run.table("pred_probs").select("id", "fold", "pred_probs")) == rows(
        expected.select("id", "fold", "pred_probs")
    )
    assert run.table("fold_accuracy").count() == 3
    assert run.table(REJECTED.name).count() == 2
    assert set(run.issues.columns) >= {"id", "given_label", "suggested_label", "note"}
    assert 0.5 < run.record.accuracy < 1
    names = {table.name for table in TABLES}
    assert {path.name for path in (tmp_path / "out").iterdir()} >= names - {"label_scores"}
    page = Path(str(result.report)).read_text(encoding="utf-8")
    assert "Models of the cross-validation" in page


def test_a_run_again_replaces_its_rows(spark: SparkSession, data: str, tmp_path: Path) -> None:
    for _ in range(2):
        run_cross_validation(spark, config(data, tmp_path, run_id="nightly"))
    run = read_run(str(tmp_path), spark=spark)
    assert run.table("pred_probs").count() == 90
    assert run.issues.count() == run.record.num_issues


def test_the_command_takes_an_import_path_and_parameters(
    data: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ["--data", data, "--output", str(tmp_path / "out"), "--format", "parquet", "--json", "--quiet"]
    flags += ["--folds", "3", "--max-rejected-fraction", "0.1", "--estimator", NAIVE_BAYES]
    parameters = ["--estimator-params", '{"var_smoothing": 1e-8}']
    assert exit_code(["cross-validate", *flags, *parameters]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["num_examples"] == 90
    assert told["accuracy"] > 0.5
    wrong = {
        ("--estimator-params", '{"depth": 3}'): "GaussianNB does not take {'depth': 3}",
        ("--estimator-params", "depth=3"): "is no JSON",
        ("--estimator", "sklearn.Nothing"): "estimator: cannot import 'sklearn.Nothing'",
    }
    for more, message in wrong.items():
        assert exit_code(["cross-validate", *flags, *more]) == 2
        assert message in capsys.readouterr().err


def test_a_pipeline_is_an_object_of_import_paths() -> None:
    steps = [
        ["scale", {"estimator": "sklearn.preprocessing.StandardScaler"}],
        ["classify", {"estimator": "sklearn.linear_model.LogisticRegression", "params": {"C": 0.5}}],
    ]
    pipeline = load_estimator("sklearn.pipeline.Pipeline", {"steps": steps})
    assert pipeline.named_steps["classify"].C == 0.5
    with pytest.raises(ConfigurationError, match="its class has no method fit"):
        load_estimator("subprocess.Popen", {"args": ["true"]})
    with pytest.raises(ConfigurationError, match="is a function, not a class"):
        load_estimator("sklearn.pipeline.make_pipeline")


def test_parameters_of_an_estimator_are_what_yaml_makes_of_them(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text(
        "data: ./d\noutput: ./o\nestimator: a.B\nestimator_params: {n: 500, deep: [x, {y: 0.5}]}\n"
    )
    config = load_config(CrossValidationConfig, str(tmp_path / "c.yaml"), {})
    assert config.estimator_params == {"n": 500, "deep": ["x", {"y": 0.5}]}


def test_nothing_is_written_where_the_estimator_fails(spark: SparkSession, data: str, tmp_path: Path) -> None:
    settings = config(data, tmp_path / "out", estimator_params={"var_smoothing": -1.0})
    with pytest.raises(EstimatorError, match="GaussianNB: InvalidParameterError"):
        run_cross_validation(spark, settings)
    assert not (tmp_path / "out" / "runs").exists()


def test_too_many_rejected_rows_are_told_before_anything_is_trained(
    spark: SparkSession, data: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(CrossValidation, "warnings", lambda _: pytest.fail("it trains"))
    with pytest.raises(RejectedRowsError, match="2 of 92 rows"):
        run_cross_validation(spark, config(data, tmp_path / "out", max_rejected_fraction=0.0))


def test_csv_has_features_of_any_kind(spark: SparkSession, tmp_path: Path) -> None:
    lines = [f"{i},{'ab'[i % 2]},{i % 2 + i / 100},{'true' if i % 2 else 'false'},{i % 3}" for i in range(30)]
    (tmp_path / "data.csv").write_text("\n".join(["id,label,x,flag,colour", *lines]) + "\n")
    settings = CrossValidationConfig(
        data=str(tmp_path / "data.csv"),
        output=str(tmp_path / "out"),
        format="parquet",
        features_col=["x", "flag"],
        weight_col="colour",
        estimator=NAIVE_BAYES,
        folds=2,
    )
    result = run_cross_validation(spark, settings)
    assert (result.num_examples, result.numbers["accuracy"]) == (30, 1.0)
    with pytest.raises(ConfigurationError, match="filter_by='luck' is not a filter"):
        run_cross_validation(spark, settings.model_copy(update={"filter_by": "luck"}))
