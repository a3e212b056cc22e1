"""Locations of tables: paths and catalog names."""

import re
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from cl_spark.errors import ConfigurationError
from cl_spark.tables.location import (
    absolute,
    delta_name,
    escaped,
    exists,
    holds_delta,
    identifier,
    is_path,
    is_query,
    is_uri,
    is_writable,
    local_file,
    local_path,
    remove_directory,
    remove_earlier_attempts,
    split_partitions,
)


@pytest.mark.parametrize("path", ["./a", "/a", "a/b", "s3://bucket/a", "C:\\a", "a:b", "dbfs:/a", ""])
def test_a_path_holds_a_slash_a_backslash_or_a_colon(path: str) -> None:
    assert is_path(path)


@pytest.mark.parametrize("name", ["audits", "main.audits", "`my.catalog`.a b", "a-b"])
def test_anything_else_is_a_catalog_name(name: str) -> None:
    assert not is_path(name)


@pytest.mark.parametrize(
    ("name", "quoted"),
    [
        ("a", "`a`"),
        ("main.audits", "`main`.`audits`"),
        ("my-catalog.a b", "`my-catalog`.`a b`"),
        ("`a.b`.c", "`a.b`.`c`"),
        ("`a``b`", "`a``b`"),
        ("a; DROP TABLE b", "`a; DROP TABLE b`"),
    ],
)
def test_each_part_of_a_catalog_name_is_quoted(name: str, quoted: str) -> None:
    assert identifier(name) == quoted


@pytest.mark.parametrize("name", ["", ".", "a..b", ".a", "a.", "`a", "``"])
def test_a_name_with_empty_parts_or_a_lone_backtick_is_no_table_name(name: str) -> None:
    with pytest.raises(ConfigurationError, match=f"{re.escape(repr(name))} is no table name"):
        identifier(name)


def test_paths_of_this_machine_become_absolute_and_others_stay(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "audits").mkdir()
    assert absolute("./audits") == str(tmp_path / "audits")
    assert absolute("./elsewhere") == "./elsewhere"
    assert absolute("s3://bucket/audits") == "s3://bucket/audits"


def test_what_is_here_is_a_path_and_backticks_name_a_table(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "audits").mkdir()
    (tmp_path / "predictions.csv").touch()
    assert is_path("audits")
    assert is_path("predictions.csv")
    assert not is_path("`audits`")
    assert not is_path("elsewhere")


@pytest.mark.parametrize(
    ("location", "expected"),
    [
        ("s3://b/a", True),
        ("file:/a", True),
        ("dbfs:/a", True),
        ("2026-01-31T02:00/a", False),
        ("a:b/c", False),
    ],
)
def test_a_uri_begins_with_a_scheme_and_a_slash(location: str, expected: bool) -> None:
    assert is_uri(location) == expected


def test_a_path_with_a_colon_becomes_absolute_as_hadoop_wants_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    assert absolute("02:00/audits") == str(tmp_path / "02:00" / "audits")
    assert delta_name("./new") == f"delta.`{tmp_path / 'new'}`"
    assert delta_name("s3://lake/new") == "delta.`s3://lake/new`"


@pytest.mark.parametrize(
    "text",
    [
        "SELECT id FROM x",
        "  select *\nfrom x",
        "(SELECT 1)",
        "WITH a AS (SELECT 1) SELECT * FROM a",
        "SELECT " + "a, " * 999,
    ],
)
def test_sql_is_told_from_names_and_paths(text: str) -> None:
    assert is_query(text)
    assert not exists(text)


@pytest.mark.parametrize(
    "name", ["selected", "select.predictions", "with space/as (new)", "./with a/b", "from"]
)
def test_other_names_are_no_sql(name: str) -> None:
    assert not is_query(name)


def test_a_path_that_is_there_is_no_sql(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "select me").mkdir()
    assert not is_query("select me")


@pytest.mark.parametrize("text", ["a\x00b", "a" * 5000])
def test_texts_that_name_no_file_are_none(text: str) -> None:
    assert not exists(text)


def test_characters_of_patterns_are_escaped() -> None:
    assert escaped("/a[1]/{b}/c*?\\") == "/a\\[1\\]/\\{b\\}/c\\*\\?\\\\"
    assert escaped("/a b/50%/c:d,e#f") == "/a b/50%/c:d,e#f"


@pytest.mark.parametrize(
    ("path", "table", "partitions"),
    [
        ("/t", "/t", {}),
        ("/t/day=1", "/t", {"day": "1"}),
        ("/t/day=1/", "/t", {"day": "1"}),
        ("s3://b/t/day=1/source=a%2Fb", "s3://b/t", {"day": "1", "source": "a/b"}),
        ("/t/day=2026-01-0*", "/t", {"day": "2026-01-0*"}),
        ("/t/day=1/*.parquet", "/t", {"day": "1"}),
        ("/run=1/t", "/run=1/t", {}),
        ("/run=1/t/day=1", "/run=1/t", {"day": "1"}),
    ],
)
def test_partition_directories_are_split_from_their_table(
    path: str, table: str, partitions: dict[str, str]
) -> None:
    assert split_partitions(path) == (table, partitions)


def test_a_partition_directory_belongs_to_a_delta_table(tmp_path: Path) -> None:
    (tmp_path / "_delta_log").mkdir()
    assert holds_delta(str(tmp_path))
    assert holds_delta(f"{tmp_path}/day=1")
    assert not holds_delta(f"{tmp_path}/x")
    assert not holds_delta(None)
    assert not holds_delta("SELECT " + "a, " * 999)


def test_what_is_not_on_this_machine_is_emptied_and_told(
    spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    path = f"{tmp_path}/evidence"
    for name in ("a", "b"):
        spark.range(3).write.parquet(f"{path}/{name}")
    monkeypatch.setattr(Path, "exists", lambda _: False)  # stands for another file system
    with caplog.at_level("INFO"):
        remove_directory(spark, path, "evidence_path")
    assert f"evidence_path: {path} is empty now" in caplog.text
    assert not [file for file in tmp_path.rglob("*") if file.name in ("a", "b")]
    assert spark.read.parquet(path).isEmpty()


def test_what_cannot_be_emptied_is_told(spark: SparkSession, caplog: pytest.LogCaptureFixture) -> None:
    remove_directory(spark, "nowhere://host/evidence", "evidence_path")
    assert "evidence_path: remove nowhere://host/evidence yourself" in caplog.text


@pytest.mark.parametrize("is_here", [True, False])
def test_only_what_earlier_attempts_left_goes(
    spark: SparkSession,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    is_here: bool,
) -> None:
    first, second, third = (f"2026013{day}T020000.000000-abc123" for day in (0, 1, 2))
    models = tmp_path / "models" / "x [1]"
    for name in (first, second, third, "1"):
        spark.range(3).write.parquet(f"{models}/{name}/data")
    remove_earlier_attempts(spark, f"{tmp_path}/models/other", third, "output")
    assert not (tmp_path / "models" / "other").exists()
    with monkeypatch.context() as patched, caplog.at_level("INFO"):
        if not is_here:
            patched.setattr(Path, "exists", lambda _: False)  # stands for another file system
        remove_earlier_attempts(spark, str(models), second, "output")
        told = caplog.text
        remove_earlier_attempts(spark, str(models), second, "output")
    assert caplog.text == told, "what was emptied is not emptied again"
    assert {path.parent.name for path in models.glob("*/data")} == {second, third, "1"}
    assert (models / first).exists() != is_here


@pytest.mark.parametrize(
    ("uri", "path"),
    [
        ("file:///a/b%20c", "/a/b c"),
        ("file:/a", "/a"),
        ("/a", "/a"),
        ("hdfs://host/a", None),
        ("s3a://b/a", None),
    ],
)
def test_files_of_this_machine_have_a_path(uri: str, path: str | None) -> None:
    assert local_file(uri) == path


def test_the_scheme_of_this_machine_is_taken_off() -> None:
    assert [local_path(path) for path in ("file:///a", "file:/a", "/a", "s3://b/a")] == [
        "/a",
        "/a",
        "/a",
        "s3://b/a",
    ]


def test_what_can_be_written_here_is_known_without_writing(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert is_writable(f"{tmp_path}/new/directory")
    assert is_writable(f"{tmp_path}/new/file", is_file=True)
    assert is_writable(f"{tmp_path}/file", is_file=True)
    assert not is_writable(f"{tmp_path}/file")
    assert not is_writable(str(tmp_path), is_file=True)
    assert not is_writable(f"{tmp_path}/file/below", is_file=True)
