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

from cl_spark.evidence.prob_columns import (
    field_names,
    find_prob_format,
    is_binary,
    is_prob_column,
    is_sparse,
    lists_names,
)
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
BY_NAME = [
    MapType(StringType(), DoubleType()),
    entries(FloatType(), StringType()),
    entries(StringType(), DoubleType()),
]
FIELDS = StructType([StructField("cat", FloatType()), StructField("dog", DoubleType())])
UNUSABLE = [
    IntegerType(),
    StringType(),
    ArrayType(StringType()),
    ArrayType(DOUBLES),
    MapType(StringType(), StringType()),
    MapType(IntegerType(), IntegerType()),
    entries(IntegerType()),
    entries(IntegerType(), IntegerType()),
    entries(DoubleType(), DoubleType()),
    entries(IntegerType(), DoubleType(), DoubleType()),
    StructType([StructField("class", StringType()), StructField("prob", DoubleType())]),
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


@pytest.mark.parametrize("kind", BY_NAME, ids=told)
def test_lists_may_hold_classes_by_name(kind: DataType) -> None:
    assert is_prob_column(kind)
    assert lists_names(kind)
    assert find_prob_format(kind, 3, -1.0) == SparseProbs("double", 3, -1.0)
    assert not any(map(lists_names, [*SPARSE, FIELDS, FLOATS]))


@pytest.mark.parametrize("kind", [FIELDS, DoubleType(), FloatType(), DecimalType(5, 4)], ids=told)
def test_structs_of_numbers_and_single_numbers_hold_probabilities(kind: DataType) -> None:
    assert is_prob_column(kind)
    assert not is_sparse(kind)
    assert field_names(kind) == (["cat", "dog"] if kind == FIELDS else [])
    assert is_binary(kind) == (kind != FIELDS)
    assert find_prob_format(kind, 2, 0.0) == DenseProbs("double")


@pytest.mark.parametrize("kind", UNUSABLE, ids=told)
def test_other_columns_hold_no_probabilities(kind: DataType) -> None:
    assert not is_prob_column(kind)
    assert not is_sparse(kind)
