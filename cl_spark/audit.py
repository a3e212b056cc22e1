"""`LabelAudit`: one object that scans the data once and answers every question from the evidence it keeps."""

import logging
from collections.abc import Sequence
from functools import cached_property, reduce
from types import TracebackType

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from pyspark.sql import Column, DataFrame, Row
from pyspark.sql import functions as F

from cl_spark import columns as c
from cl_spark import filters, health, noise, scores
from cl_spark import joint as joints
from cl_spark.cards import card
from cl_spark.cells import DRIVER_CELLS, CellTable
from cl_spark.cuts import FEW
from cl_spark.errors import ConfigurationError, one_line
from cl_spark.filters import Bounds, FilterOptions
from cl_spark.health import HealthSummary
from cl_spark.ids import repeated_ids
from cl_spark.joint import ConfidentJoint
from cl_spark.kernels.confident import NO_CLASS
from cl_spark.matching import matched
from cl_spark.noise import NoiseRates
from cl_spark.predictions import REASONS, Predictions, Refusal, is_example, keeps_array, suspect, where_computed
from cl_spark.ranking import ranked
from cl_spark.storage import Storage
from cl_spark.thresholds import LENGTH_FIRST, ClassStatistics, class_aggregates, class_statistics

logger = logging.getLogger(__name__)


class LabelAudit:
    """The audit of one table of given labels and predicted probabilities.

    The first question scans the data once and keeps some 40 bytes a row in Spark's cache (plus the arrays of suspects);
    further questions are answered from there, but for the options that need every array (scores by entropy or of adjusted
    probabilities). Use it as a context manager, or call `release`, to free the cache.

    Args:
        df: any Spark DataFrame, classic or Connect, one row per example.
        id_col: id column, or a list of columns for a composite key. Rows that share an id are rejected; ids order ties.
        label_col: given label: index of the class (integer) or its name (string).
        pred_probs_col: out-of-sample predicted probabilities: array<float|double> of length K, an ML vector, or a list of K
            columns. Or sparse, for very many classes: a map<int, float> or array<struct<class int, prob float>> with the
            classes worth listing. Scores and logits are accepted where a method is invariant to scale.
        class_names: names of the K classes in the order of the probabilities; results then show names. Needed for text
            labels, unless the K columns' names are the class names.
        num_classes: K, where nothing else tells it: sparse probabilities need it.
        absent_prob: value of the classes a sparse list leaves out. Default 0.
        labels: a second table that holds the ids and the given labels, where `df` holds ids and probabilities only. Ids on
            one side only are rejected and counted, never dropped in silence.
        probabilities: promise that the values are probabilities: rows with a negative one, or a sum off 1 by more than 0.01, are
            rejected. Default False: scores of any scale.
        check_ids: look for ids that several rows share, and reject those rows. Default True; leave it to a table that is
            known to have a key, as it costs a shuffle of the ids.
        thresholds: K confident thresholds to use instead of the rows' own: those of an earlier audit.
        slice_by: columns (of `df`, or of `labels`) for whose values `slice_health` tells health apart.
        evidence_path: a directory to write the evidence to (Parquet), for sessions that refuse to cache, such as serverless
            ones; results have to be read before `release`, which removes it. Default None: cached in memory and on local disk,
            or scanned again where that is refused.
        expected_rows: about how many rows there are, where that is known: it decides how evidence is kept, never what is found.

    Raises:
        ConfigurationError: the arguments contradict each other.
        InputError: a column is missing or unusable (at once), or the rows are (at the first question).

    Source: Northcutt, Jiang, Chuang, "Confident Learning", JAIR 2021.

    Example:
        >>> with LabelAudit(df) as audit:
        ...     worst = audit.find_label_issues().orderBy("rank").limit(10).toPandas()
        ...     healthy = audit.health_summary().overall_health
        >>> len(worst), 0 < healthy < 1
        (10, True)
    """

    def __init__(
        self,
        df: DataFrame,
        *,
        id_col: str | Sequence[str] = "id",
        label_col: str = "label",
        pred_probs_col: str | Sequence[str] = "pred_probs",
        class_names: Sequence[str] | None = None,
        num_classes: int | None = None,
        absent_prob: float = 0.0,
        labels: DataFrame | None = None,
        probabilities: bool = False,
        check_ids: bool = True,
        slice_by: Sequence[str] = (),
        thresholds: Sequence[float] | None = None,
        evidence_path: str | None = None,
        expected_rows: int = 0,
    ) -> None:
        if labels is not None:
            df = matched(df, labels, [id_col] if isinstance(id_col, str) else id_col, label_col, slice_by)
        self.predictions = Predictions(
            df, id_col, label_col, pred_probs_col, class_names, num_classes, absent_prob, probabilities, slice_by
        )
        self._check_ids = check_ids
        self._expected_rows = expected_rows
        self._given_thresholds = thresholds
        self._spark = df.sparkSession
        self._storage = Storage(evidence_path)
        self._pruned: dict[tuple[float, tuple[int, ...] | None, int], DataFrame] = {}

    def __enter__(self) -> "LabelAudit":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.release()

    def release(self) -> None:
        """Free what was cached. Results already returned stay valid, but for an `evidence_path`; they scan the data again."""
        self._storage.release()

    def _repr_html_(self) -> str:
        """What is known so far: showing an audit scans nothing."""
        table, probs = self.predictions, self.predictions.pred_probs_col
        columns: dict[str, object] = {
            "id": ", ".join(table.id_columns),
            "given label": table.label_col,
            "predicted probabilities": probs if isinstance(probs, str) else f"{len(probs)} columns",
        }
        if "_aggregated" not in self.__dict__:
            return card("Label audit", columns, notes=["Not scanned yet: its first question scans the data once."])
        numbers: dict[str, object] = {
            "examples": self.num_examples,
            "classes": self.num_classes,
            "rejected rows": self.statistics.num_rejected,
        }
        if "_joint" in self.__dict__:
            numbers["estimated label issues"] = self.num_label_issues()
        return card("Label audit", {**columns, **numbers})

    # The evidence and what is known of it -----------------------------------------------------------------------------

    @cached_property
    def _read(self) -> tuple[DataFrame, list[Row]]:
        """The evidence of the rows each by itself, and what is aggregated of it."""
        evidence = self._storage.keep(self.predictions.evidence(keep_arrays=self._keep_arrays))
        if not self._keep_arrays:
            evidence = evidence.withColumn(c.PROBS, F.lit(None).cast(self.predictions.layout.type))
        return evidence, class_aggregates(evidence.where(is_example()), Bounds.aggregates())

    @cached_property
    def _keep_arrays(self) -> bool:
        """Whether the evidence holds arrays of some rows: not of many short ones, which are as soon read again."""
        return self._expected_rows <= FEW or not self.predictions.are_short()

    @cached_property
    def _repeated(self) -> DataFrame | None:
        """The ids that several rows share; None if there are none."""
        if not self._check_ids:
            return None
        evidence, aggregates = self._read
        few = sum(row.examples for row in aggregates) <= FEW
        return repeated_ids(evidence.where(is_example()), self.predictions.ids, self._storage.keep, few=few)

    @cached_property
    def _evidence(self) -> DataFrame:
        evidence, _ = self._read
        return evidence if self._repeated is None else self._storage.keep(self._without_repeated(evidence))

    def _without_repeated(self, rows: DataFrame) -> DataFrame:
        """The rows, refused where others have the same id."""
        if self._repeated is None:
            return rows
        marked = rows.join(self._repeated.withColumn("_is_repeated", F.lit(True)), self.predictions.ids, "left")
        refusal = F.when(F.col("_is_repeated"), F.lit(int(Refusal.REPEATED_ID)).cast("byte")).otherwise(F.col(c.REFUSAL))
        return marked.withColumn(c.REFUSAL, refusal).drop("_is_repeated")

    @cached_property
    def _aggregated(self) -> tuple[ClassStatistics, list[Row]]:
        _, rows = self._read
        if self._repeated is not None:
            rows = class_aggregates(self._evidence.where(is_example()), Bounds.aggregates())
        return class_statistics(rows, self.predictions.known_classes, may_be_empty=self._given_thresholds is not None)

    @property
    def statistics(self) -> ClassStatistics:
        """Counts and exact sums of the self-confidences per class, and rows refused by reason: a value that merges."""
        return self._aggregated[0]

    @cached_property
    def _thresholds(self) -> NDArray[np.float64]:
        if self._given_thresholds is None:
            return self.statistics.thresholds()
        if len(self._given_thresholds) != self.num_classes:
            raise ConfigurationError(f"thresholds: {len(self._given_thresholds)} were given for {self.num_classes} classes")
        return np.asarray(self._given_thresholds, dtype=np.float64)

    @property
    def _entries(self) -> DataFrame:
        """The evidence of accepted rows, runners-up too."""
        return self._evidence.where(self._accepted)

    @property
    def _rows(self) -> DataFrame:
        """Accepted rows; some suspects carry their arrays."""
        return self._entries.where(is_example())

    def _all_arrays(self, of_classes: DataFrame | None = None) -> DataFrame:
        """Accepted rows (of some given classes), all with arrays and second highest probability: another scan of the data."""
        examples = self._without_repeated(self.predictions.examples(of_classes=of_classes, keep_arrays=self._keep_arrays))
        return where_computed(examples.withColumn(c.SECOND, self.predictions.layout.second()), self._accepted)

    @property
    def _accepted(self) -> Column:
        return (F.col(c.REFUSAL) == 0) & (F.col(c.LENGTH) == self.num_classes)

    @cached_property
    def _settled(self) -> DataFrame:
        return joints.with_confident_class(self._rows, self._thresholds)

    @cached_property
    def _settled_cells(self) -> CellTable:
        return self._cells(joints.counted_cells(self._settled))

    def _cells(self, cells: DataFrame) -> CellTable:
        """Cells, computed once: on the driver unless there are too many."""
        if self.num_classes**2 > DRIVER_CELLS:  # else there cannot be
            cells = self._storage.keep(cells)
            if cells.count() > DRIVER_CELLS:
                return CellTable(self._spark, self.num_classes, cells)
        return CellTable(self._spark, self.num_classes, cells.toPandas())

    @cached_property
    def _contenders(self) -> DataFrame | None:
        """The rows whose runners-up make them confident of a class, with that class; None if no row has to ask them."""
        if not self._settled_cells.where(f"{c.CONFIDENT} == {joints.LISTED}").total(c.COUNT):
            return None
        return joints.contenders(self._entries, self._thresholds, self.predictions.ids)

    @cached_property
    def _examined(self) -> DataFrame | None:
        """The ambiguous rows with their confident class; those without array take another scan. None if none are."""
        ambiguous = F.col(c.CONFIDENT) == joints.AMBIGUOUS
        waiting = self._settled_cells.where(f"{c.CONFIDENT} == {joints.AMBIGUOUS}")
        parts = []
        if waiting.where("_array").total(c.COUNT):
            parts.append(self._settled.where(ambiguous & F.col(c.PROBS).isNotNull()))
        if waiting.where("not _array").total(c.COUNT):
            others = joints.with_confident_class(self._all_arrays(), self._thresholds)
            parts.append(where_computed(others, ambiguous & ~keeps_array(self._keep_arrays)))
        kept = [*self.predictions.ids, c.GIVEN, c.PREDICTED, c.SELF, c.MAX_PROB, c.PROBS]
        layout = self.predictions.layout
        examined = [joints.examined(part.select(*kept), layout, self._thresholds) for part in parts]
        return self._storage.keep(reduce(DataFrame.unionByName, examined)) if examined else None

    @property
    def _settled_later(self) -> list[DataFrame]:
        """What `_settled` leaves open, settled."""
        return [rows for rows in (self._contenders, self._examined) if rows is not None]

    @cached_property
    def _joint(self) -> ConfidentJoint:
        counted = self._settled_cells.where(f"{c.CONFIDENT} >= {NO_CLASS}")
        for more in self._settled_later:
            cells = self._cells(joints.counted_cells(more))
            counted = counted.merged(cells, [c.GIVEN, c.CONFIDENT, "_suspect"], c.COUNT).kept(self._storage.keep)
        return ConfidentJoint(counted, self.statistics.class_counts, self._storage.keep)

    @property
    def _confident_elsewhere(self) -> DataFrame:
        """The rows confidently of another class than their given label; some carry their array."""
        rows = self._settled
        for more in self._settled_later:
            rows = rows.unionByName(more, allowMissingColumns=True)
        return rows.where(joints.is_off_diagonal())

    # Answers ----------------------------------------------------------------------------------------------------------

    @property
    def num_classes(self) -> int:
        """K."""
        return self.statistics.num_classes

    @property
    def num_examples(self) -> int:
        """Rows accepted."""
        return self.statistics.num_examples

    def confident_thresholds(self) -> DataFrame:
        """Confident threshold of each class: the mean self-confidence of the examples that carry it (equation 2).

        Returns:
            K rows: class, examples, threshold. A class no label carries has a threshold nothing reaches (2; infinity for
            scores that are no probabilities).
        """
        frame = pd.DataFrame(
            {
                c.CLASS: np.arange(self.num_classes),
                c.EXAMPLES: self.statistics.class_counts,
                c.THRESHOLD: self._thresholds,
            }
        )
        return self._named(self._spark.createDataFrame(frame), {c.CLASS: c.CLASS})

    def confident_joint(self, *, calibrate: bool = True) -> DataFrame:
        """The confident joint (equation 1), sparse.

        Args:
            calibrate: scale each given class to its number of examples and round; else the counts as they are, with every
                diagonal cell at least 1.

        Returns:
            A row per non-zero cell: given_label, true_label, count.
        """
        cells = self._joint.calibrated if calibrate else self._joint.raised
        return self._named(cells.dataframe().select(c.GIVEN, c.TRUE, c.COUNT), {c.GIVEN: c.GIVEN_LABEL, c.TRUE: c.TRUE_LABEL})

    def confident_joint_table(self) -> DataFrame:
        """Every non-zero cell with all that is known of it: the columns of the written `confident_joint` table."""
        keys = [c.GIVEN, c.TRUE]
        rates = noise.noise_rates(self._joint.calibrated).renamed(c.COUNT, c.CALIBRATED_COUNT)
        joint = self._joint.joint.renamed(c.COUNT, "_joint")
        table = self._joint.raised.with_columns_of(rates, keys).with_columns_of(joint, keys).dataframe()
        table = table.withColumn(c.JOINT, F.col("_joint") / F.lit(float(self.num_examples))).fillna(0)
        values = [c.COUNT, c.CALIBRATED_COUNT, c.JOINT, c.NOISE_RATE, c.INVERSE_NOISE_RATE]
        whole = {c.COUNT, c.CALIBRATED_COUNT}
        columns = [F.col(name).cast("long") if name in whole else F.col(name) for name in values]
        return self._named(table.select(*keys, *columns), {c.GIVEN: c.GIVEN_LABEL, c.TRUE: c.TRUE_LABEL})

    def noise_rates(self, *, method: str = "cnt") -> NoiseRates:
        """Noise rates p(given | true), inverse noise rates p(true | given), and the prior of the true classes.

        Args:
            method: how the prior is estimated: "cnt", "eqn", "marginal" or "marginal_ps" (see `noise.prior`).

        Raises:
            ConfigurationError: unknown method, or "eqn" where the system cannot be solved.
        """
        prior = noise.prior(self._joint.calibrated, self.statistics.class_counts, method)
        frame = self._spark.createDataFrame(pd.DataFrame({c.CLASS: np.arange(self.num_classes), c.PRIOR: prior}))
        rates = noise.noise_rates(self._joint.calibrated).dataframe()
        return NoiseRates(
            self._named(
                rates.select(c.GIVEN, c.TRUE, c.NOISE_RATE, c.INVERSE_NOISE_RATE),
                {c.GIVEN: c.GIVEN_LABEL, c.TRUE: c.TRUE_LABEL},
            ),
            self._named(frame, {c.CLASS: c.CLASS}),
        )

    def num_label_issues(self, *, estimation_method: str = "off_diagonal", confident_joint: ArrayLike | None = None) -> int:
        """Estimated number of label issues.

        Args:
            estimation_method: "off_diagonal" (default): rows counted off the diagonal whose label another class beats;
                "off_diagonal_calibrated": off-diagonal mass of the joint times n; "off_diagonal_custom": the same from the
                caller's joint; "off_diagonal_fraction": share of counted rows off the diagonal times n, rounded down.
            confident_joint: (K, K) counts, for "off_diagonal_custom" only.

        Raises:
            ConfigurationError: unknown method, or a joint missing, superfluous or of the wrong shape.
        """
        if estimation_method not in filters.ESTIMATES:
            raise ConfigurationError(
                f"estimation_method={estimation_method!r} is unknown; choose one of {', '.join(filters.ESTIMATES)}"
            )
        if (confident_joint is None) == (estimation_method == "off_diagonal_custom"):
            raise ConfigurationError("confident_joint goes with estimation_method='off_diagonal_custom', and only with it")
        if confident_joint is None:
            return self._joint.num_issues(estimation_method)
        dense = np.asarray(confident_joint)
        if dense.shape != (self.num_classes, self.num_classes):
            raise ConfigurationError(f"confident_joint has shape {dense.shape}; it must be {(self.num_classes,) * 2}")
        return self._joint.num_issues(estimation_method, joints.from_dense(self._spark, dense))

    def label_quality_scores(self, *, method: str = "self_confidence", adjust_pred_probs: bool = False) -> DataFrame:
        """A label quality score for every accepted row; lower means more likely wrong (SEMANTICS 5).

        Args:
            method: "self_confidence", answered from the evidence, or "normalized_margin" or "confidence_weighted_entropy", which
                read the arrays again.
            adjust_pred_probs: subtract the confident thresholds from the probabilities first, which reads the arrays again;
                not with entropy.

        Returns:
            The id columns, given_label, predicted_label, label_quality.

        Raises:
            ConfigurationError: unknown method, or an option that needs probabilities on scores.
        """
        self._check_method(method, adjust_pred_probs, "method")
        rows = self._rows if method == "self_confidence" and not adjust_pred_probs else self._all_arrays()
        if scores.needs_arrays(method, adjust_pred_probs):
            rows = rows.select(*self.predictions.ids, c.GIVEN, c.PREDICTED, c.PROBS)
        scored = scores.with_label_quality(rows, self.predictions.layout, method, adjust_pred_probs, self._thresholds)
        return scored.select(
            *self.predictions.restore_ids(),
            self.predictions.class_column(c.GIVEN).alias(c.GIVEN_LABEL),
            self.predictions.class_column(c.PREDICTED).alias(c.PREDICTED_LABEL),
            c.LABEL_QUALITY,
        )

    def find_label_issues(
        self,
        *,
        filter_by: str = "prune_by_noise_rate",
        rank_by: str = "self_confidence",
        adjust_pred_probs: bool = False,
        frac_noise: float = 1.0,
        num_to_remove_per_class: Sequence[int] | None = None,
        min_examples_per_class: int = 1,
        num_issues: int | str | None = None,
    ) -> DataFrame:
        """The examples whose label is probably wrong, ranked (JAIR 2021, section 3.2).

        Args:
            filter_by: "prune_by_noise_rate" (default), "prune_by_class", "both", "confident_learning",
                "predicted_neq_given", "low_self_confidence", "low_normalized_margin", or "off_diagonal" (the paper's C_conf).
            rank_by: label quality score that ranks the issues: "self_confidence", "normalized_margin" or
                "confidence_weighted_entropy".
            adjust_pred_probs: rank by scores of adjusted probabilities; not with entropy.
            frac_noise: share of the estimated noise to prune, in [0, 1]; with the three pruning filters.
            num_to_remove_per_class: K numbers, how many of each given class to prune; with the pruning filters.
            min_examples_per_class: examples every class keeps; smaller classes are not pruned. With the pruning filters.
            num_issues: how many issues the two low_* filters take: a number, or a method of `num_label_issues`. Default None
                is "off_diagonal".

        Returns:
            The id columns, given_label, suggested_label (the class of highest probability), label_quality (by `rank_by`),
            self_confidence, normalized_margin, rank (1 = worst; ties go to the lower id).

        Raises:
            ConfigurationError: an option is unknown, out of range, or does not go with the filter.
        """
        options = FilterOptions(filter_by, frac_noise, num_to_remove_per_class, min_examples_per_class, num_issues)
        self._check_method(rank_by, adjust_pred_probs, "rank_by")
        flagged = self._second_known(self._flagged(options))
        if scores.needs_arrays(rank_by, adjust_pred_probs):
            flagged = self._with_arrays(flagged)
        scored = scores.with_label_quality(
            flagged.withColumn(c.NORMALIZED_MARGIN, scores.margin()),
            self.predictions.layout,
            rank_by,
            adjust_pred_probs,
            self._thresholds,
        )
        ids = self.predictions.ids
        narrow = scored.select(*ids, c.GIVEN, c.PREDICTED, c.LABEL_QUALITY, c.SELF, c.NORMALIZED_MARGIN)
        few = self._few_suspects or (isinstance(num_issues, int) and num_issues <= FEW)
        narrow = narrow if few else self._storage.keep(narrow)
        return ranked(narrow, c.LABEL_QUALITY, ids, c.RANK, few=few).select(
            *self.predictions.restore_ids(),
            self.predictions.class_column(c.GIVEN).alias(c.GIVEN_LABEL),
            self.predictions.class_column(c.PREDICTED).alias(c.SUGGESTED_LABEL),
            c.LABEL_QUALITY,
            F.col(c.SELF).cast("double").alias(c.SELF_CONFIDENCE),
            c.NORMALIZED_MARGIN,
            c.RANK,
        )

    def health_summary(self, *, asymmetric: bool = False) -> HealthSummary:
        """Health of each class, the most confused pairs, and the overall health (SEMANTICS 6).

        Args:
            asymmetric: list overlapping classes as ordered pairs (class_a the given label, class_b the true class) instead of
                unordered ones.
        """
        joint, counts = self._joint.joint, self.statistics.class_counts
        classes = self._spark.createDataFrame(health.class_health(joint, counts, self._thresholds))
        pairs = health.overlapping_classes(joint, self.num_examples, asymmetric=asymmetric)
        issues = self.num_label_issues()
        return HealthSummary(
            class_health=self._named(classes, {c.CLASS: c.CLASS}),
            overlapping_classes=self._named(pairs, {c.CLASS_A: c.CLASS_A, c.CLASS_B: c.CLASS_B}),
            overall_health=1 - issues / self.num_examples,
            num_issues=issues,
            num_examples=self.num_examples,
        )

    def slice_health(self) -> DataFrame:
        """Health of the examples with each value of the columns `slice_by`: which source, annotator or day has the worst labels.

        Label issues are those `overall_health` counts, so over the values of a column they add up to its `num_issues`. The
        interval is Wilson's at 95 %: a value with few examples has a wide one, so rank by `upper` to find what is surely bad.

        Returns:
            slice_column, slice_value, examples, label_issues, label_quality, lower, upper.
        """
        ids, slices = self.predictions.ids, self.predictions.slices
        wrong = self._confident_elsewhere.where(suspect()).select(*ids).withColumn("_wrong", F.lit(1))
        rows = self._rows.select(*ids, *slices).join(wrong, ids, "left")
        pairs = [F.struct(F.lit(col).alias("slice_column"), F.col(name).alias("slice_value"))
                 for col, name in zip(self.predictions.slice_by, slices, strict=True)]  # fmt: skip
        if not pairs:
            raise ConfigurationError("slice_health needs columns to slice by: pass slice_by to LabelAudit")
        counts = (
            rows.select(F.inline(F.array(*pairs)), "_wrong")
            .groupBy("slice_column", "slice_value")
            .agg(F.count(F.lit(1)).alias(c.EXAMPLES), F.coalesce(F.sum("_wrong"), F.lit(0)).alias(c.LABEL_ISSUES))
        )
        return counts.select("*", (1 - F.col(c.LABEL_ISSUES) / F.col(c.EXAMPLES)).alias(c.LABEL_QUALITY), *health.wilson())

    def score_distribution(self, issues: DataFrame) -> DataFrame:
        """How the self-confidences of each class are spread, in twenty ranges, and how many of each range are issues.

        Args:
            issues: what `find_label_issues` found.

        Returns:
            class, lower, upper, examples, label_issues; ranges without examples are left out.
        """
        stats = self.statistics
        low, high = (0.0, 1.0) if stats.are_probabilities else (stats.lowest, max(stats.highest, stats.lowest + 1e-12))
        rows = self._named(self._rows.select(c.GIVEN, c.SELF), {c.GIVEN: c.CLASS}).withColumn("_issue", F.lit(0))
        flagged = issues.select(
            F.col(c.GIVEN_LABEL).alias(c.CLASS), F.col(c.SELF_CONFIDENCE).alias(c.SELF), F.lit(1).alias("_issue")
        )
        return health.score_distribution(rows.unionByName(flagged), low, high)

    def rejected(self) -> DataFrame:
        """The input rows that could not be used: id columns, reason, and the row as JSON. Another scan of the data."""
        rows = self._without_repeated(self.predictions.examples(source=True))
        if not self.statistics.num_rejected:
            rows = rows.where(F.lit(False))  # which Spark knows without reading
        wrong_length = (F.col(c.LENGTH) != self.num_classes) & F.col(c.REFUSAL).isin(*map(int, LENGTH_FIRST))
        code = F.when(wrong_length, F.lit(int(Refusal.WRONG_LENGTH))).otherwise(F.col(c.REFUSAL))
        reasons = reduce(
            lambda other, reason: F.when(code == int(reason), F.lit(REASONS[reason])).otherwise(other),
            REASONS,
            F.lit(None).cast("string"),
        )
        return where_computed(rows, code != 0).select(*self.predictions.restore_ids(), reasons.alias(c.REASON), c.ROW)

    # Parts of the answers ---------------------------------------------------------------------------------------------

    def _check_method(self, method: str, adjust_pred_probs: bool, option: str) -> None:
        scores.check_method(method, adjust_pred_probs, option)
        if scores.needs_arrays(method, adjust_pred_probs):
            what = "adjust_pred_probs" if adjust_pred_probs else f"{option}={method!r}"
            scores.check_probabilities(self.statistics.are_probabilities, self.statistics.lowest, self.statistics.highest, what)

    def _flagged(self, options: FilterOptions) -> DataFrame:
        ids, kind = self.predictions.ids, options.filter_by
        if kind == "predicted_neq_given":
            return filters.predicted_neq_given(self._rows)
        if kind == "confident_learning":
            return self._confident_elsewhere.where(suspect())
        if kind == "off_diagonal":
            return self._with_second(self._confident_elsewhere)
        if kind in filters.LOWEST:
            return self._with_second(self._lowest(kind, options.num_issues))
        self._warn_of_small_classes(options.min_examples_per_class)
        rows, remove = self._rows, filters.removals(self._joint.calibrated, self.statistics.class_counts, options)
        if kind in ("prune_by_class", "both"):
            rows = filters.pruned_by_class(rows, ids, remove.dataframe(), few=self.num_examples <= FEW)
        if kind in ("prune_by_noise_rate", "both"):
            by_rate = self._pruned_by_noise_rate(options, remove)
            rows = by_rate if kind == "prune_by_noise_rate" else rows.drop(c.PROBS).join(by_rate.select(*ids), ids, "left_semi")
        return rows

    def _pruned_by_noise_rate(self, options: FilterOptions, remove: CellTable) -> DataFrame:
        """What two filters ask for, chosen once."""
        wanted = options.num_to_remove_per_class
        key = (options.frac_noise, None if wanted is None else tuple(wanted), options.min_examples_per_class)
        if key not in self._pruned:
            self._pruned[key] = filters.pruned_by_noise_rate(
                self._entries,
                self._all_arrays,
                self.predictions.layout,
                self.predictions.ids,
                remove,
                Bounds.of(self._aggregated[1], self.num_classes),
                self._storage.keep,
                self._cells,
                few=self._few_suspects,
                small=not self._keep_arrays or self._suspects * self.num_classes <= FEW,
                keep_arrays=self._keep_arrays,
            )
        return self._pruned[key]

    def _lowest(self, kind: str, wanted: int | str | None) -> DataFrame:
        """The rows of lowest score.

        A suspect's margin is below 0.5 and needs no second highest probability; that of a row whose given label is predicted
        is not below. So as long as there are suspects enough, only rows that predict another class matter: others are read
        again.
        """
        number = wanted if isinstance(wanted, int) else self.num_label_issues(estimation_method=wanted or "off_diagonal")
        rows, score = self._rows, F.col(c.SELF).cast("double")
        if kind == "low_normalized_margin":
            score = scores.margin()
            if number <= self._suspects:
                rows = self._second_known(rows.where(F.col(c.PREDICTED) != F.col(c.GIVEN)))
            else:
                rows = self._all_arrays()
        return filters.lowest_scores(rows, self.predictions.ids, score, number, few=self.num_examples <= FEW)

    def _with_second(self, flagged: DataFrame) -> DataFrame:
        """The flagged rows with the second highest probability where the margin needs it; it may take another scan."""
        ids, flagged = self.predictions.ids, self._second_known(flagged)
        needs = (F.col(c.PREDICTED) == F.col(c.GIVEN)) & F.col(c.SECOND).isNull()
        waiting = self._storage.keep(flagged.where(needs).select(*ids))
        if waiting.isEmpty():
            return flagged
        runners_up = self._entries.where(~is_example()).join(waiting, ids, "left_semi")
        found = self._storage.keep(runners_up.groupBy(*ids).agg(F.max(c.VALUE).alias("_found")))
        missing = waiting.join(found, ids, "left_anti")
        if not missing.isEmpty():
            others = self._all_arrays().join(F.broadcast(missing), ids, "left_semi")
            found = found.unionByName(others.select(*ids, F.col(c.SECOND).alias("_found")))
        return flagged.join(found, ids, "left").withColumn(c.SECOND, F.coalesce(c.SECOND, "_found")).drop("_found")

    def _second_known(self, rows: DataFrame) -> DataFrame:
        """The rows with a second highest probability: as far as it is known, else null."""
        if c.SECOND in rows.columns:
            return rows
        return rows.withColumn(c.SECOND, F.lit(None).cast(self.predictions.layout.element))

    def _with_arrays(self, flagged: DataFrame) -> DataFrame:
        """The flagged rows, each with its array: from the evidence, or from another scan if any lacks it there."""
        ids = self.predictions.ids
        columns = [*ids, c.GIVEN, c.PREDICTED, c.SELF, c.MAX_PROB, c.SECOND, c.PROBS]
        wanted = self._storage.keep(flagged.select(*ids))
        kept = self._second_known(self._rows.where(F.col(c.PROBS).isNotNull())).select(*columns)
        at_hand = kept.join(F.broadcast(wanted), ids, "left_semi")
        missing = self._storage.keep(wanted.join(kept.select(*ids), ids, "left_anti"))
        if missing.isEmpty():
            return at_hand
        others = self._all_arrays().join(F.broadcast(missing), ids, "left_semi")
        return at_hand.unionByName(others.select(*columns))

    @cached_property
    def _suspects(self) -> int:
        """How many rows could be an issue at all."""
        return self._settled_cells.where("_suspect").total(c.COUNT)

    @property
    def _few_suspects(self) -> bool:
        """Whether suspects, and so issues, are few enough to be sorted together."""
        return self._suspects <= FEW

    def _warn_of_small_classes(self, min_examples_per_class: int) -> None:
        counts = self.statistics.class_counts
        small = np.flatnonzero((counts > 0) & (counts <= max(min_examples_per_class, 1)))
        if len(small):
            names = self.predictions.names
            shown = ", ".join(one_line(names[k] if names else k) for k in small[:10]) + (" ..." if len(small) > 10 else "")
            logger.warning(
                "%d classes have at most %d examples and are not pruned: %s",
                len(small), max(min_examples_per_class, 1), shown,
            )  # fmt: skip

    def _named(self, frame: DataFrame, class_columns: dict[str, str]) -> DataFrame:
        """The frame with class indices shown as the results show classes, under new names."""
        return frame.select(
            *[
                self.predictions.class_column(name).alias(class_columns[name]) if name in class_columns else F.col(name)
                for name in frame.columns
            ]
        )
