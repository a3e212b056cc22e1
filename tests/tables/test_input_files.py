"""Files and directories of input: which are meant, and what their directories tell."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession

from cl_spark import InputError
from cl_spark.tables.input_table import read_source, read_stream
from cl_spark.tables.text_files import Roles

pytestmark = pytest.mark.slow


def write(path: Path, first: int = 0) -> str:
    """A file of two ids below a path."""
    path.mkdir(parents=True)
    pq.write_table(pa.table({"id": [first, first + 1]}), path / "a.parquet")
    return str(path)


ODD = [
    "run[1]",
    "a{b}",
    "2026-01-31T02:00",
    "50%41",
    "with space",
    "star*",
    "why?",
    "back\\slash",
    "a#b,c",
    "é",
]


@pytest.mark.parametrize("name", ODD)
def test_characters_of_a_path_mean_themselves(spark: SparkSession, tmp_path: Path, name: str) -> None:
    source = read_source(spark, write(tmp_path / name / "p"), "predictions")
    assert source.df.count() == 2
    assert str(source.state()).startswith("1 files")
    assert read_source(spark, f"file://{tmp_path}/{name}/p", "x").df.count() == 2
    spark.range(3).write.format("delta").save(str(tmp_path / name / "d"))
    delta = read_source(spark, str(tmp_path / name / "d"), "predictions")
    assert (delta.df.count(), delta.version) == (3, 0)


def test_a_pattern_keeps_the_columns_of_partition_directories(spark: SparkSession, tmp_path: Path) -> None:
    for day in (1, 2, 3):
        write(tmp_path / "t[1]" / f"day={day}", first=10 * day)
    for pattern, days in (
        ("day=[12]", {1, 2}),
        ("day=*", {1, 2, 3}),
        ("day=3", {3}),
        ("day=*/*.parquet", {1, 2, 3}),
    ):
        for table in ("t[1]", "t\\[1\\]"):
            df = read_source(spark, f"{tmp_path}/{table}/{pattern}", "predictions").df
            assert {row.day for row in df.collect()} == days, (table, pattern)


@pytest.mark.parametrize(
    ("values", "names", "kind"),
    [
        (["01", "02"], ("01", "02"), "string"),
        (["01", "02"], ("a", "b"), "string"),
        (["1", "2"], ("1", "2", "3"), "string"),
        (["0", "1"], ("cat", "dog"), "int"),
        (["01", "02"], (), "int"),
        (["2026-01-31", "__HIVE_DEFAULT_PARTITION__"], ("2026-01-31", "b"), "string"),
    ],
)
def test_names_of_classes_in_directories_keep_their_spelling(
    spark: SparkSession, tmp_path: Path, values: list[str], names: tuple[str, ...], kind: str
) -> None:
    for value in values:
        write(tmp_path / f"label={value}")
    df = read_source(spark, str(tmp_path), "predictions", roles=Roles(("id",), "label", class_names=names)).df
    assert dict(df.dtypes)["label"] == kind
    if kind == "string":
        assert {row.label for row in df.where("label is not null").collect()} == {*values} - {
            values[-1] if "HIVE" in values[-1] else ""
        }


def test_a_partition_directory_of_a_delta_table_is_read_by_its_log(
    spark: SparkSession, tmp_path: Path
) -> None:
    path = str(tmp_path / "t")
    rows = spark.range(20).selectExpr("id", "if(id % 3 = 0, 'a/b', if(id % 3 = 1, 'c', null)) source")
    rows.write.format("delta").partitionBy("source").save(path)
    spark.sql(f"DELETE FROM delta.`{path}` WHERE id < 10")
    for directory, rest in (("source=a%2Fb", 0), ("source=c/", 1), ("source=__HIVE_DEFAULT_PARTITION__", 2)):
        source = read_source(spark, f"{path}/{directory}", "predictions")
        assert source.version == 1
        assert {row.id for row in source.df.collect()} == {i for i in range(10, 20) if i % 3 == rest}
    with pytest.raises(InputError, match=r"is a pattern in the Delta table .*: name the table"):
        read_source(spark, f"{path}/source=*", "predictions")
    file = next(Path(path, "source=c").glob("*.parquet"))
    told = r"predictions: .*\.parquet' is a file in the Delta table .*/t': name the table or the partition"
    with pytest.raises(InputError, match=told):
        read_source(spark, str(file), "predictions")


@pytest.mark.parametrize(
    "name", ["SELECT id FROM x", "SELECT id FROM x WHERE " + "day = 1 OR " * 400 + "false"]
)
def test_sql_is_told_in_one_short_sentence(spark: SparkSession, name: str) -> None:
    with pytest.raises(InputError, match="takes a path or a table name, not SQL") as error:
        read_source(spark, name, "predictions")
    assert len(str(error.value)) < 200


def test_a_stream_reads_tables_and_parquet(spark: SparkSession, tmp_path: Path) -> None:
    assert read_stream(spark, write(tmp_path / "run[1]")).columns == ["id"]
    (tmp_path / "a.csv").write_text("id\n1\n")
    with pytest.raises(InputError, match="a stream reads Delta tables and Parquet files, not csv"):
        read_stream(spark, str(tmp_path / "a.csv"))


def test_what_is_no_delta_table_is_told_where_one_is_promised(spark: SparkSession, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is no Delta table"):
        read_source(spark, write(tmp_path / "p"), "predictions", input_format="delta")
    with pytest.raises(InputError, match="there is no path"):
        read_source(spark, str(tmp_path / "nothing"), "predictions")
