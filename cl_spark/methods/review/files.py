"""Files of reviews: exports that a person opens, and answers that come back."""

import codecs
from pathlib import Path

from cl_spark.errors import ConfigurationError, InputError, OutputError
from cl_spark.tables.location import is_uri, is_writable, local_path, write_text


def check_export(path: str, key: str) -> None:
    """Look, without writing, whether an export can go to a file of this machine.

    Args:
        path: the file.
        key: the argument that names it, for messages.

    Raises:
        ConfigurationError: it cannot.
    """
    if not is_writable(_local(path, key), is_file=True):
        raise ConfigurationError(f"{key}: {path!r} is no file this user may write; name another one")


def write_export(path: str, text: str, key: str = "path") -> str:
    """Write an export as UTF-8, and return its path.

    Raises:
        ConfigurationError: the path is none of this machine.
        OutputError: the file cannot be written.
    """
    target = _local(path, key)
    try:
        write_text(target, text)
    except OSError as error:
        raise OutputError(f"{key}: cannot write {target!r}: {error.strerror}") from error
    return target


def read_existing(path: str, key: str) -> str:
    """Read the text of a file that an export would replace; empty where there is none that can be read. It is
    UTF-16 where it says so, as some spreadsheets write it, else UTF-8; other bytes are replaced.

    Raises:
        ConfigurationError: the path is none of this machine.
    """
    try:
        content = Path(_local(path, key)).read_bytes()
    except OSError:
        return ""
    is_wide = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    return content.decode("utf-16" if is_wide else "utf-8-sig", errors="replace")


def read_answers_file(path: str, key: str = "path") -> str:
    """Read a file of answers: text in UTF-8, with or without a mark at its beginning. Errors name the key.

    Raises:
        ConfigurationError: the path is none of this machine.
        InputError: there is no such file, or it is no such text.
    """
    try:
        # line ends as they stand: cells may hold some
        return Path(_local(path, key)).read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise InputError(f"{key}: cannot read {path!r}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InputError(
            f"{key}: {path!r} is not text in UTF-8: {error.reason} at byte {error.start}; save it as UTF-8 "
            "(in spreadsheets: CSV UTF-8)"
        ) from error


def _local(path: str, key: str) -> str:
    """Return the path of a file of this machine.

    Raises:
        ConfigurationError: it is one of another store.
    """
    local = local_path(path)
    if is_uri(local):
        raise ConfigurationError(
            f"{key}: {path!r} is in a store that only Spark reaches: name a file of this machine, and copy it"
        )
    return local
