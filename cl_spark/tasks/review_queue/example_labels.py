"""The labels of examples that have one each, as people judge them."""

from collections.abc import Sequence
from typing import ClassVar

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from cl_spark.methods.classification.filters import BEYOND_SUSPECTS
from cl_spark.methods.learning.hash_cuts import hash_of
from cl_spark.tables import columns as c
from cl_spark.tables.finished_run import Run
from cl_spark.tasks.label_audit.tables import CLASS_HEALTH, CONFIDENT_JOINT
from cl_spark.tasks.review_queue.audited import add_review_columns, read_unflagged
from cl_spark.tasks.review_queue.judged import UNFLAGGED_SALT, JudgedLabels, draw, keep_rows

_PLACE = "_place"


class ExampleLabels(JudgedLabels):
    """The labels of examples that have one each."""

    group: ClassVar[str] = c.GIVEN_LABEL

    @property
    def ids(self) -> list[str]:
        """The id columns."""
        return self.run.id_columns

    @property
    def num_labels(self) -> int:
        """Examples of the table."""
        return int(self.run.record["num_examples"])

    @property
    def num_issues(self) -> int:
        """Examples that are issues."""
        return int(self.run.record[c.NUM_ISSUES])

    def read_issues(self, review_columns: Sequence[str] = ()) -> DataFrame:
        """Read the issues with all review columns, which the table holds. Filters that do not ask for another
        label find issues whose suggested label is the given one: they get another, as examples that are no
        issues do.
        """
        issues = self.run.issues
        if self.run.parameters.get("filter_by") not in BEYOND_SUSPECTS:
            return issues
        predicted = issues.withColumnRenamed(c.SUGGESTED_LABEL, c.PREDICTED_LABEL)
        return _suggest_labels(predicted, self.run).select(*map(c.quoted, issues.columns))

    def draw_others(self, issues: DataFrame, seed: int, number: int) -> tuple[DataFrame, int]:
        """Draw examples that are no issues at random, with their review columns."""
        with read_unflagged(self.run, issues) as rows:
            drawn = draw(rows, self.ids, hash_of(self.ids, seed, UNFLAGGED_SALT), number)
            # a share of the budget, and small columns: kept here, so that what the scan persisted can go
            kept, num_drawn = keep_rows(drawn)
        return add_review_columns(_suggest_labels(kept, self.run), self.run), num_drawn

    def add_review_columns(self, rows: DataFrame) -> DataFrame:
        """Return the rows: issues have their review columns."""
        return rows


def _suggest_labels(rows: DataFrame, run: Run) -> DataFrame:
    """Turn predicted labels into suggested ones that differ from the given.

    Where the prediction is the given label, it is the class that the confident joint confuses most often with
    it; of a class that is confused with none, the class with the most examples.
    """
    cells = run.table(CONFIDENT_JOINT.name).where(F.col(c.GIVEN_LABEL) != F.col(c.TRUE_LABEL))
    largest = Window.partitionBy(c.GIVEN_LABEL).orderBy(F.desc(c.CALIBRATED_COUNT), c.TRUE_LABEL)
    confused = cells.withColumn(_PLACE, F.row_number().over(largest)).where(F.col(_PLACE) == 1)
    confused = confused.select(c.GIVEN_LABEL, F.col(c.TRUE_LABEL).alias("_confused"))
    classes = run.table(CLASS_HEALTH.name).orderBy(F.desc(c.EXAMPLES), c.CLASS).limit(2).collect()
    first, second = (F.lit(row[c.CLASS]) for row in classes)
    given, predicted = F.col(c.GIVEN_LABEL), F.col(c.PREDICTED_LABEL)
    another = F.coalesce("_confused", F.when(given == first, second).otherwise(first))
    suggested = F.when(predicted != given, predicted).otherwise(another)
    joined = rows.join(F.broadcast(confused), c.GIVEN_LABEL, "left")
    return joined.withColumn(c.SUGGESTED_LABEL, suggested).drop(c.PREDICTED_LABEL, "_confused")
