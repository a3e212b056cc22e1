"""Types of columns that can hold the probabilities of all classes, and the formats they are read in."""

import pytest
from pyspark.ml.linalg import VectorUDT
from pyspark.sql.types import (
    ArrayType,
    DataType,
    DecimalType,
    DoubleType,
    FloatType,
    IntegerType,
    LongType,
    MapType,
    StringType,
    StructField,
    StructType,
)

from cl_spark.evidence.prob_columns import find_prob_format, is_prob_column, is_sparse
from cl_spark.evidence.prob_formats import DenseProbs, SparseProbs


def entries(*types: DataType) -> ArrayType:
    return ArrayType(StructType([StructField(f"f{i}", kind) for i, kind in enumerate(types)]))


FLOATS, DOUBLES = ArrayType(FloatType()), ArrayType(DoubleType())
SPARSE = [
    MapType(IntegerType(), FloatType()),
    MapType(LongType(), DecimalType(5, 4)),
    entries(IntegerType(), DoubleType()),
    entries(FloatType(), LongType()),
]
UNUSABLE = [
    DoubleType(),
    StringType(),
    ArrayType(StringType()),
    ArrayType(DOUBLES),
    MapType(StringType(), DoubleType()),
    MapType(IntegerType(), IntegerType()),
    entries(IntegerType()),
    entries(IntegerType(), IntegerType()),
    entries(DoubleType(), DoubleType()),
    entries(IntegerType(), DoubleType(), DoubleType()),
    StructType([StructField("class", IntegerType()), StructField("prob", DoubleType())]),
]


def told(kind: DataType) -> str:
    return kind.simpleString()


@pytest.mark.parametrize("kind", [FLOATS, DOUBLES, ArrayType(DecimalType(5, 4)), VectorUDT()], ids=told)
def test_arrays_of_numbers_and_vectors_hold_a_value_of_every_class(kind: DataType) -> None:
    assert is_prob_column(kind)
    assert not is_sparse(kind)
    element = "float" if kind == FLOATS else "double"
    assert find_prob_format(kind, 3, 0.0) == DenseProbs(element)


@pytest.mark.parametrize("kind", SPARSE, ids=told)
def test_maps_and_structs_of_class_and_probability_list_some_classes(kind: DataType) -> None:
    assert is_prob_column(kind)
    assert is_sparse(kind)
    element = "float" if "float" in told(kind) else "double"
    assert find_prob_format(kind, 3, -1.0) == SparseProbs(element, 3, -1.0)


@pytest.mark.parametrize("kind", UNUSABLE, ids=told)
def test_other_columns_hold_no_probabilities(kind: DataType) -> None:
    assert not is_prob_column(kind)
    assert not is_sparse(kind)
