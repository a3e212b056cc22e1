"""Names of runs, batches and streams can be those of directories everywhere."""

import pytest

from cl_spark.errors import ConfigurationError
from cl_spark.tables.names import check_name


@pytest.mark.parametrize("name", ["a", "2026-01-31", "1e2", "a.b_c-D", "x" * 128])
def test_plain_names_are_taken(name: str) -> None:
    check_name("batch", name)


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../../x", "a/b", "a%20b", "a b", "a\n", "-a", "ä", "x" * 129]
)
def test_other_names_are_refused_with_their_key(name: str) -> None:
    with pytest.raises(ConfigurationError, match=r"batch: .* cannot be a name"):
        check_name("batch", name)
