"""Features of examples: the columns that can hold them, and how a model in a worker gets them."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add, or_
from typing import Any, Literal

import numpy as np
import pandas as pd
import pyarrow as pa
from pyspark.sql import Column
from pyspark.sql import functions as F
from pyspark.sql.types import ArrayType, BooleanType, DataType, FloatType, NumericType, StringType

from cl_spark.errors import ColumnTypeError
from cl_spark.evidence.prob_columns import select_vector
from cl_spark.tables.columns import quoted

Kind = Literal["array", "vector", "text", "columns"]

INFINITY = float("inf")
NUMBER_BYTES = 8


@dataclass(frozen=True)
class Features:
    """The columns of the features, and what they mean.

    Attributes:
        kind: "array" of numbers, ML "vector", "text", or "columns": a list of columns of numbers, booleans or
            texts.
        cols: the column, or the columns of a list.
        types: their Spark types.
    """

    kind: Kind
    cols: tuple[str, ...]
    types: tuple[DataType, ...]

    @staticmethod
    def find(features_col: str | Sequence[str], types: Sequence[DataType]) -> "Features":
        """Find out what columns hold.

        Args:
            features_col: a column of arrays of numbers, of ML vectors or of texts; or a list of columns.
            types: the Spark types of these columns.

        Raises:
            ColumnTypeError: a column is of a type that is no feature.
        """
        cols = (features_col,) if isinstance(features_col, str) else tuple(features_col)
        if not isinstance(features_col, str) or _is_plain_number(types[0]):
            for col, kind in zip(cols, types, strict=True):
                if not (_is_plain_number(kind) or isinstance(kind, StringType)):
                    raise ColumnTypeError(
                        f"features_col: column {col!r} is {kind.simpleString()}; in a list, columns are "
                        "numbers, booleans or texts: cast it, or name a single column of arrays or ML vectors"
                    )
            return Features("columns", cols, tuple(types))
        kind = types[0]
        if isinstance(kind, StringType):
            return Features("text", cols, (kind,))
        if type(kind).__name__ == "VectorUDT":
            return Features("vector", cols, (kind,))
        if isinstance(kind, ArrayType) and isinstance(kind.elementType, NumericType):
            return Features("array", cols, (kind,))
        raise ColumnTypeError(
            f"features_col: column {cols[0]!r} is {kind.simpleString()}; features are an array of numbers, "
            "an ML vector, a text, or a list of columns of numbers, booleans or texts"
        )

    def select(self) -> Column:
        """Select the features as one column: an array of float or double, a text, or a struct."""
        column = F.col(quoted(self.cols[0]))
        if self.kind == "text":
            return column
        if self.kind == "vector":
            return select_vector(column)
        if self.kind == "array":
            return column if isinstance(self._element, FloatType) else column.cast("array<double>")
        return F.struct(
            *[
                F.col(quoted(col)).cast("string" if isinstance(kind, StringType) else "double").alias(f"_{i}")
                for i, (col, kind) in enumerate(zip(self.cols, self.types, strict=True))
            ]
        )

    def select_numbers(self) -> Column:
        """Select the features as one array of numbers.

        Raises:
            ColumnTypeError: some are texts.
        """
        texts = [col for col, kind in zip(self.cols, self.types, strict=True) if isinstance(kind, StringType)]
        if texts:
            raise ColumnTypeError(
                f"features_col: column {texts[0]!r} is text, and this estimator takes numbers: put the "
                "stages that make features of it before it in a Pipeline"
            )
        if self.kind == "columns":
            return F.array(*[F.col(quoted(col)).cast("double") for col in self.cols])
        return self.select()

    @property
    def _element(self) -> DataType:
        return self.types[0].elementType  # type: ignore[attr-defined, no-any-return]

    def length(self) -> Column:
        """Number of features of a row; 0 where it is the same for all rows by its type."""
        is_list = self.kind in ("array", "vector")
        return F.coalesce(F.size(self.select()), F.lit(0)) if is_list else F.lit(0)

    def is_null(self) -> Column:
        """Condition that a row has no features at all."""
        if self.kind == "columns":
            return F.lit(False)
        column = F.col(quoted(self.cols[0]))
        return column.isNull() if self.kind == "text" else column.isNull() | (self.length() == 0)

    def is_unusable(self, *, takes_missing: bool) -> Column:
        """Condition that a feature is infinite, or missing where the estimator takes no missing values."""
        if self.kind == "text":
            return F.lit(False)
        if self.kind == "columns":
            parts = zip(self.cols, self.types, strict=True)
            return reduce(or_, [_is_unusable_part(col, kind, takes_missing) for col, kind in parts])
        numbers = self.select()
        is_infinite = F.array_contains(numbers, INFINITY) | F.array_contains(numbers, -INFINITY)
        if takes_missing:
            return F.coalesce(is_infinite, F.lit(False))
        # a search is null where it meets a null, and NaN is the greatest number
        return F.coalesce(is_infinite, F.lit(True)) | F.isnan(F.array_max(numbers))

    def num_bytes(self) -> Column:
        """Size of the features of a row."""
        if self.kind in ("array", "vector"):
            return (self.length() * NUMBER_BYTES).cast("long")
        sizes = [
            F.coalesce(F.octet_length(F.col(quoted(col))), F.lit(0)) + 50
            if isinstance(kind, StringType)
            else F.lit(NUMBER_BYTES)
            for col, kind in zip(self.cols, self.types, strict=True)
        ]
        return reduce(add, sizes).cast("long")

    @property
    def decoder(self) -> "FeatureDecoder":
        """Turns the selected column into what a model takes."""
        return FeatureDecoder(self.kind, self.cols)


@dataclass(frozen=True)
class FeatureDecoder:
    """Turns a column of `Features.select`, in Arrow, into what scikit-learn's estimators take.

    Attributes:
        kind: as in `Features`.
        cols: names of the columns.
    """

    kind: Kind
    cols: tuple[str, ...]

    def __call__(self, column: pa.Array) -> Any:
        """Decode n rows: an (n, D) array, an (n,) array of texts, or a DataFrame of n rows."""
        if self.kind == "text":
            return np.asarray(column.to_numpy(zero_copy_only=False), dtype=object)
        if self.kind == "columns":
            parts = column.flatten()
            return pd.DataFrame(
                {col: part.to_numpy(zero_copy_only=False) for col, part in zip(self.cols, parts, strict=True)}
            )
        values = column.flatten().to_numpy(zero_copy_only=False)  # nulls become NaN
        return values.reshape(len(column), -1) if len(column) else values.reshape(0, 0)


def _is_plain_number(kind: DataType) -> bool:
    return isinstance(kind, NumericType | BooleanType)


def _is_unusable_part(col: str, kind: DataType, takes_missing: bool) -> Column:
    column = F.col(quoted(col))
    if isinstance(kind, StringType):
        return F.lit(False) if takes_missing else column.isNull()
    number = column.cast("double")
    is_infinite = F.coalesce(F.abs(number) == INFINITY, F.lit(False))
    return is_infinite if takes_missing else is_infinite | number.isNull() | F.isnan(number)
