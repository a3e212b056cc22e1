"""A finished run, frozen: its thresholds and joint judge new rows, whatever these hold."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from cl_spark.errors import SourceChangedError
from cl_spark.methods.classification.label_audit import LabelAudit
from cl_spark.methods.classification.scores import add_issue_flag
from cl_spark.tables import columns as c
from cl_spark.tables.finished_run import Run
from cl_spark.tables.spark_errors import SOURCE_CHANGED
from cl_spark.tasks.label_audit.config import AuditConfig
from cl_spark.tasks.label_audit.tables import CLASS_HEALTH, CONFIDENT_JOINT


@dataclass(frozen=True)
class JudgedRows:
    """New rows, judged.

    Attributes:
        scored: id columns, given_label, predicted_label, label_quality, is_issue, inverse_noise_rate (p(true
            class is the predicted | given label), by the frozen joint; null where the joint has no such
            cell), frozen_run.
        rejected: the rows that cannot be scored, as `LabelAudit.rejected` has them, and frozen_run.
        num_read: how many rows there are.
    """

    scored: DataFrame
    rejected: DataFrame
    num_read: int


@dataclass(frozen=True)
class FrozenRun:
    """A finished run to score new rows with (specification, section 9).

    Attributes:
        run: the run.
        config: its configuration: columns and class names of the new rows are those of its input.
        thresholds: its K confident thresholds, by class index.
    """

    run: Run
    config: AuditConfig
    thresholds: tuple[float, ...]

    @staticmethod
    def of(run: Run) -> "FrozenRun":
        """Read the thresholds of a run from its tables.

        Example:
            >>> len(FrozenRun.of(read_run(results)).thresholds)
            10
        """
        config = AuditConfig.model_validate_json(run.record.parameters)
        names = config.roles.class_names
        found = {
            row[c.CLASS]: row[c.THRESHOLD]
            for row in run.table(CLASS_HEALTH.name).select(c.CLASS, c.THRESHOLD).collect()
        }
        keys = names if names and isinstance(next(iter(found)), str) else range(len(found))
        return FrozenRun(run, config, tuple(found[key] for key in keys))

    @contextmanager
    def scoring(self, df: DataFrame) -> Iterator[JudgedRows]:
        """Score new rows. What is persisted lasts for the block.

        A row is an issue if its probabilities make the frozen thresholds confident of another class than its
        label, which the model finds more probable: the filter "confident_learning", which asks nothing of
        other rows. So scores and issues are the same in whatever batches the rows come.

        Args:
            df: new rows, with the columns of the run's input.

        Raises:
            SourceChangedError: the rows accepted and rejected are not the rows read.
        """
        config, num_read = self.config, df.count()
        arguments = {
            **config.input_arguments,
            "num_classes": len(self.thresholds),
            "thresholds": self.thresholds,
        }
        with LabelAudit(df, **arguments) as audit:
            check_all_judged(num_read, audit.num_examples, audit.statistics.num_rejected)
            scores = audit.label_quality_scores(
                method=config.rank_by, adjust_pred_probs=config.adjust_pred_probs
            )
            issues = audit.find_label_issues(filter_by="confident_learning")
            rejected = audit.rejected().withColumn(c.FROZEN_RUN, F.lit(self.run.run_id))
            scored = self._add_rates(add_issue_flag(scores, issues, config.id_col))
            yield JudgedRows(scored, rejected, num_read)

    def _add_rates(self, flagged: DataFrame) -> DataFrame:
        rates = self.run.table(CONFIDENT_JOINT.name).select(
            c.GIVEN_LABEL, F.col(c.TRUE_LABEL).alias(c.PREDICTED_LABEL), c.INVERSE_NOISE_RATE
        )
        return flagged.join(rates, [c.GIVEN_LABEL, c.PREDICTED_LABEL], "left").select(
            *map(c.quoted, flagged.columns), c.INVERSE_NOISE_RATE, F.lit(self.run.run_id).alias(c.FROZEN_RUN)
        )


def check_all_judged(num_read: int, scored: int, rejected: int) -> None:
    """Check that every new row was either scored or rejected.

    Raises:
        SourceChangedError: some were not.
    """
    if scored + rejected != num_read:
        raise SourceChangedError(
            f"{SOURCE_CHANGED}: {num_read:,} rows at first, later {scored:,} scored and {rejected:,} "
            "rejected; nothing of it was kept. Score it again when nobody writes, or read a Delta table, "
            "which keeps its versions"
        )
