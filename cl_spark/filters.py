"""Stage 3: which rows are label issues. Each filter is a function from rows to the rows it flags (JAIR 2021, section 3.2)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from cl_spark import columns as c
from cl_spark.cells import CellTable
from cl_spark.cuts import CHOSEN, CUT, QUOTA, cuts, position
from cl_spark.errors import ConfigurationError
from cl_spark.kernels import EPS
from cl_spark.kernels.removal import removal_counts
from cl_spark.layouts import Layout
from cl_spark.predictions import is_example, keeps_array, suspect

PRUNING = ("prune_by_noise_rate", "prune_by_class", "both")
LOWEST = ("low_self_confidence", "low_normalized_margin")
FILTERS = (*PRUNING, "confident_learning", "predicted_neq_given", *LOWEST, "off_diagonal")
ESTIMATES = ("off_diagonal", "off_diagonal_calibrated", "off_diagonal_fraction", "off_diagonal_custom")

Rows = Callable[[], DataFrame]


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

    def kernel(frame: pd.DataFrame) -> pd.DataFrame:
        given, true, remove = removal_counts(
            frame[c.GIVEN].to_numpy(dtype=np.int64),
            frame[c.TRUE].to_numpy(dtype=np.int64),
            frame[c.COUNT].to_numpy(dtype=np.int64),
            class_counts,
            min_examples_per_class=options.min_examples_per_class,
            frac_noise=options.frac_noise,
            num_to_remove_per_class=wanted,
        )
        return pd.DataFrame({c.GIVEN: given, c.TRUE: true, QUOTA: remove})

    return calibrated.per_given_class(kernel, f"{c.GIVEN} long, {c.TRUE} long, {QUOTA} long")


def predicted_neq_given(rows: DataFrame) -> DataFrame:
    """Rows whose predicted class is not their given label (by more than the slack)."""
    return rows.where(suspect())


def lowest(rows: DataFrame, ids: Sequence[str], score: Column, number: int, *, few: bool) -> DataFrame:
    """The given number of rows with the lowest score over the whole table."""
    if number == 0:
        return rows.where(F.lit(False))
    quotas = rows.sparkSession.createDataFrame([(number,)], f"{QUOTA} long")
    cut = cuts(rows.withColumn(c.SCORE, score), [], ids, quotas, few=few).select(CUT)
    return rows.crossJoin(F.broadcast(cut)).where(position(score, ids) <= F.col(CUT)).drop(CUT)


def pruned_by_class(rows: DataFrame, ids: Sequence[str], remove: DataFrame, *, few: bool) -> DataFrame:
    """Suspects among the rows with the lowest self-confidence of each given class, as many as the class is to lose.

    Non-suspects take their places in the count too: the agreement rule drops them only afterwards.
    """
    quotas = remove.where(F.col(c.GIVEN) == F.col(c.TRUE)).select(c.GIVEN, QUOTA)
    score = F.col(c.SELF).cast("double")
    cut = cuts(rows.withColumn(c.SCORE, score), [c.GIVEN], ids, quotas, few=few)
    return rows.where(suspect()).join(F.broadcast(cut), c.GIVEN).where(position(score, ids) <= F.col(CUT)).select(*rows.columns)


def pruned_by_noise_rate(
    evidence: DataFrame,
    all_arrays: Rows,
    layout: Layout,
    ids: Sequence[str],
    remove: DataFrame,
    keep: Callable[[DataFrame], DataFrame],
    *,
    few: bool,
    small: bool,
) -> DataFrame:
    """Suspects among the rows of each pair (given k, other j) with the largest ``p_j - p_k``, as many as the pair is to lose.

    Each pair's cut is looked for where that is cheap, and stands if no row that was not looked at could come before it:

    1. among the suspects' entries in the evidence (left out where the next step is `small` work). Any other class of a row has
       at most the row's bar.
    2. among these and all classes of the suspects whose arrays are at hand. Of any other row the entries are known, and a bar;
       a row that is no suspect has ``p_j - p_k <= 1e-6`` besides.
    3. among all rows of the class with `all_arrays`, another scan: the fallback.

    The rows come without arrays.
    """
    pair = [c.GIVEN, c.TRUE]
    is_suspect, has_array = suspect(), F.col(c.PROBS).isNotNull()
    pairs = remove.where(F.col(c.GIVEN) != F.col(c.TRUE))
    examples, others = evidence.where(is_example()), evidence.where(~is_suspect)
    suspects = examples.where(is_suspect)
    listed = evidence.where(is_suspect & (F.col(c.ENTRY) != F.col(c.GIVEN))).select(
        c.GIVEN, F.col(c.ENTRY).alias(c.TRUE), *ids, entry_score().alias(c.SCORE), keeps_array().alias("_array")
    )
    # the lowest score that a row may have for a class it has no entry for
    bound = examples.groupBy(c.GIVEN).agg(
        F.min(F.when(is_suspect, least_score())).alias("_any_suspect"),
        F.min(F.when(is_suspect & ~has_array, least_score())).alias("_suspect_without_array"),
        F.min(F.when(~is_suspect, least_score())).alias("_other"),
    )
    known = others.groupBy(c.GIVEN, F.col(c.ENTRY).alias(c.TRUE)).agg(F.min(entry_score()).alias("_known"))
    score = F.col(CUT)[c.SCORE]

    def below(bound: Column) -> Column:
        return F.coalesce(score < bound, F.lit(True))

    full = F.col(CHOSEN) == F.col(QUOTA)
    others_after = (full & (score < F.lit(-EPS))) | (below(F.col("_known")) & below(F.col("_other")))
    waiting = pairs.join(bound, c.GIVEN, "left").join(known, pair, "left")
    chosen = []

    def tier(entries: DataFrame, waiting: DataFrame, stands: Column) -> DataFrame:
        """Choose the rows of the pairs whose cut stands; returns the pairs still to be decided."""
        entries = entries.select(*pair, *ids, c.SCORE)
        found = cuts(entries, pair, ids, waiting.select(*pair, QUOTA), few=few).drop(QUOTA)
        decided = keep(waiting.join(found, pair, "left").withColumn("_stands", F.coalesce(stands, F.lit(False))))
        standing = decided.where("_stands").select(*pair, CUT)
        chosen.append(entries.join(F.broadcast(standing), pair).where(position(F.col(c.SCORE), ids) <= F.col(CUT)).select(*ids))
        return decided.where("not _stands").drop("_stands", CUT, CHOSEN)

    if not small:
        waiting = tier(listed, waiting, full & below(F.col("_any_suspect")) & others_after)
    if small or waiting.limit(1).collect():
        more = entries_of(suspects.where(has_array), layout, ids, waiting)
        more = more.unionByName(listed.where("not _array").drop("_array"))
        without = F.col("_suspect_without_array")  # who also could fill a quota that is not full
        waiting = tier(more, waiting, (without.isNull() | (full & (score < without))) & others_after)
    if waiting.limit(1).collect():
        tier(keep(entries_of(all_arrays(), layout, ids, waiting)), waiting, F.lit(True))
    flagged = reduce(DataFrame.unionByName, chosen).distinct()
    return suspects.drop(c.PROBS).join(flagged, list(ids), "left_semi")


def entry_score() -> Column:
    """``p_k - p_j`` of an evidence row: its given class k against the class j it is about."""
    return F.col(c.SELF).cast("double") - F.col(c.VALUE).cast("double")


def least_score() -> Column:
    """No class without an evidence row gives the example a lower score than this."""
    return F.col(c.SELF).cast("double") - F.col(c.BAR).cast("double")


def _by_class(pairs: DataFrame) -> DataFrame:
    return pairs.groupBy(c.GIVEN).agg(F.collect_list(c.TRUE).alias("_others"))


def difference(layout: Layout, other: Column) -> Column:
    """``p_k - p_j`` of given class k and another class j: the lower, the more the row looks like j."""
    return F.col(c.SELF).cast("double") - layout.at(other).cast("double")


def entries_of(rows: DataFrame, layout: Layout, ids: Sequence[str], pairs: DataFrame) -> DataFrame:
    """One entry per row and pair of its given class: given, true, ids and the score ``p_k - p_j``."""
    return (
        rows.join(F.broadcast(_by_class(pairs)), c.GIVEN)
        .withColumn(c.TRUE, F.explode("_others"))
        .select(c.GIVEN, c.TRUE, *ids, difference(layout, F.col(c.TRUE)).alias(c.SCORE))
    )
