"""Locations of tables: a path or URI, or a name in the catalog; and their forms for Spark, SQL and Python."""

import re
from pathlib import Path
from urllib.parse import unquote

from cl_spark.errors import ConfigurationError
from cl_spark.tables.columns import quoted

_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[/\\]")
_TABLE_NAME = re.compile(r"[^/\\:]+")
_NAME_PART = re.compile(r"`((?:[^`]|``)+)`|([^.`]+)")
_QUERY = re.compile(r"[\s(]*(select\s|with\s.*\sas\s*\()", re.IGNORECASE | re.DOTALL)
_PATTERN = re.compile(r"[\\\[\]{}*?]")
_PARTITIONS = re.compile(r"((?:/[^/=]+=[^/]+)+)(?:/[^/=]*[.*][^/=]*)?/?$")
"""Partition directories at the end of a path, and perhaps files in them."""


def exists(path: str) -> bool:
    """Tell whether there is such a file or directory on this machine, whatever text is asked for."""
    try:
        return Path(path).exists()
    except (OSError, ValueError):  # a text too long for a name, or with a null character
        return False


def is_uri(location: str) -> bool:
    """Tell a URI, which names its file system, from a path that holds a colon.

    Example:
        >>> is_uri("s3://lake/audits"), is_uri("2026-01-31T02:00/audits")
        (True, False)
    """
    return _URI.match(location) is not None


def is_path(location: str) -> bool:
    """Tell a path or URI from a catalog name.

    A path holds a slash, backslash or colon, or is a file or directory here. A name in backticks is always
    one of the catalog.

    Example:
        >>> is_path("./audits"), is_path("main.audits")
        (True, False)
    """
    return _TABLE_NAME.fullmatch(location) is None or ("`" not in location and exists(location))


def is_query(text: str) -> bool:
    """Tell whether a text is SQL, which is neither a path nor a name.

    Example:
        >>> is_query("SELECT id FROM predictions"), is_query("with space/predictions")
        (True, False)
    """
    return _QUERY.match(text) is not None and not exists(text)


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
    """Make a local path absolute, as Delta names tables. URIs and paths that are not on this machine stay.

    A path with a colon always becomes absolute: Hadoop would take what stands before it for a scheme.
    """
    is_local = not is_uri(path) and (":" in path or exists(path))
    return str(Path(path).absolute()) if is_local else path


def full_path(path: str) -> str:
    """Make a path of this machine absolute, whether or not it is there; URIs stay."""
    return path if is_uri(path) else str(Path(path).absolute())


def local_path(path: str) -> str:
    """Take the scheme off a `file:` URI; other locations stay."""
    return re.sub("^file:(//)?(?=/)", "", path)


def find_existing(path: Path) -> Path:
    """Find what is there on this machine of a path: itself, or the nearest directory above it."""
    return next(each for each in (path, *path.parents) if exists(str(each)))


def delta_name(path: str) -> str:
    """Name the Delta table at a path as SQL does; it takes no relative path."""
    return f"delta.{quoted(full_path(path))}"


def has_pattern(path: str) -> bool:
    """Tell whether a path holds characters that Spark's readers take for a pattern."""
    return _PATTERN.search(path) is not None


def escaped(path: str) -> str:
    r"""Escape the characters of a path that Spark's readers take for a pattern; writers take it as it is.

    Example:
        >>> escaped("/lake/run[1]")
        '/lake/run\\[1\\]'
    """
    return _PATTERN.sub(r"\\\g<0>", path)


def name_files(path: str) -> str:
    r"""Name files as Spark's readers do: of a path, what is there on this machine is no pattern.

    Example:
        >>> name_files("/tmp/*.parquet")
        '/tmp/*.parquet'
    """
    there = "" if is_uri(path) else str(find_existing(Path(path)))
    there = there if path.startswith(there) else ""
    return escaped(there) + path[len(there) :]


def base_path(path: str) -> str | None:
    """Name the directory of a table for Spark, which takes it as it is; None where it is a pattern."""
    if exists(path) or not has_pattern(re.sub(r"\\.", "", path)):
        return path if exists(path) else re.sub(r"\\(.)", r"\1", path)
    return None


def split_partitions(path: str) -> tuple[str, dict[str, str]]:
    """Split the partition directories at the end of a path from the directory of their table.

    Returns:
        The table's directory, and the value of each partition column as text. A path that does not end with
        partition directories is its own directory.

    Example:
        >>> split_partitions("/lake/predictions/day=2026-01-31/source=a%2Fb")
        ('/lake/predictions', {'day': '2026-01-31', 'source': 'a/b'})
    """
    match = _PARTITIONS.search(path)
    if match is None:
        return path, {}
    pairs = (part.split("=", 1) for part in match[1].strip("/").split("/"))
    return path[: match.start()] or "/", {unquote(name): unquote(value) for name, value in pairs}


def holds_delta(path: str | None) -> bool:
    """Tell whether a path is a Delta table on this machine, or a partition directory of one."""
    return path is not None and any(
        exists(f"{each}/_delta_log") for each in (path, split_partitions(path)[0])
    )


def shorten(text: str, length: int = 60) -> str:
    """Shorten a text for a message."""
    return text if len(text) <= length else f"{text[: length - 3]}..."
