"""What can go wrong for a user, as a small hierarchy: every message names the key or column, the value seen, and what to do."""


class ClSparkError(Exception):
    """Base of every error this package raises on purpose."""


class ConfigurationError(ClSparkError):
    """An option, a configuration key or a combination of them cannot be used. Raised before any data is read."""


class InputError(ClSparkError):
    """The input table cannot be audited: a column is missing or of the wrong type, or no usable row is left."""


class OutputError(ClSparkError):
    """The result tables cannot be written or read."""


class MissingDependencyError(ClSparkError):
    """Something the machine must provide is missing: Spark itself, Java, or Delta Lake on Spark's classpath."""
