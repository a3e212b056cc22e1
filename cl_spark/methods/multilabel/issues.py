"""Issues among memberships: those that a filter chooses of the 2K classes, and the examples that have any."""

import logging
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from pyspark.sql import DataFrame

from cl_spark.errors import ConfigurationError
from cl_spark.evidence.blocks import Block
from cl_spark.evidence.packing import ddl
from cl_spark.kernels.arrays import Bools, Float64s, Int64s
from cl_spark.methods.classification.cuts import QUOTA, Candidates, CutFinder, Selection, is_few
from cl_spark.methods.classification.filters import (
    LOWEST,
    PRUNING,
    FilterOptions,
    RowsOfPrunedClasses,
    compute_removals,
    select_lowest_scores,
)
from cl_spark.methods.classification.issues import name_small_classes
from cl_spark.methods.classification.scores import self_confidences
from cl_spark.methods.classification.sources import SelectedRows
from cl_spark.methods.multilabel.predictions import CLASS
from cl_spark.methods.multilabel.scan import (
    SUSPECT_CLASSES,
    MembershipSource,
    MultilabelScan,
    make_example_block,
)
from cl_spark.tables import columns as c

logger = logging.getLogger(__name__)

FILTERS = (*PRUNING, "confident_learning", "predicted_neq_given", *LOWEST)


def margins(block: Block) -> Float64s:
    """``p[given] - p[other]`` of each membership of a block."""
    return block.self_confidence - block.max_prob


@dataclass(frozen=True)
class LowestOfClasses:
    """Candidate kernel: memberships of each of K classes with a quota, given or not, by self-confidence.

    Attributes:
        quotas: (K,) how many memberships each class is to lose.
    """

    quotas: Int64s

    def __call__(self, block: Block) -> Candidates:
        """Find the candidates of a block."""
        class_index = block.given.astype(np.int64) // 2
        rows = np.flatnonzero(self.quotas[class_index] > 0)
        return Candidates(class_index[rows], rows, block.self_confidence[rows])


@dataclass(frozen=True)
class IsOffDiagonal:
    """Condition on suspect memberships: they count off the diagonal of their class's confident joint.

    The contrary is the more probable one, so that it is the true class wherever it is confident.

    Attributes:
        floors: (2K,) from which probability on each class is confident.
    """

    floors: Float64s

    def __call__(self, block: Block) -> Bools:
        """Tell which memberships of a block meet the condition."""
        return np.asarray(block.max_prob >= self.floors[block.predicted])


class MembershipIssueFinder:
    """Finds the memberships, and the examples, that a filter chooses (specification, section 9).

    Every filter but the lowest scores chooses suspects only, and prunes the least probable memberships of
    each class: these come first among all memberships, and all of them are in the evidence. A quota beyond
    the suspects chooses them all, as the agreement rule drops what else it would choose.

    Args:
        scan: the table.
    """

    def __init__(self, scan: MultilabelScan) -> None:
        self._scan = scan

    def find_memberships(self, options: FilterOptions, method: str = "self_confidence") -> DataFrame:
        """Find the memberships that a filter chooses, each once.

        Args:
            options: how they are chosen.
            method: label quality score that they get.

        Returns:
            Columns of `MultilabelPredictions.membership_types`.
        """
        check_filter(options.filter_by)
        source = self._scan.read_memberships(method)
        if options.filter_by == "predicted_neq_given":
            return self._select(source, None)
        if options.filter_by == "confident_learning":
            return self._select(source, self._is_off_diagonal)
        if options.filter_by in LOWEST:
            return self._select_lowest(source)
        return self._prune(source, options)

    def find_examples(self, options: FilterOptions) -> DataFrame:
        """Find the examples with the lowest scores over all classes.

        Returns:
            Columns of `MultilabelPredictions.row_types`, and their suspect classes.
        """
        scan = self._scan
        num_issues = options.num_issues
        if not isinstance(num_issues, int):
            num_issues = self.count_examples()
        row_types = {**scan.predictions.row_types, SUSPECT_CLASSES: "array<int>"}
        finder = self._make_cut_finder(scan.predictions.id_types, row_types, scan.totals.num_examples)
        source = MembershipSource(scan.examples, row_types, make_example_block)
        return select_lowest_scores(source, finder, self_confidences, num_issues)

    def count_examples(self) -> int:
        """Count the examples that are off the diagonal for any class: the estimated number of issues."""
        found = self._select(self._scan.read_memberships(), self._is_off_diagonal)
        return found.select(*self._scan.predictions.ids).distinct().count()

    @property
    def _is_off_diagonal(self) -> IsOffDiagonal:
        floors = self._scan.floors
        return IsOffDiagonal(np.stack([floors.has_not, floors.has], axis=1).ravel())

    def _select(self, source: MembershipSource, condition: Callable[[Block], Bools] | None) -> DataFrame:
        types = self._scan.predictions.membership_types
        return source(SelectedRows(list(types), condition), ddl(types), ("ids",))

    def _select_lowest(self, source: MembershipSource) -> DataFrame:
        found = self._select(source, self._is_off_diagonal)
        quotas = np.zeros(self._scan.totals.num_classes, dtype=np.int64)
        counts = found.groupBy(CLASS).count().toPandas()
        quotas[counts[CLASS]] = counts["count"]
        return self._choose(source, LowestOfClasses(quotas), quotas)

    def _prune(self, source: MembershipSource, options: FilterOptions) -> DataFrame:
        scan = self._scan
        self._warn_of_small_classes(options.min_examples_per_class)
        removals = compute_removals(scan.calibrated, scan.totals.membership_counts, options)
        num_groups = 2 * scan.totals.num_classes
        chosen = {}
        if options.filter_by != "prune_by_noise_rate":
            quotas = removals.sum_by_class(c.GIVEN, QUOTA, diagonal=True).astype(np.int64)
            chosen["prune_by_class"] = self._choose(source, RowsOfPrunedClasses(quotas), quotas)
        if options.filter_by != "prune_by_class":
            off_diagonal = removals.where(f"{c.GIVEN} != {c.TRUE}")
            quotas = np.zeros(num_groups, dtype=np.int64)
            for cells in off_diagonal.iter_frames():  # each class has one other
                quotas[cells[c.GIVEN]] = cells[QUOTA]
            chosen["prune_by_noise_rate"] = self._choose(source, RowsOfPrunedClasses(quotas, margins), quotas)
        if options.filter_by == "both":
            keys = [*scan.predictions.ids, CLASS]
            others = chosen["prune_by_noise_rate"].select(*keys)
            return chosen["prune_by_class"].join(others, keys, "left_semi")
        return chosen[options.filter_by]

    def _warn_of_small_classes(self, min_examples_per_class: int) -> None:
        totals, most = self._scan.totals, max(min_examples_per_class, 1)
        for counts, what in (
            (totals.given_counts, "are given to"),
            (totals.num_examples - totals.given_counts, "are not given to"),
        ):
            number, shown = name_small_classes(counts, most, self._scan.predictions.names)
            if number:
                logger.warning(
                    "%d classes %s at most %d examples, which are not pruned: %s", number, what, most, shown
                )

    def _choose(
        self, source: MembershipSource, candidates: Callable[[Block], Candidates], quotas: Int64s
    ) -> DataFrame:
        rows = self._scan.predictions
        id_types = {**rows.id_types, CLASS: "int"}
        finder = self._make_cut_finder(id_types, rows.membership_types, self._scan.num_suspects)
        return finder.select_lowest(Selection(source, candidates, quotas, suspects_only=True))

    def _make_cut_finder(
        self, id_types: dict[str, str], row_types: dict[str, str], num_rows: int
    ) -> CutFinder:
        return CutFinder(self._scan.spark, id_types, row_types, self._scan.persist, is_few(num_rows))


def check_filter(filter_by: str) -> None:
    """Check that a filter can choose among memberships.

    Raises:
        ConfigurationError: it can not.
    """
    if filter_by not in FILTERS:
        raise ConfigurationError(
            f"filter_by={filter_by!r} is not a filter of several labels; choose one of {', '.join(FILTERS)}"
        )
