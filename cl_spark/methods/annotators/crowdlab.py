"""CROWDLAB: examples, annotations and annotators judged by weights of annotators and models (specification,
section 13).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from cl_spark.evidence.workers import ArrowFunction
from cl_spark.kernels.crowdlab import Trust
from cl_spark.methods.annotators import judgement as j
from cl_spark.methods.annotators.annotations import CODE
from cl_spark.methods.annotators.trust import (
    AgreementCounts,
    BestQuality,
    MajorityVote,
    count_agreement,
    find_tie_break,
    fit_trust,
    mean_weight,
)
from cl_spark.methods.annotators.votes import Votes, map_blocks
from cl_spark.tables import columns as c


@dataclass(frozen=True)
class Crowdlab:
    """The judge of examples and annotators: what it weighs is counted once, when it is first needed.

    Attributes:
        votes: the votes.
        by_majority: the consensus is the majority vote; else the class of the highest posterior.
    """

    votes: Votes
    by_majority: bool

    @cached_property
    def _majority(self) -> MajorityVote:
        return MajorityVote(find_tie_break(self.votes))

    @cached_property
    def first(self) -> tuple[AgreementCounts, Trust]:
        """Agreement with the majority vote, and the weights that follow."""
        counts = count_agreement(self.votes, self._majority)
        return counts, fit_trust(counts, self.votes.num_classes)

    @cached_property
    def _best_quality(self) -> BestQuality:
        return BestQuality(self._majority, self.first[1])

    @cached_property
    def final(self) -> tuple[AgreementCounts, Trust]:
        """Agreement with the consensus, and the weights that follow."""
        if self.by_majority or not self._has_shared:
            return self.first
        counts = count_agreement(self.votes, self._best_quality)
        return counts, fit_trust(counts, self.votes.num_classes)

    @property
    def _has_shared(self) -> bool:
        return self.votes.counts.num_shared > 0

    @property
    def _judgement(self) -> j.Judgement:
        trust = self.final[1]
        if not self._has_shared:  # labels are judged by the models alone
            return j.Judgement(self._majority, trust.of_models_only())
        return j.Judgement(self._majority if self.by_majority else self._best_quality, trust)

    def judge_examples(self) -> DataFrame:
        """Judge the examples: ids, consensus, quality, agreement, number of votes."""
        return self._map(self.votes.labeled, j.JudgeExamples(self._judgement), j.CONSENSUS_SCHEMA)

    def judge_votes(self) -> DataFrame:
        """Judge the annotations: ids, annotator's code, label, quality."""
        return self._map(self.votes.labeled, j.JudgeVotes(self._judgement), j.VOTE_SCHEMA)

    def sum_cells(self) -> DataFrame:
        """Sum annotations by annotator and class, as `judgement.CELL_VALUES` says."""
        kernel = j.SumCells(self._judgement, self.votes.num_classes)
        sums = [F.sum(name).alias(name) for name in j.CELL_VALUES]
        return map_blocks(self.votes.labeled, kernel, j.CELL_SCHEMA).groupBy(CODE, c.LABEL).agg(*sums)

    def annotator_quality(self) -> Column:
        """Select the quality of an annotator from the sums of its cells."""
        of_labels = j.mean_of_limbs("label")
        if not self._has_shared:
            return of_labels
        counts, trust = self.final
        of_model = float(trust.models.mean()) if len(trust.models) else 0.0
        of_annotators = counts.mean_annotations * mean_weight(trust, counts)
        weight = of_model / (of_model + of_annotators)
        agreement = F.col("agreed_shared") / F.col("shared")
        mixed = weight * of_labels + (1 - weight) * agreement
        return F.when(F.col("shared") > 0, mixed).otherwise(of_labels)

    def score_examples(self, unlabeled: Sequence[DataFrame]) -> DataFrame:
        """Score examples for active learning: ids, score.

        Args:
            unlabeled: rows of examples without votes, to be scored as well.
        """
        counts, trust = self.final
        mean, schema = mean_weight(trust, counts), f"{j.SCORE} double"
        labeled = j.ScoreLabeled(self._judgement, trust, mean)
        scored = self._map(self.votes.labeled, labeled, schema)
        for rows in unlabeled:
            scored = scored.unionByName(self._map(rows, j.ScoreUnlabeled(trust, mean), schema))
        return scored

    def _map(self, rows: DataFrame, kernel: ArrowFunction, schema: str) -> DataFrame:
        return map_blocks(rows, kernel, schema, self.votes.annotations.ids.names)
