"""The names of columns, each written once: those of result tables, and those of the evidence within a run."""

from collections.abc import Container, Iterable, Mapping, Sequence

from pyspark.sql import DataFrame, SparkSession

from cl_spark.errors import ConfigurationError, MissingColumnError

# Result tables: the product's interface ---------------------------------------------------------------------
RUN_ID = "run_id"
ATTEMPT = "attempt"
GIVEN_LABEL = "given_label"
SUGGESTED_LABEL = "suggested_label"
PREDICTED_LABEL = "predicted_label"
TRUE_LABEL = "true_label"
LABEL_QUALITY = "label_quality"
SELF_CONFIDENCE = "self_confidence"
NORMALIZED_MARGIN = "normalized_margin"
RANK = "rank"
IS_ISSUE = "is_issue"
CLASS = "class"
CLASS_A = "class_a"
CLASS_B = "class_b"
EXAMPLES = "examples"
THRESHOLD = "threshold"
ESTIMATED_LABEL_ISSUES = "estimated_label_issues"
ESTIMATED_INVERSE_LABEL_ISSUES = "estimated_inverse_label_issues"
OFF_DIAGONAL_ISSUES = "off_diagonal_issues"
NUM_ISSUES = "num_issues"
CLASS_QUALITY = "class_quality"
SLICE_COLUMN = "slice_column"
SLICE_VALUE = "slice_value"
SLICE_QUALITY = "slice_quality"
LOWER = "lower"
UPPER = "upper"
FROZEN_RUN = "frozen_run"
CHECKPOINT = "checkpoint"
TASK = "task"
BASELINE = "baseline"
OF_ATTEMPT = "of_attempt"
OVERALL_HEALTH = "overall_health"
LABEL_NOISE = "label_noise"
INVERSE_LABEL_NOISE = "inverse_label_noise"
JOINT_PROBABILITY = "joint_probability"
COUNT = "count"
CALIBRATED_COUNT = "calibrated_count"
JOINT = "joint"
NOISE_RATE = "noise_rate"
INVERSE_NOISE_RATE = "inverse_noise_rate"
PRIOR = "prior"
REASON = "reason"
ROW = "row"
WARNINGS = "warnings"

# The evidence of each row. Classes are indices here; the leading underscore keeps clear of the input's
# columns.
GIVEN = "_given"
PREDICTED = "_predicted"
EVIDENCE_SELF_CONFIDENCE = "_self_confidence"
MAX_PROB = "_max_prob"
SECOND_MAX_PROB = "_second_max_prob"  # the highest probability of another class than the predicted
NUM_PROBS = "_num_probs"
LISTED_PROBS = "_listed_probs"
LABEL = "_label"
PROBS = "_pred_probs"
REJECTION = "_cl_spark_rejection"
"""Column of an input table: code of the reason for which a row is rejected, whatever it holds, or null."""
REPEATED = "_is_repeated"
CONFIDENT = "_confident"
TRUE = "_true"
SCORE = "_score"


def quoted(name: str) -> str:
    """Quote a column name so that Spark reads it literally, whatever dots, spaces or backticks it holds.

    Example:
        >>> quoted("a.b")
        '`a.b`'
    """
    return "`" + name.replace("`", "``") + "`"


def is_case_sensitive(spark: SparkSession) -> bool:
    """Tell whether Spark tells columns apart that differ in upper and lower case only."""
    return str(spark.conf.get("spark.sql.caseSensitive", "false")).lower() == "true"


def find_columns(name: str, columns: Iterable[str], *, case_sensitive: bool) -> list[str]:
    """Find the columns that Spark means by a name: none, one, or several that differ in case only.

    Example:
        >>> find_columns("label", ["id", "Label"], case_sensitive=False)
        ['Label']
    """
    if case_sensitive:
        return [col for col in columns if col == name]
    return [col for col in columns if col.casefold() == name.casefold()]


def resolve_columns(df: DataFrame, table: str, wanted: Mapping[str, str]) -> dict[str, str]:
    """Find columns of a table by the arguments that name them.

    Args:
        df: the table.
        table: its name, for messages.
        wanted: names of columns by argument.

    Raises:
        MissingColumnError: one is missing.
        ConfigurationError: a name means several columns, or is no text.
    """
    for key, name in wanted.items():
        if not isinstance(name, str):
            raise ConfigurationError(
                f"{key} must be the name of one column, got {name!r}: for several, such as the parts of a "
                "key, pass a table with one made of them, such as concat_ws('/', source, id)"
            )
    sensitive, there = is_case_sensitive(df.sparkSession), df.columns
    return {
        key: resolve_column(key, name, there, case_sensitive=sensitive, table=table)
        for key, name in wanted.items()
    }


def check_result_names(cols: Iterable[str], taken: Container[str], argument: str = "id_col") -> None:
    """Check that no column of the input that is kept is called like a column of the results.

    Args:
        cols: the columns.
        taken: names of the columns of the results, in lower case.
        argument: the argument that names the columns, for messages.

    Raises:
        ConfigurationError: one is.
    """
    for col in cols:
        if col.casefold() in taken:
            raise ConfigurationError(
                f"{argument}: {col!r} is the name of a column of the results: rename it in the input"
            )


def resolve_column(
    key: str, name: str, columns: Sequence[str], *, case_sensitive: bool, table: str = "the input"
) -> str:
    """Find the one column of a table that Spark means by a name.

    Args:
        key: the argument or configuration key that holds the name, for messages.
        name: the name.
        columns: the columns of the table.
        case_sensitive: as `is_case_sensitive` tells; asking for it may be a call to a server.
        table: the table's name, for messages.

    Raises:
        MissingColumnError: there is none.
        ConfigurationError: the name means several columns, which differ in case only.
    """
    found = find_columns(name, columns, case_sensitive=case_sensitive)
    if not found:
        raise MissingColumnError(
            f"{key}: no column {name!r} in {table}; it has {', '.join(map(repr, columns))}"
        )
    if len(found) > 1:
        raise ConfigurationError(
            f"{key}: {name!r} may be any of {', '.join(map(repr, found))} in {table}: rename all but one"
        )
    return found[0]
