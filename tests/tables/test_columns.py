"""Names of columns: each stands for one thing, and any of them can be quoted."""

import pytest

from cl_spark.tables import columns as c

NAMES = {constant: name for constant, name in vars(c).items() if constant.isupper()}


def test_no_two_constants_have_one_value() -> None:
    assert len(NAMES) > 30
    assert len(set(NAMES.values())) == len(NAMES)


def test_names_differ_by_more_than_their_case() -> None:
    """Spark tells columns apart whatever their case."""
    assert len({name.lower() for name in NAMES.values()}) == len(NAMES)


@pytest.mark.parametrize(
    ("name", "quoted"), [("a", "`a`"), ("a.b c", "`a.b c`"), ("`", "````"), ("a`b", "`a``b`"), ("", "``")]
)
def test_a_quoted_name_is_read_literally(name: str, quoted: str) -> None:
    assert c.quoted(name) == quoted
