"""`AnnotatorAudit`: consensus labels from several annotators, and the quality of labels and annotators."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property

import pandas as pd
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import NumericType

from cl_spark.errors import ConfigurationError, InputError, SingleClassError
from cl_spark.evidence.storage import Releasable, Storage
from cl_spark.evidence.validity import PROB_FAULTS, RejectionReason, explain_rejection, join_reasons
from cl_spark.methods.annotators import input_warnings as w
from cl_spark.methods.annotators import judgement as j
from cl_spark.methods.annotators.annotations import (
    ANNOTATOR,
    CODE,
    EQUAL_LABEL,
    OTHER_LABEL,
    Annotations,
    explain_no_rows,
    widen_ids,
)
from cl_spark.methods.annotators.crowdlab import Crowdlab
from cl_spark.methods.annotators.dawid_skene import DawidSkene
from cl_spark.methods.annotators.predictions import ModelProbs
from cl_spark.methods.annotators.unlabeled import select_unlabeled
from cl_spark.methods.annotators.votes import VoteCounts, Votes
from cl_spark.tables import columns as c
from cl_spark.tables.card import card
from cl_spark.tables.example_ids import ExampleIds, find_types
from cl_spark.tables.pandas_frames import to_spark
from cl_spark.tables.schema import RunWarning

logger = logging.getLogger(__name__)

BEST_QUALITY, MAJORITY_VOTE, DAWID_SKENE = "best_quality", "majority_vote", "dawid_skene"
CONSENSUS_METHODS = (BEST_QUALITY, MAJORITY_VOTE, DAWID_SKENE)


class AnnotatorAudit(Releasable):
    """Consensus labels from several annotators, how good each label is, and how good each annotator.

    Annotations are a long table: a row for each label that an annotator gave an example. With out-of-sample
    predictions of a model for the same examples the answers are better: the model is weighed like one more
    annotator. Use it as a context manager, or call `release`, to free what it keeps.

    Args:
        annotations: any Spark DataFrame, classic or Connect, or a pandas DataFrame, of examples, annotators
            and labels.
        predictions: a table of the same id columns and predicted probabilities, a row per example. Examples
            without a prediction are judged by their annotators alone; those with a prediction only can be
            scored for active learning. Default None: no model.
        id_col: id column of the examples in all tables, or a list of columns for a composite key.
        annotator_col: column of the annotator, of any plain type.
        label_col: column of the label: class index (whole number of any type, or boolean) or class name.
        pred_probs_col: out-of-sample predicted probabilities: an array of K numbers, an ML vector, a struct
            with a field of each class's name, or of two classes a number, the probability of the second; K
            columns of numbers; or, for several models, a list of columns of the first three kinds.
        class_names: names of the K classes in the order of the probabilities; results then show names. Needed
            for text labels where there are predictions, unless the K columns' names are the class names.
            Default without predictions: all names there are, in alphabetical order.
        num_classes: K, where nothing else tells it. Default: the length of the probabilities, else the
            greatest index + 1.
        consensus_method: "best_quality" (CROWDLAB), the class that annotators and models together find most
            probable; "majority_vote", the class with the most votes, with CROWDLAB's quality; or
            "dawid_skene". Default "best_quality", as it is the most accurate.
        calibrate: scale the probabilities first by the temperature that brings them closest to the shares of
            the votes. Default False.
        gold: a table of the id columns and `label_col`: right answers for some examples. They are the
            consensus of their examples, and annotators are judged by them. Default None.
        evidence_path: a directory to keep votes in (Parquet), for sessions that refuse to cache.
        spark: the session that turns pandas DataFrames into Spark's; default the active one.

    Raises:
        ConfigurationError: the arguments contradict each other.
        InputError: a column is missing or unusable (at once), or the rows are (at the first question).

    Source: Goh, Tkachenko, Mueller, "CROWDLAB: Supervised learning to infer consensus labels and quality
    scores for data with multiple annotators", 2022; specification, section 13.

    Example:
        >>> rows = [(1, "a", "cat"), (1, "b", "cat"), (1, "c", "dog"), (2, "a", "dog"), (2, "c", "dog")]
        >>> with AnnotatorAudit(pd.DataFrame(rows, columns=["id", "annotator", "label"])) as audit:
        ...     consensus = audit.consensus().orderBy("id").collect()
        >>> {row.id: (row.consensus_label, row.num_annotations) for row in consensus}
        {1: ('cat', 3), 2: ('dog', 2)}
    """

    def __init__(
        self,
        annotations: DataFrame | pd.DataFrame,
        predictions: DataFrame | pd.DataFrame | None = None,
        *,
        id_col: str | Sequence[str] = "id",
        annotator_col: str = "annotator",
        label_col: str = "label",
        pred_probs_col: str | Sequence[str] = "pred_probs",
        class_names: Sequence[str] | None = None,
        num_classes: int | None = None,
        consensus_method: str = BEST_QUALITY,
        calibrate: bool = False,
        gold: DataFrame | pd.DataFrame | None = None,
        evidence_path: str | None = None,
        spark: SparkSession | None = None,
    ) -> None:
        if consensus_method not in CONSENSUS_METHODS:
            raise ConfigurationError(
                f"consensus_method: {consensus_method!r} is none of {', '.join(CONSENSUS_METHODS)}"
            )
        if calibrate and predictions is None:
            raise ConfigurationError("calibrate scales predicted probabilities, and there are no predictions")
        if num_classes is not None and (
            isinstance(num_classes, bool) or not isinstance(num_classes, int) or num_classes < 2
        ):
            raise ConfigurationError(f"num_classes must be a whole number of at least 2, got {num_classes!r}")
        self._storage = Storage(evidence_path)
        self._storage.release_with(self)
        self._ids, df = ExampleIds.of(id_col), to_spark(annotations, spark, argument="annotations")
        self._pred_probs_col = pred_probs_col
        predicted = (
            None if predictions is None else to_spark(predictions, df.sparkSession, argument="predictions")
        )
        right = None if gold is None else to_spark(gold, df.sparkSession, argument="gold")
        tables = {"annotations": df, "predictions": predicted, "gold": right}
        self._ids.check({name: table for name, table in tables.items() if table is not None})
        if predicted is not None:
            df = widen_ids(df, self._ids, predicted)
        names = class_names if class_names is None or isinstance(class_names, str) else list(class_names)
        self.annotations = Annotations(df, self._ids, annotator_col, label_col, names, self._storage)
        if predicted is not None and names is None and self.annotations.labels_are_names:
            if not _are_wide(predicted, pred_probs_col):
                raise ConfigurationError(
                    f"class_names: column {label_col!r} holds class names, but nothing says which "
                    "probability belongs to which class: pass class_names in the order of the probabilities"
                )
            self.annotations = replace(self.annotations, class_names=list(pred_probs_col))
        if right is not None:
            self.annotations.check_gold(right)
        self._predictions = None if predicted is None else self._model_probs(predicted, "predictions")
        self._gold, self._num_classes = right, num_classes
        self.consensus_method, self.calibrate = consensus_method, calibrate

    def _model_probs(self, df: DataFrame, argument: str) -> ModelProbs:
        return ModelProbs(df, self._ids, self._pred_probs_col, self.annotations.class_names, argument)

    def release(self) -> None:
        """Free what is kept. Results already returned stay valid, and compute it again, except with
        `evidence_path`.
        """
        self._storage.release()

    @cached_property
    def num_classes(self) -> int:
        """K: the number of class names, of probabilities per row, or the greatest label + 1.

        Raises:
            ConfigurationError: num_classes differs from what names or probabilities tell.
            EmptyTableError: they tell nothing, and no annotation can be used.
            SingleClassError: there is one class only.
        """
        told = None
        if self._predictions is not None:
            told = self._predictions.num_classes
        elif self.annotations.names is not None:
            told = len(self.annotations.names) or None  # none where no row has a label
        if told is not None and self._num_classes not in (None, told):
            raise ConfigurationError(
                f"num_classes={self._num_classes} differs from the {told} that class names or probabilities "
                "tell"
            )
        if told is None:
            told = self._num_classes
        if told is None:
            rows = self.annotations.select_rows().groupBy(c.REASON)
            found = rows.agg(F.max(c.LABEL).alias("greatest"), F.count(F.lit(1)).alias("rows")).collect()
            told = max((row.greatest + 1 for row in found if row[c.REASON] is None), default=0)
            if not told:
                raise explain_no_rows({row[c.REASON]: row.rows for row in found})
        if told < 2:
            raise SingleClassError(
                "label_col: all labels are of one class: there is nothing to disagree about"
            )
        return int(told)

    @cached_property
    def votes(self) -> Votes:
        """Annotations and predictions, joined by example."""
        return Votes(
            self.annotations,
            self._predictions,
            self._gold,
            self.num_classes,
            self._storage,
            self.calibrate,
        )

    @property
    def temperatures(self) -> list[float]:
        """The temperature of each model; empty unless `calibrate`."""
        return self.votes.temperatures

    @cached_property
    def counts(self) -> VoteCounts:
        """Numbers of rows.

        Raises:
            InputError: no annotation can be used, or nothing can be compared.
        """
        counts = self.votes.counts
        rejected = sum(self.rejected_counts.values())
        if rejected:
            seen = join_reasons(self.rejected_counts)
            logger.warning("%s rows cannot be used: %s", f"{rejected:,}", seen)
        return counts

    @property
    def num_read(self) -> int:
        """Rows of annotations and predictions together."""
        return self.votes.num_read + (0 if self._predictions is None else self._predictions.num_rows)

    @cached_property
    def rejected_counts(self) -> Mapping[str, int]:
        """Rows of annotations and predictions that cannot be used, by reason."""
        counts = self.votes.counts
        found = dict(counts.rejected_annotations)
        if counts.num_repeated:
            rows = self._rejected_annotations().groupBy(c.REASON).count().collect()
            found |= {row[0]: row[1] for row in rows if row[0] in (EQUAL_LABEL, OTHER_LABEL)}
        if self._predictions is not None:
            of_predictions = {
                RejectionReason.NULL_ID: counts.num_predictions_without_id,
                RejectionReason.REPEATED_ID: counts.num_repeated_predictions,
            }
            of_predictions |= {PROB_FAULTS[fault]: rows for fault, rows in counts.faults.items()}
            found |= {
                f"predictions: {explain_rejection(reason)}": rows
                for reason, rows in of_predictions.items()
                if rows
            }
        return dict(sorted(found.items()))

    def _rejected_annotations(self) -> DataFrame:
        return self.annotations.rejected(self.num_classes, with_repeated=self.votes.counts.num_repeated > 0)

    def rejected(self) -> DataFrame:
        """Rows of annotations and predictions that cannot be used: id columns, reason, and the row as JSON.
        Reads the tables again.
        """
        rows = self._rejected_annotations()
        if self._predictions is None:
            return rows
        of_predictions = self._predictions.rejected(self.num_classes, self.votes.repeated_predictions)
        kinds = find_types(rows, self._ids.columns)
        ids = [F.col(c.quoted(col)).cast(kind).alias(col) for col, kind in kinds.items()]
        return rows.unionByName(of_predictions.select(*ids, c.REASON, c.ROW))

    def check(self) -> None:
        """Count the rows, and check that there is something to compare.

        Raises:
            InputError: nothing tells more about a label than the label itself; or no prediction can be used.
        """
        counts = self.counts
        if self._predictions is not None and not counts.num_predicted + counts.num_unlabeled:
            prefix = "predictions: "
            seen = "; ".join(
                f"{reason.removeprefix(prefix)}: {rows:,}"
                for reason, rows in self.rejected_counts.items()
                if reason.startswith(prefix)
            )
            raise InputError(
                f"predictions: none of the {self._predictions.num_rows:,} rows can be used"
                f"{': ' if seen else ''}{seen}; check pred_probs_col and class_names"
            )
        if not counts.num_shared and not counts.num_predicted:
            lacking = (
                "there are no predictions" if self._predictions is None else "no annotated one is predicted"
            )
            raise InputError(
                f"annotations: no example has annotations by two annotators, and {lacking}: nothing tells "
                "whether a label is right. Let some examples be labelled twice, or pass predictions of them"
            )

    # Answers ------------------------------------------------------------------------------------------------

    def consensus(self) -> DataFrame:
        """Find the consensus label of each annotated example.

        Returns:
            The id columns, consensus_label, consensus_quality (probability that it is right, in [0, 1]; lower
            is worse), annotator_agreement (share of its annotations that give the consensus), and
            num_annotations.
        """
        self.check()
        return self._keep(
            self._judge.judge_examples().select(
                *self.annotations.restore_ids(),
                self.annotations.show_class(F.col(j.CONSENSUS)).alias("consensus_label"),
                F.col(j.QUALITY).alias("consensus_quality"),
                F.col(j.AGREEMENT).alias("annotator_agreement"),
                F.col(j.NUM_VOTES).alias("num_annotations"),
            )
        )

    def annotation_quality(self) -> DataFrame:
        """Score each annotation.

        Returns:
            The id columns, annotator, label, and label_quality (probability that the label is right, in [0,
            1]; lower is worse).
        """
        self.check()
        return self._keep(
            self._judge.judge_votes()
            .join(self.annotations.annotators, CODE)
            .select(
                *self.annotations.restore_ids(),
                F.col(ANNOTATOR).alias("annotator"),
                self.annotations.show_class(F.col(c.LABEL)).alias("label"),
                F.col(j.QUALITY).alias(c.LABEL_QUALITY),
            )
        )

    def annotators(self) -> DataFrame:
        """Judge the annotators.

        Returns:
            annotator, quality (how far to trust it, in [0, 1]), agreement_with_consensus (share of its
            labels), num_examples (that it labelled), and worst_class (of the labels it gives, the one that
            agrees least often; ties go to the class it gives more often, then to the one whose examples
            have the higher consensus quality, then to the lower). By CROWDLAB, quality is the mean label
            quality of its labels and its agreement with the consensus on examples that others labelled,
            weighed by how much the model tells. By Dawid-Skene it is the mean label quality of its labels.
        """
        self.check()
        by_annotator = (
            self._judge.sum_cells()
            .groupBy(CODE)
            .agg(
                *[F.sum(name).alias(name) for name in j.CELL_VALUES],
                F.min_by(
                    c.LABEL,
                    F.struct(
                        (F.col("agreed") / F.col("examples")).alias("agreement"),
                        (-F.col("examples")).alias("fewest"),
                        (-j.mean_of_limbs("consensus")).alias("lowest_quality"),
                        F.col(c.LABEL),
                    ),
                ).alias("worst"),
            )
        )
        found = by_annotator.join(self.annotations.annotators, CODE)
        return self._keep(
            found.select(
                F.col(ANNOTATOR).alias("annotator"),
                self._judge.annotator_quality().alias("quality"),
                (F.col("agreed") / F.col("examples")).alias("agreement_with_consensus"),
                F.col("examples").alias("num_examples"),
                self.annotations.show_class(F.col("worst")).alias("worst_class"),
            )
        )

    def active_learning_scores(self, unlabeled: DataFrame | pd.DataFrame | None = None) -> DataFrame:
        """Score which examples to label next, first or once more: the lowest scores.

        Args:
            unlabeled: further examples without annotations: the id columns, and predicted probabilities as in
                the predictions. Default None: those of the predictions alone.

        Returns:
            The id columns and score, in [0, 1], of all examples with annotations or predictions.

        Raises:
            ConfigurationError: the consensus method is "dawid_skene", which has no such score; or there are
                no predictions.
            InputError: rows of `unlabeled` cannot be used, or are there already.

        Source: Goh, Mueller, "ActiveLab: Active Learning with Re-Labeling by Multiple Annotators", 2023.
        """
        if self.consensus_method == DAWID_SKENE:
            raise ConfigurationError(
                "active_learning_scores: they are defined for consensus_method best_quality and "
                "majority_vote, not for dawid_skene"
            )
        self.check()
        if self._predictions is None and unlabeled is not None:
            raise ConfigurationError("unlabeled: scores of examples without annotations need predictions")
        others, tables = [], []
        if self.counts.num_unlabeled:
            others.append(self.votes.unlabeled)
        if unlabeled is not None:
            df = to_spark(unlabeled, self.annotations.df.sparkSession, argument="unlabeled")
            self._ids.check({"annotations": self.annotations.df, "unlabeled": df})
            others.append(select_unlabeled(self.votes, self._model_probs(df, "unlabeled")))
            tables.append(df)
        scored = self._crowdlab.score_examples(others)
        ids = self.annotations.restore_ids(*tables)
        return self._keep(scored.select(*ids, F.col(j.SCORE).alias("score")))

    def warnings(self) -> list[RunWarning]:
        """Doubts about the input, each with what to do. The first answer logs them."""
        return list(self._warnings)

    @cached_property
    def _warnings(self) -> list[RunWarning]:
        """The warnings, logged once."""
        counts, by_dawid_skene = self.counts, self.consensus_method == DAWID_SKENE
        agreement, _ = self._crowdlab.first if by_dawid_skene else self._crowdlab.final
        greatest_tells = self._num_classes is None and self._predictions is None
        doubts = [
            w.warn_of_disagreement(agreement, self.num_classes),
            w.warn_of_models(agreement, self.num_classes),
            w.warn_of_one_based_labels(
                counts,
                agreement,
                self.annotations,
                greatest_tells=greatest_tells and self.annotations.names is None,
            ),
        ]
        if not counts.num_shared:
            doubts.append(w.warn_of_no_shared_examples(counts, models_judge=not by_dawid_skene))
        if self._gold is not None:
            doubts.append(w.warn_of_gold(counts))
        if by_dawid_skene and not self._dawid_skene.has_settled:
            doubts.append(w.warn_of_unsettled_search(self._dawid_skene.num_passes))
        found = [doubt for doubt in doubts if doubt is not None]
        for warning in found:
            logger.warning("%s (%s)", warning.message, warning.code)
        return found

    @property
    def num_passes(self) -> int | None:
        """Passes that Dawid-Skene made; None by other methods."""
        return self._dawid_skene.num_passes if self.consensus_method == DAWID_SKENE else None

    def _repr_html_(self) -> str:
        counts = self.counts
        return card(
            "Annotator audit",
            {
                "annotations": counts.num_annotations,
                "examples": counts.num_examples,
                "annotators": self.votes.num_annotators,
                "classes": self.num_classes,
            },
        )

    # What decides -------------------------------------------------------------------------------------------

    @cached_property
    def _crowdlab(self) -> Crowdlab:
        return Crowdlab(self.votes, by_majority=self.consensus_method == MAJORITY_VOTE)

    @cached_property
    def _dawid_skene(self) -> DawidSkene:
        return DawidSkene(self.votes)

    @property
    def _judge(self) -> Crowdlab | DawidSkene:
        return self._dawid_skene if self.consensus_method == DAWID_SKENE else self._crowdlab

    def _keep(self, df: DataFrame) -> DataFrame:
        """Keep what an answer is computed from while there is the answer; the first tells the warnings."""
        _ = self._warnings
        object.__setattr__(df, "_annotator_audit", self)
        return df


def _are_wide(df: DataFrame, pred_probs_col: str | Sequence[str]) -> bool:
    """Tell whether the probabilities are K columns of numbers."""
    if (
        isinstance(pred_probs_col, str)
        or len(pred_probs_col) < 2
        or any(col not in df.columns for col in pred_probs_col)
    ):
        return False
    return all(isinstance(kind, NumericType) for kind in find_types(df, pred_probs_col).values())
