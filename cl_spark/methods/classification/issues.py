"""Label issues: the rows that a filter chooses from the evidence of a scan, ranked by their label quality."""

import logging
from collections.abc import Sequence

import numpy as np
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from cl_spark.errors import one_line
from cl_spark.evidence.blocks import Block
from cl_spark.evidence.packing import ddl
from cl_spark.kernels.arrays import Bools, Int64s
from cl_spark.methods.classification.cells import CellTable
from cl_spark.methods.classification.cuts import QUOTA, CutFinder, is_few
from cl_spark.methods.classification.filters import (
    BEYOND_SUSPECTS,
    LOWEST,
    FilterOptions,
    PruningSources,
    compute_removals,
    prune_by_class,
    prune_by_noise_rate,
    select_lowest_scores,
)
from cl_spark.methods.classification.ranking import add_rank
from cl_spark.methods.classification.scan import Scan
from cl_spark.methods.classification.scores import (
    add_by_id,
    needs_arrays,
    normalized_margin_column,
    normalized_margins,
    self_confidences,
)
from cl_spark.tables import columns as c
from cl_spark.tables.union import union_rows

logger = logging.getLogger(__name__)

PruningKey = tuple[float, tuple[int, ...] | None, int]
"""Options that pruning depends on."""

_MOST_NAMED = 10
"""Small classes that a message names."""


def is_suspect(block: Block) -> Bools:
    """Tell which rows of a block are suspects."""
    return block.suspects


class IssueFinder:
    """Finds the rows that a filter chooses (specification, section 4).

    Args:
        scan: the table.
    """

    def __init__(self, scan: Scan) -> None:
        self._scan = scan
        self._pruned: dict[PruningKey, DataFrame] = {}

    def find_ranked(self, options: FilterOptions, rank_by: str, adjust_pred_probs: bool) -> DataFrame:
        """Find the rows that a filter chooses, and rank them by a label quality score.

        Args:
            options: how issues are chosen.
            rank_by: name of the label quality score.
            adjust_pred_probs: rank by scores of adjusted probabilities.

        Returns:
            Id columns of the evidence, `_given`, `_predicted`, label_quality, self_confidence,
            normalized_margin, rank.
        """
        scan, ids = self._scan, self._scan.predictions.ids
        rows = self.find(options).withColumn(c.NORMALIZED_MARGIN, normalized_margin_column())
        rows = rows.withColumn(c.SELF_CONFIDENCE, F.col(c.EVIDENCE_SELF_CONFIDENCE).cast("double"))
        reads_arrays = needs_arrays(rank_by, adjust_pred_probs)
        if reads_arrays:
            # Most filters choose suspects only, so that other rows need no score.
            suspects_only = options.filter_by not in BEYOND_SUSPECTS
            scored = scan.score_rows(rank_by, adjust_pred_probs, ids, suspects_only=suspects_only)
            rows = add_by_id(rows, scored, ids)
        else:
            scores = {"self_confidence": c.SELF_CONFIDENCE, "normalized_margin": c.NORMALIZED_MARGIN}
            rows = rows.withColumn(c.LABEL_QUALITY, F.col(scores[rank_by]))
        columns = [c.GIVEN, c.PREDICTED, c.LABEL_QUALITY, c.SELF_CONFIDENCE, c.NORMALIZED_MARGIN]
        rows = rows.select(*ids, *columns)
        few = scan.few_suspects or (isinstance(options.num_issues, int) and is_few(options.num_issues))
        # Ranks of many rows take two queries, and some filters persist their rows already if they are many.
        is_persisted = options.filter_by in (*LOWEST, "prune_by_noise_rate", "prune_by_class")
        if not few and (reads_arrays or not is_persisted):
            rows = scan.persist(rows)
        return add_rank(rows, c.LABEL_QUALITY, ids, c.RANK, few=few)

    def find(self, options: FilterOptions) -> DataFrame:
        """Find the rows that a filter chooses, each once.

        Returns:
            Columns of `Predictions.row_types`.
        """
        scan = self._scan
        if options.filter_by == "predicted_neq_given":
            return scan.select_rows(is_suspect, [scan.suspect_blocks])
        if options.filter_by in ("confident_learning", "off_diagonal"):
            condition = scan.off_diagonal(suspects_only=options.filter_by == "confident_learning")
            return scan.select_rows(condition, scan.settled, scan.confident_parts)
        if options.filter_by in LOWEST:
            return self._select_lowest(options)
        return self._prune(options)

    def _select_lowest(self, options: FilterOptions) -> DataFrame:
        num_issues = options.num_issues
        if not isinstance(num_issues, int):
            num_issues = self._scan.joint.estimate_num_issues(num_issues or "off_diagonal")
        score = normalized_margins if options.filter_by == "low_normalized_margin" else self_confidences
        cut_finder = self._make_cut_finder(few=self._scan.few_examples)
        return select_lowest_scores(self._scan.blocks, cut_finder, score, num_issues)

    def _prune(self, options: FilterOptions) -> DataFrame:
        scan, ids = self._scan, self._scan.predictions.ids
        self._warn_of_small_classes(options.min_examples_per_class)
        removals = compute_removals(scan.joint.calibrated, scan.statistics.class_counts, options)
        if options.filter_by == "prune_by_noise_rate":
            return self._prune_by_noise_rate(options, removals)
        quotas = removals.sum_by_class(c.GIVEN, QUOTA, diagonal=True).astype(np.int64)
        by_class = prune_by_class(scan.blocks, self._make_cut_finder(few=scan.few_examples), quotas)
        if options.filter_by == "prune_by_class":
            return by_class
        by_noise_rate = self._prune_by_noise_rate(options, removals)
        return by_class.join(by_noise_rate.select(*ids), ids, "left_semi")

    def _prune_by_noise_rate(self, options: FilterOptions, removals: CellTable) -> DataFrame:
        """Prune by noise rate once for each set of options: two filters ask for it."""
        numbers = options.num_to_remove_per_class
        key = (
            options.frac_noise,
            None if numbers is None else tuple(numbers),
            options.min_examples_per_class,
        )
        if key not in self._pruned:
            scan, predictions = self._scan, self._scan.predictions
            sources = PruningSources(scan.blocks, scan.suspect_blocks, scan.read_wanted)
            cut_finder = self._make_cut_finder(few=scan.few_suspects)
            flagged = [
                rows
                for quotas in removals.where(f"{c.GIVEN} != {c.TRUE}").iter_frames()
                for rows in prune_by_noise_rate(
                    sources, cut_finder, predictions.prob_format, quotas, scan.margin_bounds
                )
            ]
            no_rows = scan.spark.createDataFrame([], ddl(predictions.row_types))
            rows = union_rows(flagged or [no_rows])
            # One part that was fetched after a histogram has each row once already.
            is_distinct = len(flagged) < 2 and not cut_finder.few
            self._pruned[key] = rows if is_distinct else rows.dropDuplicates(predictions.ids)
        return self._pruned[key]

    def _make_cut_finder(self, *, few: bool) -> CutFinder:
        predictions = self._scan.predictions
        return CutFinder(
            self._scan.spark, predictions.id_types, predictions.row_types, self._scan.persist, few
        )

    def _warn_of_small_classes(self, min_examples_per_class: int) -> None:
        counts, most = self._scan.statistics.class_counts, max(min_examples_per_class, 1)
        number, shown = name_small_classes(counts, most, self._scan.predictions.names)
        if number:
            logger.warning("%d classes have at most %d examples and are not pruned: %s", number, most, shown)


def name_small_classes(counts: Int64s, most: int, names: Sequence[str] | None) -> tuple[int, str]:
    """Name the classes that occur, and have at most some number of examples: how many, and the first ten.

    Args:
        counts: (K,) examples of each class.
        most: the number.
        names: of the classes; None where they are indices.

    Example:
        >>> name_small_classes(np.array([0, 1, 5, 2]), 2, ["ant", "bee", "cat", "dog"])
        (2, 'bee, dog')
    """
    small = np.flatnonzero((counts > 0) & (counts <= most)).tolist()
    shown = ", ".join(one_line(names[k] if names else k) for k in small[:_MOST_NAMED])
    return len(small), shown + (" ..." if len(small) > _MOST_NAMED else "")
