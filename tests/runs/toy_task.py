"""A second task in a few lines: it finds texts that several rows share. The run machinery does the rest."""

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from pydantic import Field
from pyspark.sql import DataFrame, SparkSession, Window
from pyspark.sql import functions as F

from cl_spark.report.sections import ReportColumn, ReportTable, Section
from cl_spark.runs.config import RunConfig
from cl_spark.runs.facts import RunFacts
from cl_spark.runs.steps import Steps
from cl_spark.runs.task import Execution, RowCounts, Stage, Task, Written
from cl_spark.tables.finished_run import Run
from cl_spark.tables.input_table import InputTable, read_source
from cl_spark.tables.schema import ATTEMPT, ID_COLUMNS, RUN_ID, Column, Table

REPEATED = Table(
    "repeated_texts",
    "example whose text others have too",
    (
        RUN_ID,
        ATTEMPT,
        ID_COLUMNS,
        Column("text", "string", "The text"),
        Column("rank", "long", "1 is the most frequent"),
    ),
)
TEXTS = Table(
    "text_counts",
    "text that several examples have",
    (
        RUN_ID,
        ATTEMPT,
        Column("text", "string", "The text"),
        Column("examples", "long", "How many examples have it"),
    ),
)


class RepeatedConfig(RunConfig):
    texts: str = Field(description="Table of ids and texts")
    text_col: str = Field("text", description="Column of texts")
    write_counts: bool = Field(True, description="Also write the table of texts")


class RepeatedExecution(Execution):
    def __init__(self, source: InputTable, config: RepeatedConfig) -> None:
        self.source, self.source_version, self.num_read = source.name, source.state(), source.df.count()
        self.rows, self.config = source.df.withColumnRenamed(config.text_col, "text"), config
        self.types = dict(source.df.select(*config.id_col).dtypes)
        self.usable = self.rows.where("text IS NOT NULL")

    def count_rows(self) -> RowCounts:
        bad = self.rows.where("text IS NULL").count()
        return RowCounts(self.usable.count(), {"null text": bad} if bad else {})

    def rejected(self) -> DataFrame:
        ids = self.config.id_col
        bad = self.rows.where("text IS NULL")
        return bad.select(*ids, F.lit("null text").alias("reason"), F.to_json(F.struct("*")).alias("row"))

    def stages(self, steps: Steps, written: Written) -> Iterator[Stage]:
        ids = self.config.id_col
        with steps("counting the texts"):
            counts = (
                self.usable.groupBy("text").agg(F.count(F.lit(1)).alias("examples")).where("examples > 1")
            )
        place = F.row_number().over(Window.orderBy(F.desc("examples"), *ids)).cast("long")
        found = self.usable.join(counts, "text").select(*ids, "text", place.alias("rank"))
        yield Stage("writing the tables", {REPEATED: found})
        if self.config.write_counts:  # from what was written, as a second stage
            texts = written(REPEATED).groupBy("text").agg(F.count(F.lit(1)).alias("examples"))
            yield Stage("writing the texts", {TEXTS: texts})

    def numbers(self) -> Mapping[str, Any]:
        distinct = self.usable.select("text").distinct().count()
        return {"overall_health": distinct / max(self.usable.count(), 1), "num_texts": distinct}


class RepeatedTexts(Task[RepeatedConfig]):
    name, command, title = "repeated_texts", "find-repeated", "Repeated texts"
    help = "Find texts that several rows share."
    config = RepeatedConfig
    issues = REPEATED
    tables = (REPEATED, TEXTS)
    numbers = (Column("num_texts", "long", "Distinct texts"),)
    gated_tables: ClassVar = {TEXTS: "texts"}

    def open(self, spark: SparkSession, config: RepeatedConfig) -> RepeatedExecution:
        return RepeatedExecution(read_source(spark, config.texts, "texts"), config)

    def report(self, run: Run, facts: RunFacts, issues: int) -> tuple[Any, list[Section]]:
        numbers, _ = super().report(run, facts, issues)
        rows = run.table(REPEATED.name).orderBy("rank").limit(issues).toPandas()
        table = ReportTable("repeated", [ReportColumn.of(rows, "text", "text", "text")])
        return numbers, [Section("repeated-section", "Texts", "Repeated texts", tables=[table])]


REPEATED_TEXTS = RepeatedTexts()
