"""Whether two locations overlap, so that what is written to one is read with the other."""

import re
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
    return any(
        all(first == second or _matches(second, first) for first, second in zip(parts, others, strict=False))
        for parts, others in ((_parts(one), _parts(place)) for one in (source, *_expand(source)))
    )


def _expand(path: str) -> list[str]:
    """Expand the braces of a pattern: a{b,c} stands for ab and ac. There may be some within others."""
    braces = re.search(r"(?<!\\)\{((?:[^{}\\]|\\.)*)\}", path)
    if braces is None:
        return [path]
    before, after = path[: braces.start()], path[braces.end() :]
    return [one for part in re.split(r"(?<!\\),", braces[1]) for one in _expand(before + part + after)]


def _matches(name: str, pattern: str) -> bool:
    """Tell whether a name is what a part of a path stands for, by the patterns of Spark: those of `fnmatch`,
    but with [^a] for [!a], and a backslash before what stands for itself.
    """
    plain = re.sub(r"\\(.)", lambda match: f"[{match[1]}]" if match[1] in "*?[]" else match[1], pattern)
    return fnmatchcase(name, plain.replace("[^", "[!"))


def _parts(path: str) -> list[str]:
    """Split a path into its parts; of this machine's the real ones, whatever links lead there."""
    return [part for part in real_path(path).split("/") if part]
