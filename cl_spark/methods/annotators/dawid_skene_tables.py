"""Passes of Dawid-Skene over long tables, for any number of annotators and classes."""

from dataclasses import dataclass, field
from functools import cached_property

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from cl_spark.evidence.partitions import partitions_for
from cl_spark.methods.annotators.annotations import CODE
from cl_spark.methods.annotators.columns import (
    ANNOTATORS,
    CANDIDATES,
    GOLD,
    HAS_PREDICTION,
    LABELS,
    TRUE,
    WEIGHT,
)
from cl_spark.methods.annotators.votes import Votes
from cl_spark.tables import columns as c

LOG, LOG_PRIOR = "_log", "_log_prior"
_SUM = "decimal(38,18)"
"""Type in which weights and logarithms are summed: sums of whole numbers of 1e-18 depend on no order."""


@dataclass
class TablePasses:
    """The state of a search: the weights of true classes, a row for each example and class that has some.

    Attributes:
        votes: the votes.
        weights: ids, class, weight; at first the vote shares.
    """

    votes: Votes
    weights: DataFrame = field(init=False)

    def __post_init__(self) -> None:
        ids = self._ids
        of_people = self.ballots.groupBy(*ids, c.LABEL).agg(F.count(F.lit(1)).alias("votes"))
        totals = self.ballots.groupBy(*ids).agg(F.count(F.lit(1)).alias("num_votes"))
        share = (F.col("votes") / F.col("num_votes")).alias(WEIGHT)
        shares = of_people.join(totals, ids).select(*ids, F.col(c.LABEL).alias(TRUE), share)
        self.weights = self.votes.storage.cut(self._with_gold(shares))

    @property
    def _ids(self) -> list[str]:
        return self.votes.annotations.ids.names

    @property
    def _parts(self) -> int:
        return partitions_for(self.votes.counts.num_annotations)

    @cached_property
    def ballots(self) -> DataFrame:
        """A row for each vote: ids, annotator's code, label. Models have codes below 0."""
        labeled = self.votes.labeled
        pairs = F.explode(F.arrays_zip(ANNOTATORS, LABELS)).alias("vote")
        of_people = labeled.select(*self._ids, pairs).select(
            *self._ids, F.col(f"vote.{ANNOTATORS}").alias(CODE), F.col(f"vote.{LABELS}").alias(c.LABEL)
        )
        ballots = of_people
        num_models = self.votes.num_models
        for model in range(num_models):
            # the candidates ascend, so that the first of highest probability is the lowest class
            place = f"i * {num_models} + {model}"
            probs = f"transform(sequence(0, size({CANDIDATES}) - 1), i -> {c.PROBS}[{place}])"
            predicted = F.expr(f"get({CANDIDATES}, int(array_position({probs}, array_max({probs}))) - 1)")
            ballots = ballots.unionByName(
                labeled.where(HAS_PREDICTION).select(
                    *self._ids, F.lit(-1 - model).alias(CODE), predicted.alias(c.LABEL)
                )
            )
        return self.votes.storage.persist(ballots.repartition(self._parts, *self._ids))

    @cached_property
    def _gold(self) -> DataFrame | None:
        if not self.votes.counts.num_gold:
            return None
        gold = self.votes.labeled.where(F.col(GOLD) >= 0)
        return self.votes.storage.persist(gold.select(*self._ids, F.col(GOLD).alias(TRUE)))

    def _with_gold(self, weights: DataFrame) -> DataFrame:
        """Replace the weights of examples whose class is known."""
        if self._gold is None:
            return weights
        known = self._gold.withColumn(WEIGHT, F.lit(1.0))
        return weights.join(self._gold.select(*self._ids), self._ids, "left_anti").unionByName(known)

    def confusion(self, weights: DataFrame) -> DataFrame:
        """Estimate how often each annotator gives a label to a true class: annotator, class, label, weight
        (of annotations), log (of the share).
        """
        summed = _sum(F.col(WEIGHT)).alias(WEIGHT)
        parts = self._parts
        cells = self.ballots.join(weights, self._ids).repartition(parts, CODE)
        cells = cells.groupBy(CODE, TRUE, c.LABEL).agg(summed).where(F.col(WEIGHT) > 0)
        totals = cells.groupBy(CODE, TRUE).agg(F.sum(WEIGHT).alias("total"))
        share = F.col(WEIGHT).cast("double") / F.col("total").cast("double")
        return cells.join(totals, [CODE, TRUE]).select(
            CODE, TRUE, c.LABEL, F.col(WEIGHT).cast("double").alias(WEIGHT), F.log(share).alias(LOG)
        )

    def advance(self) -> float:
        """Make a pass, and return the mean log-likelihood of an example before it."""
        votes, ids, weights = self.votes, self._ids, self.weights
        num_examples = votes.counts.num_examples
        priors = weights.groupBy(TRUE).agg(_sum(F.col(WEIGHT)).cast("double").alias("prior"))
        logs = priors.where("prior > 0").select(TRUE, F.log(F.col("prior") / num_examples).alias(LOG_PRIOR))
        confusion = self.confusion(weights).select(CODE, TRUE, c.LABEL, LOG)
        # a class is possible if every annotator of the example may have given this label to it
        totals = self.ballots.groupBy(*ids).agg(F.count(F.lit(1)).alias("num_votes"))
        possible = (
            self.ballots.join(confusion, [CODE, c.LABEL])
            .repartition(self._parts, *ids)
            .groupBy(*ids, TRUE)
            .agg(_sum(F.col(LOG)).cast("double").alias(LOG), F.count(F.lit(1)).alias("found"))
            .join(totals, ids)
            .where("found = num_votes")
            .join(logs, TRUE)
            .select(*ids, TRUE, (F.col(LOG) + F.col(LOG_PRIOR)).alias(LOG))
        )
        if self._gold is not None:
            others = possible.join(self._gold.select(*ids), ids, "left_anti")
            possible = others.unionByName(possible.join(self._gold, [*ids, TRUE], "left_semi"))
        entries = F.sort_array(F.collect_list(F.struct(TRUE, LOG))).alias("entries")
        # in the order of the classes: a sum of doubles depends on the order
        scored = possible.groupBy(*ids).agg(entries, F.max(LOG).alias("top"))
        powers = F.expr(f"aggregate(entries, 0D, (total, entry) -> total + exp(entry.{LOG} - top))")
        scored = votes.storage.cut(
            scored.select(*ids, "entries", (F.col("top") + F.log(powers)).alias("log_total"))
        )
        likelihood = scored.agg(_sum(F.col("log_total"))).collect()[0][0]
        entry = scored.select(*ids, "log_total", F.explode("entries").alias("entry"))
        improved = entry.select(
            *ids,
            F.col(f"entry.{TRUE}").alias(TRUE),
            F.exp(F.col(f"entry.{LOG}") - F.col("log_total")).alias(WEIGHT),
        )
        self.weights = self._with_gold(improved)
        return float(likelihood) / num_examples


def _sum(value: Column) -> Column:
    return F.sum(value.cast(_SUM))
