"""Folds of cross-validation: stratified by label, fixed by a hash of the id, whole groups together."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from cl_spark.errors import InputError
from cl_spark.methods.learning.hash_cuts import (
    HASH,
    STRATUM,
    WEIGHT,
    count_cuts_below,
    find_hash_cuts,
    hash_of,
)
from cl_spark.methods.learning.training_data import GROUP, TrainingData
from cl_spark.tables import columns as c

FOLDS = "_folds"
"""Column of the fold of a row in each round."""

_CUTS, _FIRST_FOLD, _OF_STRATUM = "_cuts", "_first_fold", "_of_stratum"
_GROUP_STRATUM, _GROUP_SIZE = "_group_stratum", "_group_size"


@dataclass(frozen=True)
class FoldPlan:
    """How a table is cut into folds.

    The examples of each class are put into the order of a hash of their ids, and this order is cut into parts
    of equal size. So the fold of an example depends on ids, labels and the seed alone, not on where Spark
    keeps the row, and no window sees a whole class. With groups, the order is that of the groups, each in the
    class that most of its examples carry.

    Attributes:
        data: the table.
        folds: how many.
        repeats: how many rounds, each with folds of its own.
        seed: changes them all.
    """

    data: TrainingData
    folds: int
    repeats: int
    seed: int

    def add_folds(self, rows: DataFrame) -> DataFrame:
        """Add the column `FOLDS`: an array with the fold of the row in each round.

        Args:
            rows: as `TrainingData.select_examples` returns them.

        Raises:
            InputError: a class is missing from a training part.
        """
        if self._groups is None:
            return self._add_folds(rows, c.LABEL)
        # the fold of a group is joined, not found from the row: equal groups may have different texts
        groups = self._add_folds(self._groups, _GROUP_STRATUM).select(GROUP, FOLDS)
        return rows.join(groups, GROUP)

    def _add_folds(self, elements: DataFrame, stratum: str) -> DataFrame:
        names = []
        for round_, table in enumerate(self._cuts):
            part = count_cuts_below(self._hash(round_), F.col(_CUTS))
            fold = ((part + F.col(_FIRST_FOLD)) % self.folds).cast("int")
            names.append(f"_fold_{round_}")
            elements = elements.join(F.broadcast(table), F.col(stratum) == F.col(_OF_STRATUM))
            elements = elements.withColumn(names[-1], fold).drop(_OF_STRATUM, _CUTS, _FIRST_FOLD)
        return elements.withColumn(FOLDS, F.array(*names)).drop(*names)

    def check(self) -> None:
        """Check that every class is in every training part.

        Raises:
            InputError: one is not.
        """
        self.data.check_folds(self.folds)
        if self._groups is not None:
            groups = self._groups.count()
            if groups < self.folds:
                raise InputError(
                    f"group_col: there are {groups:,} groups for {self.folds} folds: take fewer folds"
                )
            self._check_training_parts(self.add_folds(self.data.select_keys()))

    @property
    def _stratum(self) -> str:
        return c.LABEL if self.data.group_col is None else _GROUP_STRATUM

    @cached_property
    def _groups(self) -> DataFrame | None:
        if self.data.group_col is None:
            return None
        return self.data.storage.persist(
            _find_groups(self.data.select_keys()), self.data.profile.num_examples
        )

    @cached_property
    def _cuts(self) -> list[DataFrame]:
        """For each round, the cuts of the order of each stratum, and its first fold. Each stratum begins with
        the fold where the one before ends, so that folds are of equal size.
        """
        if self._groups is None:
            elements, size, sizes = (
                self.data.select_keys(),
                F.lit(1).cast("long"),
                self.data.profile.class_counts,
            )
        else:
            elements, size, sizes = self._groups, F.col(_GROUP_SIZE), _count_strata(self._groups)
        by_name = sorted(sizes, key=self.data.class_name)  # whatever order the classes are in
        first = dict(zip(by_name, accumulate((sizes[key] for key in by_name), initial=0), strict=False))
        ranks = {
            key: [-(-part * rows // self.folds) for part in range(1, self.folds)]
            for key, rows in sizes.items()
        }
        tables = []
        for round_ in range(self.repeats):
            stratum, order = F.col(self._stratum).alias(STRATUM), self._hash(round_).alias(HASH)
            cuts = find_hash_cuts(elements.select(stratum, order, size.alias(WEIGHT)), ranks)
            rows = [(key, cuts[key], first[key] % self.folds) for key in sizes]
            schema = f"{_OF_STRATUM} int, {_CUTS} array<long>, {_FIRST_FOLD} int"
            tables.append(elements.sparkSession.createDataFrame(rows, schema))
        return tables

    def _hash(self, round_: int) -> Column:
        keys = self.data.ids if self.data.group_col is None else [GROUP]
        return hash_of(keys, self.seed, round_)

    def _check_training_parts(self, rows: DataFrame) -> None:
        """Check that no class has all its examples in one fold, which groups may bring about.

        Raises:
            InputError: a class has.
        """
        folds = [F.count_distinct(F.col(FOLDS)[round_]) for round_ in range(self.repeats)]
        is_single = [(count == 1).alias(f"round_{i}") for i, count in enumerate(folds)]
        spread = rows.groupBy(c.LABEL).agg(F.count(F.lit(1)).alias("rows"), *is_single)
        of_any = " OR ".join(f"round_{i}" for i in range(self.repeats))
        found = spread.where(of_any).orderBy(c.LABEL).first()
        if found is not None:
            raise InputError(
                f"group_col: all {found.rows:,} examples of class {self.data.class_name(found[c.LABEL])} "
                "are in groups of one fold: a model that never saw the class cannot predict it. Take finer "
                "groups, fewer folds, or another seed"
            )


def _find_groups(rows: DataFrame) -> DataFrame:
    """Find the groups: of each, the label that most of its examples carry (the lower one on ties), and how
    many examples it has.
    """
    counts = rows.groupBy(GROUP, c.LABEL).agg(F.count(F.lit(1)).alias("rows"))
    most = F.max_by(F.col(c.LABEL), F.struct("rows", -F.col(c.LABEL)))
    return counts.groupBy(GROUP).agg(most.alias(_GROUP_STRATUM), F.sum("rows").alias(_GROUP_SIZE))


def _count_strata(groups: DataFrame) -> Mapping[int, int]:
    counts = (
        groups.groupBy(_GROUP_STRATUM).agg(F.sum(_GROUP_SIZE).alias("rows")).orderBy(_GROUP_STRATUM).collect()
    )
    return {row[_GROUP_STRATUM]: row.rows for row in counts}
