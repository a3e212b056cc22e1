"""The labels of a finished run that people judge: one of each example, or one of each example and class."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

from pyspark.sql import Column, DataFrame

from cl_spark.methods.review import columns as q
from cl_spark.tables import columns as c
from cl_spark.tables.finished_run import Run
from cl_spark.tasks.review_queue.audited import check_names, read_config

UNFLAGGED_SALT, FLAGGED_SALT, ORDER_SALT, CLASS_SALT = 1, 2, 3, 4
"""Orders for different purposes, none of which tells of another."""

_HASH = "_hash"


class JudgedLabels(ABC):
    """The labels of a run that people judge, those that are issues and the others.

    Args:
        run: the run.

    Attributes:
        group: column of the issues that `per_class` limits the values of.
        run: the run.
    """

    group: ClassVar[str]

    def __init__(self, run: Run) -> None:
        self.run = run

    @property
    @abstractmethod
    def ids(self) -> list[str]:
        """Columns that tell the labels apart."""

    @property
    @abstractmethod
    def num_labels(self) -> int:
        """Labels of the whole table."""

    @property
    @abstractmethod
    def num_issues(self) -> int:
        """Labels that are issues."""

    @property
    def review_columns(self) -> list[str]:
        """The columns of the input that people see."""
        return list(read_config(self.run).review_columns)

    @abstractmethod
    def read_issues(self, review_columns: Sequence[str] = ()) -> DataFrame:
        """Read the issues: ids, given_label, suggested_label, label_quality, rank, and at least the review
        columns that are named.
        """

    @abstractmethod
    def draw_others(self, issues: DataFrame, seed: int, number: int) -> tuple[DataFrame, int]:
        """Draw labels that are no issues at random.

        Args:
            issues: the issues.
            seed: changes which are drawn.
            number: labels to draw.

        Returns:
            Ids, given_label, suggested_label, label_quality and review columns of those that are drawn; and
            their number.
        """

    @abstractmethod
    def add_review_columns(self, rows: DataFrame) -> DataFrame:
        """Add the review columns to few of the issues, in the place of those that they have."""

    def check_names(self) -> None:
        """Check that no column of the input is called like one of the queue.

        Raises:
            ConfigurationError: one is.
        """
        own = set(self.ids) - set(self.run.id_columns)
        check_names(self.run, (*q.QUEUE_COLUMNS, c.RANK, *own), (q.ANSWER, q.LABEL, q.ANNOTATOR))

    def check_id_columns(self, id_col: Sequence[str]) -> None:
        """Check that a configuration names the columns that tell the labels apart.

        Raises:
            ConfigurationError: it names others.
        """
        self.run.check_id_columns(id_col, self.ids)


def draw(rows: DataFrame, ids: Sequence[str], hash_: Column, number: int) -> DataFrame:
    """Draw rows at random: those of the lowest hashes."""
    return rows.withColumn(_HASH, hash_).orderBy(_HASH, *map(c.quoted, ids)).limit(number).drop(_HASH)


def keep_rows(rows: DataFrame) -> tuple[DataFrame, int]:
    """Keep few rows, without images, on the driver; return them with their number."""
    found = rows.collect()
    return rows.sparkSession.createDataFrame(found, rows.schema), len(found)
