"""`DataAudit`: bad rows of every kind that a table's columns allow to look for."""

import logging
from collections.abc import Mapping, Sequence
from functools import cached_property

import pandas as pd
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from cl_spark.errors import ConfigurationError, EmptyTableError, InputError, SourceChangedError
from cl_spark.evidence.class_columns import check_class_names
from cl_spark.evidence.storage import Releasable, Storage, keep_with
from cl_spark.evidence.usable_rows import FAULT, NULL_ID, UsableRows, choose_reason
from cl_spark.evidence.validity import join_reasons
from cl_spark.methods.checks.audited_columns import AuditedColumns
from cl_spark.methods.checks.check_columns import ISSUE_TYPE, SCORE, WHY
from cl_spark.methods.checks.class_imbalance import select_label
from cl_spark.methods.checks.data_values import NO_VALUE
from cl_spark.methods.checks.issue_types import DATA_VALUATION, ISSUE_TYPES, LABEL_CHECK
from cl_spark.methods.checks.row_checks import RowChecks
from cl_spark.methods.classification.cuts import is_few
from cl_spark.methods.classification.label_audit import LabelAudit
from cl_spark.methods.classification.ranking import bucket_column, rank_kinds
from cl_spark.methods.classification.scores import check_probabilities
from cl_spark.methods.neighbors.duplicates import GROUP as COPIES
from cl_spark.methods.neighbors.duplicates import GROUP_SIZE
from cl_spark.methods.neighbors.label_shares import PRED_PROBS, check_label_type
from cl_spark.methods.neighbors.neighbor_index import (
    AUTO,
    DISTANCE,
    NEIGHBOR_ID,
    NeighborIndex,
    check_search_options,
)
from cl_spark.methods.neighbors.outlier_audit import OutlierAudit
from cl_spark.tables import columns as c
from cl_spark.tables.card import card
from cl_spark.tables.columns import check_result_names, quoted, resolve_columns
from cl_spark.tables.example_ids import ExampleIds
from cl_spark.tables.ids import lacks_id
from cl_spark.tables.pandas_frames import to_spark
from cl_spark.tables.row_json import select_row_json
from cl_spark.tables.schema import RunWarning
from cl_spark.tables.union import union_rows

logger = logging.getLogger(__name__)

_RESULTS = (
    *(ISSUE_TYPE, SCORE, c.IS_ISSUE, WHY, c.RANK, c.REASON, c.ROW, c.RUN_ID, c.ATTEMPT),
    *(COPIES, GROUP_SIZE, DISTANCE, NEIGHBOR_ID, PRED_PROBS),
    *(c.GIVEN_LABEL, c.PREDICTED_LABEL, c.SUGGESTED_LABEL, c.LABEL_QUALITY),
)


class DataAudit(Releasable):
    """A table looked through for bad rows of every kind: wrong labels, outliers, copies, rare classes,
    missing features, rows in an order that matters, groups of which a model knows little, harmful labels.

    It runs the checks that its columns allow; what they share is computed once. Use it as a context manager,
    or call `release`, to free what it keeps.

    Args:
        df: any Spark DataFrame, classic or Connect, or a pandas DataFrame.
        id_col: id column: whole numbers or text.
        label_col: column of given labels: class index or class name. Default: "label", if there is one.
        pred_probs_col: column of predicted probabilities: an array of K numbers or an ML vector. Default:
            "pred_probs", if there is one. Without one, wrong labels are found by the labels of neighbors.
        features_col: column of vectors, or a list of columns of numbers; see `NeighborIndex`. Default:
            "features", if there is one.
        text_col: column of texts, which are compared for copies in place of features. Default None.
        order_col: column that tells the order in which rows came: numbers, dates or times. Default None: a
            table has no order, and it is not checked.
        slice_by: columns whose values are groups. Default none: clusters of neighbors are.
        class_names: names of the classes in the order of the probabilities, where labels are names.
        k: how many neighbors a row is compared with; fewer than there are other rows. Default 10.
        metric: of the neighbors: "cosine", "euclidean", or "auto": cosine above 3 dimensions.
        search: how neighbors are searched: "exact", "approximate", or "auto"; see `NeighborIndex`.
        evidence_path: a directory to keep rows in (Parquet), for sessions that refuse to cache.
        spark: the session that turns a pandas DataFrame into Spark's; default the active one.

    Raises:
        ConfigurationError: an argument is out of range, or the columns allow no check.
        InputError: a column is missing or unusable, or all rows are (at the first question that reads it).

    Source: the checks are those of cleanlab's Datalab; specification, section 19.

    Example:
        >>> rows = [(i, [float(i % 5), 1.0], "ab"[i % 2]) for i in range(30)] + [(99, [50.0, 1.0], "a")]
        >>> rows = spark.createDataFrame(rows, "id int, features array<double>, label string")
        >>> with DataAudit(rows, k=3) as audit:
        ...     audit.find_issues().where("issue_type = 'outlier'").select("id", "why").first().id
        99
    """

    def __init__(
        self,
        df: DataFrame | pd.DataFrame,
        *,
        id_col: str = "id",
        label_col: str | None = None,
        pred_probs_col: str | None = None,
        features_col: str | Sequence[str] | None = None,
        text_col: str | None = None,
        order_col: str | None = None,
        slice_by: Sequence[str] = (),
        class_names: Sequence[str] | None = None,
        k: int = 10,
        metric: str = AUTO,
        search: str = AUTO,
        evidence_path: str | None = None,
        spark: SparkSession | None = None,
    ) -> None:
        check_search_options(k, metric, search)
        check_class_names(class_names)
        if isinstance(slice_by, str):
            raise ConfigurationError(f"slice_by must be a list of columns, not the text {slice_by!r}")
        self.df, self.k = to_spark(df, spark), k
        id_col = resolve_columns(self.df, "df", {"id_col": id_col})["id_col"]
        check_result_names([id_col], _RESULTS)
        ExampleIds.of(id_col).check({"df": self.df})
        self._columns = AuditedColumns.find(
            self.df,
            id_col,
            label_col=label_col,
            pred_probs_col=pred_probs_col,
            features_col=features_col,
            text_col=text_col,
            order_col=order_col,
            slice_by=slice_by,
        )
        self._metric, self._search, self._class_names = metric, search, class_names
        self._storage = Storage(evidence_path)
        self._storage.release_with(self)

    def release(self) -> None:
        """Free what is kept."""
        if "_checks" in vars(self):
            self._checks.release()
        self._storage.release()

    @property
    def given_label(self) -> Column | None:
        """The given label, as a column of the table; None if the table has none."""
        label_col = self._columns.label
        return None if label_col is None else select_label(self.df, label_col).alias(c.GIVEN_LABEL)

    @property
    def issue_types(self) -> list[str]:
        """Kinds of issues that the columns allow to look for."""
        return [kind for kind in ISSUE_TYPES if kind not in self.left_out]

    @property
    def left_out(self) -> Mapping[str, str]:
        """Kinds of issues that are not looked for, each with the columns that this needs."""
        return self._columns.left_out

    @cached_property
    def _usable(self) -> UsableRows:
        fault = choose_reason([(lacks_id(self.df, [self._columns.id]), NULL_ID)])
        return UsableRows(self.df.withColumn(FAULT, fault), [self._columns.id], self._storage)

    @property
    def num_read(self) -> int:
        """Rows of the table."""
        return self._usable.num_read

    @property
    def rejected_counts(self) -> Mapping[str, int]:
        """Rows that no check can use, by reason. A row that some check cannot use is not among them."""
        return self._usable.rejected_counts

    @property
    def num_rejected(self) -> int:
        """Rows that no check can use."""
        return self._usable.num_rejected

    @property
    def num_examples(self) -> int:
        """Rows with an id of their own."""
        return self._usable.num_accepted

    @property
    def num_classes(self) -> None:
        """None: checks need no classes."""

    def rejected(self) -> DataFrame:
        """Rows that no check can use: the id column, reason, and the row as JSON."""
        row = select_row_json(FAULT).alias(c.ROW)
        found = self._usable.rejected().select(quoted(self._columns.id), F.col(FAULT).alias(c.REASON), row)
        return keep_with(found, self)

    @cached_property
    def rows(self) -> DataFrame:
        """The rows with an id of their own."""
        if not self.num_examples:
            raise EmptyTableError(
                f"df: none of {self.num_read:,} rows can be used: {join_reasons(self.rejected_counts)}"
            )
        return self._usable.accepted()

    @cached_property
    def _checks(self) -> RowChecks:
        return RowChecks(
            self.rows,
            self.num_examples,
            self._columns,
            class_names=self._class_names,
            k=self.k,
            metric=self._metric,
            search=self._search,
            storage=self._storage,
        )

    @property
    def outlier_audit(self) -> OutlierAudit:
        """The rows as an `OutlierAudit`, whose index of neighbors all checks share."""
        return self._checks.outlier_audit

    @property
    def index(self) -> NeighborIndex:
        """The rows as what neighbors are looked up in."""
        return self._checks.index

    @property
    def label_audit(self) -> LabelAudit:
        """The rows as a `LabelAudit`: by the predicted probabilities, or else by the labels of neighbors."""
        return self._checks.label_audit

    def score(self, issue_type: str) -> DataFrame:
        """Score rows by one check.

        Args:
            issue_type: one of `issue_types`.

        Returns:
            The id column, score (in [0, 1]; low = suspicious), is_issue, and why: a sentence about an issue;
            of "near_duplicate" also group: the lowest id of the copies that belong together, null without
            one. Rows that the check cannot use have none.

        Raises:
            ConfigurationError: there is no such check, or the columns do not allow it.
        """
        if issue_type not in ISSUE_TYPES:
            raise ConfigurationError(f"issue_type: {issue_type!r} is none of {', '.join(ISSUE_TYPES)}")
        if issue_type in self.left_out:
            raise ConfigurationError(f"issue_type: {issue_type!r} needs {self.left_out[issue_type]}")
        kind = self.df.schema[self._columns.id].dataType
        scored = self._checks.score(issue_type).withColumn(
            self._columns.id, F.col(quoted(self._columns.id)).cast(kind)
        )
        return keep_with(scored, self)

    def scores(self) -> DataFrame:
        """Score rows by all checks: issue_type, the id column, score, is_issue, why."""
        return keep_with(self._all_scores().drop(COPIES), self)

    def _all_scores(self) -> DataFrame:
        """Put the scores of all checks together, each row with its group of copies, or null."""
        none = F.lit(None).cast(self.df.schema[self._columns.id].dataType).alias(COPIES)
        found = [
            rows.select(F.lit(kind).alias(ISSUE_TYPE), "*", *([] if COPIES in rows.columns else [none]))
            for kind, rows in self._scored.items()
        ]
        return union_rows(found)

    @cached_property
    def _answers(self) -> dict[str, DataFrame | str]:
        """Answers of the checks about the rows, persisted; of a check without one, why.

        Raises:
            ClSparkError: none can.
        """
        found: dict[str, DataFrame | str] = {}
        first: ConfigurationError | InputError | None = None
        for kind in self.issue_types:
            try:
                found[kind] = self._storage.persist(self.score(kind), self.num_examples)
            except SourceChangedError:
                raise
            except (ConfigurationError, InputError) as error:
                found[kind], first = str(error), first or error
                logger.warning("%s: not answered: %s", kind, error)
        if first is not None and all(isinstance(answered, str) for answered in found.values()):
            raise first
        return found

    @property
    def _scored(self) -> dict[str, DataFrame]:
        return {kind: rows for kind, rows in self._answers.items() if not isinstance(rows, str)}

    @property
    def unanswered(self) -> Mapping[str, str]:
        """Kinds of issues that the columns allow to look for, but not what they hold; each with the reason.
        Runs all checks.
        """
        return {kind: told for kind, told in self._answers.items() if isinstance(told, str)}

    def find_issues(self) -> DataFrame:
        """Find the issues of all kinds.

        Returns:
            issue_type, the id column, score, is_issue (true), why, group, and rank: first the worst of each
            kind, then the second of each, and so on; of one kind, ties go to the lower id. The group of a
            near duplicate is the lowest id of the copies that belong together, which all are issues; that of
            other kinds is null. A row with several kinds of issues is there once for each.
        """
        found, ids = self._all_scores().where(c.IS_ISSUE), [quoted(self._columns.id)]
        few = is_few(self.num_examples * len(self._scored))
        # values of examples lie close around that of no value
        from_center = F.when(F.col(ISSUE_TYPE) == DATA_VALUATION, NO_VALUE).otherwise(0)
        bucket = bucket_column(F.col(SCORE) - from_center)
        return keep_with(rank_kinds(found, SCORE, ISSUE_TYPE, ids, few=few, bucket=bucket), self)

    def summary(self) -> DataFrame:
        """Sum the checks up: issue_type, examples (rows that the check could judge), unusable (other rows),
        issues, and note: why a check was left out or could not be answered; its counts are null.
        """
        counted = self.scores().groupBy(ISSUE_TYPE)
        sums = counted.agg(F.count(F.lit(1)).alias("_judged"), F.count_if(c.IS_ISSUE).alias("_issues"))
        notes = dict(self.unanswered)
        notes |= {kind: f"not looked for: needs {needs}" for kind, needs in self.left_out.items()}
        listed = self.df.sparkSession.createDataFrame(
            [(kind, notes.get(kind)) for kind in ISSUE_TYPES], f"{ISSUE_TYPE} string, note string"
        )
        joined, was_answered = listed.join(sums, ISSUE_TYPE, "left"), F.col("note").isNull()
        examples = F.when(was_answered, F.coalesce("_judged", F.lit(0)))
        shown = joined.select(
            ISSUE_TYPE,
            examples.alias("examples"),
            (F.lit(self.num_examples) - examples).alias("unusable"),
            F.when(was_answered, F.coalesce("_issues", F.lit(0))).alias("issues"),
            "note",
        )
        return keep_with(shown, self)

    def warnings(self) -> list[RunWarning]:
        """Tell doubts about the labels, as `LabelAudit` has them, and checks that could not be answered.
        Runs all checks.
        """
        told = [_not_answered(kind, why) for kind, why in self.unanswered.items()]
        return [*(self.label_audit.warnings() if LABEL_CHECK in self._scored else []), *told]

    def first_warnings(self) -> list[RunWarning]:
        """Tell the doubts that hold of a table whose first rows these are: about the labels beside
        given probabilities, and the type of the labels.

        Runs no check: each judges a row by all others, and the first rows of a sorted table may be of one
        class, or without features.
        """
        if LABEL_CHECK in self.left_out:
            return []
        assert self._columns.label is not None
        try:
            if self._columns.pred_probs is None:
                check_label_type(self._columns.label, self.df.schema[self._columns.label].dataType)
                return []
            check_probabilities(self.label_audit.statistics, "a data audit")
            return self.label_audit.warnings()
        except EmptyTableError as error:
            is_labeled = F.col(quoted(self._columns.label)).isNotNull()
            if not self.num_examples or self.rows.where(is_labeled).isEmpty():
                return []  # later rows may have labels
            return [_not_answered(LABEL_CHECK, str(error))]
        except SourceChangedError:
            raise
        except (ConfigurationError, InputError) as error:
            return [_not_answered(LABEL_CHECK, str(error))]

    def _repr_html_(self) -> str:
        """Show what is looked for: showing an audit scans nothing."""
        notes = [f"not looked for: {kind} (needs {needs})" for kind, needs in self.left_out.items()]
        return card("Data audit", {"checks": ", ".join(self.issue_types)}, notes=notes)


def _not_answered(kind: str, why: str) -> RunWarning:
    return RunWarning("check_not_answered", f"{kind}: {why}")
