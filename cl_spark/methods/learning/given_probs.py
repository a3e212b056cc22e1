"""Out-of-sample probabilities that the user brings, in place of a cross-validation."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import DataType

from cl_spark.errors import InputError, MissingColumnError
from cl_spark.evidence.prob_columns import find_prob_format, is_sparse, select_probs
from cl_spark.evidence.prob_formats import ProbFormat
from cl_spark.evidence.workers import map_in_arrow
from cl_spark.kernels import CACHED_VALUES
from cl_spark.methods.classification.label_audit import LabelAudit
from cl_spark.methods.learning.training_data import TrainingData
from cl_spark.tables import columns as c
from cl_spark.tables.columns import quoted

PRED_PROBS = "pred_probs"


def audit_given(data: TrainingData, pred_probs: DataFrame) -> tuple[DataFrame, LabelAudit]:
    """Audit the labels of training data with given probabilities.

    Args:
        data: the training data.
        pred_probs: its id columns, and pred_probs, of every example, in any form that `LabelAudit` takes as
            one column.

    Returns:
        The id columns, label and pred_probs (array<double>) of the examples; and the audit.

    Raises:
        ConfigurationError: pred_probs are by name or sparse, and nothing names all classes; or they do not
        fit the names.
        MissingColumnError: a column is missing.
        ColumnTypeError: pred_probs can be no probabilities by their type, or the ids are of another type than
        in the data.
        InputError: an example has no usable prediction, or there are probabilities of another number of
        classes.
    """
    types = {field.name: field.dataType for field in pred_probs.schema.fields}
    missing = [col for col in (*data.id_columns, PRED_PROBS) if col not in types]
    if missing:
        raise MissingColumnError(
            f"pred_probs: no column {missing[0]!r}; there are {', '.join(map(repr, types))}"
        )
    label = data.show_label(F.col(c.LABEL)).alias("label")
    labels = data.select_keys().select(*data.restore_ids(), label)
    given = pred_probs.select(*map(quoted, data.id_columns), PRED_PROBS)
    # the column as it is: only its type tells the audit what a row may hold, such as one number in 0..1
    audit = LabelAudit(given, id_col=data.id_columns, class_names=data.names, labels=labels)
    examples = data.profile.num_examples
    if audit.num_examples != examples:
        raise InputError(
            f"pred_probs: {examples - audit.num_examples:,} of {examples:,} examples have no prediction "
            "that can be used: predict them all, or leave pred_probs out"
        )
    if audit.num_classes != data.num_classes:
        raise InputError(
            f"pred_probs: there are probabilities of {audit.num_classes:,} classes, and labels of "
            f"{data.num_classes:,}: pass class_names, which tell all classes"
        )
    ids = [
        F.col(quoted(col)).cast(kind).alias(col)
        for col, kind in zip(data.id_columns, data.id_types.values(), strict=True)
    ]
    kind = types[PRED_PROBS]
    probs = select_probs(PRED_PROBS, kind, data.names or ())
    joined = given.select(*ids, probs.alias(PRED_PROBS)).join(labels, data.id_columns)
    return _to_dense(joined, kind, data.num_classes), audit


def _to_dense(rows: DataFrame, kind: DataType, num_classes: int) -> DataFrame:
    """Turn the probabilities of accepted rows into array<double> of K values; 0 for classes left out.

    Args:
        rows: with pred_probs as `select_probs` selects them.
        kind: the type that they had before.
        num_classes: K.
    """
    if not is_sparse(kind):
        return rows.withColumn(PRED_PROBS, F.col(PRED_PROBS).cast("array<double>"))
    others = {quoted(name): of_other for name, of_other in rows.dtypes if name != PRED_PROBS}
    schema = ", ".join(f"{name} {of_other}" for name, of_other in others.items())
    function = _DenseProbs(find_prob_format(kind, num_classes, 0.0), num_classes)
    return map_in_arrow(rows.select(*others, PRED_PROBS), function, f"{schema}, {PRED_PROBS} array<double>")


@dataclass(frozen=True)
class _DenseProbs:
    """Function of record batches whose last column is sparse probabilities: these as arrays of K doubles.

    Attributes:
        prob_format: format of the column.
        num_classes: K.
    """

    prob_format: ProbFormat
    num_classes: int

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Convert the rows of a Spark task; an array may be far longer than its list, so few at a time."""
        step = max(CACHED_VALUES // self.num_classes, 1)
        for batch in batches:
            for start in range(0, batch.num_rows, step):
                yield self._convert(batch.slice(start, step))

    def _convert(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        *others, column = batch.columns
        probs = self.prob_format.to_matrix(column, self.num_classes).astype(np.float64)
        offsets = pa.array(np.arange(len(probs) + 1, dtype=np.int32) * self.num_classes)
        lists = pa.ListArray.from_arrays(offsets, pa.array(probs.ravel()))
        return pa.RecordBatch.from_arrays([*others, lists], names=batch.schema.names)
