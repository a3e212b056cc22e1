"""Whether two locations overlap, so that what is written to one is read with the other."""

from fnmatch import fnmatchcase

from cl_spark.errors import ConfigurationError
from cl_spark.tables.location import identifier, is_path, real_path


def check_apart(key: str, source: str, other: str, place: str) -> None:
    """Check that nothing is written where an input is.

    Args:
        key: the configuration key of the input.
        source: path or table name of the input.
        other: the configuration key of the place that is written to.
        place: path or table name.

    Raises:
        ConfigurationError: one is within the other: the input would change, or be read with the results.
    """
    if overlap(source, place):
        raise ConfigurationError(
            f"{other}: {place!r} and {key} {source!r} are the same place, or one is inside the other: "
            f"choose another {other}"
        )


def overlap(source: str, place: str) -> bool:
    """Tell whether one location is the other, or within it. Patterns match what they stand for.

    Example:
        >>> overlap("/lake/labels", "/lake/labels/audits"), overlap("/lake/labels", "/lake/labels_audits")
        (True, False)
    """
    if is_path(source) != is_path(place):
        return False
    if not is_path(source):
        return identifier(source).casefold() == identifier(place).casefold()
    return all(
        first == second or fnmatchcase(second, first)
        for first, second in zip(_parts(source), _parts(place), strict=False)
    )


def _parts(path: str) -> list[str]:
    """Split a path into its parts; of this machine's the real ones, whatever links lead there."""
    return [part for part in real_path(path).split("/") if part]
