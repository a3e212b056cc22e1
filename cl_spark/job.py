"""One audit from configuration to written tables: what the command line and `jobs/` run."""

import json
import platform
import uuid
from dataclasses import dataclass
from datetime import datetime, timezone
from importlib.resources import as_file, files

import pyspark
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from cl_spark import columns as c
from cl_spark.audit import LabelAudit
from cl_spark.config import AuditConfig
from cl_spark.predictions import REASONS
from cl_spark.steps import Steps
from cl_spark.tables.results import ResultTables
from cl_spark.tables.source import Source, read_source
from cl_spark.version import __version__


@dataclass(frozen=True)
class AuditResult:
    """A finished run: its key numbers, and the tables that hold the rest.

    Attributes:
        run_id: the run.
        tables: where its tables are.
        num_classes: K.
        num_examples: rows accepted.
        rejected: rows refused, by reason.
        num_issues: rows in `issues`.
        overall_health: 1 - off-diagonal issues / examples.
        seconds: how long it took.
    """

    run_id: str
    tables: ResultTables
    num_classes: int
    num_examples: int
    rejected: dict[str, int]
    num_issues: int
    overall_health: float
    seconds: float

    def issues(self) -> DataFrame:
        """The run's issues."""
        return self.tables.read_run(c.ISSUES, self.run_id)


def run_audit(spark: SparkSession, config: AuditConfig, steps: Steps | None = None) -> AuditResult:
    """Read, audit and write; `runs` last.

    Args:
        spark: the session.
        config: what to do.
        steps: is told what is going on.

    Raises:
        ClSparkError: what was wrong with the configuration, the input or the output.
    """
    steps = steps or Steps()
    started = datetime.now(timezone.utc)
    run_id = config.run_id or f"{started:%Y%m%dT%H%M%S}-{uuid.uuid4().hex[:6]}"
    tables = ResultTables(spark, str(config.output), config.format)
    with steps("opening the input"):
        source = _source(spark, config)
        labels = None if config.labels is None else read_source(spark, config.labels, "labels").df
        audit = LabelAudit(
            source.df,
            id_col=config.id_columns,
            label_col=config.label_col,
            pred_probs_col=config.probs,
            class_names=config.class_names,
            num_classes=config.num_classes,
            absent_prob=config.absent_prob,
            labels=labels,
        )
    with audit:
        with steps("scanning the data"):
            statistics = audit.statistics
        with steps("counting the confident joint"):
            health = audit.health_summary()
        with steps("choosing the issues"):
            issues = audit.find_label_issues(
                filter_by=config.filter_by,
                rank_by=config.rank_by,
                adjust_pred_probs=config.adjust_pred_probs,
                frac_noise=config.frac_noise,
                num_to_remove_per_class=config.num_to_remove_per_class,
                min_examples_per_class=config.min_examples_per_class,
                num_issues=config.num_issues,
            )
        with steps("writing the tables"):
            tables.write_all(
                {
                    c.ISSUES: issues,
                    c.CLASS_HEALTH: health.class_health,
                    c.OVERLAPPING_CLASSES: health.overlapping_classes,
                    c.CONFIDENT_JOINT: audit.confident_joint_table(),
                    c.REJECTED: audit.rejected(),
                },
                run_id,
            )
        if config.label_scores:
            with steps("scoring every example"):
                tables.write(c.LABEL_SCORES, _label_scores(audit, config, tables.read_run(c.ISSUES, run_id)), run_id)
        with steps("recording the run"):
            num_issues = tables.read_run(c.ISSUES, run_id).count()
            finished = datetime.now(timezone.utc)
            row = {
                "started": started,
                "finished": finished,
                "status": "finished",
                "source": source.name if config.labels is None else f"{source.name} with labels {config.labels}",
                "source_version": None if source.version is None else str(source.version),
                "parameters": config.model_dump_json(),
                "library_versions": json.dumps(
                    {"cl_spark": __version__, "spark": spark.version, "pyspark": pyspark.__version__,
                     "python": platform.python_version()}
                ),
                "num_read": audit.num_examples + statistics.num_rejected,
                "num_examples": audit.num_examples,
                "num_rejected": statistics.num_rejected,
                "num_issues": num_issues,
                "num_classes": audit.num_classes,
                "overall_health": health.overall_health,
            }  # fmt: skip
            schema = ", ".join(f"{column.name} {column.type}" for column in c.RUNS.columns if column.name != c.RUN_ID)
            tables.write(c.RUNS, spark.createDataFrame([tuple(row.values())], schema), run_id)
        return AuditResult(
            run_id,
            tables,
            audit.num_classes,
            audit.num_examples,
            {REASONS[reason]: times for reason, times in sorted(statistics.rejected.items())},
            num_issues,
            health.overall_health,
            (finished - started).total_seconds(),
        )


def _source(spark: SparkSession, config: AuditConfig) -> Source:
    if config.sample is None:
        return read_source(spark, str(config.predictions), "predictions")
    with as_file(files("cl_spark") / "sample" / f"{config.sample}.parquet") as path:
        return Source(spark.read.parquet(str(path)), f"sample {config.sample}", None)


def _label_scores(audit: LabelAudit, config: AuditConfig, issues: DataFrame) -> DataFrame:
    """A score of every example and whether it is an issue. The flag is read from the written issues, by id."""
    scores = audit.label_quality_scores(method=config.rank_by, adjust_pred_probs=config.adjust_pred_probs)
    flags = issues.select(*config.id_columns).withColumn(c.IS_ISSUE, F.lit(True))
    return scores.join(flags, config.id_columns, "left").fillna(False, [c.IS_ISSUE])
