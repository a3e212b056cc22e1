"""The tables of a label audit, stage by stage, whatever its probabilities come from."""

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from cl_spark.errors import ConfigurationError, MissingColumnError, SourceChangedError
from cl_spark.methods.classification.filters import FilterOptions
from cl_spark.methods.classification.health import HealthSummary
from cl_spark.methods.classification.label_audit import LabelAudit
from cl_spark.methods.classification.scores import add_by_id, add_issue_flag, check_method
from cl_spark.runs.steps import Steps
from cl_spark.runs.task import Execution, Stage, Written
from cl_spark.tables import columns as c
from cl_spark.tables.input_table import InputTable
from cl_spark.tables.schema import RunWarning, Table
from cl_spark.tables.spark_errors import SOURCE_CHANGED
from cl_spark.tasks.label_audit.config import IssueConfig
from cl_spark.tasks.label_audit.tables import (
    CLASS_HEALTH,
    CONFIDENT_JOINT,
    ISSUES,
    LABEL_SCORES,
    OVERLAPPING_CLASSES,
    SCORE_DISTRIBUTION,
    SLICE_HEALTH,
)


class AuditStages(Execution):
    """A run that writes the tables of a label audit.

    Args:
        config: how issues are found, and what goes with them.
        table: the input, which has ids and the columns for reviewers.
        slice_by: columns for whose values health is told apart.
    """

    def __init__(self, config: IssueConfig, table: InputTable, slice_by: Sequence[str] = ()) -> None:
        self.config, self._slice_by = config, slice_by
        check_options(config)
        self.review = select_review_columns(table, config)
        frames = [table.df.select(*map(c.quoted, config.example_ids))]
        frames += [] if self.review is None else [self.review]
        fields = [field for frame in frames for field in frame.schema.fields]
        self.types = {field.name: field.dataType.simpleString() for field in fields}

    @property
    @abstractmethod
    def audit(self) -> LabelAudit:
        """The audit."""

    def warnings(self, steps: Steps) -> list[RunWarning]:
        """Return doubts about the meaning of labels and probabilities."""
        with steps("counting the confident joint"):
            return self.audit.warnings()

    def stages(self, steps: Steps, written: Written) -> Iterator[Stage]:
        """Yield issues and health; then what is read from the written issues."""
        health = self._health
        issues = self.find_issues(steps)
        if self.review is not None:
            issues = add_by_id(issues, self.review, self.config.example_ids)
        slices = {SLICE_HEALTH: self.audit.slice_health()} if self._slice_by else {}
        yield Stage(
            "writing the tables",
            {
                ISSUES: issues,
                CLASS_HEALTH: health.class_health,
                OVERLAPPING_CLASSES: health.overlapping_classes,
                CONFIDENT_JOINT: self.audit.confident_joint_table(),
                **slices,
            },
        )
        found = written(ISSUES)
        scores = {LABEL_SCORES: self._label_scores(found)} if self.config.label_scores else {}
        yield Stage(
            "writing the scores", {SCORE_DISTRIBUTION: self.audit.score_distribution(found), **scores}
        )
        if scores:
            check_scores(written(LABEL_SCORES), self.audit.num_examples, found.count())

    def find_issues(self, steps: Steps) -> DataFrame:
        """Find the label issues: those that a filter chooses.

        Args:
            steps: told of each step of the computation as it begins.

        Returns:
            The columns of `LabelAudit.find_label_issues`.
        """
        with steps("choosing the issues"):
            return self.audit.find_label_issues(**self.config.filter_arguments)

    def numbers(self) -> Mapping[str, Any]:
        """Return K, the off-diagonal issues, and the overall health that follows from them."""
        return {
            c.OVERALL_HEALTH: self._health.overall_health,
            "num_classes": self.audit.num_classes,
            c.OFF_DIAGONAL_ISSUES: self._health.num_issues,
        }

    def release(self) -> None:
        """Free the evidence."""
        self.audit.release()

    @cached_property
    def _health(self) -> HealthSummary:
        return self.audit.health_summary()

    def _label_scores(self, issues: DataFrame) -> DataFrame:
        """Score every example; whether it is an issue is read from the written issues, by id."""
        config = self.config
        scores = self.audit.label_quality_scores(
            method=config.rank_by, adjust_pred_probs=config.adjust_pred_probs
        )
        return add_issue_flag(scores, issues, config.example_ids)


def check_scores(scores: DataFrame, num_examples: int, num_issues: int) -> None:
    """Check that every example and every issue has a score.

    Raises:
        SourceChangedError: some have not: they were no longer there when the scores read the input again.
    """
    examples, flagged = scores.agg(F.count(F.lit(1)), F.count_if(c.IS_ISSUE)).collect()[0]
    if examples != num_examples or flagged < num_issues:
        raise SourceChangedError(
            f"{SOURCE_CHANGED}: {num_examples:,} examples and {num_issues:,} issues at first, later "
            f"{examples:,} scores, {flagged:,} of issues; the run was not recorded"
        )


def check_slices(slices: DataFrame, num_examples: int) -> None:
    """Check that every example is in a slice of each column.

    Raises:
        SourceChangedError: some are not: they were no longer there when the slices read the input again.
    """
    sums = slices.groupBy(c.SLICE_COLUMN).agg(F.sum(c.EXAMPLES).alias("found"))
    for column, found in sums.where(F.col("found") != num_examples).orderBy(c.SLICE_COLUMN).take(1):
        raise SourceChangedError(
            f"{SOURCE_CHANGED}: {num_examples:,} examples at first, later {found:,} in slices of {column!r}; "
            "the run was not recorded"
        )


def check_options(config: IssueConfig) -> None:
    """Check how issues are to be found, before anything is computed.

    Raises:
        ConfigurationError: an option is unknown, or does not go with the others.
    """
    arguments = dict(config.filter_arguments)
    check_method(arguments.pop("rank_by"), arguments.pop("adjust_pred_probs"), "rank_by")
    FilterOptions(**arguments)


def select_review_columns(
    predictions: InputTable, config: IssueConfig, issues: Table = ISSUES
) -> DataFrame | None:
    """Select ids, and the columns of the input that go with the issues; None if none do.

    Args:
        predictions: the input.
        config: names the columns.
        issues: the table of issues.

    Raises:
        MissingColumnError: there is no such column.
        ConfigurationError: the table of issues has a column of the name.
    """
    check_review_columns(predictions.df, config.review_columns, config.example_ids, issues)
    names = map(c.quoted, (*config.example_ids, *config.review_columns))
    return predictions.df.select(*names) if config.review_columns else None


def check_review_columns(
    df: DataFrame, review_columns: Sequence[str], example_ids: Sequence[str], issues: Table = ISSUES
) -> None:
    """Check that columns can go with the issues.

    Args:
        df: the table that holds them.
        review_columns: the columns.
        example_ids: columns that tell examples apart.
        issues: the table of issues.

    Raises:
        MissingColumnError: there is no such column.
        ConfigurationError: the table of issues has a column of the name.
    """
    columns, sensitive = df.columns, c.is_case_sensitive(df.sparkSession)
    taken = {name.casefold() for name in (*(column.name for column in issues.columns), *example_ids)}
    for col in review_columns:
        if col.casefold() in taken:
            raise ConfigurationError(
                f"review_columns: {col!r} is a column of the table of issues already; leave it out"
            )
        taken.add(col.casefold())
        if not c.find_columns(col, columns, case_sensitive=sensitive):
            raise MissingColumnError(
                f"review_columns: there is no column {col!r}; the table has {', '.join(columns)}"
            )
