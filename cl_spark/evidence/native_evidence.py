"""Evidence by Spark's own expressions: of rows that these can tell all about, the array stays in Spark.

Handing an array to Python costs as much as reading it. An audit needs but a few numbers of most rows.
"""

from collections.abc import Sequence

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from cl_spark.kernels.row_evidence import SHORT_ARRAY, ListingPolicy
from cl_spark.tables import columns as c

WANTED = "_wanted"
"""Column of the classes that are wanted of a row."""

_MIN, _NO_NULL, _OTHERS, _IS_TOLD = "_min", "_no_null", "_others", "_is_told"


def replace_clear_arrays(
    rows: DataFrame, element: str, predicted_label: Column, policy: ListingPolicy
) -> DataFrame:
    """Replace the arrays of clear rows by numbers.

    A row is clear if its array is long and holds probabilities, if its label is the one class of the highest,
    and if the evidence would list none of its classes. So the array would tell no more; the bound on its
    classes is its second highest probability, which is tighter than what the evidence has of other rows.

    Args:
        rows: `c.LABEL` and `c.PROBS` (dense arrays), and any other columns.
        element: type of the probabilities, "float" or "double".
        predicted_label: `c.PREDICTED` as `c.LABEL` has classes: an index, or a name.
        policy: what the evidence lists.

    Returns:
        The rows with `c.PROBS` null where the row is clear. There, and only there, the columns `c.NUM_PROBS`,
        `c.PREDICTED`, `c.EVIDENCE_SELF_CONFIDENCE`, `c.MAX_PROB` and `c.SECOND_MAX_PROB` are not null.
    """
    max_prob = F.col(c.MAX_PROB)
    numbers = _add_numbers(rows, element, F.size(c.PROBS) > SHORT_ARRAY, predicted_label == F.col(c.LABEL))
    floor = F.least(_number(policy.min_listed_prob, element), max_prob * _number(0.5, element))
    told = numbers.select("*", (F.col(c.SECOND_MAX_PROB) < floor).alias(_IS_TOLD))
    return _replace_arrays(told, rows.columns, {c.EVIDENCE_SELF_CONFIDENCE: max_prob})


def replace_wanted_arrays(rows: DataFrame, element: str, num_classes: int) -> DataFrame:
    """Replace arrays by the probabilities of the classes in `WANTED`, where an array holds K probabilities.

    Args:
        rows: `c.GIVEN`, `WANTED` and `c.PROBS` (dense arrays), and any other columns.
        element: type of the probabilities, "float" or "double".
        num_classes: K.

    Returns:
        The rows like those of `replace_clear_arrays`, with `c.LISTED_PROBS` beside `WANTED`.
    """
    probs = F.col(c.PROBS)
    numbers = _add_numbers(rows, element, F.size(probs) == num_classes, F.lit(True))
    is_told = F.col(c.SECOND_MAX_PROB).isNotNull()
    # not in the projection that replaces the arrays: within a function, Spark takes the column's new value
    listed = F.when(is_told, F.transform(WANTED, lambda wanted: F.get(probs, wanted)))
    told = numbers.select("*", is_told.alias(_IS_TOLD), listed.alias(c.LISTED_PROBS))
    more = {c.EVIDENCE_SELF_CONFIDENCE: F.get(probs, F.col(c.GIVEN)), c.LISTED_PROBS: F.col(c.LISTED_PROBS)}
    return _replace_arrays(told, rows.columns, more)


def _add_numbers(rows: DataFrame, element: str, is_candidate: Column, is_wanted: Column) -> DataFrame:
    """Add the highest and second highest probability and the predicted class, where all values lie in [0, 1].

    They are null where an array is no candidate or holds a null, NaN or another number, for a comparison with
    null is no yes. The second is null too where the row is not wanted. Each step is a projection of its own:
    what is used twice is computed once in the projection below. Spark 3.5 has some functions of two columns
    in SQL only.
    """
    probs, max_prob = F.col(c.PROBS), F.col(c.MAX_PROB)
    highest = rows.select(
        "*",
        F.when(is_candidate, F.array_max(probs)).alias(c.MAX_PROB),  # NaN if any value is
        F.when(is_candidate, F.array_min(probs)).alias(_MIN),
        F.when(is_candidate, ~F.array_contains(probs, _number(-1.0, element))).alias(_NO_NULL),  # else null
    )
    in_range = F.col(_NO_NULL) & (F.col(_MIN) >= 0) & (max_prob <= 1)
    predicted = F.when(in_range, F.expr(f"int(array_position({c.PROBS}, {c.MAX_PROB}))") - 1)
    predicted_rows = highest.select("*", predicted.alias(c.PREDICTED))
    others = F.when(
        is_wanted & F.col(c.PREDICTED).isNotNull(), F.expr(f"array_remove({c.PROBS}, {c.MAX_PROB})")
    )
    other_rows = predicted_rows.select("*", others.alias(_OTHERS))
    # of a tie, both are removed
    is_single = F.size(_OTHERS) == F.size(probs) - 1
    second = F.when(is_single, F.array_max(_OTHERS)).when(F.col(_OTHERS).isNotNull(), max_prob)
    return other_rows.select("*", second.alias(c.SECOND_MAX_PROB))


def _replace_arrays(told: DataFrame, columns: Sequence[str], more: dict[str, Column]) -> DataFrame:
    """Select some columns, and the numbers of the rows that are told instead of their arrays."""
    is_told = F.coalesce(F.col(_IS_TOLD), F.lit(False))
    values = {name: F.col(name) for name in (c.PREDICTED, c.MAX_PROB, c.SECOND_MAX_PROB)} | more
    values[c.NUM_PROBS] = F.size(c.PROBS)
    return told.select(
        *[F.col(name) for name in columns if name != c.PROBS],
        F.when(~is_told, F.col(c.PROBS)).alias(c.PROBS),
        *[F.when(is_told, value).alias(name) for name, value in values.items()],
    )


def _number(value: float, element: str) -> Column:
    return F.lit(value).cast(element)
