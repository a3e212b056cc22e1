"""Stage 3: which rows are label issues. Each filter is a function from rows to the rows it flags (JAIR 2021, section 3.2)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd
import pyarrow as pa
from pyspark.sql import DataFrame

from cl_spark.classification.cells import CellTable
from cl_spark.classification.cuts import QUOTA, Candidates, CutFinder
from cl_spark.classification.thresholds import MarginBounds
from cl_spark.errors import ConfigurationError
from cl_spark.evidence.blocks import Block, Source
from cl_spark.evidence.prob_formats import DenseProbs, ProbFormat
from cl_spark.kernels import EPS
from cl_spark.kernels.arrays import Bools, Float64s, Floats, Int32s, Int64s, Ints
from cl_spark.kernels.removal_counts import removal_counts
from cl_spark.tables import columns as c

PRUNING = ("prune_by_noise_rate", "prune_by_class", "both")
LOWEST = ("low_self_confidence", "low_normalized_margin")
FILTERS = (*PRUNING, "confident_learning", "predicted_neq_given", *LOWEST, "off_diagonal")
ESTIMATES = ("off_diagonal", "off_diagonal_calibrated", "off_diagonal_fraction", "off_diagonal_custom")


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
            raise ConfigurationError(
                f"filter_by={self.filter_by!r} is not a filter; choose one of {', '.join(FILTERS)}"
            )
        if not 0 <= self.frac_noise <= 1:
            raise ConfigurationError(f"frac_noise={self.frac_noise!r} must lie in [0, 1]")
        if self.min_examples_per_class < 0:
            raise ConfigurationError(
                f"min_examples_per_class={self.min_examples_per_class!r} must not be negative"
            )
        if self.filter_by not in PRUNING:
            for option, default in (
                ("frac_noise", 1.0),
                ("num_to_remove_per_class", None),
                ("min_examples_per_class", 1),
            ):
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

    def remove_vector(self, num_classes: int) -> Int64s | None:
        """`num_to_remove_per_class` as an array of K numbers."""
        if self.num_to_remove_per_class is None:
            return None
        wanted = np.asarray(self.num_to_remove_per_class)
        if (
            wanted.shape != (num_classes,)
            or not np.issubdtype(wanted.dtype, np.integer)
            or (wanted < 0).any()
        ):
            raise ConfigurationError(
                f"num_to_remove_per_class must be {num_classes} whole numbers, one per class, none negative; "
                f"got {list(self.num_to_remove_per_class)!r}"
            )
        return wanted.astype(np.int64)


def removals(calibrated: CellTable, class_counts: Int64s, options: FilterOptions) -> CellTable:
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


def lowest_scores(
    source: Source, chooser: CutFinder, score: Callable[[Block], Float64s], number: int
) -> DataFrame:
    """The given number of rows with the lowest score over the whole table."""

    def entries(block: Block) -> Candidates:
        rows = np.arange(len(block) if number else 0)
        return np.zeros(len(rows), dtype=np.int64), rows, score(block)[rows]

    return chooser.lowest(source, entries, np.array([number]))


def pruned_by_class(source: Source, chooser: CutFinder, quotas: Int64s) -> DataFrame:
    """Suspects among the rows with the lowest self-confidence of each given class, as many as the class is to lose.

    Non-suspects take their places in the count too: the agreement rule drops them only afterwards.

    Args:
        source: the evidence.
        chooser: what chooses.
        quotas: (K,) how many each class is to lose.
    """

    def entries(block: Block) -> Candidates:
        rows = np.flatnonzero(quotas[block.given] > 0)
        return block.given[rows].astype(np.int64), rows, block.self_confidence[rows].astype(np.float64)

    return chooser.lowest(source, entries, quotas, suspects_only=True)


def pruned_by_noise_rate(
    source: Source,
    suspects: Source,
    arrays: Callable[[Bools], Source],
    chooser: CutFinder,
    prob_format: ProbFormat,
    pairs: pd.DataFrame,
    bounds: MarginBounds,
) -> list[DataFrame]:
    """Suspects among the rows of each pair (given k, other j) with the largest ``p_j - p_k``, as many as the pair is to lose.

    Each pair's rows are chosen where that is cheap, and the choice stands if no row that was not looked at could come before
    its last:

    1. of many rows, among the suspects' entries with ``p_j > p_k``: from the array where it is at hand, else of the classes
       listed. Any other class of a row has at most the row's bar. A row that is no suspect has ``p_j - p_k <= 1e-6``.
    2. among all that the evidence tells of any row of the class; others have at most their bars, and the same holds.
    3. among all rows of the class, each with its array, in another scan: the fallback. What was the last of a full choice
       before can only move up, so nothing after it is looked at.

    Args:
        source: the evidence.
        suspects: that of suspects.
        arrays: the same of some given classes, with the array of every row: another scan.
        chooser: what chooses.
        layout: of the arrays.
        pairs: given, true and quota, sorted by both.
        bounds: lowest scores of what the evidence does not tell.

    Returns:
        The rows, in parts that may overlap.
    """
    parts = ("listed", "kept")
    given, quotas = pairs[c.GIVEN].to_numpy(), pairs[QUOTA].to_numpy(dtype=np.int64)
    limit, waiting = np.full(len(pairs), np.inf), np.ones(len(pairs), dtype=bool)
    tiers = [(source, np.minimum(bounds.suspect, np.maximum(bounds.other, -EPS)))]
    if not chooser.few:
        tiers.insert(0, (suspects, np.minimum(bounds.suspect, -EPS)))
    flagged: list[DataFrame] = []

    def asked() -> Pairs:
        return Pairs.of(pairs, waiting, limit, prob_format, len(bounds.other))

    for blocks, bound in tiers:
        if waiting.any():
            entries = partial(entries_of_pairs, pairs=asked(), suspects_only=blocks is suspects)
            choice = chooser.choice(blocks, entries, quotas, parts, suspects_only=True)
            full = waiting & (choice.number == quotas)
            stands = full & (choice.last < bound[given])
            limit[full] = choice.last[full]
            waiting &= ~stands
            if stands.any():
                flagged.append(choice.rows(stands))
    if waiting.any():
        rest = asked()
        entries = partial(entries_of_pairs, pairs=rest, suspects_only=False)
        flagged.append(chooser.lowest(arrays(rest.sizes > 0), entries, quotas, suspects_only=True))
    return flagged


Valued = tuple[Int64s, Int64s, Floats]
"""(pair, row, value) each."""


@dataclass(frozen=True)
class Pairs:
    """Pairs of classes to find entries for.

    Attributes:
        num_classes: K.
        layout: of the arrays.
        key: given class times K plus the other, ascending.
        number: which pair that is.
        limit: scores beyond are not asked for.
        starts: (K,) where the pairs of a given class begin.
        sizes: (K,) how many it has.
    """

    num_classes: int
    prob_format: ProbFormat
    key: Int64s
    number: Int64s
    limit: Float64s
    starts: Int64s
    sizes: Int64s

    @staticmethod
    def of(
        pairs: pd.DataFrame,
        some: Bools,
        limit: Float64s,
        prob_format: ProbFormat,
        num_classes: int,
    ) -> "Pairs":
        """Some of the pairs of a frame that is sorted by (given, true)."""
        number = np.flatnonzero(some)
        given, true = (pairs[name].to_numpy(dtype=np.int64)[number] for name in (c.GIVEN, c.TRUE))
        sizes = np.bincount(given, minlength=num_classes)
        return Pairs(
            num_classes,
            prob_format,
            given * num_classes + true,
            number,
            limit[number],
            np.cumsum(sizes) - sizes,
            sizes,
        )

    def among(self, given: Int32s, row: Int64s, of_class: Ints, value: Floats) -> Valued:
        """Those that are of a pair: which one, row, value."""
        key = given.astype(np.int64) * self.num_classes + of_class
        place = np.minimum(np.searchsorted(self.key, key), len(self.key) - 1)
        inside = self.key[place] == key
        return place[inside], row[inside], value[inside]

    def all_of(self, block: Block, kept: Int64s) -> Valued:
        """All pairs of rows whose arrays are kept: which one, row, value."""
        given = block.given[block.kept.rows[kept]]
        sizes = self.sizes[given]
        at = np.repeat(kept, sizes)
        of_pair = np.repeat(self.starts[given] - (np.cumsum(sizes) - sizes), sizes) + np.arange(len(at))
        return (
            of_pair,
            block.kept.rows[at],
            self.prob_format.values_at(block.kept.arrays, at, self.key[of_pair] % self.num_classes),
        )

    def above_own(self, prob_format: DenseProbs, block: Block, kept: Int64s) -> Valued:
        """The same of classes above the given label."""
        rows, arrays = block.kept.rows[kept], block.kept.arrays
        if len(rows) < len(arrays):
            arrays = arrays.take(pa.array(kept))
        at, of_class, value = prob_format.above(arrays, block.self_confidence[rows], self.num_classes)
        return self.among(block.given[rows[at]], rows[at], of_class, value)


def entries_of_pairs(block: Block, *, pairs: Pairs, suspects_only: bool) -> Candidates:
    """What the evidence tells of the pairs: (pair, row, ``p_k - p_j``) each; of suspects only what is below 0.

    All pairs of a row whose array is at hand, else those it lists, and its predicted class. Of arrays whose classes above the
    label are all that is asked, one comparison finds them; not of sparse ones, where classes that are absent may be above it.
    """
    wanted = pairs.sizes[block.given] > 0
    if suspects_only:
        wanted &= block.suspects
    asked = wanted & block.without_array
    max_prob = np.flatnonzero(asked)
    listed = np.flatnonzero(asked[block.listed.row])
    row = np.concatenate([max_prob, block.listed.row[listed]])
    of_class = np.concatenate([block.predicted[max_prob], block.listed.class_index[listed]])
    value = np.concatenate([block.max_prob[max_prob], block.listed.prob[listed]])
    told = pairs.among(block.given[row], row, of_class, value)

    kept = np.flatnonzero(wanted[block.kept.rows])
    if suspects_only and isinstance(pairs.prob_format, DenseProbs):
        at_hand = pairs.above_own(pairs.prob_format, block, kept)
    else:
        at_hand = pairs.all_of(block, kept)
    pair, row, value = (np.concatenate(both) for both in zip(at_hand, told, strict=True))
    score = block.self_confidence[row].astype(np.float64) - value.astype(np.float64)
    kept = (score < 0 if suspects_only else True) & (score <= pairs.limit[pair])
    return pairs.number[pair[kept]], row[kept], score[kept]
