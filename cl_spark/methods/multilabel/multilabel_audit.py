"""`MultilabelAudit`: answers questions about sets of labels from the evidence of one scan."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from cl_spark.errors import ConfigurationError
from cl_spark.evidence.packing import ddl
from cl_spark.evidence.prob_formats import SparseProbs
from cl_spark.evidence.storage import Releasable, Storage, keep_with
from cl_spark.evidence.workers import map_in_arrow
from cl_spark.kernels.class_score_aggregates import Aggregate
from cl_spark.methods.classification.cuts import is_few
from cl_spark.methods.classification.filters import LOWEST, FilterOptions
from cl_spark.methods.classification.health import add_slice_quality
from cl_spark.methods.classification.ranking import add_rank
from cl_spark.methods.classification.rejection import read_rejected_rows
from cl_spark.methods.classification.scores import add_by_id
from cl_spark.methods.multilabel.health import (
    MultilabelHealth,
    count_issues_by_class,
    estimate_class_health,
    find_missing_together,
)
from cl_spark.methods.multilabel.issues import MembershipIssueFinder, check_filter
from cl_spark.methods.multilabel.predictions import CLASS, GIVEN_CLASSES, MultilabelPredictions
from cl_spark.methods.multilabel.rejection import RejectedRows
from cl_spark.methods.multilabel.scan import RANKING, SUSPECT_CLASSES, MultilabelScan
from cl_spark.methods.multilabel.scores import (
    ClassScores,
    ExampleScores,
    check_membership_method,
    make_aggregate,
)
from cl_spark.tables import columns as c
from cl_spark.tables.card import card
from cl_spark.tables.pandas_frames import to_spark
from cl_spark.tables.schema import RunWarning

GIVEN_LABELS, SUGGESTED_LABELS = "given_labels", "suggested_labels"
GIVEN_FLAG, SUGGESTED_FLAG = "given", "suggested"
THRESHOLD_ABSENT = "threshold_absent"

_FLAGGED = "_flagged"


class MultilabelAudit(Releasable):
    """The audit of one table of sets of labels: every example may have any of the K classes, or none.

    Each class is a binary problem with the probabilities ``(1 - p, p)``: does the example have it? All K
    problems are answered together. The first question scans the data, and keeps a few bytes of each example
    and of its suspect memberships; filters that prune scan it once more, to count the confident joints.

    Args:
        df: any Spark DataFrame, classic or Connect, or a pandas DataFrame; one row per example.
        id_col: id column, or a list of columns for a composite key. Rows that share an id are rejected; ids
            order ties.
        labels_col: given labels: an array of class indices or of class names (a set: a class named twice is
            named once), or a list of K boolean columns in the order of the probabilities, whose names are
            then the class names. An empty array has no class; null is a missing set. Arrays of K flags, 0 or
            1, are refused where they are most rows, if K is 3 or more.
        pred_probs_col: out-of-sample predicted probabilities, each class by itself, so that a row does not
            sum to 1: array<float|double> of length K, an ML vector, a list of K columns, a struct with a
            field of each class's name; or sparse, for very many classes: a map<int, float> or
            array<struct<class int, prob float>>, where the classes left out have probability 0.
        class_names: names of the K classes in the order of the probabilities; results then show names.
        num_classes: K, where nothing else tells it: sparse probabilities need it.
        slice_by: columns for whose values `slice_health` tells health apart.
        check_ids: look for ids that several rows share, and reject those rows. Default True. Say False where
            the table is known to have a key; where ids are shared all the same, answers mix their rows.
        evidence_path: a directory to write the evidence to (Parquet), for sessions that refuse to cache.
            Results have to be read before `release`, which removes what was written.

    Raises:
        ConfigurationError: the arguments contradict each other (at once), or most sets of class indices hold
            a flag for each class (at the first question).
        InputError: a column is missing or unusable (at once), or the rows are (at the first question).

    Source: Northcutt, Jiang, Chuang, "Confident Learning", JAIR 2021, for each class; Thyagarajan et al.,
    "Identifying Incorrect Annotations in Multi-Label Classification Data" (2022), for the scores of examples.

    Example:
        >>> rows = [(0, [0], [0.9, 0.8]), (1, [1], [0.1, 0.9]), (2, [0, 1], [0.9, 0.7]), (3, [], [0.2, 0.1])]
        >>> schema = "id int, labels array<int>, pred_probs array<double>"
        >>> with MultilabelAudit(spark.createDataFrame(rows, schema)) as audit:
        ...     issue = audit.find_label_issues(filter_by="predicted_neq_given").first()
        >>> issue["id"], round(issue["label_quality"], 2)
        (0, 0.34)
        >>> {name: issue[name] for name in ("given_labels", "suggested_labels")}
        {'given_labels': [0], 'suggested_labels': [0, 1]}
    """

    def __init__(
        self,
        df: DataFrame | pd.DataFrame,
        *,
        id_col: str | Sequence[str] = "id",
        labels_col: str | Sequence[str] = "labels",
        pred_probs_col: str | Sequence[str] = "pred_probs",
        class_names: Sequence[str] | None = None,
        num_classes: int | None = None,
        slice_by: Sequence[str] = (),
        check_ids: bool = True,
        evidence_path: str | None = None,
    ) -> None:
        self.predictions = MultilabelPredictions(
            to_spark(df, None),
            id_col=id_col,
            pred_probs_col=pred_probs_col,
            class_names=class_names,
            num_classes=num_classes,
            slice_by=slice_by,
            labels_col=labels_col,
        )
        taken = {c.CLASS, GIVEN_FLAG, SUGGESTED_FLAG, GIVEN_LABELS, SUGGESTED_LABELS}
        c.check_result_names(self.predictions.id_columns, taken)
        self._storage = Storage(evidence_path)
        self._storage.release_with(self)
        self._scan = MultilabelScan(self.predictions, self._storage.persist, check_ids)
        self._issue_finder = MembershipIssueFinder(self._scan)

    def release(self) -> None:
        """Free the cache. Results already returned stay valid, except with `evidence_path`."""
        self._storage.release()

    def _repr_html_(self) -> str:
        """Show what is known so far: showing an audit scans nothing."""
        rows = self.predictions
        labels = rows.labels_col if isinstance(rows.labels_col, str) else f"{len(rows.labels_col)} columns"
        facts: dict[str, object] = {"id": ", ".join(rows.id_columns), "given labels": labels}
        if "totals" not in self._scan.answered:
            note = "Not scanned yet: its first question scans the data."
            return card("Multi-label audit", facts, notes=[note])
        facts |= {
            "examples": self.num_examples,
            "classes": self.num_classes,
            "rejected rows": self._scan.totals.rejected.total(),
        }
        notes = [f"warning: {warning.message}" for warning in self._scan.warnings]
        return card("Multi-label audit", facts, notes=notes)

    @property
    def num_classes(self) -> int:
        """K."""
        return self._scan.totals.num_classes

    @property
    def num_examples(self) -> int:
        """Number of accepted rows."""
        return self._scan.totals.num_examples

    def confident_thresholds(self) -> DataFrame:
        """Confident thresholds of each class: of having it, and of not having it (equation 2).

        Returns:
            K rows: class, examples (that are given the class), threshold (mean p of these), threshold_absent
            (mean 1 - p of all others). A threshold of no example is 2, which nothing reaches.
        """
        totals = self._scan.totals
        absent, given = totals.thresholds().T
        frame = pd.DataFrame(
            {
                c.CLASS: np.arange(totals.num_classes),
                c.EXAMPLES: totals.given_counts,
                c.THRESHOLD: given,
                THRESHOLD_ABSENT: absent,
            }
        )
        return self.predictions.show_classes(self._scan.spark.createDataFrame(frame), {c.CLASS: c.CLASS})

    def num_label_issues(self) -> int:
        """Estimated number of examples with an issue: off the diagonal of any class's confident joint."""
        return self._issue_finder.count_examples()

    def find_label_issues(
        self,
        *,
        filter_by: str = "prune_by_noise_rate",
        rank_by: str = "self_confidence",
        frac_noise: float = 1.0,
        min_examples_per_class: int = 1,
        num_issues: int | None = None,
    ) -> DataFrame:
        """Find the examples whose set of labels is probably wrong: any class is an issue of it.

        Args:
            filter_by: how issues of single classes are chosen; see `LabelAudit.find_label_issues`. The two
                low_* filters take the examples of the lowest scores instead.
            rank_by: label quality score of the classes ("self_confidence", "normalized_margin" or, not of
                lists of classes, "confidence_weighted_entropy"), of which the moving average ranks examples.
            frac_noise: share of the estimated noise to prune, in [0, 1]; with the three pruning filters.
            min_examples_per_class: examples with, and without, a class that are kept; with the pruning
                filters.
            num_issues: how many examples the low_* filters take; default: `num_label_issues`.

        Returns:
            The id columns, given_labels and suggested_labels (arrays in the order of the classes: what is
            given, with the classes changed that are issues; with low_* filters, those where the model says
            the contrary), label_quality, rank (1 = worst; ties go to the lower id).

        Raises:
            ConfigurationError: an option is unknown, out of range, or does not go with the filter.
        """
        options = self.check_options(
            filter_by=filter_by,
            rank_by=rank_by,
            frac_noise=frac_noise,
            min_examples_per_class=min_examples_per_class,
            num_issues=num_issues,
        )
        ids, scan = self.predictions.ids, self._scan
        if filter_by in LOWEST:
            rows = self._issue_finder.find_examples(options).withColumnRenamed(SUSPECT_CLASSES, _FLAGGED)
            num_rows = self.num_examples
        else:
            found = self._issue_finder.find_memberships(options)
            flagged = found.groupBy(*ids).agg(F.collect_list(CLASS).alias(_FLAGGED))
            rows = scan.examples.select(*ids, GIVEN_CLASSES, c.LABEL_QUALITY).join(flagged, ids)
            num_rows = scan.num_suspects
        if rank_by != "self_confidence":
            scored = self._score_examples(rank_by, RANKING)
            rows = add_by_id(rows.drop(c.LABEL_QUALITY), scored.select(*ids, c.LABEL_QUALITY), ids)
        suggested = F.array_sort(
            F.concat(F.array_except(GIVEN_CLASSES, _FLAGGED), F.array_except(_FLAGGED, GIVEN_CLASSES))
        )
        rows = rows.withColumn(SUGGESTED_LABELS, suggested)
        few = is_few(num_rows)
        ranked = add_rank(rows if few else scan.persist(rows), c.LABEL_QUALITY, ids, c.RANK, few=few)
        shown = ranked.select(
            *self.predictions.restore_ids(),
            self.predictions.classes_column(GIVEN_CLASSES).alias(GIVEN_LABELS),
            self.predictions.classes_column(SUGGESTED_LABELS).alias(SUGGESTED_LABELS),
            c.LABEL_QUALITY,
            c.RANK,
        )
        return keep_with(shown, self)

    def find_label_issues_per_class(
        self,
        *,
        filter_by: str = "prune_by_noise_rate",
        rank_by: str = "self_confidence",
        frac_noise: float = 1.0,
        min_examples_per_class: int = 1,
    ) -> DataFrame:
        """Find the single labels that are probably wrong: given and should not be, or missing.

        Args:
            filter_by: as for `find_label_issues`; the low_* filters take the lowest of each class, as many as
                are off its diagonal.
            rank_by: label quality score that ranks the issues.
            frac_noise: as for `find_label_issues`.
            min_examples_per_class: as for `find_label_issues`.

        Returns:
            The id columns, class, given (boolean), suggested (the contrary), label_quality, rank over all
            classes (1 = worst; ties go to the lower id, then to the lower class).

        Raises:
            ConfigurationError: an option is unknown, out of range, or does not go with the filter.
        """
        options = FilterOptions(filter_by, frac_noise, None, min_examples_per_class)
        self._check_method(rank_by, "rank_by")
        rows = self._issue_finder.find_memberships(options, rank_by)
        few = is_few(self._scan.num_suspects)
        ranked = add_rank(
            rows if few else self._scan.persist(rows),
            c.LABEL_QUALITY,
            [*self.predictions.ids, CLASS],
            c.RANK,
            few=few,
        )
        is_given = F.col(c.GIVEN) % 2 == 1
        shown = ranked.select(
            *self.predictions.restore_ids(),
            self.predictions.class_column(CLASS).alias(c.CLASS),
            is_given.alias(GIVEN_FLAG),
            (~is_given).alias(SUGGESTED_FLAG),
            c.LABEL_QUALITY,
            c.RANK,
        )
        return keep_with(shown, self)

    def label_quality_scores(
        self,
        *,
        method: str = "self_confidence",
        aggregate: str = "exponential_moving_average",
        alpha: float | None = 0.8,
        temperature: float = 0.1,
    ) -> DataFrame:
        """Label quality score of every example; lower means that a label is more likely wrong.

        Args:
            method: label quality score of each class; see `find_label_issues`.
            aggregate: how they make one score: "exponential_moving_average" over the scores from best to
                worst, or "softmin".
            alpha: weight of the worst score in the moving average, in [0, 1]; None is 2 / (K + 1).
            temperature: of softmin, above 0: the lower, the nearer to the minimum.

        Returns:
            The id columns, label_quality.

        Raises:
            ConfigurationError: an option is unknown, out of range, or does not go with `aggregate`.
        """
        self._check_method(method, "method")
        how = make_aggregate(aggregate, alpha, temperature)
        if method == "self_confidence" and how == RANKING:
            scored = self._scan.examples
        else:
            scored = self._score_examples(method, how)
        return keep_with(scored.select(*self.predictions.restore_ids(), c.LABEL_QUALITY), self)

    def label_quality_scores_per_class(self, *, method: str = "self_confidence") -> DataFrame:
        """Label quality score of every class of every example: n x K rows.

        Args:
            method: label quality score; see `find_label_issues`.

        Returns:
            The id columns, class, label_quality.

        Raises:
            ConfigurationError: unknown method.
        """
        self._check_method(method, "method")
        types = {**self.predictions.id_types, CLASS: "int", c.LABEL_QUALITY: "double"}
        scored = self._read_again(ClassScores, types, method)
        shown = self.predictions.class_column(CLASS).alias(c.CLASS)
        return keep_with(scored.select(*self.predictions.restore_ids(), shown, c.LABEL_QUALITY), self)

    def health_summary(
        self,
        *,
        filter_by: str = "prune_by_noise_rate",
        frac_noise: float = 1.0,
        min_examples_per_class: int = 1,
    ) -> MultilabelHealth:
        """Health of each class, classes that go missing together, and the overall health.

        Args:
            filter_by: which memberships count as issues; see `find_label_issues_per_class`.
            frac_noise: as for `find_label_issues`.
            min_examples_per_class: as for `find_label_issues`.
        """
        scan, options = self._scan, FilterOptions(filter_by, frac_noise, None, min_examples_per_class)
        issues = self._issue_finder.find_memberships(options)
        issues = scan.persist(issues.select(*self.predictions.ids, CLASS, c.GIVEN))
        totals, show = scan.totals, self.predictions.show_classes
        counts = count_issues_by_class(issues, totals.num_classes)
        classes = estimate_class_health(counts, totals.given_counts, totals.num_examples)
        together = find_missing_together(issues, self.predictions.ids)
        num_issues = issues.select(*self.predictions.ids).distinct().count()
        answer = MultilabelHealth(
            class_health=show(scan.spark.createDataFrame(classes), {c.CLASS: c.CLASS}),
            missing_together=show(together, {c.CLASS_A: c.CLASS_A, c.CLASS_B: c.CLASS_B}),
            overall_health=1 - num_issues / totals.num_examples,
            num_issues=num_issues,
            num_examples=totals.num_examples,
        )
        return keep_with(answer, self)

    def slice_health(self) -> DataFrame:
        """Health of the examples with each value of the columns `slice_by`; see `LabelAudit.slice_health`.

        An example counts as wrong if it is off the diagonal for any class, as in `num_label_issues`.

        Returns:
            slice_column, slice_value, examples, off_diagonal_issues, slice_quality, lower, upper.

        Raises:
            ConfigurationError: the audit has no `slice_by`.
        """
        rows, slice_by = self.predictions, self.predictions.slice_by
        if not slice_by:
            raise ConfigurationError(
                "slice_health needs columns to slice by: pass slice_by to MultilabelAudit"
            )
        wrong = self._issue_finder.find_memberships(FilterOptions("confident_learning"))
        flags = wrong.select(*rows.ids).distinct().withColumn(_FLAGGED, F.lit(1))
        accepted = self._scan.examples.select(*rows.ids)
        values = rows.select_rows().select(*rows.ids, *rows.slices).join(accepted, rows.ids)
        pairs = F.array(
            *[
                F.struct(F.lit(i).alias("slice"), F.col(name).alias(c.SLICE_VALUE))
                for i, name in enumerate(rows.slices)
            ]
        )
        counts = (
            values.join(flags, rows.ids, "left")
            .select(F.explode(pairs).alias("pair"), _FLAGGED)
            .groupBy("pair.slice", f"pair.{c.SLICE_VALUE}")
            .agg(F.count(F.lit(1)).alias(c.EXAMPLES), F.count(_FLAGGED).alias(c.OFF_DIAGONAL_ISSUES))
        )
        return keep_with(add_slice_quality(counts, slice_by), self)

    def warnings(self) -> list[RunWarning]:
        """Doubts about the input: class indices that seem to count from 1 (specification, section 14).

        They are found, and logged, by the first question's scan.

        Returns:
            Warnings, each with a code for programs, and a message that says what was seen and what to do.
        """
        _ = self._scan.totals
        return list(self._scan.warnings)

    @property
    def num_rejected(self) -> int:
        """Number of rejected rows."""
        return sum(self.rejected_counts.values())

    @property
    def rejected_counts(self) -> Mapping[int, int]:
        """Rejected rows by the code of their reason, which `explain_rejection` explains."""
        return self._scan.totals.rejected

    def rejected(self) -> DataFrame:
        """Rows that cannot be used: id columns, reason, and the row as JSON. Reads the data again."""
        rows, scan, find = self.predictions, self._scan, None
        if scan.totals.rejected:
            find = RejectedRows(scan.make_reader(self.num_classes), rows.id_columns)
        return keep_with(read_rejected_rows(rows, find, scan.repeated_ids), self)

    def check_options(
        self,
        *,
        filter_by: str,
        rank_by: str,
        frac_noise: float,
        min_examples_per_class: int,
        num_issues: int | None,
    ) -> FilterOptions:
        """Check the options of `find_label_issues`, without a scan.

        Raises:
            ConfigurationError: an option is unknown, out of range, or does not go with the filter.
        """
        options = FilterOptions(filter_by, frac_noise, None, min_examples_per_class, num_issues)
        check_filter(filter_by)
        if isinstance(num_issues, str):
            raise ConfigurationError(
                f"num_issues={num_issues!r}: of sets of labels it is a number; leave it out for the estimate"
            )
        self._check_method(rank_by, "rank_by")
        return options

    def _check_method(self, method: str, option: str) -> None:
        is_sparse = isinstance(self.predictions.prob_format, SparseProbs)
        check_membership_method(method, option, is_sparse=is_sparse)

    def _score_examples(self, method: str, aggregate: Aggregate) -> DataFrame:
        """Score all examples, by another scan: ids of the evidence and `label_quality`."""
        types = {**self.predictions.id_types, c.LABEL_QUALITY: "double"}
        return self._read_again(ExampleScores, types, method, aggregate)

    def _read_again(
        self, make: type[ExampleScores] | type[ClassScores], types: dict[str, str], *options: object
    ) -> DataFrame:
        scan = self._scan
        function = make(scan.make_reader(self.num_classes), list(self.predictions.ids), *options)  # type: ignore[arg-type]
        return map_in_arrow(self.predictions.select_rows(scan.repeated_ids), function, ddl(types))
