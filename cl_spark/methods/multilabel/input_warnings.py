"""Sets of labels that seem to mean something else than class indices (specification, section 14)."""

from collections.abc import Mapping

from pyspark.sql import functions as F

from cl_spark.errors import ConfigurationError, one_line
from cl_spark.methods.multilabel.membership_reader import LabelForm
from cl_spark.methods.multilabel.predictions import MultilabelPredictions
from cl_spark.tables import columns as c
from cl_spark.tables.schema import RunWarning

SHOWN_FLAGS = 10
"""Elements of a set that a message shows."""


def refuse_flags(
    predictions: MultilabelPredictions, num_classes: int, num_examples: int, num_flags: int
) -> None:
    """Refuse sets that hold a flag for each class, 0 or 1, where class indices are asked for.

    Read as class indices, they would name the classes 0 and 1 alone. Reads a row of the input to show it.

    Args:
        predictions: the input.
        num_classes: K.
        num_examples: accepted rows.
        num_flags: those of them whose labels have `LabelForm.FLAGS`.

    Raises:
        ConfigurationError: more than half of the sets look so.
    """
    if 2 * num_flags <= num_examples:
        return
    column, label = str(predictions.labels_col), F.col(c.LABEL)
    is_flags = (F.size(label) == num_classes) & F.forall(label, lambda value: value.isin(0, 1))
    row = predictions.select_rows().where(is_flags).select(label).first()
    values = ", ".join(map(str, row[0][:SHOWN_FLAGS])) if row is not None else "0, 1"
    more = ", ..." if num_classes > SHOWN_FLAGS else ""
    quoted = one_line(c.quoted(column))
    raise ConfigurationError(
        f"labels_col: {num_flags:,} of {num_examples:,} sets in column {one_line(column)!r} hold "
        f"{num_classes} numbers that are 0 or 1, such as [{values}{more}]: a flag for each class, it seems, "
        "which would be read as the class indices 0 and 1. Make class indices of them, by "
        f"filter(sequence(0, size({quoted}) - 1), k -> {quoted}[k] = 1), or K boolean columns. If they are "
        "class indices, name each class once: array_distinct"
    )


def find_input_warnings(
    predictions: MultilabelPredictions, num_classes: int, forms: Mapping[int, int]
) -> list[RunWarning]:
    """Find what is doubtful about the sets of labels of an audit.

    Args:
        predictions: the input.
        num_classes: K.
        forms: rows by their `LabelForm`, rejected ones too.
    """
    warning = warn_of_one_based_labels(predictions, num_classes, forms)
    return [] if warning is None else [warning]


def warn_of_one_based_labels(
    predictions: MultilabelPredictions, num_classes: int, forms: Mapping[int, int]
) -> RunWarning | None:
    """Warn of class indices that seem to count from 1: none is 0, some are K, and none is beyond K."""
    has_first = forms.get(LabelForm.HAS_FIRST, 0) + forms.get(LabelForm.FLAGS, 0)
    rejected = forms.get(LabelForm.HAS_NEXT, 0)
    if has_first or not rejected or forms.get(LabelForm.BEYOND, 0):
        return None
    return RunWarning(
        "labels_one_based",
        f"labels look 1-based: no set has class 0, {rejected:,} rows with label {num_classes} are rejected, "
        "and no label is beyond it. Indices count from 0: subtract 1 from the elements of column "
        f"{one_line(predictions.labels_col)!r}",
    )
