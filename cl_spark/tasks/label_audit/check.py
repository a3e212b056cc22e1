"""Looking at a configuration and the first rows of its input, without a run."""

from dataclasses import dataclass, replace
from datetime import datetime, timezone
from typing import Any

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from cl_spark.errors import EmptyTableError
from cl_spark.evidence.storage import Storage
from cl_spark.evidence.validity import REASONS, RejectionReason
from cl_spark.methods.classification.label_audit import LabelAudit
from cl_spark.runs.facts import first_reasons
from cl_spark.runs.run import check_warnings, find_allowed_fraction, plan_run, too_many_rejected
from cl_spark.tables import columns as c
from cl_spark.tables.schema import RunWarning
from cl_spark.tasks.label_audit.config import TableConfig
from cl_spark.tasks.label_audit.task import LABEL_AUDIT, Audit, SourceTask


@dataclass(frozen=True)
class Checked:
    """The finding about the first rows of an input.

    Attributes:
        source: the input.
        source_version: the version of a Delta table.
        rows: how many rows were looked at.
        accepted: those an audit would use.
        rejected: the others by reason, with the id of one of them.
        num_classes: K as far as these rows tell; None where the audit knows no classes.
        unknown_classes: labels that are no class, the most frequent first; not all of many.
        warnings: doubts about these rows.
        note: what these rows cannot tell; empty where there is nothing to say.
    """

    source: str
    source_version: int | None
    rows: int
    accepted: int
    rejected: dict[str, tuple[int, str]]
    num_classes: int | None
    unknown_classes: list[str]
    warnings: list[RunWarning]
    note: str = ""


def check(
    spark: SparkSession, config: TableConfig, rows: int = 1_000, task: SourceTask[Any] = LABEL_AUDIT
) -> Checked:
    """Check a configuration and the first rows of its input; write nothing.

    Args:
        spark: the session.
        config: the audit to be.
        task: the kind of audit.
        rows: how many rows to look at.

    Raises:
        ClSparkError: an audit would fail, as far as these rows tell.
    """
    plan = plan_run(spark, task, config, datetime.now(timezone.utc))
    predictions, labels = task.open_inputs(spark, config)
    plan.settle(task.execute(config, predictions, labels))
    storage = Storage()
    first = storage.persist(predictions.df.limit(rows))  # the same rows however often they are read
    if labels is not None:
        ids = first.select(*map(c.quoted, config.id_col))
        labels = replace(labels, df=labels.df.join(ids, config.id_col, "left_semi"))
    # nothing is written, and few rows need no place of their own
    audit = task.make_audit(config.model_copy(update={"evidence_path": None}), first, labels)
    try:
        num_rejected, rejected = _count_rejected(audit), audit.rejected()
        reasons = first_reasons(rejected, config.example_ids).collect()
        checked = Checked(
            predictions.name,
            predictions.version,
            audit.num_examples + num_rejected,
            audit.num_examples,
            {row[c.REASON]: (row.rows, row.id) for row in reasons},
            audit.num_classes,
            find_unknown_classes(rejected, audit),
            task.first_warnings(audit),
            task.first_note,
        )
        if num_rejected > find_allowed_fraction(config) * checked.rows:
            hints = [f"labels that are no class: {', '.join(map(repr, checked.unknown_classes))}"]
            hints = hints * bool(checked.unknown_classes) + [found.message for found in checked.warnings]
            raise too_many_rejected(reasons, checked.rows, config, hints)
        check_warnings(checked.warnings, config)
        return checked
    finally:
        audit.release()
        storage.release()


def _count_rejected(audit: Audit) -> int:
    """Count the rejected rows; where all are, the error names the labels."""
    try:
        return audit.num_rejected
    except EmptyTableError as error:
        if not isinstance(audit, LabelAudit):
            raise
        label_col = audit.predictions.label_col
        labels = _most_frequent(audit.predictions.rows.select(F.col(c.quoted(label_col)).alias(c.CLASS)))
        shown = ", ".join(map(repr, labels))
        name = audit.predictions.input_name(label_col)
        raise EmptyTableError(f"{error}; labels of {name!r}: {shown}") from error


def find_unknown_classes(rejected: DataFrame, audit: Audit) -> list[str]:
    """Find labels that are no class among rejected rows, where each has one label: the five most frequent."""
    if not isinstance(audit, LabelAudit):
        return []
    name = audit.predictions.input_name(audit.predictions.label_col)
    fields = F.from_json(F.col(c.ROW), "map<string, string>")
    in_other_case = F.map_filter(fields, lambda key, _: F.lower(key) == name.lower())
    label = F.coalesce(fields.getItem(name), F.get(F.map_values(in_other_case), 0))
    unknown = (REASONS[RejectionReason.UNKNOWN_CLASS], REASONS[RejectionReason.LABEL_OUT_OF_RANGE])
    return _most_frequent(rejected.where(F.col(c.REASON).isin(*unknown)).select(label.alias(c.CLASS)))


def _most_frequent(labels: DataFrame) -> list[str]:
    counts = labels.groupBy(c.CLASS).count().orderBy(F.desc("count"), c.CLASS)
    return [str(row[c.CLASS]) for row in counts.limit(5).collect()]
