"""Stage 3: which rows are label issues. Each filter is a function from rows to the rows it flags (JAIR 2021, section 3.2)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial, reduce

import numpy as np
from numpy.typing import NDArray
from pyspark.sql import Column, DataFrame, Row
from pyspark.sql import functions as F

from cl_spark import columns as c
from cl_spark.cells import CellTable
from cl_spark.cuts import CHOSEN, LAST, QUOTA, chosen, cuts, last, lowest
from cl_spark.errors import ConfigurationError
from cl_spark.kernels import EPS
from cl_spark.kernels.removal import removal_counts
from cl_spark.layouts import Layout
from cl_spark.predictions import is_example, keeps_array, suspect, where_computed

PRUNING = ("prune_by_noise_rate", "prune_by_class", "both")
LOWEST = ("low_self_confidence", "low_normalized_margin")
FILTERS = (*PRUNING, "confident_learning", "predicted_neq_given", *LOWEST, "off_diagonal")
ESTIMATES = ("off_diagonal", "off_diagonal_calibrated", "off_diagonal_fraction", "off_diagonal_custom")

NO_BOUND = 1e300
"""Above every score."""

Rows = Callable[[DataFrame], DataFrame]


@dataclass(frozen=True)
class Bounds:
    """The lowest score that rows of each given class may have for a class they have no entry for; (K,) each.

    Attributes:
        suspect: of the suspects.
        without_array: of the suspects whose arrays are not at hand.
        other: of the other rows.
    """

    suspect: NDArray[np.float64]
    without_array: NDArray[np.float64]
    other: NDArray[np.float64]

    @staticmethod
    def aggregates() -> list[Column]:
        """What to aggregate the examples of each class by."""
        kinds = {"suspect": suspect(), "without_array": suspect() & F.col(c.PROBS).isNull(), "other": ~suspect()}
        return [F.min(F.when(rows, least_score())).alias(f"_{name}") for name, rows in kinds.items()]

    @classmethod
    def of(cls, rows: Sequence[Row], num_classes: int) -> "Bounds":
        """The bounds in the aggregated rows of accepted examples."""
        found = np.full((3, num_classes), NO_BOUND)
        for row in rows:
            values = (row["_suspect"], row["_without_array"], row["_other"])
            found[:, row[c.GIVEN]] = [NO_BOUND if value is None else value for value in values]
        return cls(*found)

    def columns(self) -> dict[str, NDArray[np.float64]]:
        """By the names cells have them."""
        return {f"_{name}": values for name, values in vars(self).items()}


@dataclass(frozen=True)
class FilterOptions:
    """How issues are chosen; checked when made.

    Raises:
        ConfigurationError: an option is out of range, unknown, or does not go with the filter.
    """

    filter_by: str = "prune_by_noise_rate"
    frac_noise: float = 1.0
    num_to_remove_per_class: Sequence[int] | None = None
    min_examples_per_class: int = 1
    num_issues: int | str | None = None

    def __post_init__(self) -> None:
        if self.filter_by not in FILTERS:
            raise ConfigurationError(f"filter_by={self.filter_by!r} is not a filter; choose one of {', '.join(FILTERS)}")
        if not 0 <= self.frac_noise <= 1:
            raise ConfigurationError(f"frac_noise={self.frac_noise!r} must lie in [0, 1]")
        if self.min_examples_per_class < 0:
            raise ConfigurationError(f"min_examples_per_class={self.min_examples_per_class!r} must not be negative")
        if self.filter_by not in PRUNING:
            for option, default in (("frac_noise", 1.0), ("num_to_remove_per_class", None), ("min_examples_per_class", 1)):
                if getattr(self, option) != default:
                    raise ConfigurationError(
                        f"{option} has no effect with filter_by={self.filter_by!r}; it goes with {', '.join(PRUNING)}"
                    )
        if self.num_issues is not None:
            if self.filter_by not in LOWEST:
                raise ConfigurationError(
                    f"num_issues has no effect with filter_by={self.filter_by!r}; it goes with {', '.join(LOWEST)}"
                )
            if isinstance(self.num_issues, str):
                if self.num_issues not in ESTIMATES[:3]:
                    raise ConfigurationError(
                        f"num_issues={self.num_issues!r} is neither a number nor one of {', '.join(ESTIMATES[:3])}"
                    )
            elif self.num_issues < 0:
                raise ConfigurationError(f"num_issues={self.num_issues!r} must not be negative")

    def remove_vector(self, num_classes: int) -> NDArray[np.int64] | None:
        """`num_to_remove_per_class` as an array of K numbers."""
        if self.num_to_remove_per_class is None:
            return None
        wanted = np.asarray(self.num_to_remove_per_class)
        if wanted.shape != (num_classes,) or not np.issubdtype(wanted.dtype, np.integer) or (wanted < 0).any():
            raise ConfigurationError(
                f"num_to_remove_per_class must be {num_classes} whole numbers, one per class, none negative; "
                f"got {list(self.num_to_remove_per_class)!r}"
            )
        return wanted.astype(np.int64)


def removals(calibrated: CellTable, class_counts: NDArray[np.int64], options: FilterOptions) -> CellTable:
    """Removal counts by (given, true): the class's own on the diagonal, the pair's off it."""
    wanted = options.remove_vector(calibrated.num_classes)
    kernel = partial(
        removal_counts,
        class_counts=class_counts,
        min_examples_per_class=options.min_examples_per_class,
        frac_noise=options.frac_noise,
        num_to_remove_per_class=wanted,
    )
    return calibrated.from_counts(kernel, QUOTA)


def predicted_neq_given(rows: DataFrame) -> DataFrame:
    """Rows whose predicted class is not their given label (by more than the slack)."""
    return rows.where(suspect())


def lowest_scores(rows: DataFrame, ids: Sequence[str], score: Column, number: int, *, few: bool) -> DataFrame:
    """The given number of rows with the lowest score over the whole table."""
    if number == 0:
        return rows.where(F.lit(False))
    scored = rows.drop(c.PROBS).withColumn(c.SCORE, score)
    if few:
        return scored.orderBy(c.SCORE, *ids).limit(number)
    return lowest(scored, [], ids, rows.sparkSession.createDataFrame([(number,)], f"{QUOTA} long"), few=few)


def pruned_by_class(rows: DataFrame, ids: Sequence[str], remove: DataFrame, *, few: bool) -> DataFrame:
    """Suspects among the rows with the lowest self-confidence of each given class, as many as the class is to lose.

    Non-suspects take their places in the count too: the agreement rule drops them only afterwards.
    """
    quotas = remove.where(F.col(c.GIVEN) == F.col(c.TRUE)).select(c.GIVEN, QUOTA)
    scored = rows.drop(c.PROBS).withColumn(c.SCORE, F.col(c.SELF).cast("double"))
    return lowest(scored, [c.GIVEN], ids, quotas, few=few).where(suspect())


def pruned_by_noise_rate(
    evidence: DataFrame,
    all_arrays: Rows,
    layout: Layout,
    ids: Sequence[str],
    remove: CellTable,
    bounds: Bounds,
    keep: Callable[[DataFrame], DataFrame],
    cells: Callable[[DataFrame], CellTable],
    *,
    few: bool,
    small: bool,
    keep_arrays: bool,
) -> DataFrame:
    """Suspects among the rows of each pair (given k, other j) with the largest ``p_j - p_k``, as many as the pair is to lose.

    Each pair's rows are chosen where that is cheap, and the choice stands if no row that was not looked at could come before
    its last:

    1. among the suspects' entries in the evidence (left out where the next step is `small` work). Any other class of a row has
       at most the row's bar.
    2. among these and all classes of the suspects whose arrays are at hand. A row that is no suspect has
       ``p_j - p_k <= 1e-6``; where that is not enough, its entries are looked at, and its bar.
    3. among all rows of the class with `all_arrays`, another scan: the fallback.

    The rows come without arrays.
    """
    pair = [c.GIVEN, c.TRUE]
    of_row = [*ids, c.PREDICTED, c.SELF, c.MAX_PROB]
    is_suspect = suspect()
    suspects = evidence.where(is_suspect)
    flagged: list[DataFrame] = []

    def cut(entries: DataFrame, pairs: CellTable) -> tuple[DataFrame, DataFrame, CellTable]:
        """What to choose from, where each pair would be cut if that were all, and the pairs with their last score and number."""
        quotas = pairs.dataframe().select(*pair, QUOTA)
        if few:
            entries = keep(lowest(entries, pair, ids, quotas, few=True))
            found = keep(last(entries, pair, ids, F.count(F.lit(1))))
        else:
            found = keep(cuts(entries, pair, ids, quotas))
        told = cells(found.select(*pair, LAST, CHOSEN))
        return entries, found, pairs.with_columns_of(told, pair).filled({LAST: -NO_BOUND, CHOSEN: 0}).kept(keep)

    def settle(entries: DataFrame, found: DataFrame, pairs: CellTable, stands: str) -> CellTable:
        """Flag the rows chosen for the pairs where the choice stands; returns the other pairs."""
        settled = found.join(F.broadcast(pairs.where(stands).dataframe().select(*pair)), pair, "left_semi")
        flagged.append(chosen(entries, settled, pair, ids))
        return pairs.where(f"not ({stands})")

    full = f"{CHOSEN} == {QUOTA}"
    before_others = f"({full} and {LAST} < {-EPS})"
    waiting = remove.where(f"{c.GIVEN} != {c.TRUE}")
    for name, values in bounds.columns().items():
        waiting = waiting.with_class_values(name, values)
    columns = [*pair, QUOTA, *bounds.columns()]
    if not small:
        entries, found, decided = cut(listed_entries(suspects, of_row), waiting)
        waiting = settle(entries, found, decided, f"{before_others} and {LAST} < _suspect").select(columns)
    if small or waiting.any():
        arrays = suspects.where(is_example() & F.col(c.PROBS).isNotNull())
        more = entries_of(arrays, layout, of_row, waiting.dataframe())
        without = listed_entries(suspects.where(~keeps_array(keep_arrays)), of_row)
        entries, found, decided = cut(more.unionByName(without), waiting)
        before_suspects = f"(_without_array == {NO_BOUND} or ({full} and {LAST} < _without_array))"
        decided = settle(entries, found, decided, f"{before_suspects} and {before_others}")
        if decided.any():
            known = listed_entries(evidence.where(~is_suspect), of_row).groupBy(*pair).agg(F.min(c.SCORE).alias("_known"))
            decided = decided.with_columns_of(cells(known), pair).filled({"_known": NO_BOUND}).kept(keep)
            decided = settle(entries, found, decided, f"{before_suspects} and {LAST} < _known and {LAST} < _other")
        waiting = decided
    if waiting.any():
        # of a row, classes it has no entry for come after its least score: beyond the last chosen, its entries are enough
        surely = F.when((F.col(CHOSEN) == F.col(QUOTA)) | (F.col("_without_array") == NO_BOUND), F.col(LAST))
        limits = waiting.dataframe().groupBy(c.GIVEN).agg(F.max(F.coalesce(surely, F.lit(NO_BOUND))).alias("_limit"))
        reading = where_computed(all_arrays(limits).join(F.broadcast(limits), c.GIVEN), least_score() <= F.col("_limit"))
        rest = evidence.join(F.broadcast(limits), c.GIVEN).where(least_score() > F.col("_limit"))
        entries = entries_of(reading, layout, of_row, waiting.dataframe()).unionByName(listed_entries(rest, of_row))
        entries = entries if few else keep(entries)
        flagged.append(lowest(entries, pair, ids, waiting.dataframe().select(*pair, QUOTA), few=few))
    return reduce(DataFrame.unionByName, flagged).where(is_suspect).dropDuplicates(list(ids))


def listed_entries(evidence: DataFrame, of_row: Sequence[str]) -> DataFrame:
    """What rows of the evidence say of other classes than the given: the same columns as `entries_of`."""
    score = F.col(c.SELF).cast("double") - F.col(c.VALUE).cast("double")
    others = evidence.where(F.col(c.ENTRY) != F.col(c.GIVEN))
    return others.select(c.GIVEN, F.col(c.ENTRY).alias(c.TRUE), *of_row, score.alias(c.SCORE))


def least_score() -> Column:
    """No class without an evidence row gives the example a lower score than this."""
    return F.col(c.SELF).cast("double") - F.col(c.BAR).cast("double")


def _by_class(pairs: DataFrame) -> DataFrame:
    return pairs.groupBy(c.GIVEN).agg(F.collect_list(c.TRUE).alias("_others"))


def difference(layout: Layout, other: Column) -> Column:
    """``p_k - p_j`` of given class k and another class j: the lower, the more the row looks like j."""
    return F.col(c.SELF).cast("double") - layout.at(other).cast("double")


def entries_of(rows: DataFrame, layout: Layout, of_row: Sequence[str], pairs: DataFrame) -> DataFrame:
    """One entry per row and pair of its given class: given, true, what is kept of the row, and the score ``p_k - p_j``."""
    return (
        rows.join(F.broadcast(_by_class(pairs)), c.GIVEN)
        .withColumn(c.TRUE, F.explode("_others"))
        .select(c.GIVEN, c.TRUE, *of_row, difference(layout, F.col(c.TRUE)).alias(c.SCORE))
    )
