"""A table of labels with the columns that corrections add to it."""

from datetime import datetime

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import DataType, StringType, StructType, TimestampType

from cl_spark.errors import ConfigurationError
from cl_spark.methods.review.label_changes import (
    CONFLICT,
    CORRECTED,
    CORRECTION,
    KEPT,
    OUTCOME,
    PRUNED,
    TARGET,
)
from cl_spark.tables.columns import quoted
from cl_spark.tables.example_ids import ExampleIds

PREVIOUS_LABEL = "previous_label"
CORRECTED_BY = "corrected_by"
CORRECTED_AT = "corrected_at"
CORRECTION_RUN = "correction_run"
OWN_COLUMNS = (PREVIOUS_LABEL, CORRECTION, CORRECTED_BY, CORRECTED_AT, CORRECTION_RUN)
"""Columns that corrections add."""

NOT_PRUNED = f"coalesce({CORRECTION}, '{KEPT}') <> '{PRUNED}'"
"""SQL condition that readers of corrected labels need: pruned examples stay in the table."""


def has_own_columns(schema: StructType, label_type: DataType) -> bool:
    """Tell whether a table has the columns of an earlier correction.

    Args:
        schema: the columns of the table.
        label_type: type of its labels.

    Raises:
        ConfigurationError: it has some of them only, or of other types: they mean something else.
    """
    wanted = {name: StringType() for name in OWN_COLUMNS} | {
        PREVIOUS_LABEL: label_type,
        CORRECTED_AT: TimestampType(),
    }
    there = {field.name.casefold(): field.dataType for field in schema.fields}
    found = [name for name in OWN_COLUMNS if name in there]
    if not found:
        return False
    other = [name for name in OWN_COLUMNS if there.get(name) != wanted[name]]
    if other:
        seen = ", ".join(f"{name} ({there[name].simpleString()})" for name in found)
        raise ConfigurationError(
            f"labels: corrections add the columns {', '.join(OWN_COLUMNS)}, and the table has {seen} "
            "already, which no correction has written: rename these columns"
        )
    return True


def own_columns(
    run_id: str, corrected_by: str | None, moment: datetime, is_changed: Column | None = None
) -> dict[str, Column]:
    """Select who corrected a label, when, and in which run.

    Args:
        run_id: the run.
        corrected_by: who; None: the user of the session.
        moment: when, with its offset from UTC.
        is_changed: condition that a row is changed; default all are. Other rows keep the columns they have.
    """
    by = F.expr("current_user()") if corrected_by is None else F.lit(corrected_by)
    columns = {
        CORRECTED_BY: by.cast("string"),
        CORRECTED_AT: F.lit(moment.isoformat()).cast("timestamp"),
        CORRECTION_RUN: F.lit(run_id),
    }
    if is_changed is None:
        return columns
    return {name: F.when(is_changed, column).otherwise(F.col(name)) for name, column in columns.items()}


def correct_labels(
    labels: DataFrame,
    touched: DataFrame,
    ids: ExampleIds,
    label: str,
    run_id: str,
    corrected_by: str | None,
    moment: datetime,
) -> DataFrame:
    """Return all rows of a table of labels, corrected, with the columns of corrections at the end.

    Args:
        labels: the table.
        touched: the rows that verdicts are about, as `LabelForm.find_touched` returns them.
        ids: the id columns.
        label: column of the label.
        run_id: the run.
        corrected_by: who corrects; None: the user of the session.
        moment: when.

    Raises:
        ConfigurationError: the table has columns of these names that mean something else.
    """
    kind, keys = labels.schema[label].dataType, ids.names
    if not has_own_columns(labels.schema, kind):
        kinds = {PREVIOUS_LABEL: kind, CORRECTED_AT: TimestampType()}
        nothing = {name: F.lit(None).cast(kinds.get(name, StringType())) for name in OWN_COLUMNS}
        labels = labels.withColumns(nothing)
    touched = touched.select(*keys, OUTCOME, TARGET)
    joined = labels.select("*", *ids.select(labels)).join(touched, keys, "left")
    outcome, now = F.col(OUTCOME), F.col(quoted(label))
    is_changed = F.coalesce(outcome.isin(CORRECTED, PRUNED), F.lit(False))
    was_changed = F.col(CORRECTION_RUN).isNotNull()  # by an earlier run, which stays on record
    values = {
        PREVIOUS_LABEL: F.when(is_changed, now).otherwise(F.coalesce(PREVIOUS_LABEL, now)),
        CORRECTION: F.when(is_changed, outcome)
        .when(was_changed, F.col(CORRECTION))
        .when(outcome.isNotNull(), CONFLICT)
        .otherwise(KEPT),
        **own_columns(run_id, corrected_by, moment, is_changed),
    }
    others = [name for name in labels.columns if name.casefold() not in OWN_COLUMNS]
    corrected = F.when(is_changed, F.coalesce(F.col(TARGET), now)).otherwise(now)
    return joined.select(
        *[corrected.alias(name) if name == label else F.col(quoted(name)) for name in others],
        *[values[name].alias(name) for name in OWN_COLUMNS],
    )
