"""`LabelAudit`: scans a table once, and answers questions about its labels from the evidence it keeps."""

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from cl_spark.errors import ConfigurationError, EmptyTableError
from cl_spark.evidence.labels import join_labels
from cl_spark.evidence.predictions import Predictions
from cl_spark.evidence.storage import Releasable, Storage, keep_with
from cl_spark.methods.classification import health, noise, score_distribution, scores
from cl_spark.methods.classification.confident_joint import check_estimation_method, convert_custom_joint
from cl_spark.methods.classification.ensembles import ENSEMBLE_COLUMNS, Ensemble
from cl_spark.methods.classification.filters import FilterOptions
from cl_spark.methods.classification.health import HealthSummary
from cl_spark.methods.classification.issues import IssueFinder
from cl_spark.methods.classification.noise import NoiseRates
from cl_spark.methods.classification.rejection import RejectedRows, read_rejected_rows
from cl_spark.methods.classification.scan import Scan
from cl_spark.methods.classification.thresholds import ClassStatistics
from cl_spark.tables import columns as c
from cl_spark.tables.card import card
from cl_spark.tables.pandas_frames import to_spark
from cl_spark.tables.schema import RunWarning


class LabelAudit(Releasable):
    """The audit of one table of given labels and predicted probabilities.

    The first question scans the data once and keeps some 40 bytes a row in Spark's cache, plus the classes
    that suspects list. Further questions are answered from there, except for the options that need every
    array: scores by entropy or of adjusted probabilities. Use it as a context manager, or call `release`, to
    free the cache; an audit that nothing refers to any more, its answers included, frees it by itself.

    Args:
        df: any Spark DataFrame, classic or Connect, or a pandas DataFrame; one row per example.
        id_col: id column, or a list of columns for a composite key. Rows that share an id are rejected; ids
            order ties.
        label_col: given label: index of the class (whole number of any type, or boolean) or its name
            (string). NaN is a missing label.
        pred_probs_col: out-of-sample predicted probabilities: array<float|double> of length K, an ML vector,
            a list of K columns, a struct with a field of each class's name, or, of two classes, a float or
            double: the probability of the second. Or sparse, for very many classes: a map<int, float> or
            array<struct<class int, prob float>> with the classes worth listing; instead of its index, a class
            may have its name. Scores and logits are accepted where a method is invariant to scale.
        pred_probs_cols: instead of `pred_probs_col`, the columns of several models, folds or epochs, each an
            array, an ML vector, a struct or a number as above. The audit is that of their mean;
            `ensemble_label_quality_scores` tells what they say one by one.
        class_names: names of the K classes in the order of the probabilities; results then show names. Needed
            for text labels, unless the K columns' names are the class names, and for probabilities by name.
        num_classes: K, where nothing else tells it: sparse probabilities need it.
        absent_prob: value of the classes that a sparse list leaves out. Default 0.
        labels: a second table that holds the ids and the given labels, where `df` holds ids and probabilities
            only. Ids on one side only, and ids of several labels, are rejected and counted, never dropped or
            multiplied in silence.
        probabilities: promise that the values are probabilities: rows with a negative one, or a sum off 1 by
            more than 0.01, are rejected. Default False: scores of any scale.
        check_ids: look for ids that several rows share, and reject those rows. Default True. Say False where
            the table is known to have a key: the check costs a shuffle of the ids. Where ids are shared all
            the same, whether an example is an issue is told by id, and answers that read rows again fail.
        thresholds: K confident thresholds to use instead of the rows' own: those of an earlier audit.
        slice_by: columns (of `df`, or of `labels`) for whose values `slice_health` tells health apart.
        evidence_path: a directory to write the evidence to (Parquet), for sessions that refuse to cache, such
            as serverless ones. Results have to be read before `release`, which removes what was written, or
            empties it where this machine does not see it. Default None: cached in memory and on local disk,
            or scanned again where that is refused.
        spark: the session that turns pandas DataFrames into Spark's; default the active one.

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

    _title: ClassVar = "Label audit"

    def __init__(
        self,
        df: DataFrame | pd.DataFrame,
        *,
        id_col: str | Sequence[str] = "id",
        label_col: str = "label",
        pred_probs_col: str | Sequence[str] = "pred_probs",
        pred_probs_cols: Sequence[str] = (),
        class_names: Sequence[str] | None = None,
        num_classes: int | None = None,
        absent_prob: float = 0.0,
        labels: DataFrame | pd.DataFrame | None = None,
        probabilities: bool = False,
        check_ids: bool = True,
        slice_by: Sequence[str] = (),
        thresholds: Sequence[float] | None = None,
        evidence_path: str | None = None,
        spark: SparkSession | None = None,
    ) -> None:
        df = to_spark(df, spark)
        if labels is not None:
            labels = to_spark(labels, df.sparkSession, argument="labels")
            df = join_labels(df, labels, [id_col] if isinstance(id_col, str) else id_col, label_col, slice_by)
        self._spark = df.sparkSession
        self._storage = Storage(evidence_path)
        self._storage.release_with(self)
        self.predictions = self._make_predictions(
            df,
            id_col=id_col,
            label_col=label_col,
            pred_probs_col=pred_probs_col,
            class_names=class_names,
            num_classes=num_classes,
            absent_prob=absent_prob,
            probabilities=probabilities,
            slice_by=slice_by,
            pred_probs_cols=pred_probs_cols,
        )
        self._scan = Scan(self.predictions, self._storage.persist, check_ids, thresholds)
        self._issue_finder = IssueFinder(self._scan)

    def _make_predictions(self, df: DataFrame, **columns: Any) -> Predictions:
        """Make the input of a table and the meaning of its columns."""
        return Predictions(df, **columns)

    def release(self) -> None:
        """Free the cache.

        Results already returned stay valid, and scan the data again, except with `evidence_path`.
        """
        self._storage.release()

    def _repr_html_(self) -> str:
        """Show what is known so far: showing an audit scans nothing."""
        table = self.predictions
        probs = table.pred_probs_cols or table.pred_probs_col
        shown = table.input_name(probs) if isinstance(probs, str) else f"{len(probs)} columns"
        facts: dict[str, object] = {
            "id": ", ".join(table.id_columns),
            "given label": table.input_name(table.label_col),
            "predicted probabilities": shown,
        }
        if "statistics" not in self._scan.answered:
            note = "Not scanned yet: its first question scans the data once."
            return card(self._title, facts, notes=[note])
        facts |= {
            "examples": self.num_examples,
            "classes": self.num_classes,
            "rejected rows": self.statistics.num_rejected,
        }
        if "joint" in self._scan.answered:
            facts["off-diagonal issues"] = self.num_label_issues()
        notes = [f"warning: {warning.message}" for warning in self._scan.warnings]
        return card(self._title, facts, notes=notes)

    @property
    def statistics(self) -> ClassStatistics:
        """Counts and exact sums of the self-confidences per class, and rejected rows: a value that merges."""
        return self._scan.statistics

    @property
    def num_classes(self) -> int:
        """K."""
        return self.statistics.num_classes

    @property
    def num_examples(self) -> int:
        """Number of accepted rows."""
        return self.statistics.num_examples

    @property
    def num_rejected(self) -> int:
        """Number of rejected rows."""
        return self.statistics.num_rejected

    def warnings(self) -> list[RunWarning]:
        """Doubts about the input: labels or probabilities that seem to mean something else.

        They are counted with the confident joint (specification, section 11), and logged then.

        Returns:
            Warnings, each with a code for programs, and a message that says what was seen and what to do.

        Example:
            >>> with LabelAudit(df) as audit:
            ...     audit.warnings()
            []
        """
        _ = self._scan.joint
        return list(self._scan.warnings)

    def confident_thresholds(self) -> DataFrame:
        """Confident threshold of each class: the mean self-confidence of its examples (equation 2).

        Returns:
            K rows: class, examples, threshold. A class that no label carries has a threshold that nothing
            reaches (2; infinity for scores that are no probabilities).
        """
        frame = pd.DataFrame(
            {
                c.CLASS: np.arange(self.num_classes),
                c.EXAMPLES: self.statistics.class_counts,
                c.THRESHOLD: self._scan.thresholds,
            }
        )
        return self.predictions.show_classes(self._spark.createDataFrame(frame), {c.CLASS: c.CLASS})

    def confident_joint(self, *, calibrate: bool = True) -> DataFrame:
        """Confident joint (equation 1), sparse.

        Args:
            calibrate: scale each given class to its number of examples and round; else the counts as they
                are, with every diagonal cell at least 1.

        Returns:
            A row per non-zero cell: given_label, true_label, count.
        """
        joint = self._scan.joint
        cells = (joint.calibrated if calibrate else joint.raised).to_spark()
        return keep_with(
            self.predictions.show_classes(cells.select(c.GIVEN, c.TRUE, c.COUNT), CELL_CLASSES), self
        )

    def confident_joint_table(self) -> DataFrame:
        """All non-zero cells, with the columns of the written table `confident_joint`."""
        return keep_with(
            self.predictions.show_classes(noise.build_joint_table(self._scan.joint), CELL_CLASSES), self
        )

    def noise_rates(self, *, method: str = "cnt") -> NoiseRates:
        """Noise rates p(given | true), inverse noise rates p(true | given), and prior of the true classes.

        Args:
            method: how the prior is estimated: "cnt", "eqn", "marginal" or "marginal_ps" (specification,
                section 3).

        Raises:
            ConfigurationError: unknown method, or "eqn" where the system cannot be solved.
            EmptyTableError: there is no example, which given thresholds allow.
        """
        self._check_examples()
        calibrated = self._scan.joint.calibrated
        prior = noise.estimate_prior(calibrated, self.statistics.class_counts, method)
        priors = pd.DataFrame({c.CLASS: np.arange(self.num_classes), c.PRIOR: prior})
        rates = noise.estimate_noise_rates(calibrated).to_spark()
        rates = rates.select(c.GIVEN, c.TRUE, c.NOISE_RATE, c.INVERSE_NOISE_RATE)
        answer = NoiseRates(
            rates=self.predictions.show_classes(rates, CELL_CLASSES),
            prior=self.predictions.show_classes(self._spark.createDataFrame(priors), {c.CLASS: c.CLASS}),
        )
        return keep_with(answer, self)

    def num_label_issues(
        self, *, estimation_method: str = "off_diagonal", confident_joint: ArrayLike | None = None
    ) -> int:
        """Estimated number of label issues.

        Args:
            estimation_method: "off_diagonal" (default): suspects counted off the diagonal;
                "off_diagonal_calibrated": off-diagonal mass of the joint times n; "off_diagonal_custom": the
                same from the caller's joint; "off_diagonal_fraction": share of counted rows off the diagonal
                times n, rounded down.
            confident_joint: (K, K) counts, or shares of the examples, for "off_diagonal_custom" only.

        Raises:
            ConfigurationError: unknown method, or a joint missing, superfluous, of the wrong shape, or with
                values that are no counts or shares.
        """
        check_estimation_method(estimation_method, has_joint=confident_joint is not None)
        custom = None
        if confident_joint is not None:
            custom = convert_custom_joint(self._spark, confident_joint, self.num_classes)
        return self._scan.joint.estimate_num_issues(estimation_method, custom)

    def label_quality_scores(
        self, *, method: str = "self_confidence", adjust_pred_probs: bool = False
    ) -> DataFrame:
        """Label quality score of every example; lower means more likely wrong (specification, section 5).

        Args:
            method: "self_confidence" or "normalized_margin", answered from the evidence, or
                "confidence_weighted_entropy" or "threshold_cosine", which read the arrays again.
            adjust_pred_probs: subtract the confident thresholds from the probabilities first, which reads the
                arrays again; with the first two only.

        Returns:
            The id columns, given_label, predicted_label, label_quality.

        Raises:
            ConfigurationError: unknown method, or an option that needs probabilities on scores.
        """
        self._check_method(method, adjust_pred_probs, "method")
        columns = [*self.predictions.ids, c.GIVEN, c.PREDICTED]
        scored = self._scan.score_rows(method, adjust_pred_probs, columns)
        return keep_with(scored.select(*self._show_example(c.PREDICTED_LABEL), c.LABEL_QUALITY), self)

    def ensemble_label_quality_scores(
        self,
        weights: str | Sequence[float] = "uniform",
        *,
        method: str = "self_confidence",
        adjust_pred_probs: bool = False,
    ) -> DataFrame:
        """Score the label of every example by each of several models, and tell where these differ.

        Reads the arrays again: once, and once more for each of weights "accuracy" or "log_loss_search", for
        adjusted scores and for threshold_cosine, as far as these need statistics of the models.

        Args:
            weights: how the scores of the models are weighed: "uniform"; "accuracy", by how often a model
                predicts the given label; "log_loss_search", by ``exp(-T * log loss)``, where T is that of
                eight candidates whose weighted mean has the lowest log loss; or M numbers, used as they are.
            method: label quality score of each model; see `label_quality_scores`.
            adjust_pred_probs: subtract each model's own confident thresholds first.

        Returns:
            The id columns, given_label, predicted_label (of the mean), label_quality (weighted mean of the
            scores), correctness (share of the models that predict the given label), disagreement (share of
            them that predict another class than the mean does), mean_margin and margin_variance (mean and
            variance over the models of the probability of the given label minus the highest other one).
            Where the models are epochs of one training, mean_margin is the area under the margin, and
            correctness and margin_variance draw a map of the data.

        Raises:
            ConfigurationError: the audit has no `pred_probs_cols`, or an option is unknown or does not fit.
            InputError: weights by accuracy where no model predicts a given label.

        Source: Kuan, Mueller, "Model-agnostic label quality scoring to detect real-world label errors"
        (2022); Pleiss et al., "Identifying Mislabeled Data using the Area Under the Margin Ranking" (2020);
        Swayamdipta et al., "Dataset Cartography" (2020).

        Example:
            >>> rows = [(0, 0, [0.9, 0.1], [0.7, 0.3]), (1, 0, [0.6, 0.4], [0.2, 0.8]),
            ...         (2, 1, [0.2, 0.8], [0.0, 1.0])]
            >>> models = spark.createDataFrame(rows, "id int, label int, a array<double>, b array<double>")
            >>> with LabelAudit(models, pred_probs_cols=["a", "b"]) as audit:
            ...     worst = audit.ensemble_label_quality_scores().orderBy("label_quality").first()
            >>> worst.id, round(worst.label_quality, 2), worst.correctness, round(worst.mean_margin, 2)
            (1, 0.4, 0.5, -0.2)
        """
        if not self.predictions.pred_probs_cols:
            raise ConfigurationError(
                "ensemble_label_quality_scores needs several models, which LabelAudit takes: pass "
                "pred_probs_cols to it"
            )
        columns = [*self.predictions.ids, c.GIVEN, c.PREDICTED]
        scored = Ensemble(self._scan).score(method, adjust_pred_probs, weights, columns)
        return keep_with(scored.select(*self._show_example(c.PREDICTED_LABEL), *ENSEMBLE_COLUMNS), self)

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
        """Find the examples whose label is probably wrong, and rank them (JAIR 2021, section 3.2).

        Args:
            filter_by: "prune_by_noise_rate" (default), "prune_by_class", "both", "confident_learning",
                "predicted_neq_given", "low_self_confidence", "low_normalized_margin", or "off_diagonal" (the
                paper's C_conf).
            rank_by: label quality score that ranks the issues: "self_confidence", "normalized_margin",
                "confidence_weighted_entropy" or "threshold_cosine".
            adjust_pred_probs: rank by scores of adjusted probabilities; with the first two only.
            frac_noise: share of the estimated noise to prune, in [0, 1]; with the three pruning filters.
            num_to_remove_per_class: K numbers, how many of each given class to prune; with the pruning
                filters.
            min_examples_per_class: examples every class keeps; smaller classes are not pruned. With the
                pruning filters.
            num_issues: how many issues the two low_* filters take: a number, or a method of
                `num_label_issues`. Default None is "off_diagonal".

        Returns:
            The id columns, given_label, suggested_label (the class of highest probability), label_quality (by
            `rank_by`), self_confidence, normalized_margin, rank (1 = worst; ties go to the lower id).

        Raises:
            ConfigurationError: an option is unknown, out of range, or does not go with the filter.
        """
        options = FilterOptions(
            filter_by, frac_noise, num_to_remove_per_class, min_examples_per_class, num_issues
        )
        self._check_method(rank_by, adjust_pred_probs, "rank_by")
        issues = self._issue_finder.find_ranked(options, rank_by, adjust_pred_probs)
        columns = [c.LABEL_QUALITY, c.SELF_CONFIDENCE, c.NORMALIZED_MARGIN, c.RANK]
        return keep_with(issues.select(*self._show_example(c.SUGGESTED_LABEL), *columns), self)

    def health_summary(self, *, asymmetric: bool = False) -> HealthSummary:
        """Health of each class, the most confused pairs, and the overall health (specification, section 6).

        Args:
            asymmetric: list overlapping classes as ordered pairs (class_a the given label, class_b the true
                class) instead of unordered ones.

        Raises:
            EmptyTableError: there is no example, which given thresholds allow.
        """
        self._check_examples()
        joint, counts = self._scan.joint.joint, self.statistics.class_counts
        classes = health.estimate_class_health(joint, counts, self._scan.thresholds)
        pairs = health.find_overlapping_classes(joint, self.num_examples, asymmetric=asymmetric)
        num_issues = self.num_label_issues()
        answer = HealthSummary(
            class_health=self.predictions.show_classes(
                self._spark.createDataFrame(classes), {c.CLASS: c.CLASS}
            ),
            overlapping_classes=self.predictions.show_classes(
                pairs, {c.CLASS_A: c.CLASS_A, c.CLASS_B: c.CLASS_B}
            ),
            overall_health=1 - num_issues / self.num_examples,
            num_issues=num_issues,
            num_examples=self.num_examples,
        )
        return keep_with(answer, self)

    def slice_health(self) -> DataFrame:
        """Health of the examples with each value of the columns `slice_by`, such as a source or an annotator.

        Off-diagonal issues are those that `overall_health` counts, so over the values of a column they add up
        to `HealthSummary.num_issues`. The interval is Wilson's at 95 %: a value with few examples has a wide
        one, so rank by `upper` to find what is surely bad.

        Returns:
            slice_column, slice_value, examples, off_diagonal_issues, slice_quality, lower, upper.

        Raises:
            ConfigurationError: the audit has no `slice_by`.
        """
        if not self.predictions.slice_by:
            raise ConfigurationError(
                f"slice_health needs columns to slice by: pass slice_by to {type(self).__name__}"
            )
        counts = health.count_slices(
            self._scan.settled,
            self.predictions.slices,
            self._scan.off_diagonal(suspects_only=True),
            self._scan.confident_parts,
        )
        return keep_with(health.add_slice_quality(counts, self.predictions.slice_by), self)

    def score_distribution(self, issues: DataFrame) -> DataFrame:
        """Distribution of the self-confidences of each class in twenty ranges, with the issues in each.

        Args:
            issues: issues as `find_label_issues` returns them.

        Returns:
            class, lower, upper, examples, num_issues; ranges without examples are left out.
        """
        ranges = score_distribution.ScoreRanges.cover(self.statistics)
        examples = score_distribution.count_by_confidence(self._scan.blocks, ranges)
        of_issues = issues.select(F.col(c.GIVEN_LABEL).alias(c.CLASS), c.SELF_CONFIDENCE)
        named = self.predictions.show_classes(examples, {c.GIVEN: c.CLASS})
        return keep_with(score_distribution.add_issue_counts(named, of_issues, ranges), self)

    def rejected(self) -> DataFrame:
        """Rows that cannot be used: id columns, reason, and the row as JSON. Reads the data again."""
        rows, find = self.predictions, None
        if self.statistics.num_rejected:
            columns = [*rows.id_types, c.REASON, c.ROW]
            find = RejectedRows(rows.make_block_builder(), self.num_classes, columns, rows.id_columns)
        return read_rejected_rows(rows, find, self._scan.repeated_ids)

    def _check_examples(self) -> None:
        if not self.num_examples:
            raise EmptyTableError("no row of the input can be used: there is no label to tell the health of")

    def _check_method(self, method: str, adjust_pred_probs: bool, option: str) -> None:
        scores.check_method(method, adjust_pred_probs, option)
        if scores.needs_arrays(method, adjust_pred_probs):
            stats, cause = (
                self.statistics,
                "adjust_pred_probs" if adjust_pred_probs else f"{option}={method!r}",
            )
            scores.check_probabilities(stats, cause)
            scores.check_thresholds(method, adjust_pred_probs, self._scan.thresholds, cause)

    def _show_example(self, predicted: str) -> list[Column]:
        """Id columns, given label, and predicted label under some name, as results show them."""
        given, of_predicted = map(self.predictions.class_column, (c.GIVEN, c.PREDICTED))
        return [*self.predictions.restore_ids(), given.alias(c.GIVEN_LABEL), of_predicted.alias(predicted)]


CELL_CLASSES = {c.GIVEN: c.GIVEN_LABEL, c.TRUE: c.TRUE_LABEL}
"""Columns of class indices of a cell, and their names in results."""
