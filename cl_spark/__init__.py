"""cl_spark: find wrong labels in tables of any size. Confident learning (Northcutt, Jiang, Chuang, JAIR 2021) on Spark."""

from cl_spark.api import (
    confident_joint,
    confident_thresholds,
    find_label_issues,
    health_summary,
    label_quality_scores,
    noise_rates,
    num_label_issues,
)
from cl_spark.audit import LabelAudit
from cl_spark.errors import (
    ClSparkError,
    ColumnTypeError,
    ConfigurationError,
    EmptyTableError,
    InputError,
    MissingColumnError,
    MissingDependencyError,
    OutputError,
    RejectedRowsError,
    SingleClassError,
    SourceChangedError,
)
from cl_spark.health import HealthSummary
from cl_spark.noise import NoiseRates
from cl_spark.version import __version__

__all__ = [
    "ClSparkError",
    "ColumnTypeError",
    "ConfigurationError",
    "EmptyTableError",
    "HealthSummary",
    "InputError",
    "LabelAudit",
    "MissingColumnError",
    "MissingDependencyError",
    "NoiseRates",
    "OutputError",
    "RejectedRowsError",
    "SingleClassError",
    "SourceChangedError",
    "__version__",
    "confident_joint",
    "confident_thresholds",
    "find_label_issues",
    "health_summary",
    "label_quality_scores",
    "noise_rates",
    "num_label_issues",
]
