"""Locations of tables: a path or URI, or a name in the catalog."""

import re
from pathlib import Path

from cl_spark.errors import ConfigurationError
from cl_spark.tables.columns import quoted

_TABLE_NAME = re.compile(r"^[^/\\:]+$")
_NAME_PART = re.compile(r"`((?:[^`]|``)+)`|([^.`]+)")


def is_path(location: str) -> bool:
    """Tell a path or URI (it holds a slash, backslash or colon) from a catalog name.

    Example:
        >>> is_path("./audits"), is_path("main.audits")
        (True, False)
    """
    return _TABLE_NAME.match(location) is None


def identifier(name: str) -> str:
    """Quote a catalog name so that SQL takes it literally, each part in backticks.

    Raises:
        ConfigurationError: it is no table name.

    Example:
        >>> identifier("main.`a.b`")
        '`main`.`a.b`'
    """
    parts, rest = [], name
    while match := _NAME_PART.match(rest):
        part, rest = (match[1] or "").replace("``", "`") or match[2], rest[match.end() :]
        parts.append(quoted(part))
        if not rest:
            return ".".join(parts)
        rest = rest.removeprefix(".")
    raise ConfigurationError(
        f"{name!r} is no table name: write catalog.schema.table, with backticks round parts that hold dots"
    )


def absolute(path: str) -> str:
    """Make a local path absolute, as Delta names tables. URIs and paths that are not on this machine stay."""
    return str(Path(path).absolute()) if Path(path).exists() else path
