"""Corrections of training data before a model is trained: pruning, relabelling, reweighting."""

import logging
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from cl_spark.errors import ColumnTypeError, ConfigurationError, InputError, MissingColumnError
from cl_spark.evidence.packing import ddl
from cl_spark.evidence.workers import map_in_arrow
from cl_spark.methods.classification.label_audit import LabelAudit
from cl_spark.methods.classification.noise import NoiseRates
from cl_spark.methods.learning.training_data import WEIGHT, TrainingData
from cl_spark.methods.learning.weights import IMPORTANCE, ImportanceWeights, check_dense, invert_noise
from cl_spark.tables import columns as c

logger = logging.getLogger(__name__)

How = Literal["prune", "reweight", "relabel"]


@dataclass(frozen=True)
class Findings:
    """Label issues of a table, and what they follow from.

    Attributes:
        issues: as `LabelAudit.find_label_issues` returns them.
        audit: the audit; None where the caller brought the issues alone.
        pred_probs: ids, label and pred_probs, where there are some.
    """

    issues: DataFrame
    audit: LabelAudit | None = None
    pred_probs: DataFrame | None = None

    @cached_property
    def noise_rates(self) -> NoiseRates | None:
        """Noise rates of the classes, estimated by the audit."""
        return None if self.audit is None else self.audit.noise_rates()


@dataclass(frozen=True)
class Corrected:
    """Rows to train on.

    Attributes:
        rows: the rows.
        weight: the column of their weights; None if they have none.
        num_rows: how many there are.
    """

    rows: DataFrame
    weight: str | None
    num_rows: int


@dataclass(frozen=True)
class Correction:
    """Correct rows by their label issues before the last training.

    Attributes:
        data: the table.
        found: its label issues.
        takes_weights: the estimator takes weights.
    """

    data: TrainingData
    found: Findings
    takes_weights: bool

    def apply(self, rows: DataFrame, how: How) -> Corrected:
        """Correct rows as `TrainingData.select_examples` returns them.

        Raises:
            InputError: a class loses all its examples.
        """
        if how == "prune":
            return self._prune(rows)
        num_rows = self.data.profile.num_examples
        if how == "relabel":
            return Corrected(self._relabel(rows), self._own_weight, num_rows)
        return Corrected(self._reweight(rows), WEIGHT, num_rows)

    @property
    def _own_weight(self) -> str | None:
        return None if self.data.weight_col is None else WEIGHT

    def _prune(self, rows: DataFrame) -> Corrected:
        issues = self.found.issues.select(*self.data.select_ids())
        kept = rows.join(issues, self.data.ids, "left_anti")
        left = self.data.select_keys().join(issues, self.data.ids, "left_anti")
        counts = {row[c.LABEL]: row["count"] for row in left.groupBy(c.LABEL).count().collect()}
        before = self.data.profile.class_counts
        lost = [index for index in before if counts.get(index, 0) == 0]
        if lost:
            raise InputError(
                f"label_issues: all {before[lost[0]]:,} examples of class {self.data.class_name(lost[0])} "
                "are issues, and nothing is left to learn it from: raise min_examples_per_class, or take "
                "another filter_by"
            )
        shrunk = [index for index in before if counts[index] < before[index]]
        rates = self.found.noise_rates
        if not self.takes_weights or rates is None or not shrunk:
            return Corrected(kept, self._own_weight, sum(counts.values()))
        weights = {index: 1 / rate for index, rate in self._diagonal(rates).items() if index in shrunk}
        table = rows.sparkSession.createDataFrame(list(weights.items()), f"{c.LABEL} int, _of_class double")
        weighted = kept.join(F.broadcast(table), c.LABEL, "left")
        weighted = self._multiply(weighted, F.coalesce(F.col("_of_class"), F.lit(1.0)))
        return Corrected(weighted, WEIGHT, sum(counts.values()))

    def _diagonal(self, rates: NoiseRates) -> dict[int, float]:
        """Find p(given label = k | true label = k) of each class."""
        same = rates.rates.where(F.col(c.GIVEN_LABEL) == F.col(c.TRUE_LABEL))
        return {given: rate for given, _, rate in self._read_rates(same)}

    def _read_rates(self, rates: DataFrame) -> list[tuple[int, int, float]]:
        """Read cells of noise rates: index of the given and of the true class, and rate."""
        given, true = (self.data.class_index(rates, col) for col in (c.GIVEN_LABEL, c.TRUE_LABEL))
        return [tuple(row) for row in rates.select(given, true, c.NOISE_RATE).collect()]

    def _multiply(self, rows: DataFrame, factor: Column) -> DataFrame:
        own = F.lit(1.0) if self.data.weight_col is None else F.col(WEIGHT)
        return rows.withColumn(WEIGHT, own * factor)

    def _relabel(self, rows: DataFrame) -> DataFrame:
        issues = self.found.issues
        if c.SUGGESTED_LABEL not in issues.columns:
            raise ConfigurationError(
                f"label_issues: how='relabel' needs the column {c.SUGGESTED_LABEL!r}; there are "
                f"{', '.join(issues.columns)}"
            )
        suggested = self.data.class_index(issues, c.SUGGESTED_LABEL)
        unknown = issues.where(suggested.isNull() | ~suggested.between(0, self.data.num_classes - 1))
        found = unknown.select(c.SUGGESTED_LABEL).first()
        if found is not None:
            raise InputError(f"label_issues: the {c.SUGGESTED_LABEL} {found[0]!r} is no class")
        suggested = suggested.alias("_suggested")
        joined = rows.join(issues.select(*self.data.select_ids(), suggested), self.data.ids, "left")
        return joined.withColumn(c.LABEL, F.coalesce("_suggested", c.LABEL)).drop("_suggested")

    def _reweight(self, rows: DataFrame) -> DataFrame:
        probs, rates = self.found.pred_probs, self.found.noise_rates
        if probs is None or rates is None:
            raise ConfigurationError("how: 'reweight' follows from probabilities, and only issues are known")
        label = self.data.class_index(probs, "label").alias(c.LABEL)
        renamed = probs.select(*self.data.select_ids(), label, "pred_probs")
        matrix = self._matrix(rates)
        weak = np.flatnonzero(matrix.argmax(axis=0) != np.arange(len(matrix)))
        if len(weak):
            logger.warning(
                "how='reweight': examples of class %s are estimated to carry another label more often than "
                "their own (%d of %d classes); weights from such rates are poor: compare with how='prune'",
                self.data.class_name(int(weak[0])),
                len(weak),
                len(matrix),
            )
        function = ImportanceWeights(invert_noise(matrix), tuple(self.data.ids), c.LABEL)
        weights = map_in_arrow(renamed, function, ddl({**self.data.id_types, IMPORTANCE: "double"}))
        weighted = self._multiply(rows.join(weights, self.data.ids), F.col(IMPORTANCE))
        return weighted.drop(IMPORTANCE)

    def _matrix(self, rates: NoiseRates) -> Any:
        """Noise matrix p(given | true), (K, K); classes that no label carries are not confused.

        Raises:
            ConfigurationError: there are too many classes for a dense matrix.
        """
        size = self.data.num_classes
        check_dense(size)
        matrix = np.zeros((size, size))
        for given, true, rate in self._read_rates(rates.rates):
            matrix[given, true] = rate
        empty = np.flatnonzero(matrix.sum(axis=0) == 0)
        matrix[empty, empty] = 1.0
        return matrix


def check_issues(data: TrainingData, issues: DataFrame) -> None:
    """Check label issues that the user brings: each is an example of the table, once.

    Raises:
        MissingColumnError: an id column is missing.
        ColumnTypeError: ids are of another type than in the table.
        InputError: an id comes twice, or is of no example.
    """
    types = {field.name: field.dataType for field in issues.schema.fields}
    for col, kind in zip(data.id_columns, data.id_types.values(), strict=True):
        if col not in types:
            raise MissingColumnError(
                f"label_issues: no id column {col!r}; there are {', '.join(map(repr, types))}"
            )
        found = types[col].simpleString()
        if found != kind and not {found, kind} <= WHOLE_TYPES:
            raise ColumnTypeError(
                f"label_issues: column {col!r} is {found}, and {kind} in the table, which do not compare: "
                "cast it"
            )
    ids = issues.select(*data.select_ids())
    total, different = ids.count(), ids.distinct().count()
    if total != different:
        raise InputError(
            f"label_issues: {total - different:,} of {total:,} rows repeat the id of another row"
        )
    strangers = ids.join(data.select_keys(), data.ids, "left_anti")
    example = strangers.first()
    if example is not None:
        raise InputError(
            f"label_issues: {strangers.count():,} of {total:,} ids are of no example in the table, such as "
            f"{', '.join(map(repr, example))}"
        )


WHOLE_TYPES = {"tinyint", "smallint", "int", "bigint"}
"""Types of ids that compare with each other."""
