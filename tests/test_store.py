"""All of it in a store that only Spark reaches: a real HDFS, by its URI and as the default file system."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from cl_spark import (
    ColumnTypeError,
    ConfigurationError,
    InputError,
    LabelAudit,
    read_run,
    run_audit,
    write_report,
)
from cl_spark.runs.history import compare, set_baseline
from cl_spark.tables.input_table import read_source
from cl_spark.tables.location import locate
from cl_spark.tables.results import ResultTables
from cl_spark.tables.text_files import Roles
from cl_spark.tasks.label_audit.config import AuditConfig
from cl_spark.tasks.label_audit.scoring import score_new, score_stream
from cl_spark.tasks.label_audit.tables import SCORED
from cl_spark.tasks.label_audit.task import LABEL_AUDIT
from cl_spark.tasks.registry import read_history
from cl_spark.terminal.command_line import exit_code
from tests.frames import audit, predictions
from tests.hdfs import hdfs
from tests.oracle.datasets import dataset

pytestmark = pytest.mark.slow

DATA = dataset(47, 240, 3)


@dataclass(frozen=True)
class Store:
    """A directory of HDFS, and a session.

    Attributes:
        home: what stands before its names: a URI, or nothing where HDFS is the session's default.
        files: the same as Spark lists its files.
    """

    spark: SparkSession
    home: str
    files: str

    def list_files(self, directory: str) -> list[str]:
        listed = self.spark.read.format("binaryFile").option("recursiveFileLookup", True)
        return [row[0] for row in listed.load(f"{self.files}{directory}").select("path").collect()]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with hdfs(tmp_path_factory.mktemp("hdfs")) as uri:
        yield uri


STORES = ("uri", "default")


@pytest.fixture(scope="module", params=STORES)
def store(spark: SparkSession, cluster: str, request: pytest.FixtureRequest) -> Store:
    session = spark.newSession()
    # how long a writer sleeps that finds the name node not told of its block yet: else 0.4 s a file
    session.conf.set("dfs.client.block.write.locateFollowingBlock.initial.delay.ms", "10")
    if request.param == "uri":
        return Store(session, f"{cluster}/uri", f"{cluster}/uri")
    session.conf.set("fs.defaultFS", cluster)
    return Store(session, "/default", f"{cluster}/default")


@pytest.fixture(scope="module")
def source(store: Store) -> str:
    """Predictions as Parquet, two files of them in each of three partition directories."""
    rows = predictions(store.spark, DATA.labels, DATA.probs, partitions=2)
    rows.withColumn("day", F.col("id") % 3).write.partitionBy("day").parquet(
        f"{store.home}/in", mode="overwrite"
    )
    return f"{store.home}/in"


@pytest.mark.parametrize(
    ("store", "kind"), list(zip(STORES, ("delta", "parquet"), strict=True)), indirect=["store"]
)
def test_runs_are_written_and_read(store: Store, source: str, kind: str, tmp_path: Path) -> None:
    spark, output = store.spark, f"{store.home}/{kind}"
    with LabelAudit(read_source(spark, source, "predictions").df) as exact:
        issues = exact.find_label_issues().count()
    options = {"format": kind, "slice_by": ["day"], "evidence_path": f"{store.home}/evidence"}
    first = audit(spark, source, output, run_id="first", **options)
    assert first.num_issues == issues > 0
    assert [name for name in store.list_files("/evidence") if "part-" in name] != [], "emptied, not removed"
    assert spark.read.parquet(f"{store.files}/evidence/*").isEmpty()
    assert audit(spark, source, output, run_id="first", format=kind).num_issues == issues
    part = audit(spark, f"{source}/day=1", output, run_id="part", format=kind)
    assert part.num_examples == 80

    run = read_run(output, "first", spark=spark)
    assert run.issues.count() == issues
    assert run.record.source == source
    assert f"{store.files}/in" in store.list_files("/in")[0]
    assert [past.run.run_id for past in read_history(run.tables)] == ["part", "first"]
    assert compare(run, read_run(output, "part", spark=spark), LABEL_AUDIT) is not None
    set_baseline(run.tables, "part", False)
    page = write_report(run, str(tmp_path / "report.html"))
    assert "first" in Path(page).read_text()
    with pytest.raises(InputError, match=r"where only Spark writes: name a file of this machine"):
        write_report(run)

    batch, scored, found, rejected = score_new(spark, output, f"{source}/day=1", run_id="first")
    assert (scored, rejected) == (80, 0)
    assert run.tables.read_run(SCORED, batch).where("is_issue").count() == found
    assert list(tmp_path.iterdir()) == [tmp_path / "report.html"]
    assert not Path("/default").exists()
    assert not Path("hdfs:").exists()


@pytest.mark.parametrize("store", ["default"], indirect=True)
def test_a_stream_goes_on_where_it_was(store: Store, source: str) -> None:
    spark, output = store.spark, f"{store.home}/streamed"
    new, checkpoint = f"{store.home}/new", f"{store.home}/checkpoint"
    audit(spark, source, output, run_id="base", format="delta")
    for rows in (range(3), range(3, 7)):
        frame = predictions(spark, DATA.labels[rows.start : rows.stop], DATA.probs[rows.start : rows.stop])
        frame.write.mode("append").parquet(new)
        score_stream(spark, output, new, checkpoint, "live")(True).awaitTermination()
    assert ResultTables.at(spark, output).read_run(SCORED, "live").count() == 7
    assert store.list_files("/checkpoint/commits")
    with pytest.raises(ConfigurationError, match="checkpoint: stream 'live' has its progress in 'hdfs://"):
        score_stream(spark, output, new, f"{checkpoint}2", "live")


def test_a_delta_table_is_read_at_a_version(store: Store) -> None:
    spark, path = store.spark, f"{store.home}/table"
    for seed in (1, 2):
        rows = predictions(spark, DATA.labels, DATA.probs, seed=seed).withColumn("day", F.lit(seed))
        rows.write.format("delta").mode("append").partitionBy("day").save(path)
    assert read_source(spark, path, "predictions").state() == "1"
    assert read_source(spark, path, "predictions", version=0).df.count() == 240
    assert read_source(spark, f"{path}/day=2", "predictions").df.count() == 240


def test_files_whose_types_differ_are_read(store: Store) -> None:
    spark, path = store.spark, f"{store.home}/dri%66t [1]"
    rows = predictions(spark, DATA.labels, DATA.probs, partitions=1)
    for day, kind in (("1 0", "int"), ("1:1", "long")):
        ids = F.col("id") + (0 if kind == "int" else 1000)
        part = rows.withColumns(
            {"label": F.col("label").cast(kind), "id": ids, kind: F.lit(1), "day": F.lit(day)}
        )
        part.write.partitionBy("day").mode("append").parquet(path)
    df = read_source(spark, path, "predictions").df
    assert dict(df.dtypes)["label"] == "bigint"
    assert {"int", "long", "day"} <= set(df.columns)
    with LabelAudit(df) as found:
        assert found.find_label_issues().count() > 0
        assert found.statistics.num_examples == 480
    spark.createDataFrame([(1, "cat")], "id long, label string").write.mode("append").parquet(f"{path}/day=3")
    with pytest.raises(
        ColumnTypeError, match=r"column 'label' .* is .* in different files, which Spark cannot read"
    ):
        read_source(spark, path, "predictions", roles=Roles(label="label"))


def test_names_with_characters_of_patterns_are_read(store: Store) -> None:
    path = f"{store.home}/in [1] {{a}} 50%"
    predictions(store.spark, DATA.labels, DATA.probs).write.parquet(path)
    found = read_source(store.spark, path, "predictions")
    assert found.df.count() == 240
    assert found.state() == read_source(store.spark, path, "predictions").state()


def test_the_output_may_not_lie_in_the_input(store: Store, source: str) -> None:
    for output in (f"{store.files}/in/audits", f"{source}/audits"):
        config = AuditConfig(predictions=source, output=output, format="parquet")
        with pytest.raises(ConfigurationError, match="the same place, or one is inside the other"):
            run_audit(store.spark, config)


def test_a_report_without_a_place_is_refused_before_the_run(store: Store, source: str) -> None:
    for report in (True, f"{store.files}/report.html"):
        config = AuditConfig(predictions=source, output=f"{store.home}/none", report=report)
        with pytest.raises((ConfigurationError, InputError), match=r"report: .* name a file of this machine"):
            run_audit(store.spark, config)


def test_a_store_that_does_not_answer_is_told_before_the_scan(spark: SparkSession) -> None:
    session = spark.newSession()
    session.conf.set("ipc.client.connect.max.retries", "0")
    tables = ResultTables(session, "hdfs://localhost:1/audits", "delta")
    with pytest.raises(ConfigurationError, match="output: Spark cannot reach 'hdfs://localhost:1/audits'"):
        tables.check_writable()


def test_commands_read_what_is_there(
    spark: SparkSession, cluster: str, capsys: pytest.CaptureFixture[str]
) -> None:
    predictions(spark, DATA.labels, DATA.probs).write.parquet(f"{cluster}/cli/in")
    output = f"{cluster}/cli/out"
    for run_id in ("one", "two"):
        told = ["--predictions", f"{cluster}/cli/in", "--output", output, "--run-id", run_id]
        assert exit_code(["audit", *told]) == 0
    for command in (["history", output], ["show", output], ["compare", output, "one", "two"]):
        assert exit_code(command) == 0, command
        assert "two" in capsys.readouterr().out
    assert exit_code(["report", output]) == 2
    assert "name a file of this machine" in capsys.readouterr().err


def test_bare_paths_are_where_spark_looks_for_them(spark: SparkSession, cluster: str) -> None:
    assert locate(spark, "/lake/in") == "/lake/in"
    session = spark.newSession()
    session.conf.set("fs.defaultFS", cluster)
    assert locate(session, "/lake/in") == f"{cluster}/lake/in"
    assert locate(session, "./in") == f"{cluster}/user/root/in"
    assert locate(session, "../x/in") == f"{cluster}/user/x/in"
    assert locate(session, "hdfs:///lake/in") == f"{cluster}/lake/in"
    assert locate(session, "hdfs:/lake/in") == f"{cluster}/lake/in"
    for same in ("main.table", "s3://b/in", "file:/in", f"{cluster}/in", "/Volumes/in", "dbfs:/in"):
        assert locate(session, same) == same
    session.conf.unset("fs.defaultFS")
    assert locate(session, "/lake/in") == "/lake/in"
