"""Learning with noisy labels as a task of the run machinery."""

from collections.abc import Iterator, Mapping
from typing import Any, cast

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from cl_spark.methods.classification.scores import add_by_id
from cl_spark.methods.learning.correction import Findings
from cl_spark.methods.learning.incv import NoisyCrossValidation
from cl_spark.runs.run import run_task
from cl_spark.runs.steps import Steps
from cl_spark.runs.task import Stage, Written
from cl_spark.tables import columns as c
from cl_spark.tables.finished_run import Run
from cl_spark.tables.input_table import InputTable
from cl_spark.tables.location import absolute, is_path, locate_path, remove_earlier_attempts
from cl_spark.tables.schema import Column
from cl_spark.tasks.clean_learning.config import CleanLearningConfig
from cl_spark.tasks.cross_validation.tables import NUMBERS, PRED_PROBS
from cl_spark.tasks.cross_validation.task import CrossValidationExecution, TrainingTask, open_data
from cl_spark.tasks.label_audit.tables import ISSUES
from cl_spark.tasks.label_audit.task import AuditResult

_ACTIONS = {"prune": "left out", "reweight": "weighed, like all examples", "relabel": "relabelled"}


class CleanLearningExecution(CrossValidationExecution):
    """Learning with noisy labels at work in one run.

    Args:
        config: what to train on, and how.
        data: the input.
    """

    def __init__(self, config: CleanLearningConfig, data: InputTable) -> None:
        from cl_spark.methods.learning.clean_learning import (
            CleanLearning,  # needs Spark ML, which is slow to import
        )

        super().__init__(config, data)
        self._learning = CleanLearning(self.validation.estimator, how=config.how, **config.training_arguments)
        self._learning.check(self.validation.data)
        self._method = config.method
        self._model_path = config.model_path
        self._output = str(config.output)
        self._num_trained = 0

    def find_issues(self, steps: Steps) -> DataFrame:
        """Find the label issues, by a filter or by INCV. Self-confidence and margin are of the
        cross-validation, as in the other tables.
        """
        if self._method != "incv":
            return super().find_issues(steps)
        ids = self.config.id_col
        with steps("training the models of INCV"):
            issues = NoisyCrossValidation(self.validation).find_label_issues()
        for method in (c.SELF_CONFIDENCE, c.NORMALIZED_MARGIN):
            scores = self.audit.label_quality_scores(method=method)
            named = scores.select(*map(c.quoted, ids), F.col(c.LABEL_QUALITY).alias(method))
            issues = add_by_id(issues, named, ids)
        return issues.select(*[name for name in issues.columns if name != c.RANK], c.RANK)

    def stages(self, steps: Steps, written: Written) -> Iterator[Stage]:
        """Yield the tables; then train the model, and save it."""
        yield from super().stages(steps, written)
        with steps("training on the clean labels"):
            estimates = () if self._method == "incv" else (self.audit, written(PRED_PROBS))
            found = Findings(written(ISSUES), *estimates)
            model, self._num_trained = self._learning.train(self.validation, found)
        with steps("saving the model"):
            # of its own, so that the model of a recorded run stays until another is recorded
            own = f"{self._own_models(steps.run_id)}/{steps.attempt}"
            spark = self.validation.data.df.sparkSession
            self._model_path = absolute(locate_path(spark, self._model_path or own))
            model.write().overwrite().save(self._model_path)

    def numbers(self) -> Mapping[str, Any]:
        """Return the numbers of the cross-validation, and where the model is."""
        return {**super().numbers(), "num_trained": self._num_trained, "model_path": self._model_path}

    def remove_earlier(self, run_id: str, attempt: str) -> None:
        """Remove the models that earlier attempts saved below the output. One at a `model_path` stays, unless
        this attempt has replaced it.
        """
        if is_path(self._output):
            spark = self.validation.data.df.sparkSession
            models = absolute(locate_path(spark, self._own_models(run_id)))
            remove_earlier_attempts(spark, models, attempt, "output")

    def _own_models(self, run_id: str) -> str:
        """Name the directory of the models of a run, where no `model_path` is given."""
        return f"{self._output.rstrip('/')}/models/{run_id}"


class CleanLearningTask(TrainingTask[CleanLearningConfig]):
    """Learning with noisy labels: find the label issues of a table, and train a model without them."""

    name = "clean_learning"
    command = "clean-learning"
    help = (
        "Find the wrong labels of a table of features and labels by cross-validation, train a classifier "
        "without them, and save it."
    )
    title = "Learning with noisy labels"
    config = CleanLearningConfig
    numbers = (
        *NUMBERS,
        Column("num_trained", "long", "Examples that the saved model was trained on"),
        Column("model_path", "string", "Directory of the saved model, for `CleanLearningModel.load`"),
    )

    def open(self, spark: SparkSession, config: CleanLearningConfig) -> CleanLearningExecution:
        """Open the table."""
        return CleanLearningExecution(config, open_data(spark, config))

    def headline(self, run: Run) -> list[str]:
        """Return the lines of a cross-validation, and what the model was trained on."""
        record, how = run.record, run.parameters["how"]
        return [
            *super().headline(run),
            f"model trained on {record.num_trained:,} examples (issues are {_ACTIONS[how]}): "
            f"{record.model_path}",
        ]


CLEAN_LEARNING = CleanLearningTask()


def run_clean_learning(
    spark: SparkSession, config: CleanLearningConfig, steps: Steps | None = None
) -> AuditResult:
    """Find the label issues of a table, train a classifier without them, and write both.

    Args:
        spark: the session.
        config: what to train on, how, and where the results go.
        steps: told of each step as it begins.

    Raises:
        ClSparkError: the configuration, the input or the output cannot be used, or the estimator failed.
    """
    return cast(AuditResult, run_task(spark, CLEAN_LEARNING, config, steps))
