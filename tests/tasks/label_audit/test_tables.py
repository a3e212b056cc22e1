"""Columns of the tables of a label audit: names written once, types that Spark reads, and meanings."""

import re

import pytest

from cl_spark.tables import columns as c
from cl_spark.tables.schema import REJECTED, RUNS, Table
from cl_spark.tasks.label_audit.tables import NUMBERS, SCORED, SCORED_REJECTED, TABLES

EVERY = (*TABLES, SCORED, SCORED_REJECTED, REJECTED)
COLUMNS = [(f"{table.name}.{column.name}", column) for table in EVERY for column in table.columns]
COLUMNS += [(f"runs.{column.name}", column) for column in (*RUNS.columns, *NUMBERS)]
NAMES = {name for constant, name in vars(c).items() if constant.isupper()}


def is_fragment(meaning: str) -> bool:
    """Tell whether a text is a phrase on one line: it stands in lists, and in comments of columns."""
    begins_well = re.match(r"[A-Z0-9(`]|p\(", meaning) is not None  # like a sentence, or as a formula
    return begins_well and len(meaning) > 5 and meaning.isprintable() and meaning[-1] not in " .,;"


def test_every_column_has_a_meaning_that_is_a_fragment_of_a_sentence() -> None:
    assert not is_fragment("the class")
    assert not is_fragment("The class.")
    assert {where: column.meaning for where, column in COLUMNS if not is_fragment(column.meaning)} == {}


def test_types_are_those_of_spark_or_of_the_input() -> None:
    of_spark = {"string", "long", "int", "double", "boolean", "timestamp", "label"}
    of_spark.add("array<struct<code: string, message: string>>")
    of_input = {column.type for _, column in COLUMNS if column.name.startswith("<")}
    assert of_input == {"any", "as the input's"}
    assert {column.type for _, column in COLUMNS} - of_input <= of_spark


@pytest.mark.parametrize("table", [*TABLES, SCORED, SCORED_REJECTED], ids=lambda table: table.name)
def test_names_of_columns_are_those_written_once(table: Table) -> None:
    own = [column.name for column in table.columns if not column.name.startswith("<")]
    assert set(own) <= NAMES
    assert len(set(own)) == len(own)
    assert not any(name.startswith("_") for name in own), "these are columns within a run"
    assert own[0] == c.RUN_ID


def test_tables_have_names_of_their_own() -> None:
    names = [table.name for table in (*EVERY, RUNS)]
    assert len(set(names)) == len(names)


def test_numbers_of_the_audit_are_no_columns_of_every_run() -> None:
    assert not {column.name for column in NUMBERS} & {column.name for column in RUNS.columns}
