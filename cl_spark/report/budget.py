"""How many bytes of images a page takes: Spark leaves out those beyond, which never reach the driver, and the
page says so.
"""

from collections.abc import Sequence
from functools import reduce
from operator import add
from typing import Any

import pandas as pd
from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F
from pyspark.sql.types import BinaryType, StringType, StructField, StructType, TimestampType

from cl_spark.report.media import BASE64_BEGINNINGS, LONGEST, shown
from cl_spark.tables.columns import quoted
from cl_spark.tables.times import zoned_column

PAGE_BYTES = 16 * 2**20
"""Most bytes of images on a page; one image may have a quarter of it."""
LEFT_OUT = "_left_out "
"""Before the name of a column: how many bytes of an image were left out; null where none were."""


def limit_bytes(rows: DataFrame, media: Sequence[str], order: str, most: int | None = None) -> DataFrame:
    """Cut long texts, and leave out images beyond the bytes that a page takes, the first rows' last.

    Args:
        rows: few rows.
        media: columns that may hold images.
        order: the column that orders the rows.
        most: bytes of images to keep; one may have a quarter of it. Default None is `PAGE_BYTES`.

    Returns:
        The rows with a further column `LEFT_OUT + name` for each of `media`. What is left out is null.
    """
    most = PAGE_BYTES if most is None else most
    fields = {field.name: field for field in rows.schema.fields}
    sizes = {name: _image_bytes(fields[name]) for name in media}
    is_large = {name: size > most // 4 for name, size in sizes.items()}
    counted = [F.when(~is_large[name], size).otherwise(0) for name, size in sizes.items()]
    so_far = Window.orderBy(order).rowsBetween(Window.unboundedPreceding, Window.currentRow)
    rows = rows.withColumn("_bytes", F.sum(reduce(add, counted, F.lit(0))).over(so_far))
    is_late = F.col("_bytes") > most
    left_out = {
        LEFT_OUT + name: F.when(is_large[name] | (is_late & (size > 0)), size) for name, size in sizes.items()
    }
    rows = rows.select("*", *[size.alias(name) for name, size in left_out.items()])
    kept = [
        F.when(F.col(quoted(LEFT_OUT + name)).isNull(), _media(field)).alias(name)
        if name in sizes
        else _cut(field).alias(name)
        for name, field in fields.items()
    ]
    return rows.select(*kept, *map(quoted, left_out))


def show_cells(rows: pd.DataFrame, col: str) -> list[dict[str, str]]:
    """Show the values of a column as `report.media.shown` does; an image that was left out by its bytes.

    Args:
        rows: rows that `limit_bytes` has gone over; others lack nothing.
        col: one of its `media`.
    """
    return [
        shown(value) if pd.isna(left_out) else {"text": f"{int(left_out):,} bytes, left out"}
        for value, left_out in zip(rows[col], _left_out(rows, col), strict=True)
    ]


def tell_left_out(rows: pd.DataFrame, media: Sequence[str], table: str) -> list[str]:
    """Tell how many images were left out; nothing where none were.

    Args:
        rows: rows that `limit_bytes` has gone over, with its default of bytes.
        media: columns that may hold images.
        table: the table that has them.
    """
    left_out = sum(int(_left_out(rows, col).notna().sum()) for col in media)
    if not left_out:
        return []
    return [
        f"{left_out:,} images are left out: the page takes {PAGE_BYTES // 2**20} MB of them, and at most "
        f"{PAGE_BYTES // 2**22} MB of each. They are in the table {table}."
    ]


def _left_out(rows: pd.DataFrame, col: str) -> "pd.Series[Any]":
    """Bytes of the images that a column leaves out; null where it does not."""
    return rows.get(LEFT_OUT + col, pd.Series([None] * len(rows)))


def _binary_fields(field: StructField) -> list[Column]:
    """List the bytes that a value holds: its own, or those of its fields."""
    column, kind = F.col(quoted(field.name)), field.dataType
    if isinstance(kind, StructType):
        return [column.getField(part.name) for part in kind.fields if isinstance(part.dataType, BinaryType)]
    return [column] if isinstance(kind, BinaryType) else []


def _image_bytes(field: StructField) -> Column:
    """Count the bytes of a value that may be an image; 0 for others."""
    column = F.col(quoted(field.name))
    if isinstance(field.dataType, StringType):
        is_image = reduce(Column.__or__, map(column.startswith, ("data:image/", *BASE64_BEGINNINGS)))
        return F.when(is_image, F.length(column)).otherwise(0)
    parts = [F.coalesce(F.length(part), F.lit(0)) for part in _binary_fields(field)]
    return reduce(add, parts, F.lit(0))


def _media(field: StructField) -> Column:
    """Keep what may be an image; of other values the first part of the text."""
    column = F.col(quoted(field.name))
    if isinstance(field.dataType, StringType):
        return F.when(_image_bytes(field) > 0, column).otherwise(_cut(field))
    return column if _binary_fields(field) else F.substring(zoned_column(field).cast("string"), 1, LONGEST)


def _cut(field: StructField) -> Column:
    """Keep the first part of a text; times say their offset from UTC."""
    if isinstance(field.dataType, StringType | TimestampType):
        return F.substring(zoned_column(field), 1, LONGEST)
    return F.col(quoted(field.name))
