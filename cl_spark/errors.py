"""What can go wrong for a user, as a small hierarchy: every message names the key or column, the value seen,
and what to do.
"""


class ClSparkError(Exception):
    """Base of every error this package raises on purpose."""


class ConfigurationError(ClSparkError):
    """Raised for options or keys that cannot be used, alone or together, before any data is read."""


class InputError(ClSparkError):
    """Raised for unusable input: a column is missing or of the wrong type, or no row is left."""


class MissingColumnError(InputError):
    """A column that was named is not in the table."""


class ColumnTypeError(InputError):
    """A column is of a type that cannot mean what it should."""


class EmptyTableError(InputError):
    """The table has no rows, or none that can be used."""


class SingleClassError(InputError):
    """The probabilities are of one class: there is nothing to confuse it with."""


class RejectedRowsError(InputError):
    """More rows cannot be used than the caller allows."""


class SourceChangedError(InputError):
    """The input changed while it was read: the rows do not add up."""


class OutputError(ClSparkError):
    """The result tables cannot be written or read."""


class RunError(ClSparkError):
    """Spark failed in the middle of a run: a file that cannot be read, a lost cluster. The run was not
    recorded.
    """


class GatesFailedError(ClSparkError):
    """A run was written, but does not pass the gates it was given."""


class MissingDependencyError(ClSparkError):
    """Raised where the machine lacks something: Spark, Java, or Delta Lake on Spark's classpath."""


def one_line(value: object) -> str:
    """A value from the data as messages and logs show it: breaks and control characters escaped, so that it
    forges no line.
    """
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in str(value)
    )
