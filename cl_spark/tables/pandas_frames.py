"""pandas DataFrames as Spark DataFrames."""

from collections import Counter
from typing import Any

import pandas as pd
import pyarrow as pa
import pyspark
from pyspark.sql import DataFrame, SparkSession

from cl_spark.errors import ColumnTypeError, ConfigurationError


def to_spark(frame: Any, spark: SparkSession | None = None, *, argument: str = "df") -> DataFrame:
    """Turn a pandas DataFrame into one of Spark's; one that Spark has already stays as it is.

    Args:
        frame: the DataFrame. A named index becomes a column.
        spark: the session; default the active one.
        argument: what the caller calls it, for messages.

    Raises:
        ConfigurationError: it is no DataFrame, two of its columns have one name, or there is no session.
        ColumnTypeError: a column holds values that Spark has no type for.
    """
    if not isinstance(frame, pd.DataFrame):
        if not hasattr(frame, "sparkSession"):
            kind = f"{type(frame).__module__}.{type(frame).__name__}"
            raise ConfigurationError(f"{argument} must be a DataFrame of Spark or pandas, not {kind}")
        return frame  # type: ignore[no-any-return]
    spark = spark or SparkSession.getActiveSession()
    if spark is None:
        raise ConfigurationError(
            f"{argument} is a pandas DataFrame, and there is no active Spark session to turn it into one of "
            "Spark's: start one (cl_spark.start_session()), or pass spark="
        )
    levels = _name_levels(frame.index)
    _check_names([*levels, *map(str, frame.columns)], argument)
    if levels:
        frame = frame.reset_index()
    columns = {str(name): _to_arrow(str(name), frame[name], argument) for name in frame.columns}
    table = pa.table(columns)
    if int(pyspark.__version__.split(".")[0]) >= 4:
        return spark.createDataFrame(table)
    from pyspark.sql.pandas.types import from_arrow_schema

    return spark.createDataFrame(table.to_pylist(), from_arrow_schema(table.schema))


def _name_levels(index: pd.Index) -> list[str]:
    """Name the columns that an index becomes; none where it has no name. Of several levels, pandas numbers
    those without a name.
    """
    if all(name is None for name in index.names):
        return []
    return [f"level_{i}" if name is None else str(name) for i, name in enumerate(index.names)]


def _check_names(names: list[str], argument: str) -> None:
    """Check that no two columns have one name. The names are texts here, as they are in Spark.

    Raises:
        ConfigurationError: some have.
    """
    repeated = [name for name, times in Counter(names).items() if times > 1]
    if repeated:
        raise ConfigurationError(
            f"{argument}: several columns are called {repeated[0]!r} as a text, a named index among them: "
            "rename or drop all but one, or take the name from the index"
        )


def _to_arrow(name: str, column: pd.Series, argument: str) -> pa.Array:
    """Convert a column to a type that Spark has.

    Raises:
        ColumnTypeError: its values are of no such type, or of several.
    """
    try:
        values = pa.Array.from_pandas(column)
        kind = _find_type(values.type)
        return values if values.type == kind else values.cast(kind)
    except (pa.ArrowException, TypeError) as error:
        raise ColumnTypeError(f"{argument}: column {name!r} cannot be used: {error}") from error


def _find_type(kind: pa.DataType) -> pa.DataType:
    """Find the type of Spark's for a type of Arrow's."""
    if pa.types.is_dictionary(kind):
        return _find_type(kind.value_type)
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        return pa.list_(_find_type(kind.value_type))
    if pa.types.is_float16(kind):
        return pa.float32()
    if pa.types.is_unsigned_integer(kind):
        return pa.int64()
    if pa.types.is_large_string(kind):
        return pa.string()
    if pa.types.is_timestamp(kind):
        return pa.timestamp("us", kind.tz)
    return pa.string() if pa.types.is_null(kind) else kind
