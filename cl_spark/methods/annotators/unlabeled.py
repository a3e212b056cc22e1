"""Examples that nobody has labelled yet, with predictions: rows as those of votes."""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from cl_spark.errors import ConfigurationError, InputError
from cl_spark.evidence.validity import PROB_FAULTS, explain_rejection
from cl_spark.methods.annotators.columns import ANNOTATORS, FAULT, GOLD, HAS_PREDICTION, LABELS
from cl_spark.methods.annotators.predictions import PREDICTED, ModelProbs
from cl_spark.methods.annotators.votes import Votes


def select_unlabeled(votes: Votes, predictions: ModelProbs) -> DataFrame:
    """Select a table of predictions as rows of votes, without any vote.

    Args:
        votes: says how the probabilities are read and scaled, and which examples are there already.
        predictions: the table.

    Raises:
        ConfigurationError: it is of another number of models or classes.
        InputError: rows cannot be used, share an id, or are of examples that are there already.
    """
    ids = votes.annotations.ids.names
    if predictions.num_models != votes.num_models or predictions.num_classes != votes.num_classes:
        raise ConfigurationError(
            f"unlabeled: it has probabilities of {predictions.num_models} models and "
            f"{predictions.num_classes} classes, and predictions of {votes.num_models} and "
            f"{votes.num_classes}"
        )
    empty = F.array().cast("array<int>")
    joined = predictions.select_rows().select(
        "*",
        empty.alias(ANNOTATORS),
        empty.alias(LABELS),
        F.lit(None).cast("int").alias(GOLD),
        F.lit(True).alias(PREDICTED),
    )
    rows = votes.reduce(joined)
    faults = rows.where(~F.col(HAS_PREDICTION)).groupBy(FAULT).count().orderBy(FAULT).collect()
    texts = [f"{explain_rejection(PROB_FAULTS[row[0]])}: {row[1]:,}" for row in faults]
    lacking = rows.select(*ids).count() - rows.select(*ids).dropna().distinct().count()
    if lacking:
        texts.append(f"rows without an id, or with that of another row: {lacking:,}")
    known = rows.join(votes.rows.select(*ids), ids, "left_semi").count()
    if known:
        texts.append(f"examples that annotations or predictions hold already: {known:,}")
    if texts:
        raise InputError(f"unlabeled: {'; '.join(texts)}. Correct these rows, or leave them out")
    return rows
