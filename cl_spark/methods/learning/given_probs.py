"""Out-of-sample probabilities that the user brings, in place of a cross-validation."""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from cl_spark.errors import InputError, MissingColumnError
from cl_spark.evidence.prob_columns import is_prob_column, select_probs
from cl_spark.methods.classification.label_audit import LabelAudit
from cl_spark.methods.learning.training_data import TrainingData
from cl_spark.tables import columns as c
from cl_spark.tables.columns import quoted

PRED_PROBS = "pred_probs"


def audit_given(data: TrainingData, pred_probs: DataFrame) -> tuple[DataFrame, LabelAudit]:
    """Audit the labels of training data with given probabilities.

    Args:
        data: the training data.
        pred_probs: its id columns, and pred_probs, of every example.

    Returns:
        The id columns, label and pred_probs (array<double>) of the examples; and the audit.

    Raises:
        MissingColumnError: a column is missing.
        ColumnTypeError: the ids are of another type than in the data.
        InputError: an example has no usable prediction, or there are probabilities of another number of
        classes.
    """
    types = {field.name: field.dataType for field in pred_probs.schema.fields}
    missing = [col for col in (*data.id_columns, PRED_PROBS) if col not in types]
    if missing:
        raise MissingColumnError(
            f"pred_probs: no column {missing[0]!r}; there are {', '.join(map(repr, types))}"
        )
    kind = types[PRED_PROBS]
    probs = select_probs(PRED_PROBS, kind, data.names or ()) if is_prob_column(kind) else F.col(PRED_PROBS)
    label = data.show_label(F.col(c.LABEL)).alias("label")
    labels = data.select_keys().select(*data.restore_ids(), label)
    given = pred_probs.select(*map(quoted, data.id_columns), probs.alias(PRED_PROBS))
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
    joined = given.select(*ids, F.col(PRED_PROBS).cast("array<double>").alias(PRED_PROBS)).join(
        labels, data.id_columns
    )
    return joined, audit
