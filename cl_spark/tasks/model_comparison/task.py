"""The comparison of models as a task of the run machinery: what it reads, computes, writes and shows."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from cl_spark.errors import SourceChangedError
from cl_spark.methods.learning import accuracy as a
from cl_spark.methods.learning.model_comparison import ModelComparison, benchmark_models
from cl_spark.methods.learning.reviewed_labels import read_labels
from cl_spark.report.sections import KeyNumber, Section
from cl_spark.runs.facts import RunFacts
from cl_spark.runs.result import RunResult
from cl_spark.runs.run import run_task
from cl_spark.runs.steps import Steps
from cl_spark.runs.task import Execution, RowCounts, Stage, Task, View, Written
from cl_spark.tables import columns as c
from cl_spark.tables.example_ids import ExampleIds
from cl_spark.tables.finished_run import Run
from cl_spark.tables.input_table import InputTable, read_source
from cl_spark.tables.schema import RunWarning
from cl_spark.tables.spark_errors import SOURCE_CHANGED
from cl_spark.tasks.model_comparison import report
from cl_spark.tasks.model_comparison.config import ModelComparisonConfig
from cl_spark.tasks.model_comparison.corrections import list_corrections
from cl_spark.tasks.model_comparison.tables import (
    CHANGE,
    CORRECTED_LABEL,
    FLIP_PREVALENCE,
    LABEL_CORRECTIONS,
    LAST_FLIP_PREVALENCE,
    MODEL_A,
    MODEL_ACCURACY,
    MODEL_B,
    MODEL_CLASS_ACCURACY,
    MODEL_FLIP_PREVALENCES,
    MODEL_PREVALENCE_ACCURACY,
    MODEL_RANK_CHANGES,
    NUMBERS,
    TABLES,
)

logger = logging.getLogger(__name__)


class ComparisonExecution(Execution):
    """A comparison of models at work in one run.

    Args:
        config: what to compare, and how.
        inputs: predictions, labels and corrected labels, by their keys.
    """

    def __init__(self, config: ModelComparisonConfig, inputs: Mapping[str, InputTable]) -> None:
        self.config, self._inputs = config, inputs
        labels = inputs["labels"]
        self.source = (
            f"{inputs['predictions'].name} with labels {labels.name} and corrected labels "
            f"{inputs['corrected_labels'].name}"
        )
        self.source_version = self.read_version()
        ExampleIds.of(config.id_col).check({key: table.df for key, table in inputs.items()})
        fields = labels.df.select(*map(c.quoted, config.id_col)).schema.fields
        self._id_types = {col: field.dataType for col, field in zip(config.id_col, fields, strict=True)}
        kind = "int" if config.class_names is None else "string"
        self.types = {
            **{col: id_type.simpleString() for col, id_type in self._id_types.items()},
            c.GIVEN_LABEL: kind,
            CORRECTED_LABEL: kind,
        }
        self._comparison: ModelComparison

    def read_version(self) -> str | None:
        """Ask for the state of the three inputs."""
        predictions, labels, corrected = (table.state() for table in self._inputs.values())
        return f"{predictions}, labels {labels}, corrected labels {corrected}"

    def count_rows(self) -> RowCounts:
        """Count the labels; then compare the models, as this tells whether all rows can be used.

        Raises:
            InputError: some rows cannot be used.
        """
        predictions, labels, corrected = (table.df for table in self._inputs.values())
        self.num_read = labels.count()
        self._comparison = benchmark_models(
            predictions, labels, corrected, **self.config.comparison_arguments
        )
        return RowCounts(self._comparison.num_examples)

    def warnings(self, steps: Steps) -> list[RunWarning]:
        """Return a warning if no label was corrected, so that both kinds of labels are the same."""
        if self._comparison.num_corrected:
            return []
        message = (
            f"none of the {self._comparison.num_reviewed:,} corrected labels differs from the given one: "
            "accuracy by given and by corrected labels is the same. Look whether corrected_labels names the "
            "right table and column"
        )
        logger.warning("%s (no_corrections)", message)
        return [RunWarning("no_corrections", message)]

    def rejected(self) -> DataFrame:
        """Return no rows: those that cannot be used fail the run."""
        nothing = F.lit(None).cast("string")
        rows = self._inputs["labels"].df.select(
            *map(c.quoted, self.config.id_col), nothing.alias(c.REASON), nothing.alias(c.ROW)
        )
        return rows.where(F.lit(False))

    def stages(self, steps: Steps, written: Written) -> Iterator[Stage]:
        """Yield all tables."""
        found = self._comparison
        with steps("listing the corrected labels"):
            corrections = self._list_corrections()
        class_accuracy = found.class_accuracy
        if self.config.class_names is None:
            class_accuracy = class_accuracy.withColumn(c.CLASS, F.col(c.CLASS).cast("int"))
        yield Stage(
            "writing the tables",
            {
                LABEL_CORRECTIONS: corrections,
                MODEL_ACCURACY: found.accuracy,
                MODEL_CLASS_ACCURACY: class_accuracy,
                MODEL_RANK_CHANGES: found.rank_changes,
                MODEL_PREVALENCE_ACCURACY: found.prevalence_accuracy,
                MODEL_FLIP_PREVALENCES: found.flip_prevalences,
            },
        )
        self._check_corrections(written(LABEL_CORRECTIONS).count())

    def numbers(self) -> Mapping[str, Any]:
        """Return the numbers of the comparison, and the share of the examples whose given label stands."""
        found = self._comparison
        not_right = found.num_corrected + found.num_without_right_label
        return {
            c.OVERALL_HEALTH: 1 - not_right / found.num_examples,
            "num_classes": found.num_classes,
            "num_models": len(found.models),
            "num_reviewed": found.num_reviewed,
            "num_corrected": found.num_corrected,
            "num_without_right_label": found.num_without_right_label,
            "noise_prevalence": found.noise_prevalence,
        }

    def _list_corrections(self) -> DataFrame:
        """Read the labels once more, and list the corrected examples."""
        config = self.config
        labels = read_labels(
            self._inputs["labels"].df,
            self._inputs["corrected_labels"].df,
            ExampleIds.of(config.id_col),
            config.label_col,
            config.corrected_col,
            config.class_names,
            config.seed,
        )
        self._check_corrections(labels.num_corrected)
        return list_corrections(labels, self._id_types, config.class_names)

    def _check_corrections(self, number: int) -> None:
        """Check that as many labels are corrected as the comparison has counted.

        Raises:
            SourceChangedError: they are more or fewer.
        """
        if number != self._comparison.num_corrected:
            raise SourceChangedError(
                f"{SOURCE_CHANGED}: {self._comparison.num_corrected:,} corrected labels at first, later "
                f"{number:,}; the run was not recorded"
            )


class ModelComparisonTask(Task[ModelComparisonConfig]):
    """The comparison of models: their accuracy on a test set by its given and by its corrected labels."""

    name = "model_comparison"
    command = "benchmark-models"
    help = (
        "Compare models on a test set by its given labels and by labels that people have corrected, and "
        "write the tables of accuracy and ranks."
    )
    title = "Comparison of models"
    config = ModelComparisonConfig
    issues = LABEL_CORRECTIONS
    counted = ("corrections", "examples")
    tables = TABLES
    numbers = NUMBERS

    def open(self, spark: SparkSession, config: ModelComparisonConfig) -> ComparisonExecution:
        """Open predictions, labels and corrected labels."""
        return ComparisonExecution(config, open_inputs(spark, config))

    def headline(self, run: Run) -> list[str]:
        """Return the noise prevalence, what was compared, and the best model by each kind of label."""
        record = run.record
        with_label = record.num_examples - record.num_without_right_label
        first = run.table(MODEL_ACCURACY.name).where((F.col(a.SUBSET) == a.ALL) & (F.col(c.RANK) == 1))
        best = first.orderBy(a.TOP_K, F.desc(a.LABEL_KIND)).limit(2).collect()  # given, corrected
        return [
            f"{record.noise_prevalence:.2%} noise prevalence "
            f"({record.num_corrected:,} of {with_label:,} labels were corrected)",
            f"{record.num_models:,} models compared in {record.num_classes:,} classes; "
            f"{record.num_without_right_label:,} examples without a right label left out",
            f"best by {' and '.join(f'{row[a.LABEL_KIND]} labels: {row[a.MODEL]}' for row in best)} "
            f"(top {best[0][a.TOP_K]})",
        ]

    def views(self, run: Run) -> list[View]:
        """Return the accuracy of the models, those whose rank changes, and the pairs that change places."""
        accuracy = report.accuracy_by_model(run.table(MODEL_ACCURACY.name)).where(F.col(a.SUBSET) == a.ALL)
        k = accuracy.agg(F.min(a.TOP_K)).collect()[0][0]
        changes = run.table(MODEL_RANK_CHANGES.name).where(F.col(CHANGE) != 0)
        flips = run.table(MODEL_FLIP_PREVALENCES.name).where(F.col(FLIP_PREVALENCE).isNotNull())
        ranks = {a.RANK_GIVEN: "rank by given", a.RANK_CORRECTED: "by corrected"}
        return [
            View(
                f"Accuracy (top {k}) by given and by corrected labels",
                accuracy.where(F.col(a.TOP_K) == k).orderBy(a.RANK_CORRECTED),
                {
                    a.MODEL: "model",
                    "accuracy_given": "given",
                    "accuracy_corrected": "corrected",
                    **ranks,
                },
            ),
            View(
                "Models whose rank changes",
                changes.orderBy(F.desc(F.abs(CHANGE)), a.SUBSET, a.TOP_K, a.RANK_CORRECTED),
                {a.SUBSET: "examples", a.TOP_K: "top", a.MODEL: "model", **ranks, CHANGE: "change"},
            ),
            View(
                "Pairs of models that change places",
                flips.orderBy(FLIP_PREVALENCE, a.TOP_K, MODEL_A, MODEL_B),
                {
                    a.TOP_K: "top",
                    MODEL_A: "model a",
                    MODEL_B: "model b",
                    FLIP_PREVALENCE: "from noise prevalence",
                    LAST_FLIP_PREVALENCE: "to",
                },
            ),
        ]

    def report(self, run: Run, facts: RunFacts, issues: int) -> tuple[Sequence[KeyNumber], Sequence[Section]]:
        """Return accuracy, noise prevalence, classes and corrected labels."""
        return report.key_numbers(run), report.sections(run, issues)


MODEL_COMPARISON = ModelComparisonTask()


def run_model_comparison(
    spark: SparkSession, config: ModelComparisonConfig, steps: Steps | None = None
) -> RunResult:
    """Compare models by given and by corrected labels, and write the tables; the row in `runs` last.

    Args:
        spark: the session.
        config: what to compare, how, and where the results go.
        steps: told of each step as it begins.

    Raises:
        ClSparkError: the configuration, the input or the output cannot be used. Nothing is recorded then.
    """
    return run_task(spark, MODEL_COMPARISON, config, steps)


def open_inputs(spark: SparkSession, config: ModelComparisonConfig) -> dict[str, InputTable]:
    """Open predictions, labels and corrected labels, by their keys.

    Raises:
        InputError: there is no such table, or it cannot be read.
    """
    formats = {"predictions": config.input_format}
    return {
        key: read_source(spark, name, key, input_format=formats.get(key, "auto"), roles=config.roles[key])
        for key, name in config.sources.items()
    }
