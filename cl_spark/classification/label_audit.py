"""`LabelAudit`: one object that scans the data once and answers every question from the evidence it keeps."""

import logging
from collections.abc import Iterable, Iterator, Sequence
from functools import reduce
from types import TracebackType

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import ArrayLike
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from cl_spark.classification import confident_joint as joints
from cl_spark.classification import filters, health, noise, scores
from cl_spark.classification.cells import CellTable
from cl_spark.classification.cuts import FEW, QUOTA, CutFinder
from cl_spark.classification.filters import FilterOptions
from cl_spark.classification.health import HealthSummary
from cl_spark.classification.noise import NoiseRates
from cl_spark.classification.ranking import add_rank
from cl_spark.classification.scan import Scan
from cl_spark.classification.thresholds import ClassStatistics, final_reasons
from cl_spark.errors import ConfigurationError, one_line
from cl_spark.evidence.blocks import Block, Source
from cl_spark.evidence.labels import join_labels
from cl_spark.evidence.packing import ddl
from cl_spark.evidence.predictions import Predictions
from cl_spark.evidence.storage import Storage
from cl_spark.evidence.validity import REASONS, RejectionReason
from cl_spark.tables import columns as c
from cl_spark.tables.card import card

logger = logging.getLogger(__name__)


class LabelAudit:
    """The audit of one table of given labels and predicted probabilities.

    The first question scans the data once and keeps some 40 bytes a row in Spark's cache (plus the arrays of suspects),
    packed in blocks that numpy reads; further questions are answered from there, but for the options that need every array
    (scores by entropy or of adjusted probabilities). Use it as a context manager, or call `release`, to free the cache.

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
        read_files: where `df` is a table of Parquet files as they are, on a file system that tasks reach by the same paths, they
            read the arrays themselves, twice as fast as through the JVM. Say False where they cannot. What is found is the same.

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
        read_files: bool = False,
    ) -> None:
        if labels is not None:
            df = join_labels(df, labels, [id_col] if isinstance(id_col, str) else id_col, label_col, slice_by)
        self.predictions = Predictions(
            df,
            id_col,
            label_col,
            pred_probs_col,
            class_names,
            num_classes,
            absent_prob,
            probabilities,
            slice_by,
        )
        if read_files and labels is None:
            self.predictions = self.predictions.read_by_tasks()
        self._spark = df.sparkSession
        self._storage = Storage(evidence_path)
        self._scan = Scan(self.predictions, self._storage.persist, check_ids, thresholds)
        self._pruned: dict[tuple[float, tuple[int, ...] | None, int], DataFrame] = {}

    def __enter__(self) -> "LabelAudit":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
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
        if "aggregated" not in vars(self._scan):
            return card(
                "Label audit", columns, notes=["Not scanned yet: its first question scans the data once."]
            )
        numbers: dict[str, object] = {
            "examples": self.num_examples,
            "classes": self.num_classes,
            "rejected rows": self.statistics.num_rejected,
        }
        if "joint" in vars(self._scan):
            numbers["estimated label issues"] = self.num_label_issues()
        return card("Label audit", {**columns, **numbers})

    # Answers ----------------------------------------------------------------------------------------------------------

    @property
    def statistics(self) -> ClassStatistics:
        """Counts and exact sums of the self-confidences per class, and rows refused by reason: a value that merges."""
        return self._scan.statistics

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
                c.THRESHOLD: self._scan.thresholds,
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
        cells = self._scan.joint.calibrated if calibrate else self._scan.joint.raised
        return self._named(
            cells.dataframe().select(c.GIVEN, c.TRUE, c.COUNT), {c.GIVEN: c.GIVEN_LABEL, c.TRUE: c.TRUE_LABEL}
        )

    def confident_joint_table(self) -> DataFrame:
        """Every non-zero cell with all that is known of it: the columns of the written `confident_joint` table."""
        keys = [c.GIVEN, c.TRUE]
        rates = noise.noise_rates(self._scan.joint.calibrated).renamed(c.COUNT, c.CALIBRATED_COUNT)
        joint = self._scan.joint.joint.renamed(c.COUNT, "_joint")
        table = self._scan.joint.raised.with_columns_of(rates, keys).with_columns_of(joint, keys).dataframe()
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
        prior = noise.prior(self._scan.joint.calibrated, self.statistics.class_counts, method)
        frame = self._spark.createDataFrame(
            pd.DataFrame({c.CLASS: np.arange(self.num_classes), c.PRIOR: prior})
        )
        rates = noise.noise_rates(self._scan.joint.calibrated).dataframe()
        return NoiseRates(
            self._named(
                rates.select(c.GIVEN, c.TRUE, c.NOISE_RATE, c.INVERSE_NOISE_RATE),
                {c.GIVEN: c.GIVEN_LABEL, c.TRUE: c.TRUE_LABEL},
            ),
            self._named(frame, {c.CLASS: c.CLASS}),
        )

    def num_label_issues(
        self, *, estimation_method: str = "off_diagonal", confident_joint: ArrayLike | None = None
    ) -> int:
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
            raise ConfigurationError(
                "confident_joint goes with estimation_method='off_diagonal_custom', and only with it"
            )
        if confident_joint is None:
            return self._scan.joint.num_issues(estimation_method)
        dense = np.asarray(confident_joint)
        if dense.shape != (self.num_classes, self.num_classes):
            raise ConfigurationError(
                f"confident_joint has shape {dense.shape}; it must be {(self.num_classes,) * 2}"
            )
        return self._scan.joint.num_issues(estimation_method, joints.from_dense(self._spark, dense))

    def label_quality_scores(
        self, *, method: str = "self_confidence", adjust_pred_probs: bool = False
    ) -> DataFrame:
        """A label quality score for every accepted row; lower means more likely wrong (SEMANTICS 5).

        Args:
            method: "self_confidence" or "normalized_margin", answered from the evidence, or "confidence_weighted_entropy", which
                reads the arrays again.
            adjust_pred_probs: subtract the confident thresholds from the probabilities first, which reads the arrays again;
                not with entropy.

        Returns:
            The id columns, given_label, predicted_label, label_quality.

        Raises:
            ConfigurationError: unknown method, or an option that needs probabilities on scores.
        """
        self._check_method(method, adjust_pred_probs, "method")
        scored = self._scored(method, adjust_pred_probs, [*self.predictions.ids, c.GIVEN, c.PREDICTED])
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
        options = FilterOptions(
            filter_by, frac_noise, num_to_remove_per_class, min_examples_per_class, num_issues
        )
        self._check_method(rank_by, adjust_pred_probs, "rank_by")
        flagged, ids = (
            self._flagged(options).withColumn(c.NORMALIZED_MARGIN, scores.margin()),
            self.predictions.ids,
        )
        if scores.needs_arrays(rank_by, adjust_pred_probs):
            may_agree = filter_by in (*filters.LOWEST, "off_diagonal")
            flagged = flagged.join(
                self._scored(rank_by, adjust_pred_probs, ids, suspects_only=not may_agree), ids
            )
        else:
            quality = (
                F.col(c.EVIDENCE_SELF_CONFIDENCE).cast("double")
                if rank_by == "self_confidence"
                else F.col(c.NORMALIZED_MARGIN)
            )
            flagged = flagged.withColumn(c.LABEL_QUALITY, quality)
        narrow = flagged.select(
            *ids, c.GIVEN, c.PREDICTED, c.LABEL_QUALITY, c.EVIDENCE_SELF_CONFIDENCE, c.NORMALIZED_MARGIN
        )
        few = self._scan.few_suspects or (isinstance(num_issues, int) and num_issues <= FEW)
        are_kept = filter_by in (*filters.LOWEST, "prune_by_noise_rate", "prune_by_class")
        if not few and (scores.needs_arrays(rank_by, adjust_pred_probs) or not are_kept):
            narrow = self._storage.persist(narrow)
        return add_rank(narrow, c.LABEL_QUALITY, ids, c.RANK, few=few).select(
            *self.predictions.restore_ids(),
            self.predictions.class_column(c.GIVEN).alias(c.GIVEN_LABEL),
            self.predictions.class_column(c.PREDICTED).alias(c.SUGGESTED_LABEL),
            c.LABEL_QUALITY,
            F.col(c.EVIDENCE_SELF_CONFIDENCE).cast("double").alias(c.SELF_CONFIDENCE),
            c.NORMALIZED_MARGIN,
            c.RANK,
        )

    def health_summary(self, *, asymmetric: bool = False) -> HealthSummary:
        """Health of each class, the most confused pairs, and the overall health (SEMANTICS 6).

        Args:
            asymmetric: list overlapping classes as ordered pairs (class_a the given label, class_b the true class) instead of
                unordered ones.
        """
        joint, counts = self._scan.joint.joint, self.statistics.class_counts
        classes = self._spark.createDataFrame(health.class_health(joint, counts, self._scan.thresholds))
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
        if not self.predictions.slice_by:
            raise ConfigurationError("slice_health needs columns to slice by: pass slice_by to LabelAudit")
        slices, wrong = self.predictions.slices, self._scan.confidently_wrong(suspects_only=True)
        parts = [
            health.slice_counts(source, slices, wrong, self._scan.confident_parts, examples=i == 0)
            for i, source in enumerate(self._scan.settled)
        ]
        counts = (
            reduce(DataFrame.unionByName, parts)
            .groupBy("slice", "slice_value")
            .agg(F.sum(c.EXAMPLES).alias(c.EXAMPLES), F.sum(c.LABEL_ISSUES).alias(c.LABEL_ISSUES))
        )
        names = F.array(*map(F.lit, self.predictions.slice_by))
        quality = (1 - F.col(c.LABEL_ISSUES) / F.col(c.EXAMPLES)).alias(c.LABEL_QUALITY)
        named = counts.select(
            F.get(names, F.col("slice")).alias("slice_column"), "slice_value", c.EXAMPLES, c.LABEL_ISSUES
        )
        return named.select("*", quality, *health.wilson())

    def score_distribution(self, issues: DataFrame) -> DataFrame:
        """How the self-confidences of each class are spread, in twenty ranges, and how many of each range are issues.

        Args:
            issues: what `find_label_issues` found.

        Returns:
            class, lower, upper, examples, label_issues; ranges without examples are left out.
        """
        stats = self.statistics
        low, high = (
            (0.0, 1.0)
            if stats.are_probabilities
            else (stats.lowest, max(stats.highest, stats.lowest + 1e-12))
        )
        examples = self._named(health.spread(self._scan.blocks, low, high), {c.GIVEN: c.CLASS})
        flagged = issues.select(
            F.col(c.GIVEN_LABEL).alias(c.CLASS), F.col(c.SELF_CONFIDENCE).alias(c.EVIDENCE_SELF_CONFIDENCE)
        )
        return health.score_distribution(examples, flagged, low, high)

    def rejected(self) -> DataFrame:
        """The input rows that could not be used: id columns, reason, and the row as JSON. Another scan of the data."""
        types = {**self.predictions.id_types, c.REASON: "string", c.ROW: "string"}
        columns = [*self.predictions.restore_ids(), F.col(c.REASON), F.col(c.ROW)]
        if not self.statistics.num_rejected:
            return self._spark.createDataFrame([], ddl(types)).select(*columns)
        block, classes = self.predictions.block(), self.num_classes

        def kernel(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
            for batch in batches:
                found = block(batch)
                codes = final_reasons(found, classes)
                refused = codes > 0
                reasons = pa.array(
                    [REASONS.get(RejectionReason(code)) for code in range(len(RejectionReason))]
                ).take(pa.array(codes[refused]))
                row = batch.column(c.ROW).filter(pa.array(refused))
                yield found.to_batch(refused, list(types), {c.REASON: reasons, c.ROW: row})

        return self.predictions.scan(kernel, ddl(types), self._scan.repeated, source=True).select(*columns)

    # Parts of the answers ---------------------------------------------------------------------------------------------

    def _check_method(self, method: str, adjust_pred_probs: bool, option: str) -> None:
        scores.check_method(method, adjust_pred_probs, option)
        if scores.needs_arrays(method, adjust_pred_probs):
            what = "adjust_pred_probs" if adjust_pred_probs else f"{option}={method!r}"
            scores.check_probabilities(
                self.statistics.are_probabilities, self.statistics.lowest, self.statistics.highest, what
            )

    def _scored(
        self, method: str, adjust_pred_probs: bool, names: Sequence[str], *, suspects_only: bool = False
    ) -> DataFrame:
        """Columns of the accepted rows, or of suspects only, with their label quality."""
        source: Source = self._scan.blocks
        score: scores.Score = scores.margins if method == "normalized_margin" else scores.self_confidences
        if scores.needs_arrays(method, adjust_pred_probs):
            source = self._scan.arrays()
            score = scores.array_scores(
                method, adjust_pred_probs, self._scan.thresholds, self.predictions.prob_format
            )
        types = {name: kind for name, kind in self.predictions.row_types.items() if name in names}

        def kernel(blocks: Iterator[Block]) -> Iterator[pa.RecordBatch]:
            for block in blocks:
                some = block.where(block.suspects) if suspects_only else block
                yield some.to_batch(np.arange(len(some)), list(types), {c.LABEL_QUALITY: score(some)})

        return source(kernel, ddl({**types, c.LABEL_QUALITY: "double"}), ("ids",))

    def _chooser(self, *, few: bool) -> CutFinder:
        return CutFinder(
            self._spark, self.predictions.id_types, self.predictions.row_types, self._storage.persist, few
        )

    def _flagged(self, options: FilterOptions) -> DataFrame:
        ids, kind = self.predictions.ids, options.filter_by
        if kind == "predicted_neq_given":
            return self._scan.rows_where(lambda block: block.suspects, [self._scan.suspect_blocks])
        if kind in ("confident_learning", "off_diagonal"):
            wrong = self._scan.confidently_wrong(suspects_only=kind == "confident_learning")
            return self._scan.rows_where(wrong, self._scan.settled, self._scan.confident_parts)
        if kind in filters.LOWEST:
            wanted = options.num_issues
            number = (
                wanted
                if isinstance(wanted, int)
                else self.num_label_issues(estimation_method=wanted or "off_diagonal")
            )
            score = scores.margins if kind == "low_normalized_margin" else scores.self_confidences
            chooser = self._chooser(few=self.num_examples <= FEW)
            return filters.lowest_scores(self._scan.blocks, chooser, score, number)
        self._warn_of_small_classes(options.min_examples_per_class)
        remove = filters.removals(self._scan.joint.calibrated, self.statistics.class_counts, options)
        if kind == "prune_by_noise_rate":
            return self._pruned_by_noise_rate(options, remove)
        quotas = remove.totals(c.GIVEN, QUOTA, diagonal=True).astype(np.int64)
        rows = filters.pruned_by_class(self._scan.blocks, self._chooser(few=self.num_examples <= FEW), quotas)
        if kind == "both":
            rows = rows.join(self._pruned_by_noise_rate(options, remove).select(*ids), ids, "left_semi")
        return rows

    def _pruned_by_noise_rate(self, options: FilterOptions, remove: CellTable) -> DataFrame:
        """What two filters ask for, chosen once."""
        wanted = options.num_to_remove_per_class
        key = (options.frac_noise, None if wanted is None else tuple(wanted), options.min_examples_per_class)
        if key not in self._pruned:
            chooser, bounds = (
                self._chooser(few=self._scan.few_suspects),
                self._scan.aggregated.margin_bounds,
            )
            prob_format, sources = (
                self.predictions.prob_format,
                (self._scan.blocks, self._scan.suspect_blocks, self._scan.arrays),
            )
            flagged = [
                rows
                for pairs in remove.where(f"{c.GIVEN} != {c.TRUE}").frames()
                for rows in filters.pruned_by_noise_rate(*sources, chooser, prob_format, pairs, bounds)
            ]
            none = self._spark.createDataFrame([], ddl(self.predictions.row_types))
            rows = reduce(DataFrame.unionByName, flagged or [none])
            once = len(flagged) < 2 and not chooser.few
            self._pruned[key] = rows if once else rows.dropDuplicates(self.predictions.ids)
        return self._pruned[key]

    def _warn_of_small_classes(self, min_examples_per_class: int) -> None:
        counts = self.statistics.class_counts
        small = np.flatnonzero((counts > 0) & (counts <= max(min_examples_per_class, 1)))
        if len(small):
            names = self.predictions.names
            shown = ", ".join(one_line(names[k] if names else k) for k in small[:10]) + (
                " ..." if len(small) > 10 else ""
            )
            logger.warning(
                "%d classes have at most %d examples and are not pruned: %s",
                len(small), max(min_examples_per_class, 1), shown,
            )  # fmt: skip

    def _named(self, frame: DataFrame, class_columns: dict[str, str]) -> DataFrame:
        """The frame with class indices shown as the results show classes, under new names."""
        return frame.select(
            *[
                self.predictions.class_column(name).alias(class_columns[name])
                if name in class_columns
                else F.col(name)
                for name in frame.columns
            ]
        )
