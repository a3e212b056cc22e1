"""Messages and lines of logs that data cannot forge."""

import pytest

from cl_spark.errors import one_line


@pytest.mark.parametrize(
    ("value", "line"),
    [
        ("a cat, ünï", "a cat, ünï"),
        ("a\nERROR b\r", r"a\nERROR b\r"),
        ("\x1b[31mred", r"\x1b[31mred"),
        ("line\u2028separator", r"line\u2028separator"),
        ("right\u202eto left", r"right\u202eto left"),
        (7, "7"),
        (None, "None"),
    ],
)
def test_breaks_and_control_characters_are_escaped(value: object, line: str) -> None:
    assert one_line(value) == line
