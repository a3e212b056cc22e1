"""Cross-validation as a task of the run machinery: it trains models, and audits labels by what they
predict.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, ClassVar, TypeVar, cast

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from cl_spark.methods.classification.label_audit import LabelAudit
from cl_spark.methods.learning.cross_validation import CrossValidation
from cl_spark.methods.learning.estimators import load_estimator
from cl_spark.report.sections import KeyNumber, ReportColumn, ReportTable, Section
from cl_spark.runs.facts import RunFacts, first_rows
from cl_spark.runs.run import run_task
from cl_spark.runs.steps import Steps
from cl_spark.runs.task import RowCounts, Stage, View, Written
from cl_spark.tables import columns as c
from cl_spark.tables.finished_run import Run
from cl_spark.tables.input_table import InputTable, read_source
from cl_spark.tables.schema import Column, RunWarning
from cl_spark.tasks.cross_validation.config import CrossValidationConfig
from cl_spark.tasks.cross_validation.tables import FOLD_ACCURACY, NUMBERS, PRED_PROBS, TABLES
from cl_spark.tasks.label_audit.stages import AuditStages
from cl_spark.tasks.label_audit.task import AuditResult, AuditTask

TrainingConfigT = TypeVar("TrainingConfigT", bound=CrossValidationConfig)


class CrossValidationExecution(AuditStages):
    """A cross-validation at work in one run.

    Args:
        config: what to train on, and how.
        data: the input.
    """

    def __init__(self, config: CrossValidationConfig, data: InputTable) -> None:
        self._data = data
        self.validation = CrossValidation(
            data.df,
            load_estimator(config.estimator, config.estimator_params),
            evidence_path=config.evidence_path,
            **config.training_arguments,
        )
        super().__init__(config, data)
        self.source, self.source_version = data.name, data.state()
        by_name = self.validation.data.labels_are_names or config.class_names is not None
        self.types = {**self.types, c.GIVEN_LABEL: "string" if by_name else "int"}

    @cached_property
    def audit(self) -> LabelAudit:
        """The audit of the labels by the cross-validated probabilities; trains the models."""
        return self.validation.audit(evidence_path=self.config.evidence_path)

    def read_version(self) -> str | None:
        """Ask for the state of the input."""
        return self._data.state()

    def count_rows(self) -> RowCounts:
        """Count the input, and the rows of it that can be used."""
        self.num_read = self._data.df.count()
        profile = self.validation.profile
        return RowCounts(profile.num_examples, profile.rejected)

    def warnings(self, steps: Steps) -> list[RunWarning]:
        """Train the models, and return what they warn of, and doubts about labels and probabilities."""
        with steps("training the models"):
            of_models = self.validation.warnings()
        return [*of_models, *super().warnings(steps)]

    def explain_rejections(self, steps: Steps) -> list[str]:
        """Return nothing: its warnings follow from models that are not to be trained then."""
        return []

    def rejected(self) -> DataFrame:
        """Return the rejected rows."""
        return self.validation.rejected()

    def stages(self, steps: Steps, written: Written) -> Iterator[Stage]:
        """Yield the probabilities; then the tables of the audit."""
        yield Stage(
            "writing the probabilities",
            {PRED_PROBS: self.validation.pred_probs(), FOLD_ACCURACY: self.validation.fold_accuracy()},
        )
        yield from super().stages(steps, written)

    def numbers(self) -> Mapping[str, Any]:
        """Return the numbers of the audit, and the accuracy."""
        right, examples = (
            self.validation.fold_accuracy()
            .agg(F.sum(F.round(F.col("accuracy") * F.col(c.EXAMPLES))), F.sum(c.EXAMPLES))
            .collect()[0]
        )
        return {**super().numbers(), "accuracy": right / examples}

    def release(self) -> None:
        """Free what was kept."""
        if "audit" in self.__dict__:
            self.audit.release()
        self.validation.release()


class TrainingTask(AuditTask[TrainingConfigT]):
    """A kind of run that trains models, and audits the labels they were trained on."""

    tables = TABLES
    numbers: ClassVar[tuple[Column, ...]] = NUMBERS

    def headline(self, run: Run) -> list[str]:
        """Return the lines of an audit, and the accuracy of the models."""
        parameters = run.parameters
        models = f"{parameters['estimator'].rpartition('.')[2]}, {parameters['folds']} folds"
        return [*super().headline(run), f"{run.record.accuracy:.2%} accuracy out of sample ({models})"]

    def views(self, run: Run) -> list[View]:
        """Return the tables of an audit, and the accuracy of each model."""
        folds = run.table(FOLD_ACCURACY.name).orderBy("round", "fold")
        headings = {name: name for name in ("round", "fold", c.EXAMPLES, "accuracy")}
        return [*super().views(run), View("Models of the cross-validation", folds, headings)]

    def report(self, run: Run, facts: RunFacts, issues: int) -> tuple[Sequence[KeyNumber], Sequence[Section]]:
        """Return the sections of an audit, and the accuracy of each model."""
        numbers, sections = super().report(run, facts, issues)
        accuracy = KeyNumber(
            "accuracy out of sample", f"{100 * run.record.accuracy:.2f} %", "of given labels"
        )
        return [*numbers, accuracy], [*sections, models_section(run)]


class CrossValidationTask(TrainingTask[CrossValidationConfig]):
    """Cross-validation: out-of-sample probabilities of a model, and the audit of the labels by them."""

    name = "cross_validation"
    command = "cross-validate"
    help = (
        "Train a classifier out of sample on a table of features and labels, and audit the labels by what it "
        "predicts."
    )
    title = "Cross-validation"
    config = CrossValidationConfig

    def open(self, spark: SparkSession, config: CrossValidationConfig) -> CrossValidationExecution:
        """Open the table."""
        return CrossValidationExecution(config, open_data(spark, config))


CROSS_VALIDATION = CrossValidationTask()


def open_data(spark: SparkSession, config: CrossValidationConfig) -> InputTable:
    """Open the table of features and labels.

    Raises:
        InputError: there is no such table, or it cannot be read.
    """
    return read_source(
        spark,
        config.data,
        "data",
        version=config.source_version,
        timestamp=config.source_timestamp,
        input_format=config.input_format,
        roles=config.roles,
    )


def models_section(run: Run) -> Section:
    """Show the accuracy of each model of the cross-validation."""
    folds = first_rows(run.table(FOLD_ACCURACY.name), 1_000, "round", "fold")
    text = (
        "Each example was predicted by a model that was trained on the other folds. The accuracy is that on "
        "given labels, of which some are wrong: a good model stays below 100 %."
    )
    columns = [
        ReportColumn.of(folds, "round", "round", "count"),
        ReportColumn.of(folds, "fold", "fold", "count"),
        ReportColumn.of(folds, c.EXAMPLES, "examples", "count"),
        ReportColumn.of(folds, "accuracy", "accuracy", "score"),
    ]
    return Section(
        "models-section",
        "Models",
        "Models of the cross-validation",
        text=[text],
        tables=[ReportTable("models", columns)],
    )


def run_cross_validation(
    spark: SparkSession, config: CrossValidationConfig, steps: Steps | None = None
) -> AuditResult:
    """Cross-validate a classifier on a table, audit the labels by its probabilities, and write both.

    Args:
        spark: the session.
        config: what to train on, how, and where the results go.
        steps: told of each step as it begins.

    Raises:
        ClSparkError: the configuration, the input or the output cannot be used, or the estimator failed.
    """
    return cast(AuditResult, run_task(spark, CROSS_VALIDATION, config, steps))
