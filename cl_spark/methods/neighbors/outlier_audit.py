"""`OutlierAudit`: rows that are unlike the others, by their neighbors or by a model's probabilities."""

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from cl_spark.errors import ConfigurationError, MissingColumnError
from cl_spark.evidence.storage import Releasable, Storage, StorageOwner, keep_with
from cl_spark.evidence.workers import add_column, map_in_arrow
from cl_spark.kernels.arrays import Float64s
from cl_spark.kernels.outlier_scores import PROB_SCORES, distance_scores
from cl_spark.methods.classification.label_audit import LabelAudit
from cl_spark.methods.classification.ranking import add_rank
from cl_spark.methods.neighbors.features import ID
from cl_spark.methods.neighbors.neighbor_index import AUTO, RANK, NeighborIndex, check_search_options
from cl_spark.methods.neighbors.pred_probs import FAULT, SCORE, ProbTable
from cl_spark.methods.neighbors.search import DISTANCES
from cl_spark.tables import columns as c
from cl_spark.tables.card import card
from cl_spark.tables.columns import (
    check_result_names,
    find_columns,
    is_case_sensitive,
    quoted,
    resolve_columns,
)
from cl_spark.tables.example_ids import check_columns
from cl_spark.tables.pandas_frames import to_spark
from cl_spark.tables.quantiles import find_quantiles

logger = logging.getLogger(__name__)

NEIGHBORS_METHOD = "neighbors"
OUTLIER_METHODS = (NEIGHBORS_METHOD, *PROB_SCORES)

_MEAN = "_mean_distance"
IS_FAR = "is_far"

USUAL_RANGE = 1 / 0.37037 - 1
"""Interquartile ranges above the third quartile beyond which a mean distance is that of an outlier."""

USUAL_SHARE = 0.13
"""Share of the median score of probabilities below which a row is an outlier."""

Rows = DataFrame | pd.DataFrame


class OutlierAudit(Releasable):
    """Rows that are unlike the others: out of distribution, corrupt, or of no class. Lower scores are more
    atypical.

    It needs features (a model's embedding, or plain numbers) for scores by neighbors, or predicted
    probabilities for scores by a model's doubt. What it learns from its table, it keeps for rows of another.
    Use it as a context manager, or call `release`, to free what it keeps.

    Args:
        df: any Spark DataFrame, classic or Connect, or a pandas DataFrame.
        id_col: id column: whole numbers or text.
        features_col: column of vectors, or a list of columns of numbers; see `NeighborIndex`. Read only by
            the method "neighbors".
        pred_probs_col: column of predicted probabilities: an array of K numbers or an ML vector.
        label_col: column of given labels. Read only where probabilities are adjusted, for the thresholds.
        k: how many neighbors a row is compared with; fewer than there are other rows. Default 10.
        metric: of the neighbors: "cosine", "euclidean", or "auto": cosine above 3 dimensions.
        search: how neighbors are searched: "exact", "approximate", or "auto"; see `NeighborIndex`.
        class_names: names of the classes in the order of the probabilities, where labels are names.
        evidence_path: a directory to keep rows in (Parquet), for sessions that refuse to cache.
        spark: the session that turns pandas DataFrames into Spark's; default the active one.

    Raises:
        ConfigurationError: an argument is out of range.
        InputError: a column is missing or unusable, or all rows are (at the first question that reads it).

    Source: Kuan, Mueller, "Back to the Basics: Revisiting Out-of-Distribution Detection Baselines", 2022;
    Liu, Lochman, Zach, "GEN", 2023; specification, section 16.

    Example:
        >>> rows = [(i, [float(i % 5), 1.0]) for i in range(30)] + [(99, [50.0, 1.0])]
        >>> with OutlierAudit(spark.createDataFrame(rows, "id int, features array<double>"), k=3) as audit:
        ...     audit.find_outliers().first().id
        99
    """

    def __init__(
        self,
        df: Rows,
        *,
        id_col: str = "id",
        features_col: str | Sequence[str] = "features",
        pred_probs_col: str = "pred_probs",
        label_col: str = "label",
        k: int = 10,
        metric: str = AUTO,
        search: str = AUTO,
        class_names: Sequence[str] | None = None,
        evidence_path: str | None = None,
        spark: SparkSession | None = None,
    ) -> None:
        check_search_options(k, metric, search)
        self.df, self.k = to_spark(df, spark), k
        self._id_col = resolve_columns(self.df, "df", {"id_col": id_col})["id_col"]
        check_result_names([self._id_col], (SCORE, RANK, IS_FAR))
        self._features_col, self._pred_probs_col, self._label_col = features_col, pred_probs_col, label_col
        self._metric, self._search, self._class_names = metric, search, class_names
        self._evidence_path = evidence_path
        self._storage = Storage(evidence_path)
        self._storage.release_with(self)
        if features_col != "features":  # the default need not be there
            cols = [features_col] if isinstance(features_col, str) else list(features_col)
            check_columns("df", self.df, {"features_col": cols})

    def release(self) -> None:
        """Free what is kept."""
        self._storage.release()
        if "index" in vars(self):
            self.index.release()

    @property
    def default_method(self) -> str:
        """ "neighbors" where the table has features, else "entropy"."""
        return NEIGHBORS_METHOD if self._has(self._features_col) else "entropy"

    def _has(self, cols: str | Sequence[str]) -> bool:
        sensitive = is_case_sensitive(self.df.sparkSession)
        wanted = [cols] if isinstance(cols, str) else cols
        return all(find_columns(col, self.df.columns, case_sensitive=sensitive) for col in wanted)

    @cached_property
    def index(self) -> NeighborIndex:
        """The rows as what neighbors are looked up in."""
        return NeighborIndex(
            self.df,
            id_col=self._id_col,
            features_col=self._features_col,
            metric=self._metric,
            method=self._search,
            evidence_path=self._evidence_path,
        )

    @cached_property
    def num_classes(self) -> int:
        """K, of the predicted probabilities."""
        return self._prob_table(self.df, "df").find_num_classes()

    @cached_property
    def thresholds(self) -> Float64s:
        """(K,) confident thresholds, by which probabilities are adjusted.

        Raises:
            MissingColumnError: there is no column of labels.
        """
        if not self._has(self._label_col):
            raise MissingColumnError(
                f"label_col: no column {self._label_col!r} in df, which adjusted probabilities need: name "
                "it, or say adjust_pred_probs=False"
            )
        with LabelAudit(
            self.df,
            id_col=self._id_col,
            label_col=self._label_col,
            pred_probs_col=self._pred_probs_col,
            class_names=self._class_names,
            probabilities=True,  # rows that get no score shift no threshold
            evidence_path=self._evidence_path,
        ) as audit:
            rows = audit.confident_thresholds().toPandas()  # K rows
        if self._class_names is not None:
            rows = rows.set_index(c.CLASS).loc[list(self._class_names)].reset_index()
        else:
            rows = rows.sort_values(c.CLASS)
        return rows[c.THRESHOLD].to_numpy(dtype=np.float64)

    @cached_property
    def mean_distances(self) -> DataFrame:
        """Mean distance of each row to its k nearest: id column, and the distance. Persisted."""
        lists = self.index.own_neighbor_lists(self.k)
        return self._storage.persist(self._to_means(lists, self.index.table.id_type))

    @cached_property
    def distance_quartiles(self) -> tuple[float, float, float]:
        """Quartiles of the mean distances; the second one is the scale of the scores."""
        low, median, high = find_quantiles(self.mean_distances, _MEAN, (0.25, 0.5, 0.75))
        return low, median, high

    def outlier_scores(
        self, new: Rows | None = None, *, method: str | None = None, adjust_pred_probs: bool = True
    ) -> DataFrame:
        """Score how typical each row is; low = atypical.

        Args:
            new: a table with the same columns whose rows are scored by what was learned; it needs no labels.
                Default None: the rows of the audit.
            method: "neighbors", exp(-mean distance to the k nearest rows / the median of these distances);
                "entropy", 1 - normalised entropy of the probabilities; "least_confidence", the greatest
                probability; or "gen", generalized entropy. Default None is "neighbors" where there are
                features, else "entropy".
            adjust_pred_probs: take the model's confidence in each class out of the probabilities first. For
                "entropy" and "least_confidence" (default True); "gen" takes them as they are.

        Returns:
            The id column and score, in [0, 1]. Rows that cannot be used have none, and are told in the log;
            `rejected` lists those of the audit's own table.

        Raises:
            ConfigurationError: the method is unknown, or k is too large.
            InputError: a column is missing or unusable, or all rows are.
        """
        method = self._check_method(method)
        if method != NEIGHBORS_METHOD:
            return self._score_probs(new, method, adjust_pred_probs)
        judged = self.judge_distances(new)
        return keep_with(judged.select(quoted(self._id_col), SCORE), judged)

    def judge_distances(self, new: Rows | None = None) -> DataFrame:
        """Judge rows by their distances to the k nearest, which differ where scores are all 0.

        Args:
            new: as `outlier_scores` takes it.

        Returns:
            The id column, score, and is_far: whether the row is an outlier, where no threshold is named.

        Raises:
            ConfigurationError: k is too large.
            InputError: a column is missing or unusable, or all rows are.
        """
        storage, means = Storage(self._evidence_path), self.mean_distances
        if new is not None:
            queries = self.index.open(new, storage)
            means = self._to_means(self.index.neighbor_lists(self.k, queries), queries.id_type)
        return keep_with(self._judge(means).drop(_MEAN), StorageOwner(storage, self))

    def _judge(self, means: DataFrame) -> DataFrame:
        """Add scores to mean distances, and whether rows are far."""
        kind = means.schema[self._id_col].dataType.simpleString()
        low, median, high = self.distance_quartiles
        function = ScoreDistances(median, self.index.metric)
        # what is mapped has names without dots, which Spark would take apart
        named = means.select(F.col(quoted(self._id_col)).alias(ID), _MEAN)
        scored = map_in_arrow(named, function, f"{ID} {kind}, {_MEAN} double, {SCORE} double")
        is_far = F.col(_MEAN) > high + USUAL_RANGE * (high - low)
        return scored.select(F.col(ID).alias(self._id_col), _MEAN, SCORE, is_far.alias(IS_FAR))

    def _to_means(self, lists: DataFrame, id_type: str) -> DataFrame:
        found = map_in_arrow(
            lists.select(ID, DISTANCES),
            mean_distances,
            f"{ID} {lists.schema[ID].dataType.simpleString()}, {_MEAN} double",
        )
        return found.select(F.col(ID).cast(id_type).alias(self._id_col), _MEAN)

    def _prob_table(self, df: DataFrame, argument: str) -> ProbTable:
        return ProbTable(df, self._id_col, self._pred_probs_col, argument)

    def _score_probs(self, new: Rows | None, method: str, adjust_pred_probs: bool) -> DataFrame:
        df, argument = self.df, "df"
        if new is not None:
            df, argument = to_spark(new, self.df.sparkSession, argument="new"), "new"
            resolve_columns(df, argument, {"id_col": self._id_col})
        table = self._prob_table(df, argument)
        table.select_probs()  # a missing column is told before the thresholds are computed
        thresholds = self.thresholds if adjust_pred_probs and method != "gen" else None
        storage = Storage(self._evidence_path)
        scored = storage.persist(table.score(method, self.num_classes, thresholds))
        table.tell_faults(scored)
        return keep_with(scored.where(F.col(FAULT) == 0).drop(FAULT), StorageOwner(storage, self))

    def _check_method(self, method: str | None) -> str:
        if method is None:
            return self.default_method
        if method not in OUTLIER_METHODS:
            raise ConfigurationError(f"method: {method!r} is none of {', '.join(OUTLIER_METHODS)}")
        return method

    def find_outliers(
        self, threshold: float | None = None, *, method: str | None = None, adjust_pred_probs: bool = True
    ) -> DataFrame:
        """Find the rows that are outliers.

        Args:
            threshold: the score below which a row is one, in [0, 1]. Default None: by neighbors, rows whose
                mean distance is above the third quartile by more than 1.7 times the range between the
                quartiles; by probabilities, rows with less than 0.13 of the median score.
            method: see `outlier_scores`.
            adjust_pred_probs: see `outlier_scores`.

        Returns:
            The id column, score, and rank (1 = most atypical; ties go to the lower id).

        Raises:
            ConfigurationError: an argument is out of range.
        """
        if threshold is not None and (isinstance(threshold, bool) or not 0 <= threshold <= 1):
            raise ConfigurationError(f"threshold must be a score between 0 and 1, got {threshold!r}")
        if self._check_method(method) == NEIGHBORS_METHOD:
            return self._find_far_rows(threshold)
        scores = self.outlier_scores(method=method, adjust_pred_probs=adjust_pred_probs)
        if threshold is None:
            threshold = USUAL_SHARE * find_quantiles(scores, SCORE, (0.5,))[0]
        found = add_rank(
            scores.where(F.col(SCORE) < threshold), SCORE, [quoted(self._id_col)], RANK, few=False
        )
        return keep_with(found.select(quoted(self._id_col), SCORE, RANK), scores)

    def _find_far_rows(self, threshold: float | None) -> DataFrame:
        """Find outliers by their mean distances: far ones differ where their scores are all 0."""
        is_outlier = F.col(IS_FAR) if threshold is None else F.col(SCORE) < threshold
        nearness = self._judge(self.mean_distances).where(is_outlier).withColumn("_nearness", -F.col(_MEAN))
        found = add_rank(nearness, "_nearness", [quoted(self._id_col)], RANK, few=False)
        return keep_with(found.select(quoted(self._id_col), SCORE, RANK), self)

    def rejected(self, *, method: str | None = None) -> DataFrame:
        """Rows that a method cannot use: the id column, reason, and the row as JSON. Reads the table."""
        if self._check_method(method) == NEIGHBORS_METHOD:
            return self.index.rejected()
        return self._prob_table(self.df, "df").rejected(self.num_classes)

    @property
    def rejected_counts(self) -> Mapping[str, int]:
        """Rows whose features cannot be used, by reason."""
        return self.index.rejected_counts

    def _repr_html_(self) -> str:
        """Show what is asked: showing an audit scans nothing."""
        return card("Outlier audit", {"id": self._id_col, "method": self.default_method, "k": self.k})


def mean_distances(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Average the distances of each row of record batches, in their order."""
    for batch in batches:
        column = batch.column(1)
        lengths = column.value_lengths().to_numpy(zero_copy_only=False).astype(np.int64)
        flat = column.flatten().to_numpy(zero_copy_only=False)
        ends = np.cumsum(lengths)
        starts = np.minimum(ends - lengths, max(len(flat) - 1, 0))
        means = np.add.reduceat(flat, starts) / lengths if len(flat) else np.zeros(0)
        yield pa.RecordBatch.from_arrays([batch.column(0), pa.array(means)], names=[ID, _MEAN])


@dataclass(frozen=True)
class ScoreDistances:
    """Scores record batches of ids and mean distances.

    Attributes:
        scale: scale of the distances.
        metric: the metric.
    """

    scale: float
    metric: str

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Score batches."""
        for batch in batches:
            scores = distance_scores(batch.column(1).to_numpy(), self.scale, self.metric)
            yield add_column(batch, SCORE, pa.array(scores))
