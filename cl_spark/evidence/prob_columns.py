"""Columns of probabilities: the Spark types that can hold them, and how they are selected."""

from collections.abc import Sequence

from pyspark.sql import Column
from pyspark.sql import functions as F
from pyspark.sql.types import (
    ArrayType,
    DataType,
    DoubleType,
    FloatType,
    FractionalType,
    IntegralType,
    MapType,
    NumericType,
    StructType,
)

from cl_spark.evidence.prob_formats import DenseProbs, ProbFormat, SparseProbs
from cl_spark.tables.columns import quoted


def is_sparse(kind: DataType) -> bool:
    """Tell whether a column lists some classes with their probabilities."""
    return _find_sparse_types(kind) is not None


def is_prob_column(kind: DataType) -> bool:
    """Tell whether a single column can hold the probabilities of all classes."""
    is_array = isinstance(kind, ArrayType) and isinstance(kind.elementType, NumericType)
    return is_array or _is_vector(kind) or is_sparse(kind)


def find_prob_format(kind: DataType, num_classes: int, absent_prob: float) -> ProbFormat:
    """Find the format of the probabilities in a column.

    Args:
        kind: type of the column; it satisfies `is_prob_column`.
        num_classes: K; only sparse probabilities need it.
        absent_prob: probability of the classes that sparse probabilities leave out.
    """
    if (sparse := _find_sparse_types(kind)) is not None:
        _, prob_type = sparse
        element = "float" if isinstance(prob_type, FloatType) else "double"
        return SparseProbs(element, num_classes, absent_prob)
    is_float = isinstance(kind, ArrayType) and isinstance(kind.elementType, FloatType)
    return DenseProbs("float" if is_float else "double")


def select_probs(col: str, kind: DataType) -> Column:
    """Select a column of probabilities as kernels expect it: arrays of float, double or struct."""
    column = F.col(quoted(col))
    if _is_vector(kind):
        from pyspark.ml.functions import vector_to_array  # slow to import

        return vector_to_array(column)
    if isinstance(kind, MapType):
        return F.map_entries(column)
    return column if _is_floating_array(kind) else column.cast("array<double>")


def select_class_columns(cols: Sequence[str]) -> Column:
    """Select K columns, one of each class, as one array of doubles."""
    return F.array(*[F.col(quoted(col)).cast("double") for col in cols])


def _is_vector(kind: DataType) -> bool:
    return type(kind).__name__ == "VectorUDT"


def _is_floating_array(kind: DataType) -> bool:
    """Tell whether a column holds arrays of floats, doubles, or structs of class and probability."""
    return isinstance(kind, ArrayType) and isinstance(kind.elementType, FloatType | DoubleType | StructType)


def _find_sparse_types(kind: DataType) -> tuple[DataType, DataType] | None:
    """Find the types of class and probability in a column that lists both; None for other columns."""
    if isinstance(kind, MapType):
        parts = [kind.keyType, kind.valueType]
    elif (
        isinstance(kind, ArrayType)
        and isinstance(kind.elementType, StructType)
        and len(kind.elementType.fields) == 2
    ):
        parts = [part.dataType for part in kind.elementType.fields]
        if not isinstance(parts[0], IntegralType):
            parts.reverse()
    else:
        return None
    class_type, prob_type = parts
    is_usable = isinstance(class_type, IntegralType) and isinstance(prob_type, FractionalType)
    return (class_type, prob_type) if is_usable else None
