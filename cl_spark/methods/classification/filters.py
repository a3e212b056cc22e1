"""Filters: which examples are label issues (JAIR 2021, section 3.2)."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd
from pyspark.sql import DataFrame

from cl_spark.errors import ConfigurationError
from cl_spark.evidence.blocks import Block, Source
from cl_spark.evidence.prob_formats import ProbFormat
from cl_spark.kernels import EPS
from cl_spark.kernels.arrays import Float64s, Int64s
from cl_spark.kernels.removal_counts import count_removals
from cl_spark.methods.classification.cells import CellTable
from cl_spark.methods.classification.confident_joint import ESTIMATION_METHODS
from cl_spark.methods.classification.cuts import QUOTA, Candidates, CutFinder, Selection
from cl_spark.methods.classification.noise_rate_pairs import PAIR_PARTS, PairCandidates, Pairs
from cl_spark.methods.classification.scores import Score, self_confidences
from cl_spark.methods.classification.thresholds import MarginBounds
from cl_spark.tables import columns as c

PRUNING = ("prune_by_noise_rate", "prune_by_class", "both")
LOWEST = ("low_self_confidence", "low_normalized_margin")
BEYOND_SUSPECTS = (*LOWEST, "off_diagonal")
"""Filters that may choose examples that are no suspects, whose suggested label is the given one."""

FILTERS = (*PRUNING, "confident_learning", "predicted_neq_given", *LOWEST, "off_diagonal")

NUM_ISSUES_METHODS = tuple(method for method in ESTIMATION_METHODS if method != "off_diagonal_custom")
"""Estimates that `num_issues` may name: all that need no joint of the caller."""


@dataclass(frozen=True)
class FilterOptions:
    """How issues are chosen; checked when made.

    Attributes:
        filter_by: one of `FILTERS`.
        frac_noise: share of the estimated noise to prune, in [0, 1]; with the pruning filters.
        num_to_remove_per_class: K numbers, how many examples of each given class to prune; with the pruning
            filters.
        min_examples_per_class: examples every class keeps; with the pruning filters.
        num_issues: how many issues the filters of lowest scores take: a number, or one of
            `NUM_ISSUES_METHODS`.

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
            self._check_no_pruning_options()
        if self.num_issues is not None:
            self._check_num_issues(self.num_issues)

    def _check_no_pruning_options(self) -> None:
        defaults = {"frac_noise": 1.0, "num_to_remove_per_class": None, "min_examples_per_class": 1}
        for option, default in defaults.items():
            given = getattr(self, option)
            if given is not default and (default is None or given != default):
                raise ConfigurationError(
                    f"{option} has no effect with filter_by={self.filter_by!r}; "
                    f"it goes with {', '.join(PRUNING)}"
                )

    def _check_num_issues(self, num_issues: int | str) -> None:
        if self.filter_by not in LOWEST:
            raise ConfigurationError(
                f"num_issues has no effect with filter_by={self.filter_by!r}; "
                f"it goes with {', '.join(LOWEST)}"
            )
        if isinstance(num_issues, str):
            if num_issues not in NUM_ISSUES_METHODS:
                raise ConfigurationError(
                    f"num_issues={num_issues!r} is neither a number nor one of "
                    f"{', '.join(NUM_ISSUES_METHODS)}"
                )
        elif not isinstance(num_issues, int | np.integer) or num_issues < 0:
            raise ConfigurationError(f"num_issues={num_issues!r} must be a whole number, and not negative")
        else:
            object.__setattr__(self, "num_issues", int(num_issues))

    def read_num_to_remove(self, num_classes: int) -> Int64s | None:
        """Convert `num_to_remove_per_class` to an array.

        Returns:
            (K,) numbers, or None where the option is not given.

        Raises:
            ConfigurationError: it does not hold K whole numbers, none negative.
        """
        if self.num_to_remove_per_class is None:
            return None
        numbers = np.asarray(self.num_to_remove_per_class)
        is_whole = np.issubdtype(numbers.dtype, np.integer)
        if numbers.shape != (num_classes,) or not is_whole or (numbers < 0).any():
            raise ConfigurationError(
                f"num_to_remove_per_class must be {num_classes} whole numbers, one per class, none negative; "
                f"got {list(self.num_to_remove_per_class)!r}"
            )
        return numbers.astype(np.int64)


def compute_removals(calibrated: CellTable, class_counts: Int64s, options: FilterOptions) -> CellTable:
    """Compute how many examples pruning removes (specification, section 4.4).

    Args:
        calibrated: the calibrated confident joint.
        class_counts: (K,) examples per given label.
        options: how issues are chosen.

    Returns:
        Removal counts, all above 0, in the column `QUOTA`: of the given class on the diagonal, of the pair
        (given, other class) off it.
    """
    kernel = partial(
        count_removals,
        class_counts=class_counts,
        min_examples_per_class=options.min_examples_per_class,
        frac_noise=options.frac_noise,
        num_to_remove_per_class=options.read_num_to_remove(calibrated.num_classes),
    )
    return calibrated.map_counts(kernel, QUOTA)


@dataclass(frozen=True)
class ScoredRows:
    """Candidate kernel: all rows of a block as one group, by a score.

    Attributes:
        score: the score.
        is_empty: find no candidates at all.
    """

    score: Score
    is_empty: bool

    def __call__(self, block: Block) -> Candidates:
        """Find the candidates of a block."""
        rows = np.arange(0 if self.is_empty else len(block))
        return Candidates(np.zeros(len(rows), dtype=np.int64), rows, self.score(block)[rows])


def select_lowest_scores(source: Source, cut_finder: CutFinder, score: Score, num_rows: int) -> DataFrame:
    """Select the rows with the lowest score over the whole table, ties by id, as many as are asked for."""
    candidates = ScoredRows(score, is_empty=num_rows == 0)
    return cut_finder.select_lowest(Selection(source, candidates, np.array([num_rows])))


@dataclass(frozen=True)
class RowsOfPrunedClasses:
    """Candidate kernel: the rows of each given class with a quota, by a score.

    Attributes:
        quotas: (K,) how many examples each class is to lose.
        score: the score.
    """

    quotas: Int64s
    score: Score = self_confidences

    def __call__(self, block: Block) -> Candidates:
        """Find the candidates of a block."""
        rows = np.flatnonzero(self.quotas[block.given] > 0)
        return Candidates(block.given[rows].astype(np.int64), rows, self.score(block)[rows])


def prune_by_class(source: Source, cut_finder: CutFinder, quotas: Int64s) -> DataFrame:
    """Select the suspects among the rows with the lowest self-confidence of each given class.

    Rows that are no suspects fill the quotas too, and are dropped only afterwards.

    Args:
        source: the accepted rows.
        cut_finder: finds the lowest rows.
        quotas: (K,) how many examples each class is to lose.
    """
    selection = Selection(source, RowsOfPrunedClasses(quotas), quotas, suspects_only=True)
    return cut_finder.select_lowest(selection)


@dataclass(frozen=True)
class PruningSources:
    """Where pruning by noise rate finds its candidates.

    Attributes:
        examples: the accepted rows.
        suspects: the suspects among them.
        read_wanted: makes a source of the accepted rows of some given classes, with the probabilities of the
            classes that are wanted of each, by another scan.
    """

    examples: Source
    suspects: Source
    read_wanted: Callable[[Mapping[int, Sequence[int]]], Source]


@dataclass(frozen=True)
class Tier:
    """One attempt to find the cuts of pairs from what the evidence holds.

    Attributes:
        source: the rows whose evidence is read.
        bound: (K,) no row of the given class that is not looked at has a lower score.
        suspects_only: only suspects, and only scores below 0, are looked at.
    """

    source: Source
    bound: Float64s
    suspects_only: bool


def prune_by_noise_rate(
    sources: PruningSources,
    cut_finder: CutFinder,
    prob_format: ProbFormat,
    quotas: pd.DataFrame,
    bounds: MarginBounds,
) -> list[DataFrame]:
    """Select the suspects among the rows of each pair (given k, other j) with the largest ``p_j - p_k``.

    Rows are scored by ``p_k - p_j``, so that the lowest are chosen. The rows of each pair are chosen where
    that is cheap, and the choice is final if no row that was not looked at can come before its last one:

    1. Of many rows, among the suspects, and only where ``p_j > p_k``: from the array where it is kept, else
       from the listed classes. Every other class of a row has at most the row's `unlisted_max_prob`. A row
       that is no suspect has ``p_j - p_k <= 1e-6``.
    2. Among all rows of the class, from all that their evidence holds. The same bounds hold for the rest.
    3. Among all rows of the class, from their arrays, in another scan: the fallback. Where a choice of an
       earlier tier filled the quota, further candidates can only lower the score of its last row, so
       candidates with a higher score are not looked at.

    Args:
        sources: where to find candidates.
        cut_finder: finds the lowest candidates.
        prob_format: of kept arrays.
        quotas: given class, true class and quota of P pairs, sorted by both classes.
        bounds: lowest scores of classes that are not listed.

    Returns:
        The rows, in parts that may overlap.
    """
    quota, given = (quotas[name].to_numpy(dtype=np.int64) for name in (QUOTA, c.GIVEN))
    num_classes = len(bounds.other)
    # pairs whose choice is not final yet, and the highest score that can still be chosen
    is_open, limit = np.ones(len(quotas), dtype=bool), np.full(len(quotas), np.inf)
    least = -2 * EPS  # the slack twice: differences are rounded
    of_all = Tier(sources.examples, np.minimum(bounds.suspect, np.maximum(bounds.other, least)), False)
    of_suspects = Tier(sources.suspects, np.minimum(bounds.suspect, least), True)
    flagged: list[DataFrame] = []
    for tier in [of_all] if cut_finder.few else [of_suspects, of_all]:
        if not is_open.any():
            break
        pairs = Pairs.select(quotas, is_open, limit, num_classes)
        candidates = PairCandidates(pairs, prob_format, tier.suspects_only)
        selection = Selection(tier.source, candidates, quota, PAIR_PARTS, suspects_only=True)
        cuts = cut_finder.find_cuts(selection)
        is_full = is_open & (cuts.num_chosen == quota)
        is_final = is_full & (cuts.last_score < tier.bound[given])
        limit[is_full] = cuts.last_score[is_full]
        is_open &= ~is_final
        if is_final.any():
            flagged.append(cuts.rows(is_final))
    if is_open.any():
        pairs = Pairs.select(quotas, is_open, limit, num_classes)
        candidates = PairCandidates(pairs, prob_format, suspects_only=False)
        source = sources.read_wanted(pairs.by_given_class())
        selection = Selection(source, candidates, quota, PAIR_PARTS, suspects_only=True)
        # persisted: whatever is asked of the issues, the input is read once more and not again
        flagged.append(cut_finder.persist(cut_finder.select_lowest(selection)))
    return flagged
