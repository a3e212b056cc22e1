"""Locations of tables: paths and catalog names."""

import re
from pathlib import Path

import pytest

from cl_spark.errors import ConfigurationError
from cl_spark.tables.location import absolute, identifier, is_path


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
