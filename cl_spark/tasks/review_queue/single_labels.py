"""The single labels of sets of labels, as people judge them: does this example have this class?"""

from collections.abc import Sequence
from functools import cached_property
from typing import ClassVar

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from cl_spark.methods.classification.filters import LOWEST
from cl_spark.methods.learning.hash_cuts import hash_of
from cl_spark.methods.multilabel.asked_labels import GIVEN_FLAG as IS_GIVEN
from cl_spark.methods.multilabel.asked_labels import read_asked_labels
from cl_spark.methods.multilabel.multilabel_audit import GIVEN_FLAG, SUGGESTED_FLAG
from cl_spark.methods.multilabel.predictions import CLASS
from cl_spark.methods.review import columns as q
from cl_spark.tables import columns as c
from cl_spark.tables.ids import lacks_id
from cl_spark.tables.schema import REJECTED
from cl_spark.tasks.multilabel_audit.config import MultilabelAuditConfig
from cl_spark.tasks.multilabel_audit.tables import CLASS_ISSUES, MULTILABEL_ISSUES
from cl_spark.tasks.multilabel_audit.task import MULTILABEL_AUDIT
from cl_spark.tasks.review_queue.audited import (
    add_review_columns,
    open_input,
    read_config,
    read_review_columns,
)
from cl_spark.tasks.review_queue.judged import (
    CLASS_SALT,
    UNFLAGGED_SALT,
    JudgedLabels,
    draw,
    keep_rows,
)


class SingleLabels(JudgedLabels):
    """The single labels of examples that have sets of labels: each example has one of each class, "present"
    or "absent".
    """

    group: ClassVar[str] = c.CLASS

    @property
    def ids(self) -> list[str]:
        """The id columns, and the class."""
        return [*self.run.id_columns, c.CLASS]

    @property
    def num_labels(self) -> int:
        """Examples of the table, times classes."""
        return int(self.run.record["num_examples"]) * int(self.run.record["num_classes"])

    @cached_property
    def num_issues(self) -> int:
        """Single labels that are issues."""
        return self.run.table(CLASS_ISSUES.name).count()

    def read_issues(self, review_columns: Sequence[str] = ()) -> DataFrame:
        """Read the issues, with the review columns that are named."""
        issues = self.run.table(CLASS_ISSUES.name).select(
            *map(c.quoted, self.ids),
            _show_flag(F.col(GIVEN_FLAG)).alias(c.GIVEN_LABEL),
            _show_flag(F.col(SUGGESTED_FLAG)).alias(c.SUGGESTED_LABEL),
            c.LABEL_QUALITY,
            c.RANK,
        )
        review = self._read_review_columns() if review_columns else None
        if review is None:
            return issues
        ids = self.run.id_columns
        return issues.join(review.select(*map(c.quoted, (*ids, *review_columns))), ids, "left")

    def draw_others(self, issues: DataFrame, seed: int, number: int) -> tuple[DataFrame, int]:
        """Draw single labels that are no issues at random, at most one of an example, with their review
        columns. Their labels are read from the input in the state that it had.

        Raises:
            InputError: the input cannot be read.
            SourceChangedError: it is another one by now.
        """
        run, ids, record = self.run, self.run.id_columns, self.run.record
        table = open_input(run, self._config)[0]
        predictions = MULTILABEL_AUDIT.make_audit(self._config, table.df).predictions
        examples = table.df.select(*map(c.quoted, ids)).where(~lacks_id(table.df, ids))
        if record["num_rejected"]:
            rejected = run.table(REJECTED.name).select(*map(c.quoted, ids))
            examples = examples.join(rejected, ids, "left_anti")
        # N x K rows are never made. A hash gives each example one of the K classes; pairs that are issues go,
        # and of those that are left the lowest ones of another hash are drawn. Any (example, class) that is
        # no issue is left with probability 1 / K, and the hashes of those that are left order them as if by
        # chance: all are equally likely to be drawn. (But for one part in as many as are left: a draw of
        # which the example is known to be left has one fewer to share with.)
        class_index = F.pmod(hash_of(ids, seed, CLASS_SALT), F.lit(int(record["num_classes"]))).cast("int")
        labels = examples.withColumn(CLASS, class_index)
        labels = labels.withColumn(c.CLASS, predictions.class_column(CLASS))
        others = labels.join(issues.select(*map(c.quoted, self.ids)), self.ids, "left_anti")
        drawn = draw(others, ids, hash_of(ids, seed, UNFLAGGED_SALT), number)
        pairs = zip(ids, predictions.ids, strict=True)
        asked = drawn.select(*[F.col(c.quoted(col)).alias(name) for col, name in pairs], CLASS)
        found = read_asked_labels(predictions, asked, record["num_classes"], self._config.rank_by)
        # a share of the budget, and small columns: kept, so that the input is read for them once
        kept, num_drawn = keep_rows(
            found.select(
                *map(c.quoted, ids),
                predictions.class_column(CLASS).alias(c.CLASS),
                _show_flag(F.col(IS_GIVEN)).alias(c.GIVEN_LABEL),
                _show_flag(~F.col(IS_GIVEN)).alias(c.SUGGESTED_LABEL),
                c.LABEL_QUALITY,
            )
        )
        return add_review_columns(kept, run), num_drawn

    def add_review_columns(self, rows: DataFrame) -> DataFrame:
        """Add the review columns to few of the issues, of which several may be of one example."""
        review, ids = self._read_review_columns(), self.run.id_columns
        if review is None:
            return rows
        names = {*self.review_columns}
        rows = rows.select(*[c.quoted(name) for name in rows.columns if name not in names])
        examples = F.broadcast(rows.select(*map(c.quoted, ids)).distinct())
        return rows.join(review.join(examples, ids, "left_semi"), ids, "left")

    @property
    def _config(self) -> MultilabelAuditConfig:
        config = read_config(self.run)
        assert isinstance(config, MultilabelAuditConfig)  # of a run of this task
        return config

    def _read_review_columns(self) -> DataFrame | None:
        """Read ids and review columns of the examples that have an issue; None if there are no such columns.

        The table of issues has them, but with a filter that chooses examples otherwise than single labels:
        then they are read from the input.
        """
        if not self.review_columns:
            return None
        if self._config.filter_by in LOWEST:
            return read_review_columns(self.run)
        columns = map(c.quoted, (*self.run.id_columns, *self.review_columns))
        return self.run.table(MULTILABEL_ISSUES.name).select(*columns)


def _show_flag(flag: Column) -> Column:
    """Show whether an example has a class as the label that people judge."""
    return F.when(flag, q.PRESENT).otherwise(q.ABSENT)
