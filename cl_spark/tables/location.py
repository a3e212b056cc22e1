"""Locations: a path or URI, or a name in the catalog; and their forms for Spark, SQL and Python.

No other module asks the disk of this machine for what users name, nor writes to it: whatever lies in another
store, only Spark reaches.
"""

import logging
import os
import re
import shutil
import uuid
from pathlib import Path
from posixpath import normpath
from urllib.parse import unquote, urlparse
from weakref import WeakKeyDictionary

from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from cl_spark.errors import ConfigurationError
from cl_spark.tables.columns import quoted
from cl_spark.tables.spark_errors import (
    NOT_FOUND,
    SPARK_ERRORS,
    error_condition,
    error_summary,
    find_missing_path,
)

logger = logging.getLogger(__name__)

_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[/\\]")
_TABLE_NAME = re.compile(r"[^/\\:]+")
_NAME_PART = re.compile(r"`((?:[^`]|``)+)`|([^.`]+)")
_QUERY = re.compile(r"[\s(]*(select\s|with\s.*\sas\s*\()", re.IGNORECASE | re.DOTALL)
_PATTERN = re.compile(r"[\\\[\]{}*?]")
_PARTITIONS = re.compile(r"((?:/[^/=]+=[^/]+)+)(?:/[^/=]*[.*][^/=]*)?/?$")
"""Partition directories at the end of a path, and perhaps files in them."""

_STORE = re.compile(r"[^/]+:(//[^/]*)?")
"""Scheme and host of a URI."""

_NO_HOST = re.compile(r"[^/]+:(///|/(?!/))")
"""Beginning of a URI that leaves its host to the default file system."""

_ATTEMPT = r"^\d{8}T\d{6}\.\d{6}[-~]"
"""Beginning of the name of an attempt at a run."""

_MOUNTED = ("/Volumes/", "/Workspace/")
"""Directories of Databricks that are paths for Spark and for Python, whatever the default file system is."""

_FILE_SYSTEM = "fs.defaultFS"
"""Hadoop's setting of the file system of bare paths, which a session may have changed for itself."""

_WORKING_DIRECTORIES: WeakKeyDictionary[SparkSession, tuple[str | None, str | None]] = WeakKeyDictionary()
"""By session: its own setting of the file system, and its working directory where that is a URI."""


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


def locate(spark: SparkSession, location: str) -> str:
    """Say in full where Spark looks for a location; see `locate_path`. A catalog name stays as it is."""
    return locate_path(spark, location) if is_path(location) else location


def locate_path(spark: SparkSession, path: str) -> str:
    """Say in full where Spark looks for a path: without a scheme it is in Spark's default file system.

    Returns:
        A URI with its host, where that is the default file system and no other than this machine's; else the
        path as it is.
    """
    if path.startswith(_MOUNTED) or (is_uri(path) and not _NO_HOST.match(path)):
        return path
    directory = _find_working_directory(spark)
    if directory is None:
        return path
    store = _STORE.match(directory)
    if store is None or (is_uri(path) and path.partition(":")[0] != directory.partition(":")[0]):
        return path
    below = _NO_HOST.sub("/", path) if is_uri(path) else path
    return store[0] + normpath(below if below[:1] == "/" else f"{directory[store.end() :]}/{below}")


def _find_working_directory(spark: SparkSession) -> str | None:
    """Find the URI of the directory that relative paths start from; None if it is here, or unknown.

    No public call tells it. But of a file that is not there, Spark's error names the full path.
    """
    name = f"cl_spark-{uuid.uuid4().hex}"
    try:
        setting = spark.conf.get(_FILE_SYSTEM, None)
        known = _WORKING_DIRECTORIES.get(spark)
        if known is not None and known[0] == setting:
            return known[1]
        _ = spark.read.text(name).schema
        return None
    except SPARK_ERRORS as error:  # also of a store that refuses to look, or a session that tells no settings
        found = find_missing_path(error)
        if not found.endswith(f"/{name}"):
            return None
    directory = found.removesuffix(name) if is_uri(local_path(found)) else None
    _WORKING_DIRECTORIES[spark] = setting, directory
    return directory


def local_path(path: str) -> str:
    """Take the scheme off a `file:` URI; other locations stay."""
    return re.sub("^file:(//)?(?=/)", "", path)


def local_file(uri: str) -> str | None:
    """Find the path of a file that Spark lists; None where it is not on this machine."""
    parsed = urlparse(uri)
    return unquote(parsed.path) if parsed.scheme in ("file", "") else None


def real_path(path: str) -> str:
    """Follow the links that lead to a path of this machine; other locations stay."""
    local = local_path(path)
    return path if ":" in local else os.path.realpath(local)


def find_existing(path: str) -> str:
    """Find what is there on this machine of a path: itself, or the nearest directory above it."""
    whole = Path(path)
    return next(each for each in map(str, (whole, *whole.parents)) if exists(each))


def is_writable(path: str, *, is_file: bool = False) -> bool:
    """Tell, without writing, whether this user may make or replace a directory, or a file, on this
    machine.
    """
    whole = Path(full_path(path))
    there = Path(find_existing(str(whole)))
    is_kind = there.is_file() if is_file and there == whole else there.is_dir()
    return is_kind and os.access(there, os.W_OK)


def write_text(path: str, text: str) -> None:
    """Write a file of this machine, with the directories above it.

    Raises:
        OSError: it cannot be written.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text, encoding="utf-8")


def check_reachable(spark: SparkSession, path: str, key: str) -> None:
    """Check that Spark reaches the store of a URI.

    Args:
        spark: the session.
        path: the URI, of something that need not be there.
        key: the configuration key that names it.

    Raises:
        ConfigurationError: it does not.
    """
    try:
        _ = spark.read.text(f"{escaped(path)}/cl_spark-{uuid.uuid4().hex}").schema
    except SPARK_ERRORS as error:
        if error_condition(error) not in NOT_FOUND:
            raise ConfigurationError(f"{key}: Spark cannot reach {path!r}: {error_summary(error)}") from error


def is_there(spark: SparkSession, pattern: str) -> bool:
    """Tell whether a store has a file or directory that matches a pattern, as Spark finds it."""
    try:
        _ = spark.read.format("binaryFile").load(pattern).schema
    except SPARK_ERRORS:
        return False
    return True


def remove_directory(spark: SparkSession, path: str, key: str) -> None:
    """Remove a directory of this machine, or empty one of another file system.

    Spark has no public call that removes a directory, but it can replace what is there by an empty table. A
    log line tells so, or that the files stay.

    Args:
        spark: the session.
        path: the directory, with everything below it.
        key: the configuration key that named it, for the log.
    """
    local = local_path(path)
    if exists(local):
        shutil.rmtree(local, ignore_errors=True)
        if exists(local):
            logger.warning("%s: remove %s yourself; this user may not", key, path)
        return
    try:
        spark.range(0).write.mode("overwrite").parquet(path)
        logger.info("%s: %s is empty now, and can be removed", key, path)
    except SPARK_ERRORS as error:
        logger.warning("%s: remove %s yourself; Spark cannot: %s", key, path, error_summary(error))


def remove_earlier_attempts(spark: SparkSession, parent: str, attempt: str, key: str) -> None:
    """Remove what is directly below a directory and called as an earlier attempt is, if there are files two
    levels below, as there are not where a directory was emptied before.

    Args:
        spark: the session.
        parent: the directory, in full; it need not be there.
        attempt: the attempt that stays, and those after it, as `new_attempt` names them.
        key: the configuration key that named the directory, for the log.
    """
    of_parent = "/".join(["", *parent.split("/")[-2:], ""])  # the store may spell what is before it otherwise
    child = F.substring_index(F.substring_index("path", of_parent, -1), "/", 1)
    try:
        reader = spark.read.format("binaryFile").option("recursiveFileLookup", "true")
        files = reader.load(f"{escaped(parent)}/*/*/*").select(child.alias("child"))
        is_earlier = F.col("child").rlike(_ATTEMPT) & (F.col("child") < attempt)
        earlier = files.where(is_earlier).distinct().collect()
    except SPARK_ERRORS as error:
        if error_condition(error) not in NOT_FOUND:
            logger.warning("%s: cannot look for what to remove in %s: %s", key, parent, error_summary(error))
        return
    for row in earlier:
        remove_directory(spark, f"{parent}/{row.child}", key)


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
    there = "" if is_uri(path) else find_existing(path)
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
    local = None if path is None else local_path(path)
    return local is not None and any(
        exists(f"{each}/_delta_log") for each in (local, split_partitions(local)[0])
    )


def shorten(text: str, length: int = 60) -> str:
    """Shorten a text for a message."""
    return text if len(text) <= length else f"{text[: length - 3]}..."
