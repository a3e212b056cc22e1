"""The checks of a data audit, upon audits and neighbors that they share."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import StringType

from cl_spark.errors import EmptyTableError, SingleClassError
from cl_spark.evidence.class_columns import list_names
from cl_spark.evidence.prob_columns import is_sparse
from cl_spark.evidence.storage import Storage
from cl_spark.methods.checks.audited_columns import AuditedColumns
from cl_spark.methods.checks.check_columns import SCORE, answer
from cl_spark.methods.checks.class_imbalance import (
    check_labels,
    find_rarest_class,
    score_classes,
    select_label,
)
from cl_spark.methods.checks.data_values import LABEL, score_data_values
from cl_spark.methods.checks.groups import (
    CONFIDENCE,
    GROUP,
    NUM_NEAR,
    average_groups,
    find_clusters,
    find_worst_group,
    score_groups,
)
from cl_spark.methods.checks.issue_types import (
    CLASS_IMBALANCE,
    DATA_VALUATION,
    LABEL_CHECK,
    NEAR_DUPLICATE,
    NON_IID,
    NULL,
    OUTLIER,
    UNDERPERFORMING_GROUP,
)
from cl_spark.methods.checks.missing_values import score_missing_values
from cl_spark.methods.checks.row_order import find_gaps, find_positions, run_order_test, score_order
from cl_spark.methods.classification.label_audit import LabelAudit
from cl_spark.methods.classification.scores import add_issue_flag, check_probabilities
from cl_spark.methods.neighbors.duplicates import GROUP as COPIES
from cl_spark.methods.neighbors.duplicates import GROUP_SIZE, find_duplicates
from cl_spark.methods.neighbors.features import ID
from cl_spark.methods.neighbors.label_shares import PRED_PROBS, neighbor_pred_probs
from cl_spark.methods.neighbors.neighbor_index import DISTANCE, NeighborIndex
from cl_spark.methods.neighbors.outlier_audit import IS_FAR, OutlierAudit
from cl_spark.methods.neighbors.search import DISTANCES
from cl_spark.tables import columns as c
from cl_spark.tables.columns import quoted

EXAMPLES_KEPT = 10
"""Examples of each class that are no label issues, as Datalab has it: a class of fewer has none."""


@dataclass(eq=False)
class RowChecks:
    """Checks usable rows for every kind of issue; what the checks share is computed once.

    Attributes:
        rows: the rows, each with an id of its own.
        num_examples: how many they are.
        columns: their columns.
        class_names: names of the classes; None where labels are indices or are read from the rows.
        k: how many neighbors a row is compared with.
        metric: of the neighbors.
        search: how neighbors are searched.
        storage: keeps what checks read several times. Its owner releases it. The audits keep rows below its
            path, too.

    Source: specification, section 19.
    """

    rows: DataFrame
    num_examples: int
    columns: AuditedColumns
    class_names: Sequence[str] | None
    k: int
    metric: str
    search: str
    storage: Storage
    _owners: list[DataFrame] = field(default_factory=list, init=False, repr=False)
    """Answers of others that ours are computed from: while they are kept, so is their evidence."""

    @cached_property
    def outlier_audit(self) -> OutlierAudit:
        """The rows as an `OutlierAudit`, whose index of neighbors all checks share."""
        return OutlierAudit(
            self.rows,
            id_col=self.columns.id,
            features_col=self.columns.features_col or "features",
            pred_probs_col=self.columns.pred_probs or "pred_probs",
            label_col=self.columns.label or "label",
            k=self.k,
            metric=self.metric,
            search=self.search,
            class_names=self.class_names,
            evidence_path=self.storage.path,
        )

    @property
    def index(self) -> NeighborIndex:
        """The rows as what neighbors are looked up in."""
        return self.outlier_audit.index

    @cached_property
    def label_audit(self) -> LabelAudit:
        """The rows as a `LabelAudit`: by the predicted probabilities, or else by the labels of neighbors."""
        assert self.columns.label is not None
        df, probs_col, names = self.rows, self.columns.pred_probs, self.class_names
        if probs_col is None:
            if names is None and self.rows.schema[self.columns.label].dataType == StringType():
                names = list_names(self.rows, self.columns.label)
                if len(names) < 2:
                    raise SingleClassError(
                        f"label_col: all labels in {self.columns.label!r} are of one class: there is none to "
                        "confuse it with"
                    )
            df = neighbor_pred_probs(
                self.rows.where(F.col(quoted(self.columns.label)).isNotNull()),
                id_col=self.columns.id,
                features_col=self.columns.features_col or "features",
                label_col=self.columns.label,
                class_names=names,
                k=self.k,
                index=self.index,
            )
            probs_col = PRED_PROBS
        # a row of other numbers is one that a check cannot use; lists of likely classes sum to less
        are_checked = self.columns.pred_probs is not None and not is_sparse(df.schema[probs_col].dataType)
        return LabelAudit(
            df,
            id_col=self.columns.id,
            label_col=self.columns.label,
            pred_probs_col=probs_col,
            class_names=names,
            check_ids=False,  # each row has an id of its own
            probabilities=are_checked,
            evidence_path=self.storage.path,
        )

    def score(self, issue_type: str) -> DataFrame:
        """Score the rows by one check that the columns allow: see `DataAudit.score`."""
        checks: dict[str, Callable[[], DataFrame]] = {
            LABEL_CHECK: self._score_labels,
            OUTLIER: self._score_outliers,
            NEAR_DUPLICATE: self._score_duplicates,
            CLASS_IMBALANCE: self._score_classes,
            NULL: self._score_missing_values,
            NON_IID: self._score_order,
            UNDERPERFORMING_GROUP: self._score_groups,
            DATA_VALUATION: self._score_values,
        }
        return checks[issue_type]()

    def release(self) -> None:
        """Free what the audits keep; what the storage keeps stays."""
        for name in ("label_audit", "outlier_audit"):
            if name in vars(self):
                getattr(self, name).release()
        self._owners.clear()

    def _score_labels(self) -> DataFrame:
        check_probabilities(self.label_audit.statistics, "a data audit")
        scores = self.label_audit.label_quality_scores()
        issues = self.label_audit.find_label_issues(min_examples_per_class=EXAMPLES_KEPT)
        told = issues.select(quoted(self.columns.id), c.SUGGESTED_LABEL, F.lit(True).alias(c.IS_ISSUE))
        rows = scores.join(told, self.columns.id, "left")
        why = F.concat(
            F.lit("given "),
            F.col(c.GIVEN_LABEL).cast("string"),
            F.coalesce(F.concat(F.lit("; likelier is "), F.col(c.SUGGESTED_LABEL).cast("string")), F.lit("")),
        )
        return answer(rows, self.columns.id, F.col(c.LABEL_QUALITY), F.col(c.IS_ISSUE), why)

    def _score_outliers(self) -> DataFrame:
        audit, adjusts = self.outlier_audit, self.columns.label is not None
        if self.columns.features_col is not None:
            judged = audit.judge_distances()
            why = F.lit(f"far from its {self.k} nearest rows")
            return answer(judged, self.columns.id, F.col(SCORE), F.col(IS_FAR), why)
        scores = audit.outlier_scores(adjust_pred_probs=adjusts)
        outliers = audit.find_outliers(adjust_pred_probs=adjusts)
        self._owners += [scores, outliers]
        flagged = add_issue_flag(scores, outliers, [self.columns.id])
        why = F.lit("the model is unsure of every class")
        return answer(flagged, self.columns.id, F.col(SCORE), F.col(c.IS_ISSUE), why)

    def _score_duplicates(self) -> DataFrame:
        if self.columns.text is not None:
            copies = find_duplicates(
                self.rows, id_col=self.columns.id, text_col=self.columns.text, evidence_path=self.storage.path
            )
            there = F.col(quoted(self.columns.text)).isNotNull()
            rows = self.rows.where(there).select(quoted(self.columns.id))
            score = F.coalesce(F.col(DISTANCE), F.lit(1.0))
        else:
            features = self.columns.features_col or "features"
            copies = find_duplicates(
                self.rows,
                id_col=self.columns.id,
                features_col=features,
                k=self.k,
                index=self.index,
                evidence_path=self.storage.path,
            )
            lists = self.index.own_neighbor_lists(self.k)
            nearest = F.element_at(DISTANCES, 1).alias("_nearest")
            rows = lists.select(F.col(ID).cast(self.index.table.id_type).alias(self.columns.id), nearest)
            score = 1 - F.exp(-F.col("_nearest") / F.lit(self.index.median_nearest(self.k)))
        told = copies.select(quoted(self.columns.id), COPIES, GROUP_SIZE, DISTANCE)
        joined = rows.join(told, self.columns.id, "left")
        why = F.concat(
            F.lit("one of "),
            F.col(GROUP_SIZE),
            F.lit(" near copies; the first is "),
            F.col(COPIES).cast("string"),
        )
        self._owners.append(copies)
        is_copy = F.col(COPIES).isNotNull()
        return answer(joined, self.columns.id, score, is_copy, why, F.col(COPIES))

    def _score_missing_values(self) -> DataFrame:
        assert self.columns.features is not None
        return score_missing_values(self.rows, self.columns.id, self.columns.features)

    def _score_classes(self) -> DataFrame:
        assert self.columns.label is not None
        check_labels(self.rows, self.columns.label)
        rarest = find_rarest_class(self.rows, self.columns.label)
        if rarest is None:
            raise EmptyTableError(f"label_col: no row has a label in {self.columns.label!r}")
        return score_classes(self.rows, self.columns.id, self.columns.label, rarest)

    def _score_order(self) -> DataFrame:
        assert self.columns.order is not None
        lists, key_type = self.index.own_neighbor_lists(self.k), self.index.table.key_type
        key = F.col(quoted(self.columns.id)).cast(key_type) == F.col("_usable_id")
        usable = self.rows.join(lists.select(F.col(ID).alias("_usable_id")), key, "left_semi")
        positions = find_positions(usable, self.columns.id, self.columns.order)
        positions = self.storage.persist(positions, self.num_examples)
        gaps = find_gaps(lists, positions.withColumn(ID, F.col(ID).cast(key_type)))
        gaps = self.storage.persist(gaps, self.k * self.num_examples)
        num_rows = positions.count()
        if gaps.isEmpty():
            raise EmptyTableError(f"order_col: no two neighbors have a value in {self.columns.order!r}")
        return score_order(gaps, run_order_test(gaps, num_rows, self.k), num_rows, self.columns.id)

    def _score_groups(self) -> DataFrame:
        check_probabilities(self.label_audit.statistics, "a data audit")
        confidence = self.label_audit.label_quality_scores(method="self_confidence")
        known = confidence.select(
            F.col(quoted(self.columns.id)).alias(ID), F.col(c.LABEL_QUALITY).alias(CONFIDENCE)
        )
        if self.columns.slices:
            groups = [
                F.concat(F.lit(f"{col}="), F.col(quoted(col)).cast("string")) for col in self.columns.slices
            ]
            cut = self.rows.select(
                F.col(quoted(self.columns.id)).alias(ID), F.explode(F.array(*groups)).alias(GROUP)
            ).where(F.col(GROUP).isNotNull())
        else:
            kind = self.index.table.id_type
            k = max(self.k, NUM_NEAR)
            num_pairs = k * self.num_examples
            found = find_clusters(self.index.own_neighbor_lists(k), self.storage, num_pairs)
            name = F.concat(F.lit("around row "), F.col(GROUP).cast("string"))
            cut = found.select(F.col(ID).cast(kind).alias(ID), name.alias(GROUP))
        num_members = self.num_examples * max(len(self.columns.slices), 1)
        members = self.storage.persist(cut.join(known, ID).select(ID, GROUP, CONFIDENCE), num_members)
        means = self.storage.persist(average_groups(members), self.num_examples)
        worst = find_worst_group(members, means)
        if worst is None:
            none = self.rows.limit(0)
            return answer(none, self.columns.id, F.lit(1.0), F.lit(False), F.lit(""))
        return score_groups(members, means, worst, self.columns.id)

    def _score_values(self) -> DataFrame:
        assert self.columns.label is not None
        check_labels(self.rows, self.columns.label)
        table = self.index.table
        label = select_label(self.rows, self.columns.label).alias(LABEL)
        labels = self.rows.select(F.col(quoted(self.columns.id)).cast(table.key_type).alias(ID), label)
        lists = self.index.own_neighbor_lists(self.k)
        return score_data_values(lists, labels.where(F.col(LABEL).isNotNull()), self.k, self.columns.id)
