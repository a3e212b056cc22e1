"""Looking at a configuration and the first rows of its input, without a run."""

from dataclasses import dataclass, replace

from pyspark.sql import SparkSession

from cl_spark.evidence.storage import Storage
from cl_spark.runs.facts import first_reasons
from cl_spark.runs.gates import parse_gates
from cl_spark.runs.run import plan_report
from cl_spark.tables import columns as c
from cl_spark.tables.results import ResultTables
from cl_spark.tasks.label_audit.config import AuditConfig
from cl_spark.tasks.label_audit.task import LABEL_AUDIT, make_audit, open_inputs, select_review_columns


@dataclass(frozen=True)
class Checked:
    """The finding about the first rows of an input.

    Attributes:
        source: the input.
        source_version: the version of a Delta table.
        rows: how many rows were looked at.
        accepted: those an audit would use.
        rejected: the others by reason, with the id of one of them.
        num_classes: K as far as these rows tell.
    """

    source: str
    source_version: int | None
    rows: int
    accepted: int
    rejected: dict[str, tuple[int, str]]
    num_classes: int


def check(spark: SparkSession, config: AuditConfig, rows: int = 1_000) -> Checked:
    """Check a configuration and the first rows of its input; write nothing.

    Args:
        spark: the session.
        config: the audit to be.
        rows: how many rows to look at.

    Raises:
        ClSparkError: an audit would fail, as far as these rows tell.
    """
    parse_gates(config.gates, LABEL_AUDIT)
    predictions, labels = open_inputs(spark, config)
    make_audit(config, predictions.df, labels)  # says what is wrong with the columns
    plan_report(config, config.run_id or "run")
    select_review_columns(predictions, config)
    ResultTables(spark, str(config.output), config.format).check_writable()
    storage = Storage()
    first = storage.persist(predictions.df.limit(rows))  # the same rows however often they are read
    if labels is not None:
        ids = first.select(*map(c.quoted, config.id_col))
        labels = replace(labels, df=labels.df.join(ids, config.id_col, "left_semi"))
    audit = make_audit(config, first, labels)
    try:
        reasons = first_reasons(audit.rejected(), config.id_col).collect()
        return Checked(
            predictions.name,
            predictions.version,
            audit.num_examples + audit.statistics.num_rejected,
            audit.num_examples,
            {row[c.REASON]: (row.rows, row.id) for row in reasons},
            audit.num_classes,
        )
    finally:
        audit.release()
        storage.release()
