"""`GeneratedData`: rows that a model has generated from prompts, judged beside real ones."""

import logging
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import pandas as pd
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from cl_spark.errors import InputError
from cl_spark.evidence.class_columns import list_names
from cl_spark.evidence.storage import Releasable, Storage, keep_with
from cl_spark.evidence.usable_rows import FAULT
from cl_spark.methods.classification.cuts import is_few
from cl_spark.methods.classification.label_audit import LabelAudit
from cl_spark.methods.classification.ranking import rank_kinds
from cl_spark.methods.generated.input_rows import TABLES, InputRows
from cl_spark.methods.neighbors.duplicates import GROUP, find_duplicates
from cl_spark.methods.neighbors.features import ID, FeatureTable, select_features
from cl_spark.methods.neighbors.label_shares import PRED_PROBS, neighbor_pred_probs
from cl_spark.methods.neighbors.neighbor_index import AUTO, NeighborIndex, check_search_options
from cl_spark.methods.neighbors.outlier_audit import IS_FAR, OutlierAudit
from cl_spark.methods.neighbors.search import DISTANCES
from cl_spark.tables import columns as c
from cl_spark.tables.card import card
from cl_spark.tables.columns import check_result_names, quoted, resolve_columns
from cl_spark.tables.pandas_frames import to_spark
from cl_spark.tables.schema import RunWarning
from cl_spark.tables.union import union_rows

logger = logging.getLogger(__name__)

REALISM, FIT, NEARNESS, COPY_OF = "realism", "fit", "nearness", "copy_of"
KEEP, REASON, ISSUE_TYPE = "keep", "reason", "issue_type"
_ROWS = (REALISM, FIT, NEARNESS, COPY_OF, KEEP, REASON, ISSUE_TYPE, c.RANK, c.ROW)

GENERATED, KEPT, DIVERSITY, COVERAGE = "generated", "kept", "diversity", "coverage"

NO_FEATURES = "features cannot be used"
FAR, MISFIT, COPY = "far from all real rows", "does not fit its prompt", "copy of another row"
"""Reasons to drop a row, of which the first that holds is told."""

ISSUE_TYPES = {FAR: "far", MISFIT: "misfit", COPY: "copy"}
"""Kinds of rows to drop, by their reason."""

_MOST_NAMES = 5
"""Prompts named in a warning."""

_KEY, _PROMPT, _IS_REAL, _SUGGESTED, _FITS, _GROUP, _FIRST, _COVERED, _SCORE = (
    "_key", "_prompt", "_is_real", "_suggested", "_fits", "_group", "_first", "_covered", "_score",
)  # fmt: skip


class GeneratedData(Releasable):
    """Generated rows beside real ones: how real each looks, whether it fits its prompt, whether it is a
    copy; and of each prompt, how diverse its rows are and how much of the real ones they cover.

    A prompt is the class that a row was meant to be of. The nearest rows tell: a row's realism is the share
    of real rows among them, its fit what confident learning says of the prompt as a label. Use it as a
    context manager, or call `release`, to free what it keeps.

    Args:
        generated: the generated rows: any Spark DataFrame, or a pandas DataFrame.
        real: real rows of the same kind, with the class in place of the prompt. Their ids are their own.
        id_col: id column of both: whole numbers or text.
        prompt_col: column of the prompt, and of the class of real rows: text or whole numbers.
        features_col: column of vectors of both, or a list of columns of numbers; see `NeighborIndex`.
        k: how many neighbors a row is compared with; fewer than there are rows of either table. Default 10.
        metric: of the neighbors: "cosine", "euclidean", or "auto": cosine above 3 dimensions.
        search: how neighbors are searched: "exact", "approximate", or "auto"; see `NeighborIndex`.
        evidence_path: a directory to keep rows in (Parquet), for sessions that refuse to cache.
        spark: the session that turns pandas DataFrames into Spark's; default the active one.

    Raises:
        ConfigurationError: an argument is out of range.
        InputError: a column is missing or unusable, or all rows are (at the first question that reads it).

    Source: Naeem, Oh, Uh, Choi, Yoo, "Reliable Fidelity and Diversity Metrics for Generative Models", ICML
    2020, for coverage; specification, section 20.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> def rows(count, shift):
        ...     near = [[float(x), shift] for x in rng.normal(10, 1, count)]
        ...     return pd.DataFrame({"id": range(count), "prompt": "cat", "features": near})
        >>> generated, real = rows(40, 1.0), rows(40, 1.0)
        >>> generated.at[7, "features"] = [90.0, 1.0]
        >>> with GeneratedData(generated, real, k=3) as judged:
        ...     dropped = judged.rows().where("NOT keep AND id = 7").first()
        >>> dropped.reason
        'far from all real rows'
    """

    def __init__(
        self,
        generated: DataFrame | pd.DataFrame,
        real: DataFrame | pd.DataFrame,
        *,
        id_col: str = "id",
        prompt_col: str = "prompt",
        features_col: str | Sequence[str] = "features",
        k: int = 10,
        metric: str = AUTO,
        search: str = AUTO,
        evidence_path: str | None = None,
        spark: SparkSession | None = None,
    ) -> None:
        check_search_options(k, metric, search)
        self._storage = Storage(evidence_path)
        self._storage.release_with(self)
        self.generated = to_spark(generated, spark, argument="generated")
        self.real = to_spark(real, self.generated.sparkSession, argument="real")
        self._inputs = InputRows(self.generated, self.real, id_col, prompt_col, self._storage)
        self._id_col, self._prompt_col = self._inputs.id_col, self._inputs.prompt_col
        check_result_names([self._id_col], (*_ROWS, self._prompt_col))
        check_result_names([self._prompt_col], (*_ROWS, GENERATED, KEPT, DIVERSITY, COVERAGE), "prompt_col")
        self._features_col, self.k, self._metric, self._search = features_col, k, metric, search
        self._evidence_path = evidence_path
        self._owners: list[DataFrame] = []
        """Answers of others that ours are computed from: while they are kept, so is their evidence."""

    def release(self) -> None:
        """Free what is kept."""
        for name in ("_near_real", "_index", "_pooled", "_labels"):
            if name in vars(self):
                vars(self)[name].release()
        self._owners.clear()
        self._storage.release()

    @cached_property
    def _features(self) -> Mapping[str, FeatureTable]:
        """The features of the rows that have a prompt, and an id of their own.

        Raises:
            InputError: they are of different lengths.
        """
        tables = {"generated": self._index.table, "real": self._near_real.index.table}
        lengths = [table.counts.dimension for table in tables.values()]
        if lengths[0] != lengths[1]:
            raise InputError(
                f"features_col: generated has {lengths[0]} features a row, real has {lengths[1]}: they must "
                "be of one model"
            )
        return tables

    @property
    def num_read(self) -> int:
        """Rows of both tables."""
        return self._inputs.num_read

    @property
    def num_examples(self) -> int:
        """Rows of both tables that can be used."""
        return sum(table.counts.num_accepted for table in self._features.values())

    @property
    def rejected_counts(self) -> Mapping[str, int]:
        """Rows of both tables that cannot be used, by reason."""
        return self._inputs.count_rejected(self._features)

    def rejected(self) -> DataFrame:
        """Rows of both tables that cannot be used: the id column, reason, and the row as JSON. Reads the
        tables again.
        """
        return keep_with(self._inputs.rejected(self._features), self)

    def warnings(self) -> list[RunWarning]:
        """Tell doubts about the prompts: those that no real row has, and those that look permuted."""
        prompt = F.col(quoted(self._prompt_col)).alias(_PROMPT)
        made, there = (self._inputs.accepted(argument).select(prompt).distinct() for argument in TABLES)
        missing = made.join(there, _PROMPT, "left_anti").orderBy(_PROMPT).limit(_MOST_NAMES + 1).collect()
        told = []
        if missing:
            names = ", ".join(str(row[0]) for row in missing[:_MOST_NAMES])
            more = " and others" if len(missing) > _MOST_NAMES else ""
            message = (
                f"no real row has the prompt {names}{more}: nothing tells what its rows should look like; "
                "add real rows of it, or leave its rows out"
            )
            logger.warning(message)
            told.append(RunWarning("prompts_without_real_rows", message))
        of_labels = self._labels.warnings() if len(self._classes) > 1 else []
        return [*told, *(RunWarning(code, f"prompts as labels: {message}") for code, message in of_labels)]

    @cached_property
    def _near_real(self) -> OutlierAudit:
        """The real rows, by which generated ones are judged near or far."""
        return OutlierAudit(
            self._inputs.accepted("real"),
            id_col=self._id_col,
            features_col=self._features_col,
            k=self.k,
            metric=self._metric,
            search=self._search,
            evidence_path=self._evidence_path,
        )

    @cached_property
    def _index(self) -> NeighborIndex:
        """The generated rows as what neighbors are looked up in."""
        return self._make_index(self._inputs.accepted("generated"), self._id_col)

    @cached_property
    def _pooled(self) -> NeighborIndex:
        """All rows, with keys that tell the two tables apart."""
        parts = [self._pool(argument, is_real) for is_real, argument in enumerate(TABLES)]
        return self._make_index(union_rows(parts), _KEY)

    def _pool(self, argument: str, is_real: int) -> DataFrame:
        df = self._inputs.accepted(argument)
        if isinstance(self._features_col, str):  # vectors in one table, arrays in the other
            features = [select_features(df, self._features_col, argument).alias(self._features_col)]
        else:
            names = {col: resolve_columns(df, argument, {"features_col": col}) for col in self._features_col}
            features = [F.col(quoted(own["features_col"])).alias(col) for col, own in names.items()]
        return df.select(
            self._key_of(is_real),
            F.col(quoted(self._prompt_col)).cast("string").alias(_PROMPT),
            F.lit(is_real).alias(_IS_REAL),
            *features,
        )

    def _key_of(self, is_real: int) -> Column:
        """Make a key that no row of the other table has."""
        return F.concat(F.lit(f"{is_real} "), F.col(quoted(self._id_col)).cast("string")).alias(_KEY)

    def _make_index(self, df: DataFrame, id_col: str) -> NeighborIndex:
        return NeighborIndex(
            df,
            id_col=id_col,
            features_col=self._features_col,
            metric=self._metric,
            method=self._search,
            evidence_path=self._evidence_path,
        )

    def _share_labels(self, label_col: str, class_names: Sequence[str] | None = None) -> DataFrame:
        """Take the labels of the nearest of all rows for probabilities of the generated ones."""
        shares = neighbor_pred_probs(
            self._pooled.table.df,
            id_col=_KEY,
            features_col=self._features_col,
            label_col=label_col,
            class_names=class_names,
            k=self.k,
            index=self._pooled,
        )
        return shares.where(F.col(_KEY).startswith("0 "))

    @cached_property
    def _classes(self) -> list[str]:
        """The prompts and classes that there are."""
        return list_names(self._pooled.table.df, _PROMPT)

    @cached_property
    def _labels(self) -> LabelAudit:
        """The prompts of generated rows as labels, of which neighbors tell whether they are wrong."""
        return LabelAudit(
            self._share_labels(_PROMPT, self._classes),
            id_col=_KEY,
            label_col=_PROMPT,
            pred_probs_col=PRED_PROBS,
            class_names=self._classes,
            check_ids=False,  # the index has left out those of several rows
            evidence_path=self._evidence_path,
        )

    def _judge_fit(self) -> DataFrame:
        """Judge how well prompts fit: key, fit, and a likelier class of those that do not."""
        if len(self._classes) < 2:
            none = F.lit(None)
            return self._pooled.table.df.limit(0).select(
                _KEY, none.cast("double").alias(FIT), none.cast("string").alias(_SUGGESTED)
            )
        scores = self._labels.label_quality_scores().select(_KEY, F.col(c.LABEL_QUALITY).alias(FIT))
        issues = self._labels.find_label_issues()
        suggested = F.coalesce(F.col(c.SUGGESTED_LABEL), F.lit("no class")).alias(_SUGGESTED)
        return scores.join(issues.select(_KEY, suggested), _KEY, "left")

    @cached_property
    def _judged(self) -> DataFrame:
        ids = quoted(self._id_col)
        realism = self._share_labels(_IS_REAL).select(_KEY, F.element_at(PRED_PROBS, 2).alias(REALISM))
        made = self._inputs.accepted("generated")
        _ = self._features  # are of one length
        near = self._near_real.judge_distances(made)
        self._owners.append(near)
        near = near.select(F.col(ids).alias("_near_id"), F.col("score").alias(NEARNESS), IS_FAR)
        copies = find_duplicates(
            made,
            id_col=self._id_col,
            features_col=self._features_col,
            k=self.k,
            index=self._index,
            evidence_path=self._evidence_path,
        )
        self._owners.append(copies)
        copies = copies.select(F.col(ids).alias("_copy_id"), F.col(GROUP).alias(_GROUP))
        rows = self._inputs.marked("generated").select(ids, quoted(self._prompt_col), FAULT, self._key_of(0))
        rows = rows.join(realism, _KEY, "left").join(self._judge_fit(), _KEY, "left")
        rows = rows.join(near, F.col(ids) == F.col("_near_id"), "left")
        rows = rows.join(copies, F.col(ids) == F.col("_copy_id"), "left")
        reason = (
            F.when(F.col(FAULT).isNotNull(), F.col(FAULT))
            .when(F.col(NEARNESS).isNull(), NO_FEATURES)
            .when(F.col(IS_FAR), FAR)
            .when(F.col(_SUGGESTED).isNotNull(), F.concat(F.lit(f"{MISFIT}: looks like "), F.col(_SUGGESTED)))
        )
        fits = F.when(F.col(FIT).isNotNull(), F.col(_SUGGESTED).isNull()).alias(_FITS)
        prompt = quoted(self._prompt_col)
        rows = rows.select(ids, prompt, REALISM, FIT, NEARNESS, _GROUP, reason.alias(REASON), fits)
        rows = self._storage.persist(rows, self._index.num_read)
        # of copies one is kept: the first that nothing else is wrong with
        first = F.coalesce(F.min(F.when(F.col(REASON).isNull(), F.col(ids))), F.min(ids)).alias(_FIRST)
        rows = rows.join(rows.where(F.col(_GROUP).isNotNull()).groupBy(_GROUP).agg(first), _GROUP, "left")
        copy_of = F.when(F.col(_FIRST) != F.col(ids), F.col(_FIRST))
        is_copy = F.concat(F.lit(f"{COPY}: "), F.col(COPY_OF).cast("string"))  # null of another row
        shown = rows.withColumn(COPY_OF, copy_of).withColumn(REASON, F.coalesce(REASON, is_copy))
        shown = shown.withColumn(KEEP, F.col(REASON).isNull())
        shown = shown.select(ids, prompt, REALISM, FIT, NEARNESS, COPY_OF, KEEP, REASON, _FITS)
        return self._storage.persist(shown, self._index.num_read)

    @property
    def _usable_judged(self) -> DataFrame:
        """The rows that can be used."""
        return self._judged.where(F.col(NEARNESS).isNotNull())

    def rows(self) -> DataFrame:
        """Judge every generated row. Rows that cannot be used are among them, with null scores and the reason
        that `rejected` has; the table `generated_rows` of a run has only those that can.

        Returns:
            The id column, the prompt, realism (share of real rows among the k nearest of all; where generated
            rows look real, about the share of real rows in both tables), fit (self-confidence of the prompt
            by the labels of neighbors; null with one prompt), nearness (outlier score beside the real rows:
            0.37 is usual, low is far), copy_of (the row of which it is a near copy: the first of them that
            is neither far nor a misfit), keep, and reason: why it is to be dropped.
        """
        return keep_with(self._judged.drop(_FITS), self)

    def dropped(self) -> DataFrame:
        """Tell which rows to drop, the worst first. Rows that cannot be used are not among them, but in
        `rejected`.

        Returns:
            The id column, the prompt, realism, fit, nearness, copy_of and reason as `rows` has them;
            issue_type: "far" from all real rows, "misfit" with its prompt, or "copy"; and rank: first the
            worst of each kind (by nearness, by fit; copies by nearness), then the second of each, and so on.
        """
        kind = F.coalesce(
            *[F.when(F.col(REASON).startswith(text), name) for text, name in ISSUE_TYPES.items()]
        )
        found = self.rows().withColumn(ISSUE_TYPE, kind).where(F.col(ISSUE_TYPE).isNotNull()).drop(KEEP)
        score = F.when(F.col(ISSUE_TYPE) == ISSUE_TYPES[MISFIT], F.col(FIT)).otherwise(F.col(NEARNESS))
        few = is_few(self._index.num_read)
        ids = [quoted(self._id_col)]
        ranked = rank_kinds(found.withColumn(_SCORE, score), _SCORE, ISSUE_TYPE, ids, few=few)
        return keep_with(ranked.drop(_SCORE), self)

    def prompts(self) -> DataFrame:
        """Sum up each prompt.

        Returns:
            The prompt; generated rows (those that cannot be used count nowhere) and kept ones; the mean
            realism; fit, the share of rows that fit the prompt (null with one prompt); diversity, the share
            that are no copies of another row; and coverage, the share of real rows of the class that have a
            generated row as near as their k-th real neighbor. What there is no row for is null.
        """
        prompt = quoted(self._prompt_col)
        found = self._usable_judged.groupBy(prompt).agg(*self._sums())
        covered = self._covered.groupBy(prompt).agg(_mean(_COVERED).alias(COVERAGE))
        joined = found.join(covered, self._prompt_col, "full")
        counts = [F.coalesce(col, F.lit(0)).alias(col) for col in (GENERATED, KEPT)]
        return keep_with(joined.select(prompt, *counts, REALISM, FIT, DIVERSITY, COVERAGE), self)

    def totals(self) -> dict[str, Any]:
        """Sum up all prompts, as `prompts` does each."""
        found = self._usable_judged.agg(*self._sums()).collect()[0].asDict()
        return {**found, COVERAGE: self._covered.agg(_mean(_COVERED)).collect()[0][0]}

    def _sums(self) -> list[Column]:
        is_copy = F.col(COPY_OF).isNotNull()
        return [
            F.count(F.lit(1)).alias(GENERATED),
            F.count_if(KEEP).alias(KEPT),
            _mean(REALISM).alias(REALISM),
            F.avg(F.col(_FITS).cast("int")).alias(FIT),
            F.avg((~is_copy).cast("int")).alias(DIVERSITY),
        ]

    @cached_property
    def _covered(self) -> DataFrame:
        """Real rows with features: class, and whether a generated row is as near as the k-th real one."""
        real = self._near_real.index
        own = real.own_neighbor_lists(self.k).select(ID, F.element_at(DISTANCES, self.k).alias("_radius"))
        there = self._inputs.accepted("real")
        queries = self._index.open(there, self._storage)
        nearest = self._index.neighbor_lists(1, queries).select(
            ID, F.element_at(DISTANCES, 1).alias("_nearest")
        )
        key = F.col(quoted(self._id_col)).cast(real.table.key_type).alias(ID)
        classes = there.select(key, quoted(self._prompt_col))
        covered = (F.col("_nearest") <= F.col("_radius")).cast("int").alias(_COVERED)
        found = own.join(nearest, ID).join(classes, ID).select(quoted(self._prompt_col), covered)
        return self._storage.persist(found, real.num_read)

    def _repr_html_(self) -> str:
        """Show what is asked: showing it scans nothing."""
        return card("Generated data", {"prompt": self._prompt_col, "features": str(self._features_col)})


def _mean(col: str) -> Column:
    """Average numbers so that their order does not matter."""
    return F.avg(F.col(col).cast("decimal(18,15)")).cast("double")
