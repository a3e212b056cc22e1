"""What an input table means: ids, given labels and predicted probabilities, and the compact evidence kept of each row."""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import pyarrow as pa
from pyspark.sql import Column, DataFrame
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

from cl_spark.errors import ColumnTypeError, ConfigurationError, MissingColumnError
from cl_spark.evidence.blocks import Block
from cl_spark.evidence.labels import UNMATCHED
from cl_spark.evidence.packing import PACKED_SCHEMA, pack_blocks
from cl_spark.evidence.parquet_files import Files
from cl_spark.evidence.prob_formats import DenseProbs, ProbFormat, SparseProbs
from cl_spark.evidence.validity import block_of
from cl_spark.evidence.workers import ArrowFunction, map_in_arrow
from cl_spark.kernels.arrays import Bools
from cl_spark.kernels.row_evidence import ListingPolicy
from cl_spark.tables import columns as c
from cl_spark.tables.columns import quoted


@dataclass(frozen=True)
class Predictions:
    """An input table and what its columns mean; checked against the schema when made, read only when asked.

    Args:
        df: the table, classic or Connect.
        id_col: id column, or the columns of a composite key.
        label_col: given label: class index (integer type) or class name (string).
        pred_probs_col: array<float|double> or ML vector column; a list of K numeric columns; or sparse: a column of
            map<int, float> or of array<struct<int, float>>, classes with their probabilities.
        class_names: names of the classes in the order of the probabilities.
        num_classes: K, where neither class_names nor K columns tell it; sparse probabilities need it.
        absent_prob: value of the classes a sparse list leaves out.
        slice_by: columns whose values health is told apart for.
        files: the files that hold the rows of `df`, where the tasks can read them themselves.
        probabilities: the caller promises probabilities: rows with negative values or a sum off 1 by more than 0.01 are refused.

    Raises:
        ConfigurationError: the arguments contradict each other.
        MissingColumnError: a column is not in the table.
        ColumnTypeError: a column is of a type that cannot be used.
    """

    df: DataFrame
    id_col: str | Sequence[str] = "id"
    label_col: str = "label"
    pred_probs_col: str | Sequence[str] = "pred_probs"
    class_names: Sequence[str] | None = None
    num_classes: int | None = None
    absent_prob: float = 0.0
    probabilities: bool = False
    slice_by: Sequence[str] = ()
    files: Files | None = None
    _types: dict[str, DataType] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        fields = {field.name: field.dataType for field in self.df.schema.fields}
        object.__setattr__(self, "_types", fields)
        names = self.class_names
        if isinstance(names, str):
            raise ConfigurationError(f"class_names must be a list of names, not the text {names!r}")
        if not self.id_columns:
            raise ConfigurationError(
                "id_col names no column: give the id column, or the columns of a composite key"
            )
        wanted = {
            "id_col": self.id_columns,
            "label_col": [self.label_col],
            "pred_probs_col": self._prob_columns,
            "slice_by": self.slice_by,
        }
        for key, cols in wanted.items():
            for col in cols:
                if col not in fields:
                    raise MissingColumnError(
                        f"{key}: no column {col!r} in the input; it has {', '.join(map(repr, fields))}"
                    )
        parts = [*self.id_columns, self.label_col, *self._prob_columns]
        if len(set(parts)) < len(parts):
            raise ConfigurationError(
                f"id_col, label_col and pred_probs_col must be different columns, got {wanted}"
            )
        for col in self.id_columns:
            if isinstance(fields[col], ArrayType) or fields[col].typeName() in ("map", "struct", "variant"):
                raise ColumnTypeError(f"id_col: column {col!r} is {fields[col].simpleString()}, which has no order; "
                                 "use a plain column or list the parts of a composite key")  # fmt: skip
        if not isinstance(fields[self.label_col], IntegralType | StringType):
            raise ColumnTypeError(
                f"label_col: column {self.label_col!r} is {fields[self.label_col].simpleString()}; "
                "labels are class indices (an integer type) or class names (string): cast it"
            )
        for col in self._prob_columns:
            self._check_probs(col, fields[col])
        if self._known_names is not None:
            repeated = [name for name, times in Counter(self._known_names).items() if times > 1]
            if repeated:
                raise ConfigurationError(f"class_names holds {repeated[0]!r} more than once")
        told = self.known_classes
        if self.num_classes is not None and (self.num_classes < 2 or told != self.num_classes):
            raise ConfigurationError(
                f"num_classes={self.num_classes} must be at least 2 and agree with class_names or K columns, which are {told}"
            )
        if names is not None and len(names) != told:
            raise ConfigurationError(f"class_names has {len(names)} names for {told} pred_probs columns")
        if self.labels_are_names and self._known_names is None:
            raise ConfigurationError(
                f"label_col: column {self.label_col!r} holds class names, but nothing says which probability belongs "
                "to which class: pass class_names in the order of the probabilities, or one column per class"
            )

    def _check_probs(self, col: str, found: DataType) -> None:
        if not isinstance(self.pred_probs_col, str):
            usable = isinstance(found, NumericType)
            wanted = "a numeric column per class"
        else:
            sparse = _sparse_parts(found) is not None
            usable = (
                sparse
                or _is_vector(found)
                or (isinstance(found, ArrayType) and isinstance(found.elementType, NumericType))
            )
            wanted = (
                "an array of float or double, an ML vector, a list of K columns, or a sparse map<int, float>"
            )
            if sparse and self.known_classes is None:
                raise ConfigurationError(
                    f"num_classes: column {col!r} lists some classes only ({found.simpleString()}): "
                    "pass num_classes (or class_names), which the lists do not tell"
                )
            if not sparse and self.absent_prob:
                raise ConfigurationError(
                    f"absent_prob goes with sparse probabilities; column {col!r} is {found.simpleString()}"
                )
        if not usable:
            raise ColumnTypeError(
                f"pred_probs_col: column {col!r} is {found.simpleString()}; it must be {wanted}"
            )

    @property
    def id_columns(self) -> list[str]:
        """The id columns, in the order of the key."""
        return [self.id_col] if isinstance(self.id_col, str) else list(self.id_col)

    @property
    def ids(self) -> list[str]:
        """The names the id columns have within the evidence."""
        return [f"_id_{i}" for i in range(len(self.id_columns))]

    @property
    def slices(self) -> list[str]:
        """The names the slice columns have within the evidence."""
        return [f"_slice_{i}" for i in range(len(self.slice_by))]

    @property
    def labels_are_names(self) -> bool:
        """Whether the label column holds class names rather than indices."""
        return isinstance(self._types[self.label_col], StringType)

    @property
    def names(self) -> list[str] | None:
        """What classes are called in results: the class names where labels or the caller use them, else None (indices)."""
        return self._known_names if self.labels_are_names or self.class_names is not None else None

    @property
    def known_classes(self) -> int | None:
        """K where the arguments tell it; else it is the length most rows have."""
        if not isinstance(self.pred_probs_col, str):
            return len(self._prob_columns)
        return self.num_classes if self.class_names is None else len(self.class_names)

    @property
    def _prob_columns(self) -> list[str]:
        return [self.pred_probs_col] if isinstance(self.pred_probs_col, str) else list(self.pred_probs_col)

    @property
    def _known_names(self) -> list[str] | None:
        if self.class_names is not None:
            return list(self.class_names)
        return None if isinstance(self.pred_probs_col, str) else self._prob_columns

    @property
    def prob_format(self) -> ProbFormat:
        """How the rows hold their probabilities."""
        found = self._types.get(self.pred_probs_col) if isinstance(self.pred_probs_col, str) else None
        value = found.elementType if isinstance(found, ArrayType) else None
        if found is not None and (parts := _sparse_parts(found)) is not None:
            element = "float" if isinstance(parts[1], FloatType) else "double"
            return SparseProbs(element, self.known_classes or 0, self.absent_prob)
        return DenseProbs("float" if isinstance(value, FloatType) else "double")

    def _probs(self) -> Column:
        if not isinstance(self.pred_probs_col, str):
            return F.array(*[F.col(quoted(col)).cast("double") for col in self._prob_columns])
        found, col = self._types[self.pred_probs_col], F.col(quoted(self.pred_probs_col))
        if _is_vector(found):
            from pyspark.ml.functions import vector_to_array

            return vector_to_array(col)
        if isinstance(found, MapType):
            return F.map_entries(col)
        floating = isinstance(found, ArrayType) and isinstance(
            found.elementType, FloatType | DoubleType | StructType
        )
        return col if floating else col.cast("array<double>")

    def rows(self, repeated: DataFrame | None = None, *, source: bool = False) -> DataFrame:
        """The input's rows under the names kernels know: ids, slices, given label and probabilities.

        Args:
            repeated: ids to mark as those of several rows.
            source: the input row itself too, as JSON.
        """
        rows = self.df.select(
            *[F.col(quoted(col)).alias(name) for col, name in zip(self.id_columns, self.ids, strict=True)],
            *[
                F.col(quoted(col)).cast("string").alias(name)
                for col, name in zip(self.slice_by, self.slices, strict=True)
            ],
            F.col(quoted(self.label_col)).cast("string" if self.labels_are_names else "long").alias(c.LABEL),
            self._probs().alias(c.PROBS),
            *([UNMATCHED] if UNMATCHED in self._types else []),
            *([F.to_json(F.struct("*")).alias(c.ROW)] if source else []),
        )
        return (
            rows
            if repeated is None
            else rows.join(repeated.withColumn(c.REPEATED, F.lit(True)), self.ids, "left")
        )

    def scan(
        self, kernel: ArrowFunction, schema: str, repeated: DataFrame | None = None, *, source: bool = False
    ) -> DataFrame:
        """What a kernel of batches of `rows` makes of them: a scan of the input, by the tasks themselves where they can."""
        if self.files and repeated is None and not source:
            return self.files.scanned(self.df.sparkSession, kernel, schema)
        return map_in_arrow(self.rows(repeated, source=source), kernel, schema)

    def evidence(self, repeated: DataFrame | None = None) -> DataFrame:
        """What the audit keeps: blocks of a few numbers a row, classes worth listing, and arrays of rows surely wrong."""
        block, whole_id = self.block(), self.whole_id

        def kernel(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
            yield from pack_blocks((block(batch) for batch in batches), whole_id)

        return self.scan(kernel, PACKED_SCHEMA, repeated)

    def block(
        self, *, every_array: bool = False, of_classes: Bools | None = None
    ) -> Callable[[pa.RecordBatch], Block]:
        """What makes a block of a batch of `rows`: every row, with why it is refused if it is.

        Args:
            every_array: keep the arrays of all rows.
            of_classes: (K,) whether rows of a given class are wanted at all.
        """
        prob_format, promised, names, others = (
            self.prob_format,
            self.probabilities,
            None,
            [*self.ids, *self.slices],
        )
        if self.labels_are_names:
            names = list(self._known_names or [])
        return partial(
            block_of,
            prob_format=prob_format,
            promised=promised,
            names=names,
            ids=self.ids,
            others=others,
            listing=self.listing,
            every_array=every_array,
            of_classes=of_classes,
        )

    @property
    def listing(self) -> ListingPolicy:
        """What the evidence lists."""
        return LISTING

    @property
    def whole_id(self) -> str | None:
        """The id column within the evidence, where it is one of whole numbers."""
        whole = len(self.ids) == 1 and isinstance(self._types[self.id_columns[0]], IntegralType)
        return self.ids[0] if whole else None

    def read_by_tasks(self) -> "Predictions":
        """The same predictions, read from their files by the tasks themselves if these can be (see `files`)."""
        if not isinstance(self.pred_probs_col, str) or UNMATCHED in self._types:
            return self
        probs = self._types[self.pred_probs_col]
        if not isinstance(probs, MapType) and not (
            isinstance(probs, ArrayType)
            and isinstance(probs.elementType, FloatType | DoubleType | StructType)
        ):
            return self
        named = zip([*self.ids, *self.slices], [*self.id_columns, *self.slice_by], strict=True)
        columns = {**dict(named), c.LABEL: self.label_col, c.PROBS: self.pred_probs_col}
        cast = {} if self.labels_are_names else {c.LABEL: pa.int64()}
        return replace(self, files=Files.of(self.df, columns, cast | dict.fromkeys(self.slices, pa.string())))

    @property
    def id_types(self) -> dict[str, str]:
        """The id columns within the evidence, and their types."""
        return {
            name: self._types[col].simpleString() for name, col in zip(self.ids, self.id_columns, strict=True)
        }

    @property
    def row_types(self) -> dict[str, str]:
        """The columns `Block.to_batch` has of a row, and their types."""
        element = self.prob_format.element
        return {
            **self.id_types,
            c.GIVEN: "int",
            c.PREDICTED: "int",
            c.EVIDENCE_SELF_CONFIDENCE: element,
            c.MAX_PROB: element,
            c.SECOND_MAX_PROB: element,
        }

    def class_column(self, index: str | Column) -> Column:
        """A class index as the results show it: its name where classes have names."""
        index = F.col(index) if isinstance(index, str) else index
        if self.names is None:
            return index.cast("int")
        # one literal, folded to a constant: an array of K literals would make a plan of K nodes
        return F.get(F.from_json(F.lit(json.dumps(self.names)), "array<string>"), index.cast("int"))

    def restore_ids(self) -> list[Column]:
        """The id columns under their own names."""
        return [F.col(name).alias(col) for name, col in zip(self.ids, self.id_columns, strict=True)]


LISTING = ListingPolicy()
"""What the evidence lists."""


def _is_vector(found: DataType) -> bool:
    return type(found).__name__ == "VectorUDT"


def _sparse_parts(found: DataType) -> tuple[DataType, DataType] | None:
    """The types of class and probability, if a column lists classes with their probabilities."""
    if isinstance(found, MapType):
        parts = [found.keyType, found.valueType]
    elif (
        isinstance(found, ArrayType)
        and isinstance(found.elementType, StructType)
        and len(found.elementType.fields) == 2
    ):
        parts = [part.dataType for part in found.elementType.fields]
        if not isinstance(parts[0], IntegralType):
            parts.reverse()
    else:
        return None
    whole, real = isinstance(parts[0], IntegralType), isinstance(parts[1], FractionalType)
    return (parts[0], parts[1]) if whole and real else None
