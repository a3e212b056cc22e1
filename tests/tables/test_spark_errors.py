"""Errors of Spark as sentences for the user."""

import pytest

from cl_spark.errors import InputError, MissingDependencyError
from cl_spark.tables.spark_errors import (
    NO_DELTA,
    SOURCE_CHANGED,
    error_condition,
    error_summary,
    explain_unreadable,
    find_source_change,
)


class FakeError(Exception):
    """An error of Spark 4, which names its condition."""

    def __init__(self, message: str, condition: str | None = None) -> None:
        super().__init__(message)
        self.condition = condition

    def getCondition(self) -> str | None:
        return self.condition


class OldError(Exception):
    """An error of Spark 3.5, which calls it a class."""

    def getErrorClass(self) -> str:
        return "PATH_NOT_FOUND"


def test_the_condition_of_an_error_is_found_in_every_version_of_spark() -> None:
    assert error_condition(FakeError("", "SCHEMA_NOT_FOUND")) == "SCHEMA_NOT_FOUND"
    assert error_condition(OldError()) == "PATH_NOT_FOUND"
    assert error_condition(FakeError("", None)) == ""
    assert error_condition(ValueError()) == ""


@pytest.mark.parametrize(
    "error",
    [FakeError("no source", "DATA_SOURCE_NOT_FOUND"), ValueError("class org.x.DeltaCatalog not found")],
)
def test_missing_delta_is_explained_with_how_to_get_it(error: Exception) -> None:
    explained = explain_unreadable(error, "./a", "predictions")
    assert isinstance(explained, MissingDependencyError)
    assert str(explained) == NO_DELTA


@pytest.mark.parametrize(
    ("error", "name", "message"),
    [
        (FakeError("", "PATH_NOT_FOUND"), "./a", "predictions: there is no path './a'"),
        (OldError(), "./a", "predictions: there is no path './a'"),
        (
            FakeError("", "TABLE_OR_VIEW_NOT_FOUND"),
            "a",
            "predictions: there is no catalog table (a path must hold a slash, as in ./predictions) 'a'",
        ),
        (
            FakeError("[PARSE_SYNTAX_ERROR] near 'x'", "PARSE_SYNTAX_ERROR"),
            "a",
            "predictions: cannot read 'a': [PARSE_SYNTAX_ERROR] near 'x'",
        ),
        (FakeError("disk on fire\n at java", None), "./a", "predictions: cannot read './a': disk on fire"),
    ],
)
def test_a_failed_read_names_the_key_and_what_was_to_be_read(
    error: Exception, name: str, message: str
) -> None:
    explained = explain_unreadable(error, name, "predictions")
    assert isinstance(explained, InputError)
    assert str(explained) == message


def test_queries_that_find_a_changed_input_say_so() -> None:
    for before, after in (
        ("[USER_RAISED_EXCEPTION] ", " SQLSTATE: P0001"),
        ("An error\n: java.lang.RuntimeException: ", "\n\tat y"),
    ):
        found = find_source_change(FakeError(f"{before}{SOURCE_CHANGED}: id 7{after}"))
        assert str(found) == "the input changed while it was read: id 7"
    assert find_source_change(FakeError("disk on fire")) is None


@pytest.mark.parametrize(
    ("message", "summary"),
    [
        ("first\nsecond", "first"),
        ("An error while calling o1\n: java.io.IOException: full\n\tat y", "java.io.IOException: full"),
        (
            "Job aborted\nTraceback (most recent call last):\n  File x, line 1\n\nValueError: bad\n",
            "ValueError: bad",
        ),
        ("Job aborted\nTraceback (most recent call last):\n  File x, line 1", "Job aborted"),
        ("", "FakeError"),
    ],
)
def test_the_summary_is_the_line_that_tells_what_happened(message: str, summary: str) -> None:
    assert error_summary(FakeError(message)) == summary
