"""The errors a user may meet. Every message names the key or column, the value seen, and what to do."""


class ClSparkError(Exception):
    """Base of every error this package raises on purpose."""


class ConfigurationError(ClSparkError):
    """Raised for options or keys that cannot be used, alone or together, before any data is read."""


class InputError(ClSparkError):
    """Raised for unusable input: a column is missing or of the wrong type, or no row is left."""


class MissingColumnError(InputError):
    """Raised for a column that was named and is not in the table."""


class ColumnTypeError(InputError):
    """Raised for a column of a type that cannot mean what it should."""


class EmptyTableError(InputError):
    """Raised for a table without rows, or without any that can be used."""


class SingleClassError(InputError):
    """Raised for probabilities of one class: there is nothing to confuse it with."""


class RejectedRowsError(InputError):
    """Raised where more rows are rejected than the caller allows."""


class DoubtfulInputError(InputError):
    """Raised for an input with warnings where the caller asked that they fail the run."""


class SourceChangedError(InputError):
    """Raised where the input changed while it was read, so that its rows do not add up."""


class EstimatorError(InputError):
    """Raised where an estimator of the user's fails in training or in prediction, with its own message."""


class OutputError(ClSparkError):
    """Raised where results cannot be written, or not to this place."""


class RunError(ClSparkError):
    """Raised where Spark failed in the middle of a run, which then is not recorded."""


class GatesFailedError(ClSparkError):
    """Raised for a run that was written, but does not pass its gates."""


class ReportFailedError(ClSparkError):
    """Raised for a run that was recorded, but whose report could not be made."""


class MissingDependencyError(ClSparkError):
    """Raised where the machine lacks something: Spark, Java, or Delta Lake on Spark's classpath."""


def one_line(value: object) -> str:
    """Escape breaks and control characters of a value, so that data forges no line of a message or log."""
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in str(value)
    )
