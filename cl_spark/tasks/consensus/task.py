"""The consensus of several annotators as a task of the run machinery."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from cl_spark.errors import SourceChangedError
from cl_spark.methods.annotators.annotator_audit import DAWID_SKENE, AnnotatorAudit
from cl_spark.methods.classification.cuts import is_few
from cl_spark.methods.classification.ranking import add_rank
from cl_spark.report.sections import KeyNumber, Section
from cl_spark.runs.facts import RunFacts
from cl_spark.runs.result import RunResult
from cl_spark.runs.run import run_task
from cl_spark.runs.steps import Steps
from cl_spark.runs.task import Execution, RowCounts, Stage, Task, View, Written
from cl_spark.tables import columns as c
from cl_spark.tables.finished_run import Run
from cl_spark.tables.input_table import InputTable, read_source
from cl_spark.tables.schema import RunWarning, Table
from cl_spark.tables.spark_errors import SOURCE_CHANGED
from cl_spark.tasks.consensus import report
from cl_spark.tasks.consensus import tables as t
from cl_spark.tasks.consensus.config import ConsensusConfig


class ConsensusExecution(Execution):
    """A consensus at work in one run.

    Args:
        config: which annotations, and how.
        inputs: annotations, and predictions and gold answers if there are some, by their keys.
    """

    def __init__(self, config: ConsensusConfig, inputs: Mapping[str, InputTable]) -> None:
        self.config, self._inputs = config, inputs
        words = {"predictions": "with predictions", "gold": "and gold"}
        self.source = " ".join(f"{words.get(key, '')} {table.name}".strip() for key, table in inputs.items())
        self.source_version = self.read_version()
        frames = {key: table.df for key, table in inputs.items()}
        self.audit = AnnotatorAudit(
            frames["annotations"],
            frames.get("predictions"),
            gold=frames.get("gold"),
            **config.audit_arguments,
        )
        annotations = self.audit.annotations
        fields = annotations.df.select(*map(c.quoted, config.id_col)).schema.fields
        by_name = annotations.labels_are_names or annotations.class_names is not None
        self.types = {
            **{col: field.dataType.simpleString() for col, field in zip(config.id_col, fields, strict=True)},
            t.CONSENSUS_LABEL: "string" if by_name else "int",
        }
        self._written: Written

    def read_version(self) -> str | None:
        """Ask for the state of the inputs."""
        return ", ".join(f"{key} {table.state()}" for key, table in self._inputs.items())

    def count_rows(self) -> RowCounts:
        """Count the rows of annotations and predictions that can be used, and those that cannot."""
        self.num_read = sum(
            self._inputs[key].df.count() for key in ("annotations", "predictions") if key in self._inputs
        )
        self.audit.check()
        rejected = self.audit.rejected_counts
        return RowCounts(self.audit.num_read - sum(rejected.values()), rejected)

    def warnings(self, steps: Steps) -> list[RunWarning]:
        """Return doubts about the annotations."""
        with steps("finding the consensus"):
            return self.audit.warnings()

    def rejected(self) -> DataFrame:
        """Return the rows that cannot be used, of annotations and predictions."""
        return self.audit.rejected()

    def stages(self, steps: Steps, written: Written) -> Iterator[Stage]:
        """Yield consensus, annotations and annotators; then what follows from the consensus."""
        self._written = written
        tables: dict[Table, DataFrame] = {
            t.CONSENSUS: self.audit.consensus(),
            t.ANNOTATION_QUALITY: self.audit.annotation_quality(),
            t.ANNOTATORS: self.audit.annotators(),
        }
        if self.config.consensus_method != DAWID_SKENE:
            tables[t.ACTIVE_LEARNING_SCORES] = self.audit.active_learning_scores()
        yield Stage("writing the consensus", tables)
        consensus = written(t.CONSENSUS)
        num_annotated = self.audit.counts.num_examples
        if (found := consensus.count()) != num_annotated:
            raise SourceChangedError(
                f"{SOURCE_CHANGED}: {num_annotated:,} examples with annotations at first, later {found:,}"
            )
        disputed = consensus.where(F.col(t.ANNOTATOR_AGREEMENT) < 1)
        few = is_few(disputed.count())
        ids = [c.quoted(col) for col in self.config.id_col]
        ranked = add_rank(disputed, t.CONSENSUS_QUALITY, ids, c.RANK, few=few)
        other = written(t.ANNOTATION_QUALITY).join(
            disputed.select(*ids, t.CONSENSUS_LABEL), list(self.config.id_col)
        )
        disagreements = (
            other.where(F.col(t.LABEL) != F.col(t.CONSENSUS_LABEL))
            .groupBy(t.CONSENSUS_LABEL, t.LABEL)
            .agg(
                F.count(F.lit(1)).alias(t.ANNOTATIONS),
                F.countDistinct(F.struct(*ids)).alias(c.EXAMPLES),
            )
        )
        yield Stage("writing the tables", {t.DISPUTED_EXAMPLES: ranked, t.DISAGREEMENTS: disagreements})

    def numbers(self) -> Mapping[str, Any]:
        """Return the numbers of the consensus, and its mean quality."""
        counts = self.audit.counts
        consensus = self._written(t.CONSENSUS)
        several = F.when(F.col(t.NUM_ANNOTATIONS) > 1, F.col(t.ANNOTATOR_AGREEMENT))
        # of decimals: a sum of doubles depends on the order
        means = [F.avg(col.cast("decimal(20,18)")) for col in (F.col(t.CONSENSUS_QUALITY), several)]
        quality, agreement = consensus.agg(*means).collect()[0]
        return {
            c.OVERALL_HEALTH: float(quality),
            "num_classes": self.audit.num_classes,
            "num_annotated": counts.num_examples,
            "num_annotations": counts.num_annotations,
            "num_annotators": self._written(t.ANNOTATORS).count(),
            "mean_agreement": None if agreement is None else float(agreement),
            "num_passes": self.audit.num_passes,
        }

    def release(self) -> None:
        """Free what was kept."""
        self.audit.release()


class ConsensusTask(Task[ConsensusConfig]):
    """The consensus of several annotators: labels, their quality, and how far each annotator is trusted."""

    name = "consensus"
    command = "consensus"
    help = (
        "Find consensus labels from several annotators, score each label and each annotator, and tell which "
        "examples to label next."
    )
    title = "Consensus of annotators"
    config = ConsensusConfig
    issues = t.DISPUTED_EXAMPLES
    counted = ("disputed examples", "annotations")
    tables = t.TABLES
    numbers = t.NUMBERS
    gated_tables: ClassVar = {t.ANNOTATORS: "annotators"}

    def open(self, spark: SparkSession, config: ConsensusConfig) -> ConsensusExecution:
        """Open annotations, predictions and gold answers."""
        formats = {"annotations": config.input_format}
        inputs = {
            key: read_source(spark, name, key, input_format=formats.get(key, "auto"), roles=config.roles[key])
            for key, name in config.sources.items()
        }
        return ConsensusExecution(config, inputs)

    def headline(self, run: Run) -> list[str]:
        """Return quality, disagreement, and what was compared."""
        record = run.record
        agreement = (
            "no example has several annotations"
            if record.mean_agreement is None
            else f"annotators agree with the consensus in {record.mean_agreement:.2%} of an example's labels"
        )
        return [
            f"{record.overall_health:.2%} mean consensus quality; {agreement}",
            f"{record.num_issues:,} of {record.num_annotated:,} examples are disputed",
            f"{record.num_annotations:,} annotations by {record.num_annotators:,} annotators, in "
            f"{record.num_classes:,} classes, by {run.parameters['consensus_method']}",
        ]

    def views(self, run: Run) -> list[View]:
        """Return the disputed examples, and the annotators, the worst first."""
        annotators = run.table(t.ANNOTATORS.name).orderBy(t.QUALITY, t.ANNOTATOR)
        return [
            self.list_issues(run),
            View(
                "Annotators, the least trusted first",
                annotators,
                {
                    t.ANNOTATOR: "annotator",
                    t.QUALITY: "quality",
                    t.AGREEMENT: "agreement",
                    t.NUM_EXAMPLES: "examples",
                    t.WORST_CLASS: "worst class",
                },
            ),
        ]

    def worst(self, run: Run) -> tuple[Any, float] | None:
        """Return the annotator that is trusted least."""
        found = run.table(t.ANNOTATORS.name).orderBy(t.QUALITY, t.ANNOTATOR).first()
        return None if found is None else (found[t.ANNOTATOR], found[t.QUALITY])

    def report(self, run: Run, facts: RunFacts, issues: int) -> tuple[Sequence[KeyNumber], Sequence[Section]]:
        """Return annotators, disagreement and disputed examples."""
        return report.key_numbers(run), report.sections(run, issues)


CONSENSUS = ConsensusTask()


def run_consensus(spark: SparkSession, config: ConsensusConfig, steps: Steps | None = None) -> RunResult:
    """Find consensus labels from several annotators, and write the tables; the row in `runs` last.

    Args:
        spark: the session.
        config: which annotations, how, and where the results go.
        steps: told of each step as it begins.

    Raises:
        ClSparkError: the configuration, the input or the output cannot be used. Nothing is recorded then.
    """
    return run_task(spark, CONSENSUS, config, steps)
