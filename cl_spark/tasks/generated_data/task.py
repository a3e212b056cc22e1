"""Judging generated rows as a task of the run machinery: what it reads, computes, writes and shows."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from cl_spark.methods.generated.generated_data import (
    COVERAGE,
    DIVERSITY,
    FIT,
    GENERATED,
    ISSUE_TYPE,
    KEPT,
    NEARNESS,
    REALISM,
    REASON,
    GeneratedData,
)
from cl_spark.methods.neighbors.features import choose_features_col
from cl_spark.report.sections import KeyNumber, Section
from cl_spark.runs.facts import RunFacts
from cl_spark.runs.result import RunResult
from cl_spark.runs.run import run_task
from cl_spark.runs.steps import Steps
from cl_spark.runs.task import Execution, RowCounts, Stage, Task, View, Written
from cl_spark.tables import columns as c
from cl_spark.tables.finished_run import Run
from cl_spark.tables.input_table import InputTable, read_source
from cl_spark.tables.schema import RunWarning
from cl_spark.tasks.generated_data import report
from cl_spark.tasks.generated_data import tables as t
from cl_spark.tasks.generated_data.config import GeneratedDataConfig
from cl_spark.tasks.label_audit.stages import check_review_columns


class GeneratedExecution(Execution):
    """Generated rows that are judged in one run.

    Args:
        config: which rows, and how.
        inputs: generated and real rows, by their keys.
    """

    def __init__(self, config: GeneratedDataConfig, inputs: Mapping[str, InputTable]) -> None:
        self.config, self._inputs = config, inputs
        self.source = f"{inputs['generated'].name} beside {inputs['real'].name}"
        self.source_version = self.read_version()
        id_col = config.id_col[0]
        # results have the id as the configuration spells it
        made, real = (inputs[key].df.withColumnRenamed(id_col, id_col) for key in ("generated", "real"))
        c.check_result_names(config.id_col, [t.PROMPT])
        features_col = choose_features_col(made, config.features_col, "generated")
        self.judged = GeneratedData(made, real, features_col=features_col, **config.arguments)
        of_rows = [*config.id_col, config.prompt_col]  # which all tables have
        check_review_columns(made, config.review_columns, of_rows, t.DROPPED_ROWS)
        self._review = made.select(*map(c.quoted, [id_col, *config.review_columns]))
        prompt = F.col(c.quoted(config.prompt_col)).alias(t.PROMPT)
        fields = [*self._review.schema.fields, *made.select(prompt).schema.fields]
        self.types = {field.name: field.dataType.simpleString() for field in fields}

    def read_version(self) -> str | None:
        """Ask for the state of the inputs."""
        return ", ".join(f"{key} {table.state()}" for key, table in self._inputs.items())

    def count_rows(self) -> RowCounts:
        """Count the rows of both tables that can be used, and those that cannot."""
        self.num_read = self.judged.num_read
        return RowCounts(self.judged.num_examples, self.judged.rejected_counts)

    def warnings(self, steps: Steps) -> list[RunWarning]:
        """Return doubts about the prompts."""
        with steps("looking at the neighbors"):
            return self.judged.warnings()

    def rejected(self) -> DataFrame:
        """Return the rows of both tables that cannot be used."""
        return self.judged.rejected()

    def stages(self, steps: Steps, written: Written) -> Iterator[Stage]:
        """Yield the rows, and the sums of the prompts."""
        with steps("judging the rows"):
            dropped = self.judged.dropped()
        if self.config.review_columns:
            dropped = dropped.join(self._review, self.config.id_col, "left")
        usable = self.judged.rows().where(F.col(NEARNESS).isNotNull())
        frames = {t.DROPPED_ROWS: dropped, t.GENERATED_ROWS: usable, t.PROMPTS: self.judged.prompts()}
        named = {
            table: df.withColumnRenamed(self.config.prompt_col, t.PROMPT) for table, df in frames.items()
        }
        yield Stage("writing the tables", named)

    def numbers(self) -> Mapping[str, Any]:
        """Return the sums of all prompts."""
        totals = self.judged.totals()
        return {
            c.OVERALL_HEALTH: totals[KEPT] / totals[GENERATED],
            "num_generated": totals[GENERATED],
            "num_rows_kept": totals[KEPT],
            "mean_realism": totals[REALISM],
            "prompt_fit": totals[FIT],
            "diversity": totals[DIVERSITY],
            "coverage": totals[COVERAGE],
        }

    def release(self) -> None:
        """Free what was kept."""
        self.judged.release()


class GeneratedDataTask(Task[GeneratedDataConfig]):
    """Generated rows judged beside real ones: which to keep, and what the prompts bring."""

    name = "generated_data"
    command = "generated"
    help = (
        "Judge generated rows beside real ones: drop those that look like nothing real, do not fit their "
        "prompt, or are copies."
    )
    title = "Generated data"
    config = GeneratedDataConfig
    issues = t.DROPPED_ROWS
    counted = ("rows to drop", "generated and real rows")
    tables = t.TABLES
    numbers = t.NUMBERS
    gated_tables: ClassVar = {t.PROMPTS: "prompts"}

    def open(self, spark: SparkSession, config: GeneratedDataConfig) -> GeneratedExecution:
        """Open generated and real rows."""
        inputs = {
            key: read_source(spark, name, key, input_format=config.input_format, roles=config.roles[key])
            for key, name in config.sources.items()
        }
        return GeneratedExecution(config, inputs)

    def headline(self, run: Run) -> list[str]:
        """Return what is to be kept, and the sums."""
        record = run.record
        fit = (
            "" if record.prompt_fit is None else f"{record.prompt_fit:.2%} fit their prompt, "
        )  # of one prompt
        return [
            f"{record.num_rows_kept:,} of {record.num_generated:,} generated rows are to be kept "
            f"({record.overall_health:.2%})",
            f"{fit}{record.diversity:.2%} are no copies, {record.coverage:.2%} of real rows have a generated "
            "row nearby",
        ]

    def views(self, run: Run) -> list[View]:
        """Return the prompts of which least is kept, and the rows to drop."""
        kept = F.col(KEPT) / F.col(GENERATED)
        prompts = run.table(t.PROMPTS.name).orderBy(kept.asc_nulls_last(), t.PROMPT)
        names = (t.PROMPT, GENERATED, KEPT, REALISM, FIT, DIVERSITY, COVERAGE)
        return [
            View("Prompts, the least kept first", prompts, {name: name for name in names}),
            self.list_issues(run),
        ]

    def list_issues(self, run: Run, **classes: str | None) -> View:
        """Return the rows to drop: the worst of each kind, then the second of each.

        Raises:
            ConfigurationError: they are to be selected by class.
        """
        view = super().list_issues(run, **classes)
        columns = {c.RANK: "rank", ISSUE_TYPE: "kind", **{col: col for col in run.id_columns}}
        return View(view.title, view.rows, {**columns, t.PROMPT: "prompt", REASON: "why"})

    def worst(self, run: Run) -> tuple[Any, float] | None:
        """Return the prompt of which the least share is kept."""
        kept = (F.col(KEPT) / F.col(GENERATED)).alias("_kept")
        rows = run.table(t.PROMPTS.name).where(F.col(GENERATED) > 0)
        found = rows.select(t.PROMPT, kept).orderBy("_kept", t.PROMPT).first()
        return None if found is None else (found[0], found[1])

    def report(self, run: Run, facts: RunFacts, issues: int) -> tuple[Sequence[KeyNumber], Sequence[Section]]:
        """Return the prompts, and the rows to drop of each kind."""
        return report.key_numbers(run), report.sections(run, issues)


GENERATED_DATA = GeneratedDataTask()


def run_generated_data(
    spark: SparkSession, config: GeneratedDataConfig, steps: Steps | None = None
) -> RunResult:
    """Judge generated rows beside real ones, and write the tables; the row in `runs` last.

    Args:
        spark: the session.
        config: which rows, how, and where the results go.
        steps: told of each step as it begins.

    Raises:
        ClSparkError: the configuration, the input or the output cannot be used. Nothing is recorded then.
    """
    return run_task(spark, GENERATED_DATA, config, steps)
