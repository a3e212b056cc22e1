"""`NeighborIndex`: the nearest rows of a table, of its own rows or of others."""

import logging
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import IntegralType

from cl_spark.errors import ColumnTypeError, ConfigurationError
from cl_spark.evidence.storage import Releasable, Storage, StorageOwner, keep_with
from cl_spark.kernels.nearest import METRICS
from cl_spark.methods.neighbors.features import ID, FeatureTable
from cl_spark.methods.neighbors.parts import BYTES_OF_PART, WORK_OF_TASK, AllPairs, NearCells, Parts
from cl_spark.methods.neighbors.probes import ProbedCells, find_probed_cells
from cl_spark.methods.neighbors.search import BYTES_OF_PARTITION, DISTANCES, NEIGHBORS, search
from cl_spark.tables.card import card
from cl_spark.tables.columns import check_result_names, quoted
from cl_spark.tables.quantiles import find_quantiles

logger = logging.getLogger(__name__)

AUTO, EXACT, APPROXIMATE = "auto", "exact", "approximate"
METHODS = (AUTO, EXACT, APPROXIMATE)

MOST_EXACT_WORK = 1e12
"""Products of numbers up to which "auto" compares all pairs: some minutes of a core."""

NEIGHBOR_ID, RANK, DISTANCE = "neighbor_id", "rank", "distance"


SMALLEST_MEDIAN = 1e-6
"""Least median of nearest distances: where most rows have a copy, nothing else is near."""


def check_k(k: int) -> None:
    """Check a number of neighbors.

    Raises:
        ConfigurationError: it is no whole number of at least 1.
    """
    if isinstance(k, bool) or not isinstance(k, int) or k < 1:
        raise ConfigurationError(f"k must be a whole number of at least 1, got {k!r}")


def check_search_options(k: int, metric: str, search: str) -> None:
    """Check the options of those who look at neighbors.

    Raises:
        ConfigurationError: one is out of range.
    """
    check_k(k)
    for argument, name, names in (("metric", metric, (AUTO, *METRICS)), ("search", search, METHODS)):
        if name not in names:
            raise ConfigurationError(f"{argument}: {name!r} is none of {', '.join(names)}")


class NeighborIndex(Releasable):
    """A table of features whose rows are looked up by nearness. Use it as a context manager, or release it.

    Args:
        df: any Spark DataFrame, classic or Connect, or a pandas DataFrame.
        id_col: id column: whole numbers or text.
        features_col: column of vectors of one length: array<float|double> or an ML vector; or a list of
            columns of numbers. NaN, infinite or missing values make a row one that cannot be used.
        metric: "cosine" (1 - cosine of the angle), "euclidean", or "auto" (default): cosine above 3
            dimensions, else Euclidean.
        method: "exact" compares all pairs; "approximate" looks in the cells around a row, in as many as hold
            99 % of the neighbors of a sample; "auto" (default) is exact up to 1e12 products of numbers, such
            as those of 88,000 rows with 88,000 at d = 128.
        recall_target: share of the neighbors that "approximate" has to find in the sample; default 0.99.
        evidence_path: a directory to keep rows in (Parquet), for sessions that refuse to cache.
        spark: the session that turns a pandas DataFrame into Spark's; default the active one.

    Raises:
        ConfigurationError: an argument is out of range.
        InputError: a column is missing or unusable (at once), or all rows are (at the first question).

    Example:
        >>> rows = pd.DataFrame({"id": [1, 2, 3], "features": [[0.0, 0.0], [1.0, 0.0], [5.0, 0.0]]})
        >>> with NeighborIndex(rows) as index:
        ...     found = index.nearest_neighbors(1).orderBy("id").collect()
        >>> {row.id: (row.neighbor_id, row.distance) for row in found}
        {1: (2, 1.0), 2: (1, 1.0), 3: (2, 4.0)}
    """

    def __init__(
        self,
        df: DataFrame | pd.DataFrame,
        *,
        id_col: str = "id",
        features_col: str | Sequence[str] = "features",
        metric: str = AUTO,
        method: str = AUTO,
        recall_target: float = 0.99,
        evidence_path: str | None = None,
        spark: SparkSession | None = None,
    ) -> None:
        if metric not in (AUTO, *METRICS):
            raise ConfigurationError(f"metric: {metric!r} is none of {', '.join((AUTO, *METRICS))}")
        if method not in METHODS:
            raise ConfigurationError(f"method: {method!r} is none of {', '.join(METHODS)}")
        if not 0 < recall_target <= 1:
            raise ConfigurationError(f"recall_target must be above 0 and at most 1, got {recall_target!r}")
        self._storage = Storage(evidence_path)
        self._storage.release_with(self)
        self.table = FeatureTable(df, id_col, features_col, self._storage, metric=metric, spark=spark)
        check_result_names([self.table.id_col], (NEIGHBOR_ID, RANK, DISTANCE))
        self._features_col, self._metric = features_col, metric
        self._method, self._recall_target = method, recall_target
        self._evidence_path = evidence_path
        self._probed: dict[int, ProbedCells] = {}
        self._own_lists: dict[int, DataFrame] = {}
        self._median_nearest: dict[int, float] = {}

    def release(self) -> None:
        """Free what is kept."""
        self._storage.release()

    @property
    def num_rows(self) -> int:
        """Rows that can be used."""
        return self.table.counts.num_accepted

    @property
    def num_read(self) -> int:
        """Rows of the table."""
        return self.table.counts.num_read

    @property
    def rejected_counts(self) -> Mapping[str, int]:
        """Rows that cannot be used, by reason."""
        return self.table.counts.rejected

    @property
    def dimension(self) -> int:
        """d, the number of features of a row."""
        return self.table.counts.dimension

    @property
    def metric(self) -> str:
        """The metric."""
        return self.table.metric

    def rejected(self) -> DataFrame:
        """Rows that cannot be used: id, reason, and the row as JSON. Reads the table again."""
        return self.table.rejected()

    def recall(self, k: int = 10) -> float:
        """Share of the k nearest neighbors that are found, measured on a sample of rows; 1 where all searches
        with this k were exact, and that of the rows of the index is.

        Raises:
            ConfigurationError: k is out of range.
        """
        self._check_k(k, self.num_rows - 1, "other rows")
        is_approximate = k in self._probed or self._is_approximate(self.num_rows)
        return self._probe(k).recall if is_approximate else 1.0

    def nearest_neighbors(self, k: int = 10, new: DataFrame | pd.DataFrame | None = None) -> DataFrame:
        """Find the k nearest rows of each row.

        Args:
            k: how many; fewer than there are other rows.
            new: a table with the same columns whose rows ask; those that cannot be used are told in the log.
                Default None: the rows of the index, none of which is its own neighbor.

        Returns:
            A row per pair: id, neighbor_id, rank (1 = nearest; ties go to the lower neighbor_id), distance
            (rounded to 12 digits).

        Raises:
            ConfigurationError: k is out of range.
        """
        storage = Storage(self._evidence_path)
        queries = self.table if new is None else self.open(new, storage)
        found = self.neighbor_lists(k, queries)
        key = F.col(ID).cast(queries.id_type).alias(self.table.id_col)
        pairs = found.select(key, F.posexplode(F.arrays_zip(NEIGHBORS, DISTANCES)).alias("_place", "_pair"))
        shown = pairs.select(
            quoted(self.table.id_col),
            F.col("_pair").getField(NEIGHBORS).cast(self.table.id_type).alias(NEIGHBOR_ID),
            (F.col("_place") + 1).alias(RANK),
            F.col("_pair").getField(DISTANCES).alias(DISTANCE),
        )
        return keep_with(shown, StorageOwner(storage, self))

    def open(self, new: DataFrame | pd.DataFrame, storage: Storage) -> FeatureTable:
        """Open a table whose rows ask, and persist them in a storage.

        Raises:
            InputError: a column is missing or unusable.
        """
        table = FeatureTable(
            new,
            self.table.id_col,
            self._features_col,
            storage,
            metric=self.metric,
            dimension=self.dimension,
            argument="new",
            spark=self.table.df.sparkSession,
        )
        self._check_id_type("new", table.long_id, table.id_type)
        return table

    def _check_id_type(self, argument: str, is_long: bool, name: str) -> None:
        if is_long != self.table.long_id:
            raise ColumnTypeError(
                f"id_col: column {self.table.id_col!r} is {name} in {argument} and {self.table.id_type} in "
                "the index: cast one of them"
            )

    def check_rows(self, df: DataFrame) -> None:
        """Check that a table which is joined with the index by id has no id of the index in several rows.

        Either may have rows that the other lacks. What the index itself rejected is not in it.

        Raises:
            ColumnTypeError: ids are text in one and whole numbers in the other.
            ConfigurationError: an id of the index stands in several rows of `df`.
        """
        if df is self.table.df:
            return
        kind = df.select(quoted(self.table.id_col)).schema.fields[0].dataType
        self._check_id_type("df", isinstance(kind, IntegralType), kind.simpleString())
        ids = df.groupBy(F.col(quoted(self.table.id_col)).cast(self.table.key_type).alias(ID))
        repeated = ids.agg(F.count(F.lit(1)).alias("_rows")).where("_rows > 1")
        for row in repeated.join(self.table.candidates, ID, "left_semi").orderBy(ID).take(1):
            raise ConfigurationError(
                f"index: it is of other rows: {self.table.id_col} {row[ID]!r} stands in {row['_rows']:,} "
                "rows of df and in one of the index: leave index out, or make it of these rows"
            )

    def neighbor_lists(self, k: int, queries: FeatureTable) -> DataFrame:
        """Find the k nearest rows of each query as arrays: `ID`, `NEIGHBORS`, `DISTANCES`.

        Raises:
            ConfigurationError: k is out of range.
        """
        if queries is self.table:
            self._check_k(k, self.num_rows - 1, "other rows")
        else:
            self._check_k(k, self.num_rows, "rows in the index")
        num_queries, num_probes = queries.counts.num_accepted, 1
        width = np.dtype(self.table.element).itemsize
        parts: Parts
        if self._is_approximate(num_queries):
            probed = self._probe(k)
            rows_of_part = max(BYTES_OF_PART // (self.dimension * width), 1)
            parts = NearCells(probed.cells, probed.counts, probed.num_probes, k + 1, rows_of_part)
            copies, num_probes = 1, probed.num_probes
            work = num_queries * num_probes * self.num_rows / len(probed.cells) * self.dimension
        else:
            parts = AllPairs.of(self.num_rows, num_queries, self.dimension, width)
            copies, num_probes = parts.num_groups, parts.num_slices
            work = num_queries * self.num_rows * self.dimension
        size = (self.num_rows * copies + num_queries * num_probes) * (self.dimension * width + 64)
        answers = num_queries * num_probes * k * 16
        return search(
            self.table,
            queries,
            parts,
            k,
            num_partitions=max(-(-size // BYTES_OF_PARTITION), int(work / WORK_OF_TASK), 1),
            num_buckets=max(-(-answers // BYTES_OF_PARTITION), 1),
        )

    def _check_k(self, k: int, there: int, others: str) -> None:
        check_k(k)
        if k > there:
            raise ConfigurationError(
                f"k: {k} neighbors are asked for, and there are {there:,} {others}: lower k"
            )

    def check_columns(self, id_col: str, features_col: str | Sequence[str]) -> None:
        """Check that a caller means the columns of the index.

        Raises:
            ConfigurationError: they have other names.
        """
        own = {"id_col": self.table.id_col, "features_col": self._features_col}
        for argument, name in (("id_col", id_col), ("features_col", features_col)):
            if name != own[argument]:
                raise ConfigurationError(
                    f"{argument}: the index was made with {own[argument]!r}, got {name!r}: pass "
                    f"{argument}={own[argument]!r}, and rename the columns of other tables to it"
                )

    def check_options(self, metric: str, method: str) -> None:
        """Check that a caller asks for no other metric and no other method than the index has.

        Raises:
            ConfigurationError: it does.
        """
        for argument, named, own in (("metric", metric, self._metric), ("method", method, self._method)):
            if named not in (AUTO, own) and not (argument == "metric" and named == self.metric):
                raise ConfigurationError(
                    f"{argument}: the index was made with {own!r}, got {named!r}: leave it out, or "
                    "make an index with it"
                )

    def _is_approximate(self, num_queries: int) -> bool:
        if self._method == AUTO:
            return num_queries * self.num_rows * self.dimension > MOST_EXACT_WORK
        return self._method == APPROXIMATE

    def _probe(self, k: int) -> ProbedCells:
        if k not in self._probed:
            self._probed[k] = found = find_probed_cells(self.table, k, self._recall_target, self._storage)
            logger.info(
                "neighbors: %d of %d cells are looked in, with %.2f%% of the %d nearest rows of a sample",
                found.num_probes,
                len(found.cells),
                100 * found.recall,
                k,
            )
        return self._probed[k]

    def own_neighbor_lists(self, k: int) -> DataFrame:
        """Find the k nearest other rows of each row, as `neighbor_lists`; persisted."""
        if k not in self._own_lists:
            self._own_lists[k] = self._storage.persist(self.neighbor_lists(k, self.table))
        return self._own_lists[k]

    def median_nearest(self, k: int) -> float:
        """Find the median distance of a row to its nearest other one, at least 1e-6.

        Args:
            k: how many neighbors are searched, whose lists are kept.
        """
        if k not in self._median_nearest:
            nearest = self.own_neighbor_lists(k).select(F.element_at(DISTANCES, 1).alias(DISTANCE))
            self._median_nearest[k] = max(find_quantiles(nearest, DISTANCE, (0.5,))[0], SMALLEST_MEDIAN)
        return self._median_nearest[k]

    def _repr_html_(self) -> str:
        """Show what is asked: showing an index scans nothing."""
        facts = {"id": self.table.id_col, "features": self._features_col, "method": self._method}
        return card("Neighbor index", facts)


def open_index(
    index: NeighborIndex | None,
    table: DataFrame,
    id_col: str,
    features_col: str | Sequence[str],
    *,
    metric: str,
    method: str,
    evidence_path: str | None,
) -> NeighborIndex:
    """Take the index that a caller has made of a table, or make one.

    Raises:
        ConfigurationError: the caller's index has columns of other names, other options or other rows.
        ColumnTypeError: its ids are of another type.
    """
    if index is not None:
        index.check_columns(id_col, features_col)
        index.check_options(metric, method)
        index.check_rows(table)
        return index
    return NeighborIndex(
        table,
        id_col=id_col,
        features_col=features_col,
        metric=metric,
        method=method,
        evidence_path=evidence_path,
    )


def nearest_neighbors(
    df: DataFrame | pd.DataFrame,
    *,
    id_col: str = "id",
    features_col: str | Sequence[str] = "features",
    k: int = 10,
    metric: str = AUTO,
    method: str = AUTO,
    index: NeighborIndex | DataFrame | pd.DataFrame | None = None,
    spark: SparkSession | None = None,
) -> DataFrame:
    """Find the k nearest rows of each row: of its own table, or of another.

    Args:
        df: the rows that ask.
        id_col: id column: whole numbers or text.
        features_col: column of vectors, or a list of columns of numbers; see `NeighborIndex`.
        k: how many neighbors; fewer than there are other rows. Default 10.
        metric: "cosine", "euclidean", or "auto": cosine above 3 dimensions, else Euclidean.
        method: "exact", "approximate", or "auto": exact for tables that are not large; see `NeighborIndex`.
        index: the rows that are found: a table with the same columns, or a `NeighborIndex` with columns of
            the same names, whose metric and method hold then. Default None: the rows of `df`, none of which
            is its own neighbor.
        spark: the session that turns pandas DataFrames into Spark's; default the active one.

    Returns:
        A row per pair: the id column, neighbor_id, rank (1 = nearest; ties go to the lower neighbor_id),
        distance (rounded to 12 digits). Rows that cannot be used have none, and are told in the log;
        `NeighborIndex.rejected` lists those of its table.

    Raises:
        ConfigurationError: an argument is out of range.
        InputError: a column is missing or unusable, or all rows are.

    Source: cells around centroids as in Jégou, Douze, Schmid, "Product Quantization for Nearest Neighbor
    Search", 2011, section IV, with exact distances.

    Example:
        >>> rows = pd.DataFrame({"id": [1, 2, 3], "features": [[0.0, 0.0], [1.0, 0.0], [5.0, 0.0]]})
        >>> found = nearest_neighbors(rows, k=1).orderBy("id").collect()
        >>> {row.id: (row.neighbor_id, row.distance) for row in found}
        {1: (2, 1.0), 2: (1, 1.0), 3: (2, 4.0)}
    """
    if isinstance(index, NeighborIndex):
        index.check_columns(id_col, features_col)
        index.check_options(metric, method)
        return index.nearest_neighbors(k, df)
    made = NeighborIndex(
        df if index is None else index,
        id_col=id_col,
        features_col=features_col,
        metric=metric,
        method=method,
        spark=spark,
    )
    return made.nearest_neighbors(k, None if index is None else df)
