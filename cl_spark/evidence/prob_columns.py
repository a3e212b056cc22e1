"""Columns of probabilities: the Spark types that can hold them, and how they are selected."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

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
    StringType,
    StructType,
)

from cl_spark.evidence.class_columns import find_index
from cl_spark.evidence.prob_formats import DenseProbs, ProbFormat, SparseProbs
from cl_spark.evidence.validity import RejectionReason
from cl_spark.tables.columns import quoted


def is_sparse(kind: DataType) -> bool:
    """Tell whether a column lists some classes with their probabilities."""
    return _find_sparse_types(kind) is not None


def is_prob_column(kind: DataType) -> bool:
    """Tell whether a single column can hold the probabilities of all classes."""
    is_array = isinstance(kind, ArrayType) and isinstance(kind.elementType, NumericType)
    return is_array or _is_vector(kind) or is_sparse(kind) or is_binary(kind) or bool(field_names(kind))


def is_binary(kind: DataType) -> bool:
    """Tell whether a column holds a number, the probability of the second of two classes."""
    return isinstance(kind, FractionalType)


def field_names(kind: DataType) -> list[str]:
    """Names of the fields of a column of structs with a number per class; empty for other columns."""
    if not isinstance(kind, StructType) or not all(isinstance(part.dataType, NumericType) for part in kind):
        return []
    return kind.fieldNames()


def lists_names(kind: DataType) -> bool:
    """Tell whether a column lists classes by their names."""
    types = _find_sparse_types(kind)
    return types is not None and isinstance(types[0], StringType)


def find_prob_format(kind: DataType, num_classes: int, absent_prob: float) -> ProbFormat:
    """Find the format of the probabilities in a column.

    Args:
        kind: type of the column; it satisfies `is_prob_column`.
        num_classes: K; only sparse probabilities need it.
        absent_prob: probability of the classes that sparse probabilities leave out.
    """
    if (sparse := _find_sparse_types(kind)) is not None:
        _, prob_type = sparse
        element = "float" if isinstance(prob_type, FloatType) and not lists_names(kind) else "double"
        return SparseProbs(element, num_classes, absent_prob)
    is_float = isinstance(kind, ArrayType) and isinstance(kind.elementType, FloatType)
    return DenseProbs("float" if is_float else "double")


def select_probs(col: str, kind: DataType, class_names: Sequence[str] = ()) -> Column:
    """Select a column of probabilities as kernels expect it: arrays of float, double or struct.

    Args:
        col: name of the column.
        kind: its type; it satisfies `is_prob_column`.
        class_names: names of the K classes, where the column has the probabilities by name.
    """
    column = F.col(quoted(col))
    if is_binary(kind):
        column = column.cast("double")
        return F.array(1 - column, column)
    if field_names(kind):
        fields = [column.getField(name).cast("double") for name in class_names]
        return F.when(column.isNotNull(), F.array(*fields))
    if _is_vector(kind):
        return select_vector(column)
    entries = F.map_entries(column) if isinstance(kind, MapType) else column
    if lists_names(kind):
        return F.transform(entries, _ClassEntry(_find_parts(kind), tuple(class_names)))
    return entries if is_sparse(kind) or _is_floating_array(kind) else column.cast("array<double>")


@dataclass(frozen=True)
class _ClassEntry:
    """An entry of a list, with the index of its class instead of the name; -1 where no class has the name.

    Attributes:
        parts: names of the fields that hold the class and the probability.
        class_names: names of the classes.
    """

    parts: tuple[str, str]
    class_names: tuple[str, ...]

    def __call__(self, entry: Column) -> Column:
        """Select the entry."""
        name, prob = map(entry.getField, self.parts)
        index = F.when(name.isNotNull(), F.coalesce(find_index(name, self.class_names), F.lit(-1)))
        return F.struct(index.alias("class"), prob.cast("double").alias("prob"))


def select_vector(column: Column) -> Column:
    """Select a column of ML vectors as arrays of double; null where it is null, at which Spark's own function
    fails.
    """
    from pyspark.ml.functions import vector_to_array  # slow to import

    return F.when(column.isNotNull(), vector_to_array(column))


def select_class_columns(cols: Sequence[str]) -> Column:
    """Select K columns, one of each class, as one array of doubles."""
    return F.array(*[F.col(quoted(col)).cast("double") for col in cols])


def select_models(cols: Mapping[str, DataType], class_names: Sequence[str] = ()) -> tuple[Column, Column]:
    """Select the probabilities of several models as one array of doubles, one model after the other.

    Args:
        cols: their columns, and the types of these.
        class_names: names of the K classes, where columns have the probabilities by name.

    Returns:
        The array, null where a model's is null, and empty where models differ in how many they have; and a
        code of `RejectionReason` where they differ, or else null.
    """
    probs = [select_probs(col, kind, class_names).cast("array<double>") for col, kind in cols.items()]
    whole, sizes = F.concat(*probs), F.array(*map(F.size, probs))
    is_uneven = whole.isNotNull() & (F.array_min(sizes) < F.array_max(sizes))
    return F.when(is_uneven, F.array().cast("array<double>")).otherwise(whole), F.when(
        is_uneven, F.lit(int(RejectionReason.UNEVEN_MODELS))
    )


def _is_vector(kind: DataType) -> bool:
    return type(kind).__name__ == "VectorUDT"


def _is_floating_array(kind: DataType) -> bool:
    """Tell whether a column holds arrays of floats, doubles, or structs of class and probability."""
    return isinstance(kind, ArrayType) and isinstance(kind.elementType, FloatType | DoubleType | StructType)


def _find_parts(kind: DataType) -> tuple[str, str]:
    """Find the names of the fields of class and probability in the entries of a list."""
    if not isinstance(kind, ArrayType):
        return "key", "value"
    first, second = kind.elementType.fields  # type: ignore[attr-defined]
    is_class = isinstance(first.dataType, IntegralType | StringType)
    return (first.name, second.name) if is_class else (second.name, first.name)


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
        if not isinstance(parts[0], IntegralType | StringType):
            parts.reverse()
    else:
        return None
    class_type, prob_type = parts
    is_by_index = isinstance(class_type, IntegralType) and isinstance(prob_type, FractionalType)
    is_by_name = isinstance(class_type, StringType) and isinstance(prob_type, NumericType)
    return (class_type, prob_type) if is_by_index or is_by_name else None
