"""Changes that verdicts, or the issues of an audit, make to a table of labels, and the outcome of each."""

from collections.abc import Sequence

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import (
    BooleanType,
    ByteType,
    DataType,
    DecimalType,
    DoubleType,
    FloatType,
    IntegerType,
    IntegralType,
    LongType,
    ShortType,
    StringType,
)

from cl_spark.errors import ColumnTypeError, ConfigurationError, InputError
from cl_spark.evidence.class_columns import find_index, find_name, says_true_first
from cl_spark.methods.review.verdicts import (
    CORRECT,
    CORRECTED_LABEL,
    NON_AGREEMENT,
    NOT_AN_ERROR,
    PRUNE,
    VERDICT,
)
from cl_spark.tables import columns as c
from cl_spark.tables.columns import quoted, resolve_columns
from cl_spark.tables.example_ids import ExampleIds
from cl_spark.tables.ids import lacks_id

CORRECTION = "correction"
CORRECTED, PRUNED, KEPT, CONFLICT = "corrected", "pruned", "kept", "conflict"
ALREADY_DONE = "already_done"
"""Outcomes for the label of an example."""

UNKNOWN_ID, REPEATED_ID, NULL_ID = "unknown_id", "repeated_id", "null_id"
"""Why a verdict finds no example of its own."""

OUTCOMES = (CORRECTED, PRUNED, KEPT, ALREADY_DONE, CONFLICT, UNKNOWN_ID, REPEATED_ID, NULL_ID)

WANTED, GIVEN, TARGET = "_wanted", "_given", "_target"
"""Columns of changes: what to do, the label that was judged, and the label to write."""

OUTCOME, NOW = "_outcome", "_now"
"""Columns of outcomes, beside those of changes: what became of it, and the label of the example."""

_OF_VERDICT = {NOT_AN_ERROR: KEPT, CORRECT: CORRECTED, PRUNE: PRUNED, NON_AGREEMENT: PRUNED}
_ROWS, _IS_APPLIED, _MARKED, _TIMES = "_rows", "_is_applied", "_marked", "_times"


def read_changes(
    verdicts: DataFrame,
    ids: ExampleIds,
    label_type: DataType,
    *,
    action: str,
    class_names: Sequence[str] | None,
) -> DataFrame:
    """Read what to do with the label of each example.

    Args:
        verdicts: the table `verdicts`; or issues, with given_label and suggested_label.
        ids: the id columns.
        label_type: type of the labels that are corrected.
        action: what happens to all issues: "correct" or "prune".
        class_names: names of the classes, where one table has names and the other indices.

    Returns:
        A row per verdict or issue: keys, `_wanted` ("kept" where the label to write is the given one),
        `_given` and `_target` (in the type of the labels), verdict (null for issues).

    Raises:
        MissingColumnError: a column is missing.
        ConfigurationError: labels are names here and indices there, and there are no class_names.
        ColumnTypeError: the labels cannot be compared.
        InputError: a verdict is unknown, or a label of a verdict is no class.
    """
    are_verdicts = any(name.casefold() == VERDICT for name in verdicts.columns)
    second = CORRECTED_LABEL if are_verdicts else c.SUGGESTED_LABEL
    given, target = (
        resolve_columns(verdicts, "verdicts", {"verdicts": col})["verdicts"]
        for col in (c.GIVEN_LABEL, second)
    )
    kinds = {field.name: field.dataType for field in verdicts.schema.fields}
    texts = {
        name: convert_class(F.col(quoted(name)), name, kinds[name], label_type, class_names)
        for name in (given, target)
    }
    if are_verdicts:
        verdict = F.col(VERDICT)
        wanted: Column = F.when(F.lit(False), F.lit(KEPT))
        for name, outcome in _OF_VERDICT.items():
            wanted = wanted.when(verdict == name, outcome)
    else:
        verdict = F.lit(None).cast("string")
        wanted = F.lit(CORRECTED if action == "correct" else PRUNED)
    # a suggestion that is the given label corrects nothing: `decide_verdicts` counts it as given, too
    is_same = (wanted == CORRECTED) & (texts[given] == texts[target])
    changes = verdicts.select(
        *ids.select(verdicts),
        F.when(is_same, KEPT).otherwise(wanted).alias(WANTED),
        texts[given].alias(GIVEN),
        texts[target].alias(TARGET),
        verdict.alias(VERDICT),
        F.col(quoted(given)).cast("string").alias("_given_text"),
        F.col(quoted(target)).cast("string").alias("_target_text"),
    )
    _check_changes(changes)
    return changes.drop("_given_text", "_target_text")


def find_outcomes(
    changes: DataFrame,
    labels: DataFrame,
    ids: ExampleIds,
    label_col: str,
    *,
    marked: Column,
    applied: Column | None = None,
) -> DataFrame:
    """Find what becomes, or became, of each change.

    Args:
        changes: as `read_changes` returns them.
        labels: the labels that are corrected.
        ids: the id columns.
        label_col: column of the label.
        marked: what an earlier correction did to a row of the labels: "corrected", "pruned" or null.
        applied: condition on a row of the labels that this run has changed it; None: it has not been made.

    Returns:
        The changes with `_outcome`, one of `OUTCOMES`, and `_now`, the label in `labels` (null where there is
        no such example, or several). With `applied` None, changes that can be made have the outcome they
        would have. Else those that the labels do not hold are conflicts, such as of verdicts that the run was
        not made with.
    """
    keys = ids.names
    asked = changes.where(~lacks_id(changes, keys)).select(*keys).distinct()
    there = labels.select(
        *ids.select(labels),
        F.col(quoted(label_col)).alias(NOW),
        F.coalesce(F.lit(False) if applied is None else applied, F.lit(False)).alias(_IS_APPLIED),
        marked.alias(_MARKED),
    )
    found = (
        there.join(asked, keys, "left_semi")
        .groupBy(*keys)
        .agg(
            F.count(F.lit(1)).alias(_ROWS),
            F.min(NOW).alias(NOW),
            F.max(_IS_APPLIED).alias(_IS_APPLIED),
            F.max(_MARKED).alias(_MARKED),
        )
    )
    times = changes.groupBy(*keys).agg(F.count(F.lit(1)).alias(_TIMES))
    joined = changes.join(times, keys, "left").join(found, keys, "left")
    stands = F.col(NOW).eqNullSafe(F.col(GIVEN)) & F.col(GIVEN).isNotNull()
    is_wanted = F.when(F.col(WANTED) == CORRECTED, F.col(NOW).eqNullSafe(F.col(TARGET))).otherwise(stands)
    is_done = is_wanted & F.col(_MARKED).eqNullSafe(F.col(WANTED))
    can_be = stands if applied is None else F.lit(False)
    outcome = (
        F.when(lacks_id(joined, keys), NULL_ID)
        .when(F.col(_TIMES) > 1, REPEATED_ID)
        .when(F.col(_ROWS).isNull(), UNKNOWN_ID)
        .when(F.col(_ROWS) > 1, REPEATED_ID)
        .when(F.col(WANTED) == KEPT, F.when(stands, KEPT).otherwise(CONFLICT))
        .when(is_done, F.when(F.col(_IS_APPLIED), F.col(WANTED)).otherwise(ALREADY_DONE))
        .when(can_be, F.col(WANTED))
        .otherwise(CONFLICT)
    )
    return joined.select(
        *keys,
        WANTED,
        GIVEN,
        TARGET,
        VERDICT,
        outcome.alias(OUTCOME),
        F.when(F.col(_ROWS) == 1, F.col(NOW)).alias(NOW),
    )


def _check_changes(changes: DataFrame) -> None:
    """Check that each verdict and label means something.

    Raises:
        InputError: one does not.
    """
    unknown = F.col(WANTED).isNull()
    no_class = (F.col("_given_text").isNotNull() & F.col(GIVEN).isNull()) | (
        F.col("_target_text").isNotNull() & F.col(TARGET).isNull()
    )
    lacks = F.col(GIVEN).isNull() | ((F.col(WANTED) == CORRECTED) & F.col(TARGET).isNull())
    found = changes.agg(
        F.count(F.when(unknown, 1)).alias("unknown"),
        F.min(F.when(unknown, F.coalesce(VERDICT, F.lit("null")))).alias("verdict"),
        F.count(F.when(no_class, 1)).alias("no_class"),
        F.min(
            F.when(F.col("_given_text").isNotNull() & F.col(GIVEN).isNull(), F.col("_given_text")).when(
                no_class, F.col("_target_text")
            )
        ).alias("label"),
        F.count(F.when(lacks & ~no_class & ~unknown, 1)).alias("lacks"),
    ).collect()[0]
    if found.unknown:
        raise InputError(
            f"verdicts: {found.unknown:,} rows have an unknown verdict, such as {found.verdict!r}; verdicts "
            f"are {', '.join(map(repr, _OF_VERDICT))}"
        )
    if found.no_class:
        raise InputError(
            f"verdicts: {found.no_class:,} rows have a label that is no class of the labels, such as "
            f"{found.label!r}: see whether class_names holds all names in the order of the indices"
        )
    if found.lacks:
        raise InputError(
            f"verdicts: {found.lacks:,} rows have no given label, or none to put in its place: leave them out"
        )


def convert_class(
    column: Column, name: str, kind: DataType, label_type: DataType, class_names: Sequence[str] | None
) -> Column:
    """Convert a label of a verdict to the type of the labels; null where it is no class there.

    Raises:
        ConfigurationError: one is a name and the other an index, and there are no class_names.
        ColumnTypeError: the types do not compare.
    """
    if kind == label_type:
        return column
    are_names = isinstance(kind, StringType)
    if are_names != isinstance(label_type, StringType):
        if class_names is None:
            this, that = ("names", "indices") if are_names else ("indices", "names")
            raise ConfigurationError(
                f"label_col: {name} of verdicts is {kind.simpleString()} (class {this}), and the labels are "
                f"{label_type.simpleString()} (class {that}): pass class_names, in the order of the indices"
            )
        if not are_names:
            return find_name(_whole(column, name, kind, label_type), class_names)
        column = find_index(column, class_names)
    elif not are_names:
        column = _whole(column, name, kind, label_type)
    if isinstance(label_type, BooleanType):
        is_true = F.when(column.isin(0, 1), column == 1)
        return ~is_true if says_true_first(label_type, class_names or ()) else is_true
    greatest = _find_greatest(label_type)
    if greatest is not None:
        return F.when(column.between(-greatest, greatest), column.cast(label_type))
    raise _refuse(name, kind, label_type)


def _find_greatest(kind: DataType) -> int | None:
    """Find the greatest whole number that a type of labels surely holds; None where it holds none."""
    if isinstance(kind, DecimalType):
        return int(min(10 ** (kind.precision - kind.scale), 2**63) - 1)
    bits = {ByteType: 7, ShortType: 15, IntegerType: 31, LongType: 63, FloatType: 24, DoubleType: 53}
    found = next((number for type_, number in bits.items() if isinstance(kind, type_)), None)
    return None if found is None else 2**found - 1


def _whole(column: Column, name: str, kind: DataType, label_type: DataType) -> Column:
    """Select a class index as long.

    Raises:
        ColumnTypeError: it is none.
    """
    if not isinstance(kind, IntegralType):
        raise _refuse(name, kind, label_type)
    return column.cast("long")


def _refuse(name: str, kind: DataType, label_type: DataType) -> ColumnTypeError:
    return ColumnTypeError(
        f"label_col: {name} of verdicts is {kind.simpleString()}, and the labels are "
        f"{label_type.simpleString()}, which do not compare: cast one of them"
    )
