"""Given and corrected labels of the examples of a test set, side by side as class indices."""

from collections.abc import Sequence
from dataclasses import dataclass

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import BooleanType, NumericType, StringType

from cl_spark.errors import ColumnTypeError, ConfigurationError, EmptyTableError, InputError
from cl_spark.evidence.class_columns import find_index, select_index
from cl_spark.evidence.validity import RejectionReason, explain_rejection
from cl_spark.methods.learning.hash_cuts import hash_of
from cl_spark.tables.columns import quoted
from cl_spark.tables.example_ids import ExampleIds, check_columns, find_types, show_id
from cl_spark.tables.ids import lacks_id

GIVEN, CORRECTED, HASH = "_given", "_corrected", "_hash"
"""Columns of `ReviewedLabels.rows` beside the ids."""

_ORDER = 0x62656E63686D61
"""Salt of the hash, so that its order tells nothing of other orders with the same seed, such as that of
folds."""

_NO_CLASS, _MISSING = -1, -2
"""Codes of a label that names no class, and of one that is null or NaN."""

_LABELS, _CORRECTIONS, _FAULT, _CORRECTION_FAULT = "_labels", "_corrections", "_fault", "_correction_fault"

_NO_EXAMPLE = "corrected label of an example that labels does not hold"

MAX_CLASS = 2**31 - 2
"""Greatest index that a class can have."""


@dataclass(frozen=True)
class ReviewedLabels:
    """The given and the corrected label of each example of a test set.

    Attributes:
        rows: a row per example: ids, `_given` and `_corrected` (class indices; the corrected one is null
            where no label is right), and `_hash` (64 bits, of the id and the seed).
        ids: the id columns.
        num_examples: rows of `rows`.
        num_reviewed: examples that have a row in the table of corrected labels.
        num_corrected: examples whose corrected label differs from the given one.
        num_without_right_label: examples whose corrected label is null.
        hash_sums: sums of the upper and of the lower 32 bits of all hashes.
        max_class: greatest class index of a label.
    """

    rows: DataFrame
    ids: ExampleIds
    num_examples: int
    num_reviewed: int
    num_corrected: int
    num_without_right_label: int
    hash_sums: tuple[int, int]
    max_class: int

    @property
    def noise_prevalence(self) -> float:
        """Share of corrected examples among those that have a right label."""
        return self.num_corrected / (self.num_examples - self.num_without_right_label)

    def check_classes(self, num_classes: int) -> None:
        """Check that all labels are classes, once K is known.

        Raises:
            InputError: a label is K or greater.
        """
        if self.max_class < num_classes:
            return
        outside = self.rows.where(F.greatest(GIVEN, CORRECTED) >= num_classes)  # passes over nulls
        found = outside.agg(
            F.count(F.lit(1)).alias("rows"), F.min(F.struct(*self.ids.names)).alias("id")
        ).collect()[0]
        raise InputError(
            f"labels: {found.rows:,} examples{show_id(found.id)} have a given or corrected label outside "
            f"0..K-1, up to {self.max_class}; pred_probs hold K = {num_classes} classes. Correct them, or "
            "leave them out"
        )


def read_labels(
    labels: DataFrame,
    corrected_labels: DataFrame,
    ids: ExampleIds,
    label_col: str,
    corrected_col: str,
    class_names: Sequence[str] | None,
    seed: int,
) -> ReviewedLabels:
    """Read both labels of each example, check them, and count them.

    Args:
        labels: ids and given labels of all examples.
        corrected_labels: ids and corrected labels of the reviewed examples, null where no label is right.
        ids: their id columns, which have been checked.
        label_col: column of the given label.
        corrected_col: column of the corrected label.
        class_names: names of the K classes; None where labels are indices.
        seed: of the hash.

    Raises:
        MissingColumnError: a table lacks its column.
        ColumnTypeError: a column cannot hold labels.
        ConfigurationError: labels are names, and there are no class_names.
        InputError: some rows cannot be used: no id, an id of several rows, no class, or no such example.
        EmptyTableError: there is no example, or none with a right label.
    """
    check_columns("labels", labels, {"label_col": [label_col]})
    check_columns("corrected_labels", corrected_labels, {"corrected_col": [corrected_col]})
    given = _select_class("label_col", labels, label_col, class_names)
    corrected = _select_class("corrected_col", corrected_labels, corrected_col, class_names)
    no_class, one, none = F.lit(None).cast("int"), F.lit(1), F.lit(0)
    of_labels = (given.alias(GIVEN), no_class.alias(CORRECTED), one.alias(_LABELS), none.alias(_CORRECTIONS))
    of_corrected = (
        no_class.alias(GIVEN),
        corrected.alias(CORRECTED),
        none.alias(_LABELS),
        one.alias(_CORRECTIONS),
    )
    # United and grouped, not joined: so Spark takes the result for a table of about the size of the labels,
    # and may broadcast it.
    united = labels.select(*ids.select(labels), *of_labels).unionByName(
        corrected_labels.select(*ids.select(corrected_labels), *of_corrected)
    )
    grouped = united.groupBy(*ids.names).agg(
        *[F.max(name).alias(name) for name in (GIVEN, CORRECTED)],
        *[F.sum(name).alias(name) for name in (_LABELS, _CORRECTIONS)],
    )
    are_names = [isinstance(find_types(labels, [label_col])[label_col], StringType)]
    are_names += [isinstance(find_types(corrected_labels, [corrected_col])[corrected_col], StringType)]
    checked = _add_faults(grouped, ids, *are_names)
    is_right = F.col(CORRECTED) != _MISSING
    summary = (
        checked.agg(
            F.sum(F.when(F.col(_FAULT).isNotNull(), F.col(_LABELS))).alias("label_faults"),
            F.sum(F.when(F.col(_CORRECTION_FAULT).isNotNull(), F.col(_CORRECTIONS))).alias(
                "correction_faults"
            ),
            F.count(F.when(F.col(_LABELS) > 0, 1)).alias("examples"),
            F.count(F.when(F.col(_CORRECTIONS) > 0, 1)).alias("reviewed"),
            F.count(F.when(is_right & (F.col(CORRECTED) != F.col(GIVEN)), 1)).alias("corrected"),
            F.count(F.when(~is_right, 1)).alias("without_right_label"),
            F.max(F.greatest(GIVEN, CORRECTED)).alias("max_class"),
            *[F.sum(half).alias(name) for name, half in _halves(hash_of(ids.names, seed, _ORDER)).items()],
        )
    ).collect()[0]
    if summary.label_faults or summary.correction_faults:
        raise _explain_faults(checked, ids)
    if not summary.examples:
        raise EmptyTableError("labels has no rows: there is nothing to compare models on")
    if summary.without_right_label == summary.examples:
        raise EmptyTableError(
            f"corrected_labels: all {summary.examples:,} examples have a null corrected label: no example "
            "with a right label is left to compare models on"
        )
    rows = checked.select(
        *ids.names,
        GIVEN,
        F.when(F.col(_CORRECTIONS) == 0, F.col(GIVEN)).when(is_right, F.col(CORRECTED)).alias(CORRECTED),
        hash_of(ids.names, seed, _ORDER).alias(HASH),
    )
    return ReviewedLabels(
        rows=rows,
        ids=ids,
        num_examples=summary.examples,
        num_reviewed=summary.reviewed,
        num_corrected=summary.corrected,
        num_without_right_label=summary.without_right_label,
        hash_sums=(summary.upper, summary.lower),
        max_class=summary.max_class,
    )


def sum_hash_halves(hash_col: str) -> list[Column]:
    """Sum the upper and the lower 32 bits of hashes apart, as `upper` and `lower`: a sum of whole hashes
    would overflow, those of halves do not up to 2³¹ rows. They are 0 without hashes.
    """
    return [F.coalesce(F.sum(half), F.lit(0)).alias(name) for name, half in _halves(F.col(hash_col)).items()]


def _halves(hash_: Column) -> dict[str, Column]:
    return {"upper": F.shiftrightunsigned(hash_, 32), "lower": hash_.bitwiseAND(F.lit(0xFFFFFFFF))}


def _select_class(argument: str, df: DataFrame, col: str, class_names: Sequence[str] | None) -> Column:
    """Select the class index of a label as int, or a code where it has none.

    Raises:
        ColumnTypeError: the column cannot hold labels.
        ConfigurationError: it holds names, and there are no class_names.
    """
    column, kind = F.col(quoted(col)), find_types(df, [col])[col]
    if isinstance(kind, StringType):
        if class_names is None:
            raise ConfigurationError(
                f"{argument}: column {col!r} holds class names, but nothing says which probability belongs "
                "to which class: pass class_names in the order of the probabilities"
            )
        found = F.coalesce(find_index(column, class_names), F.lit(_NO_CLASS))
        return F.when(column.isNull(), F.lit(_MISSING)).otherwise(found)
    if not isinstance(kind, NumericType | BooleanType):
        raise ColumnTypeError(
            f"{argument}: column {col!r} is {kind.simpleString()}; labels are class indices (numbers or "
            "booleans) or class names (string): cast it"
        )
    index = select_index(column, kind, class_names or ())
    greatest = MAX_CLASS if class_names is None else len(class_names) - 1
    is_class = index.between(0, greatest)
    known = F.when(is_class, index.cast("int")).otherwise(F.lit(_NO_CLASS))
    return F.when(index.isNull(), F.lit(_MISSING)).otherwise(known)


def _add_faults(
    grouped: DataFrame, ids: ExampleIds, labels_are_names: bool, corrected_are_names: bool
) -> DataFrame:
    """Add the reason why the rows of an id cannot be used, in either table; null where they can."""
    unknown, outside = map(
        explain_rejection, (RejectionReason.UNKNOWN_CLASS, RejectionReason.LABEL_OUT_OF_RANGE)
    )
    null_id, repeated = map(explain_rejection, (RejectionReason.NULL_ID, RejectionReason.REPEATED_ID))
    lacks, given, corrected = lacks_id(grouped, ids.names), F.col(GIVEN), F.col(CORRECTED)
    fault = (
        F.when(F.col(_LABELS) == 0, F.lit(None).cast("string"))
        .when(lacks, null_id)
        .when(F.col(_LABELS) > 1, repeated)
        .when(given == _MISSING, explain_rejection(RejectionReason.NULL_LABEL))
        .when(given == _NO_CLASS, unknown if labels_are_names else outside)
    )
    correction_fault = (
        F.when(F.col(_CORRECTIONS) == 0, F.lit(None).cast("string"))
        .when(lacks, null_id)
        .when(F.col(_CORRECTIONS) > 1, repeated)
        .when(corrected == _NO_CLASS, unknown if corrected_are_names else outside)
        .when(F.col(_LABELS) == 0, _NO_EXAMPLE)
    )
    return grouped.select("*", fault.alias(_FAULT), correction_fault.alias(_CORRECTION_FAULT))


def _explain_faults(checked: DataFrame, ids: ExampleIds) -> InputError:
    """Count the rows that cannot be used by table and reason."""
    tables = {"labels": (_FAULT, _LABELS), "corrected_labels": (_CORRECTION_FAULT, _CORRECTIONS)}
    texts = []
    for table, (fault, rows) in tables.items():
        reasons = (
            checked.where(F.col(fault).isNotNull())
            .groupBy(fault)
            .agg(F.sum(rows).alias("rows"), F.min(F.struct(*ids.names)).alias("id"))
            .orderBy(fault)
        )
        texts += [f"{table}, {row[fault]}: {row.rows:,}{show_id(row.id)}" for row in reasons.collect()]
    return InputError(
        f"{'; '.join(texts)}. Correct these rows, or leave them out, before models are compared"
    )
