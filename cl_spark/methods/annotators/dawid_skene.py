"""Dawid-Skene: consensus and confusion of each annotator by expectation maximisation.

Source: Dawid, Skene, "Maximum Likelihood Estimation of Observer Error-Rates Using the EM Algorithm", Applied
Statistics 28 (1979), section 3.
"""

import logging
from dataclasses import dataclass
from functools import cached_property

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from cl_spark.kernels.fixed_point import LIMB
from cl_spark.methods.annotators.annotations import CODE
from cl_spark.methods.annotators.columns import ANNOTATORS, LABELS, TRUE, WEIGHT
from cl_spark.methods.annotators.dawid_skene_cells import CellPasses
from cl_spark.methods.annotators.dawid_skene_tables import TablePasses
from cl_spark.methods.annotators.judgement import (
    AGREEMENT,
    CELL_VALUES,
    CONSENSUS,
    NUM_VOTES,
    QUALITY,
    mean_of_limbs,
)
from cl_spark.methods.annotators.votes import Votes
from cl_spark.tables import columns as c

logger = logging.getLogger(__name__)

MAX_PASSES = 50
"""Passes after which the search ends, whether it has settled or not."""

TOLERANCE = 1e-6
"""Rise of the mean log-likelihood of an example below which the search has settled."""


@dataclass(frozen=True)
class DawidSkene:
    """The search for the most likely confusion of each annotator, and with it for the true classes.

    It begins with the vote shares of each example. A pass estimates from them how often each class is right,
    and how often each annotator gives each label to each true class; and from these, in logarithms, the
    probability of each true class of each example. A model is one more annotator, who gives the class that it
    finds most probable. A gold answer stays what it is.

    Of the confusion only cells that occur are kept: on the driver while there are few (`CellPasses`), else in
    long tables (`TablePasses`), with the same result.

    Attributes:
        votes: the votes.
        max_passes: passes after which it ends.
    """

    votes: Votes
    max_passes: int = MAX_PASSES

    @property
    def _ids(self) -> list[str]:
        return self.votes.annotations.ids.names

    @cached_property
    def _found(self) -> tuple[CellPasses | TablePasses, int, bool]:
        """The state that was found, passes made, and whether they settled."""
        passes: CellPasses | TablePasses = CellPasses.begin(self.votes) or TablePasses(self.votes)
        likelihood = float("-inf")
        for number in range(1, self.max_passes + 1):
            found = passes.advance()
            rise, likelihood = found - likelihood, found
            if rise < TOLERANCE:
                return passes, number, True
        logger.warning(
            "Dawid-Skene has not settled in %s passes: the mean log-likelihood still rose by %g",
            self.max_passes,
            rise,
        )
        return passes, self.max_passes, False

    @cached_property
    def weights(self) -> DataFrame:
        """Probabilities of true classes, kept: ids, class, weight."""
        return self.votes.storage.persist(self._found[0].weights)

    @property
    def num_passes(self) -> int:
        """Passes that were made."""
        return self._found[1]

    @property
    def has_settled(self) -> bool:
        """True if the search settled before its last pass."""
        return self._found[2]

    def judge_examples(self) -> DataFrame:
        """Judge the examples: ids, consensus, quality, agreement, number of votes."""
        ids = self._ids
        best = F.max(F.struct(F.col(WEIGHT), (-F.col(TRUE)).alias("order"))).alias("best")
        chosen = self.weights.groupBy(*ids).agg(best)
        judged = self.votes.labeled.select(*ids, LABELS).join(chosen, ids)
        consensus = (-F.col("best.order")).cast("int")
        agreed = F.size(F.filter(LABELS, _Equals(CONSENSUS)))
        return judged.withColumn(CONSENSUS, consensus).select(
            *ids,
            CONSENSUS,
            F.col(f"best.{WEIGHT}").alias(QUALITY),
            (agreed / F.size(LABELS)).alias(AGREEMENT),
            F.size(LABELS).cast("long").alias(NUM_VOTES),
        )

    def judge_votes(self) -> DataFrame:
        """Judge the annotations: ids, annotator's code, label, quality."""
        ids = self._ids
        vote = F.explode(F.arrays_zip(ANNOTATORS, LABELS)).alias("vote")
        of_people = self.votes.labeled.select(*ids, vote).select(
            *ids, F.col(f"vote.{ANNOTATORS}").alias(CODE), F.col(f"vote.{LABELS}").alias(c.LABEL)
        )
        weights = self.weights.withColumnRenamed(TRUE, c.LABEL)
        quality = F.coalesce(F.col(WEIGHT), F.lit(0.0)).alias(QUALITY)
        return of_people.join(weights, [*ids, c.LABEL], "left").select(*ids, CODE, c.LABEL, quality)

    def annotator_quality(self) -> Column:
        """Select the quality of an annotator from the sums of its cells."""
        return mean_of_limbs("label")

    def sum_cells(self) -> DataFrame:
        """Sum annotations by annotator and class, as `judgement.CELL_VALUES` says."""
        ids = self._ids
        votes, examples = self.judge_votes(), self.judge_examples()
        of_examples = examples.select(*ids, CONSENSUS, F.col(QUALITY).alias("of_consensus"), NUM_VOTES)
        agrees, is_shared = F.col(c.LABEL) == F.col(CONSENSUS), F.col(NUM_VOTES) > 1
        terms = [F.lit(True), agrees, is_shared, agrees & is_shared]
        counts = [F.count(F.when(term, 1)) for term in terms]
        limbs = [limb for value in (QUALITY, "of_consensus") for limb in _limbs(F.col(value))]
        sums = [*counts, *map(F.sum, limbs)]
        named = [total.alias(name) for total, name in zip(sums, CELL_VALUES, strict=True)]
        return votes.join(of_examples, ids).groupBy(CODE, c.LABEL).agg(*named)


def _limbs(value: Column) -> list[Column]:
    """Cut a value from 0 to 1 into limbs, as `cl_spark.kernels.fixed_point.split_limbs`."""
    whole = F.floor(value).cast("double")
    scaled = (value - whole) * LIMB
    high = F.floor(scaled).cast("double")
    return [limb.cast("long") for limb in (whole, high, F.rint((scaled - high) * LIMB))]


@dataclass(frozen=True)
class _Equals:
    """Compares a column with another."""

    other: str

    def __call__(self, value: Column) -> Column:
        return value == F.col(self.other)
