"""Names of runs, batches and streams: each becomes a directory or a partition of the result tables."""

import re

from cl_spark.errors import ConfigurationError

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


def check_name(key: str, name: str) -> None:
    """Check the name of a run, a batch or a stream.

    Args:
        key: the option that holds it, for the message.
        name: the name.

    Raises:
        ConfigurationError: the name cannot be that of a directory everywhere.

    Example:
        >>> check_name("batch", "2026-01-31")
    """
    if not _NAME.fullmatch(name):
        raise ConfigurationError(
            f"{key}: {name!r} cannot be a name; use at most 128 letters, digits, dots, dashes and "
            "underscores, of which the first is a letter or digit"
        )
