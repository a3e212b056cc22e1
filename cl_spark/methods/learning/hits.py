"""Hits: predictions that have a label among their top classes, counted in one scan of the predictions."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

import pandas as pd
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from cl_spark.errors import EmptyTableError, SingleClassError
from cl_spark.evidence.validity import RejectionReason
from cl_spark.methods.learning.model_predictions import FAULT, MODEL, ModelPredictions
from cl_spark.methods.learning.reviewed_labels import CORRECTED, GIVEN, HASH, ReviewedLabels, sum_hash_halves
from cl_spark.tables import columns as c

NUM_BUCKETS = 1000
"""Ranges of equal width that the hashes of unchanged examples are counted by."""

MAX_ROUNDS = 10
"""Top classes up to which they are found by taking out the maximum again and again, which of 1,000 classes
takes a tenth of the time of sorting. Beyond, plans would become long."""

KIND, VALUE = "kind", "value"
"""Columns of `HitCounts.frame`: what is counted, and the class, bucket or fault."""

_TOP, _CELL, _POSITION, _MATCHED = "_top", "_cell", "_position", "matched"


class Kind(IntEnum):
    """Kind of a count. A prediction counts once by a kind of `ONCE`, and may count by another kind too."""

    FAULT = 0
    """Predictions that cannot be used, by fault; a prediction without a label is one."""
    BUCKET = 1
    """Unchanged examples (the corrected label is the given one) by bucket of the hash."""
    UNCHANGED = 2
    """Unchanged examples by class."""
    GIVEN = 3
    """Examples whose label was corrected by given class: hits of the given label."""
    CORRECTED = 4
    """Examples whose label was corrected by corrected class: hits of the corrected label."""
    NO_RIGHT_LABEL = 5
    """Examples without a right label by given class."""


ONCE = (Kind.FAULT, Kind.BUCKET, Kind.GIVEN, Kind.NO_RIGHT_LABEL)
"""Kinds of which each prediction counts by exactly one."""


@dataclass(frozen=True)
class HitCounts:
    """Examples and hits of each model.

    Attributes:
        frame: model, kind (`Kind`), value, examples, and a column `hits_<k>` for each k: the number of
            examples whose label is among the k classes of highest probability. There is always one for k = 1.
        models: names of the models, ascending.
        top_k: each k, ascending.
        num_classes: K.
    """

    frame: pd.DataFrame
    models: list[str]
    top_k: tuple[int, ...]
    num_classes: int


def name_hits(k: int) -> str:
    """Name the column of hits among the top k classes."""
    return f"hits_{k}"


def count_hits(
    predictions: ModelPredictions, labels: ReviewedLabels, top_k: Sequence[int], num_classes: int | None
) -> HitCounts:
    """Count the hits of all models, and check the predictions, in one scan.

    Each prediction is reduced to its top classes before labels are joined to it. So Spark never shuffles
    arrays of probabilities, whether it broadcasts the labels or not.

    That every model has one prediction of each example is seen without a shuffle of them either: each model
    has as many rows with a label as there are examples, and the 64-bit hashes of their ids have the same sum.
    Where one example is missing and another is there twice, the sums differ, but for a chance of about 1 in
    2⁶⁴.

    Args:
        predictions: the predictions.
        labels: labels of the examples.
        top_k: each k, ascending.
        num_classes: K; None: the length that most arrays have (the greater one on a tie).

    Raises:
        InputError: some predictions cannot be used, have no label, are missing, or are there twice.
        EmptyTableError: there are no predictions.
        SingleClassError: there is one class only.
    """
    counts = count_by_kind(predictions, labels, sorted({1, *top_k})).toPandas()
    once = counts[counts[KIND].isin(ONCE)]
    if once.empty:
        raise EmptyTableError("predictions has no rows: there is no model to compare")
    usable = once[once[KIND] != Kind.FAULT]
    if num_classes is None:
        lengths = usable.groupby(c.NUM_PROBS)[c.EXAMPLES].sum()
        num_classes = int(lengths[lengths == lengths.max()].index.max()) if len(lengths) else 0
    rows_are_faulty = len(usable) < len(once) or bool((usable[c.NUM_PROBS] != num_classes).any())
    uneven = _find_uneven_models(once, predictions, labels)
    if rows_are_faulty or uneven:
        raise predictions.explain_faults(labels, num_classes, uneven, rows_are_faulty=rows_are_faulty)
    if num_classes < 2:
        raise SingleClassError(f"pred_probs hold {num_classes} class per row; a comparison needs at least 2")
    labels.check_classes(num_classes)
    frame = counts.rename(columns={MODEL: "model"}).drop(columns=[c.NUM_PROBS, _MATCHED, "upper", "lower"])
    return HitCounts(frame, sorted(frame["model"].unique()), tuple(top_k), num_classes)


def _find_uneven_models(
    once: pd.DataFrame, predictions: ModelPredictions, labels: ReviewedLabels
) -> list[str]:
    """Find the models that lack an example, or have several rows of one."""
    sums = once.groupby(MODEL)[[_MATCHED, "upper", "lower"]].sum()  # passes over rows without a model
    wanted = (labels.num_examples, *labels.hash_sums)
    uneven = {str(row.Index) for row in sums.itertuples() if tuple(row)[1:] != wanted}
    return sorted(uneven | {*predictions.models} - {*sums.index})


def count_by_kind(predictions: ModelPredictions, labels: ReviewedLabels, top_k: Sequence[int]) -> DataFrame:
    """Count examples and hits by model, kind, value and length of the array; and rows with a label, and their
    hashes.
    """
    reduced = add_top_classes(predictions.rows, max(top_k)).drop(c.PROBS)
    rows = reduced.join(labels.rows, labels.ids.names, "left")
    given, corrected = F.col(GIVEN), F.col(CORRECTED)
    bucket = F.shiftright(F.shiftrightunsigned(HASH, 32) * NUM_BUCKETS, 32)
    no_label = F.when(F.col(FAULT) > 0, F.col(FAULT)).otherwise(int(RejectionReason.NO_LABEL))
    cells = (
        F.when((F.col(FAULT) > 0) | given.isNull(), F.array(_cell(Kind.FAULT, no_label)))
        .when(corrected.isNull(), F.array(_cell(Kind.NO_RIGHT_LABEL, given, GIVEN)))
        .when(
            given == corrected,
            F.array(_cell(Kind.BUCKET, bucket, GIVEN), _cell(Kind.UNCHANGED, given, GIVEN)),
        )
        .otherwise(F.array(_cell(Kind.GIVEN, given, GIVEN), _cell(Kind.CORRECTED, corrected, CORRECTED)))
    )
    exploded = rows.select(MODEL, c.NUM_PROBS, HASH, F.explode(cells).alias(_CELL))
    position = F.col(f"{_CELL}.{_POSITION}")
    return exploded.groupBy(
        MODEL, F.col(f"{_CELL}.{KIND}").alias(KIND), F.col(f"{_CELL}.{VALUE}").alias(VALUE), c.NUM_PROBS
    ).agg(
        F.count(F.lit(1)).alias(c.EXAMPLES),
        F.count(HASH).alias(_MATCHED),
        *sum_hash_halves(HASH),
        *[F.count(F.when(position.between(1, k), 1)).alias(name_hits(k)) for k in top_k],
    )


def _cell(kind: Kind, value: Column, label: str | None = None) -> Column:
    """Count a prediction by a kind and a value, with the position of a label among its top classes, from 1.

    The position is 0 for labels that are not among them, and null without a label.
    """
    # Spark 3.5 has this function of two columns in SQL only
    position = F.lit(None).cast("long") if label is None else F.expr(f"array_position({_TOP}, {label})")
    return F.struct(F.lit(int(kind)).alias(KIND), value.cast("int").alias(VALUE), position.alias(_POSITION))


def add_top_classes(rows: DataFrame, num_top: int) -> DataFrame:
    """Add the column `_top`: the classes of the highest probabilities, in their order; ties to the lower
    index.

    Args:
        rows: `c.PROBS` (arrays), and any other columns.
        num_top: how many classes; all, where there are fewer.
    """
    probs = c.PROBS
    if num_top > MAX_ROUNDS:
        order = f"array_sort(transform({probs}, (prob, i) -> struct(-prob AS prob, i AS i)))"
        return rows.select(
            "*", F.expr(f"transform(slice({order}, 1, {num_top}), entry -> entry.i)").alias(_TOP)
        )
    steps = rows.select("*", F.col(probs).alias("_rest_0"))
    levels = []
    for i in range(num_top):
        rest, highest, next_rest = f"_rest_{i}", f"_max_{i}", f"_rest_{i + 1}"
        # each step is a projection of its own: what is used twice is computed once in the projection below
        steps = steps.select("*", F.array_max(rest).alias(highest))
        remaining = F.expr(f"coalesce(array_remove({rest}, {highest}), {rest})")
        steps = steps.select("*", remaining.alias(next_rest))
        single = F.array(F.expr(f"int(array_position({probs}, {highest}))") - 1)
        tied = F.expr(f"filter(sequence(0, size({probs}) - 1), i -> {probs}[i] = {highest})")
        levels.append(
            F.when(F.col(highest).isNull(), F.array().cast("array<int>"))
            .when(F.size(rest) - F.size(next_rest) == 1, single)
            .otherwise(tied)
        )
    return steps.select(*rows.columns, F.slice(F.concat(*levels), 1, num_top).alias(_TOP))
