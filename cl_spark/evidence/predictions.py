"""Predictions: an input table, and what its columns mean."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import pyarrow as pa
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import (
    ArrayType,
    BooleanType,
    DataType,
    IntegralType,
    NumericType,
    StringType,
)

from cl_spark.errors import ColumnTypeError, ConfigurationError
from cl_spark.evidence.block_builder import BlockBuilder
from cl_spark.evidence.class_columns import check_class_names, check_class_order, find_name, select_index
from cl_spark.evidence.native_evidence import WANTED, replace_clear_arrays, replace_wanted_arrays
from cl_spark.evidence.packing import PACKED_SCHEMA, pack_blocks
from cl_spark.evidence.prob_columns import (
    field_names,
    find_prob_format,
    is_binary,
    is_prob_column,
    is_sparse,
    lists_names,
    select_class_columns,
    select_models,
    select_probs,
)
from cl_spark.evidence.prob_formats import DenseProbs, MeanProbs, ProbFormat
from cl_spark.evidence.workers import map_in_arrow
from cl_spark.kernels.arrays import Bools
from cl_spark.kernels.row_evidence import ListingPolicy
from cl_spark.tables import columns as c
from cl_spark.tables.columns import check_result_names, is_case_sensitive, quoted, resolve_column
from cl_spark.tables.row_json import select_row_json

LISTING = ListingPolicy()
"""Rules for what the evidence lists."""

RESULT_COLUMNS = frozenset(
    (
        *(c.RUN_ID, c.ATTEMPT, c.GIVEN_LABEL, c.SUGGESTED_LABEL, c.PREDICTED_LABEL, c.LABEL_QUALITY),
        *(c.SELF_CONFIDENCE, c.NORMALIZED_MARGIN, c.RANK, c.IS_ISSUE, c.INVERSE_NOISE_RATE, c.FROZEN_RUN),
        *(c.REASON, c.ROW),
    )
)
"""Columns that stand beside the ids of examples in results: no id column may have such a name."""


@dataclass(frozen=True)
class Predictions:
    """An input table of ids, given labels and predicted probabilities.

    It is checked against the schema when made, and read only when asked.

    Attributes:
        df: the table, classic or Connect.
        id_col: id column, or the columns of a composite key.
        label_col: given label: class index (whole number of any type, or boolean) or class name (string).
        pred_probs_col: array<float|double> or ML vector column; a list of K numeric columns; a column of
            structs with a field per class; of two classes, a column of numbers, the probability of the
            second; or sparse: a column of map<int, float> or of array<struct<int, float>>, classes (or their
            names) with their probabilities.
        class_names: names of the classes in the order of the probabilities.
        num_classes: K, where neither class_names nor K columns tell it; sparse probabilities need it.
        absent_prob: probability of the classes that a sparse list leaves out.
        probabilities: the caller promises probabilities: rows with a negative value, or a sum off 1 by more
            than 0.01, are rejected.
        slice_by: columns for whose values health is told apart.
        pred_probs_cols: instead of `pred_probs_col`, a column of each of several models, whose mean counts.

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
    pred_probs_cols: Sequence[str] = ()
    _types: dict[str, DataType] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_types", {field.name: field.dataType for field in self.df.schema.fields})
        check_class_names(self.class_names)
        if isinstance(self.pred_probs_cols, str):
            raise ConfigurationError(
                f"pred_probs_cols must be a list of columns, not the text {self.pred_probs_cols!r}"
            )
        if self.pred_probs_cols and self.pred_probs_col != "pred_probs":
            raise ConfigurationError(
                "pred_probs_col goes without pred_probs_cols: name the columns of all models in the latter"
            )
        self._check_columns()
        self._check_types()
        self._check_classes()

    # Checks
    # --------------------------------------------------------------------------------------------------------

    def _check_columns(self) -> None:
        if not self.id_columns:
            raise ConfigurationError(
                "id_col names no column: give the id column, or the columns of a composite key"
            )
        wanted = {
            "id_col": self.id_columns,
            self.label_option: self._label_columns,
            self.prob_option: self._prob_columns,
            "slice_by": self.slice_by,
        }
        is_sensitive = is_case_sensitive(self.df.sparkSession)
        there, columns = dict(self._types), self.df.columns
        for key, cols in wanted.items():
            for col in cols:
                name = resolve_column(key, col, columns, case_sensitive=is_sensitive)
                self._types[col] = there[name]
        check_result_names(self.id_columns, RESULT_COLUMNS)
        parts = [*self.id_columns, *self._label_columns, *self._prob_columns]
        if len({part if is_sensitive else part.casefold() for part in parts}) < len(parts):
            raise ConfigurationError(
                f"id_col, {self.label_option} and {self.prob_option} must be different columns, got {wanted}"
            )

    def _check_types(self) -> None:
        for col in self.id_columns:
            kind = self._types[col]
            if isinstance(kind, ArrayType) or kind.typeName() in ("map", "struct", "variant"):
                raise ColumnTypeError(
                    f"id_col: column {col!r} is {kind.simpleString()}, which has no order; "
                    "use a plain column or list the parts of a composite key"
                )
        self._check_label_type()
        for col in self._array_columns:
            self._check_prob_column(col)
        if not self._array_columns:
            for col in self.pred_probs_col:
                if not isinstance(self._types[col], NumericType):
                    raise self._wrong_prob_type(col, "a numeric column per class")

    def _check_label_type(self) -> None:
        kind = self._types[self.label_col]
        if not isinstance(kind, NumericType | BooleanType | StringType):
            raise ColumnTypeError(
                f"label_col: column {self.label_col!r} is {kind.simpleString()}; "
                "labels are class indices (numbers or booleans) or class names (string): cast it"
            )

    def _check_prob_column(self, col: str) -> None:
        kind, fields, name = self._types[col], field_names(self._types[col]), self.input_name(col)
        if self.class_names is None and (fields or lists_names(kind)):
            raise ConfigurationError(
                f"class_names: column {name!r} has its classes by name ({kind.simpleString()}): "
                "pass class_names, which order them"
            )
        if fields and (differing := sorted({*fields} ^ {*(self.class_names or ())})):
            raise ConfigurationError(
                f"class_names: {differing[0]!r} is not both a class name and a field of column {name!r}, "
                f"which has {', '.join(map(repr, fields))}"
            )
        if is_sparse(kind) and self.known_classes is None:
            raise ConfigurationError(
                f"num_classes: column {name!r} lists some classes only ({kind.simpleString()}): "
                "pass num_classes (or class_names), which the lists do not tell"
            )
        if is_sparse(kind) and self.pred_probs_cols:
            raise ColumnTypeError(
                f"pred_probs_cols: column {name!r} lists some classes only ({kind.simpleString()}), and "
                "lists of several models have no mean: pass arrays of all classes"
            )
        if not is_sparse(kind) and self.absent_prob:
            raise ConfigurationError(
                f"absent_prob goes with sparse probabilities; column {name!r} is {kind.simpleString()}"
            )
        if not is_prob_column(kind):
            raise self._wrong_prob_type(
                col,
                "an array of float or double, an ML vector, a list of K columns, a struct of K numbers, "
                "a sparse map<int, float>, or for two classes a float or double",
            )

    def _wrong_prob_type(self, col: str, wanted: str) -> ColumnTypeError:
        return ColumnTypeError(
            f"{self.prob_option}: column {self.input_name(col)!r} is {self._types[col].simpleString()}; it "
            f"must be {wanted}"
        )

    def _check_classes(self) -> None:
        told = self.known_classes
        if self.num_classes is not None and (self.num_classes < 2 or told != self.num_classes):
            raise ConfigurationError(
                f"num_classes={self.num_classes} must be at least 2 and agree with class_names or K columns, "
                f"which are {told}"
            )
        if self.class_names is not None and len(self.class_names) != told:
            raise ConfigurationError(
                f"class_names has {len(self.class_names)} names for {told} pred_probs columns"
            )
        if self.class_names is not None and not self._array_columns:
            check_class_order(self.prob_option, [*map(self.input_name, self._prob_columns)], self.class_names)
        if self.labels_are_names and self._known_names is None:
            raise ConfigurationError(
                f"{self.label_option}: column {self._label_columns[0]!r} holds class names, but nothing says "
                "which probability belongs to which class: pass class_names in the order of the "
                "probabilities, or one column per class"
            )

    # Meaning of the columns
    # ----------------------------------------------------------------------------------------

    @property
    def id_columns(self) -> list[str]:
        """Id columns of the input, in the order of the key."""
        return [self.id_col] if isinstance(self.id_col, str) else list(self.id_col)

    @property
    def ids(self) -> list[str]:
        """Names of the id columns within the evidence."""
        return [f"_id_{i}" for i in range(len(self.id_columns))]

    @property
    def slices(self) -> list[str]:
        """Names of the slice columns within the evidence."""
        return [f"_slice_{i}" for i in range(len(self.slice_by))]

    @property
    def id_types(self) -> dict[str, str]:
        """Id columns within the evidence, and their types."""
        return {
            name: self._types[col].simpleString() for name, col in zip(self.ids, self.id_columns, strict=True)
        }

    @property
    def row_types(self) -> dict[str, str]:
        """Columns that `Block.to_batch` can make of a row, slices apart, and their types."""
        element = self.prob_format.element
        return {
            **self.id_types,
            c.GIVEN: "int",
            c.PREDICTED: "int",
            c.EVIDENCE_SELF_CONFIDENCE: element,
            c.MAX_PROB: element,
            c.SECOND_MAX_PROB: element,
        }

    @property
    def whole_id(self) -> str | None:
        """The id column within the evidence, if it is a single one of whole numbers."""
        is_whole = len(self.ids) == 1 and isinstance(self._types[self.id_columns[0]], IntegralType)
        return self.ids[0] if is_whole else None

    @property
    def labels_are_names(self) -> bool:
        """True if the label column holds class names, False if it holds indices."""
        return isinstance(self._types[self.label_col], StringType)

    @property
    def names(self) -> list[str] | None:
        """Class names where labels or the caller use names; else None, and results show indices."""
        return self._known_names if self.labels_are_names or self.class_names is not None else None

    @property
    def known_classes(self) -> int | None:
        """K, if the arguments tell it. Else it is the number of probabilities most rows have."""
        if not self._array_columns:
            return len(self._prob_columns)
        if self._is_binary:
            return 2
        return self.num_classes if self.class_names is None else len(self.class_names)

    @property
    def prob_format(self) -> ProbFormat:
        """How rows hold their probabilities."""
        if self.pred_probs_cols:
            return MeanProbs("double", len(self.pred_probs_cols))
        if not isinstance(self.pred_probs_col, str):
            return DenseProbs("double")
        return find_prob_format(self._types[self.pred_probs_col], self.known_classes or 0, self.absent_prob)

    @property
    def listing(self) -> ListingPolicy:
        """Rules for what the evidence lists."""
        return LISTING

    @property
    def label_option(self) -> str:
        """Name of the option that names the label column."""
        return "label_col"

    def input_name(self, col: str) -> str:
        """Name of a column in the input of the user, for messages."""
        return col

    @property
    def _label_columns(self) -> list[str]:
        return [self.label_col]

    @property
    def prob_option(self) -> str:
        """Name of the option that names the columns of probabilities."""
        return "pred_probs_cols" if self.pred_probs_cols else "pred_probs_col"

    @property
    def _array_columns(self) -> list[str]:
        """Columns that hold the probabilities of all classes, each of a model; none where a class has one."""
        if self.pred_probs_cols:
            return list(self.pred_probs_cols)
        return [self.pred_probs_col] if isinstance(self.pred_probs_col, str) else []

    @property
    def _prob_columns(self) -> list[str]:
        return self._array_columns or list(self.pred_probs_col)

    @property
    def _known_names(self) -> list[str] | None:
        if self.class_names is not None:
            return list(self.class_names)
        return None if self._array_columns else self._prob_columns

    @property
    def _is_binary(self) -> bool:
        return any(is_binary(self._types[col]) for col in self._array_columns)

    # Reading
    # -------------------------------------------------------------------------------------------------------

    @property
    def rows(self) -> DataFrame:
        """The rows of the table, as they are read."""
        return self.df

    def select_rows(self, repeated: DataFrame | None = None, *, with_json: bool = False) -> DataFrame:
        """Select ids, slices, given label and probabilities under the names kernels know.

        Args:
            repeated: ids to mark as those of several rows.
            with_json: select the whole input row too, as JSON.
        """
        names = self._known_names or ()
        table = self.rows
        rejections = [F.col(c.REJECTION)] if c.REJECTION in table.columns else []
        if self.pred_probs_cols:
            probs, uneven = select_models({col: self._types[col] for col in self.pred_probs_cols}, names)
            rejections.append(uneven)
        elif isinstance(self.pred_probs_col, str):
            probs = select_probs(self.pred_probs_col, self._types[self.pred_probs_col], names)
        else:
            probs = select_class_columns(self.pred_probs_col)
        ids = zip(self.id_columns, self.ids, strict=True)
        slices = zip(self.slice_by, self.slices, strict=True)
        rows = table.select(
            *[F.col(quoted(col)).alias(name) for col, name in ids],
            *[F.col(quoted(col)).cast("string").alias(name) for col, name in slices],
            self._select_label().alias(c.LABEL),
            probs.alias(c.PROBS),
            *([F.coalesce(*rejections).alias(c.REJECTION)] if rejections else []),
            *([self._select_row().alias(c.ROW)] if with_json else []),
        )
        if repeated is None:
            return rows
        return rows.join(repeated.withColumn(c.REPEATED, F.lit(True)), self.ids, "left")

    def _select_row(self) -> Column:
        """Select the whole row as JSON."""
        return select_row_json(*[c.REJECTION] if c.REJECTION in self.rows.columns else [])

    def _select_label(self) -> Column:
        """Select the given label: the class name, or the index as long, -1 where it can be none."""
        column = F.col(quoted(self.label_col))
        if self.labels_are_names:
            return column.cast("string")
        return select_index(column, self._types[self.label_col], self._known_names or ())

    def extract_evidence(self, repeated: DataFrame | None = None) -> DataFrame:
        """Extract the evidence of all rows as packed blocks, in a scan of the input.

        Args:
            repeated: ids of several rows, whose rows are rejected.
        """
        rows = self.select_rows(repeated)
        builder = self.make_block_builder()
        if self.tells_natively:
            predicted = self.class_column(c.PREDICTED) if self.labels_are_names else F.col(c.PREDICTED)
            rows = replace_clear_arrays(rows, self.prob_format.element, predicted, self.listing)
        return map_in_arrow(rows, _EvidenceFunction(builder, self.whole_id), PACKED_SCHEMA)

    @property
    def tells_natively(self) -> bool:
        """True if Spark's expressions can tell the evidence of a row: its array is dense, and its sum is no
        matter, which they are slow to compute.
        """
        is_array = isinstance(self.prob_format, DenseProbs) and not self.pred_probs_cols
        return is_array and not self.probabilities and not self._is_binary

    def select_wanted(
        self, wanted: Mapping[int, Sequence[int]], num_classes: int, repeated: DataFrame | None = None
    ) -> DataFrame:
        """Select the rows of some given classes, each with the probabilities of some classes.

        Args:
            wanted: given class -> classes whose probabilities are wanted of its rows.
            num_classes: K.
            repeated: ids to mark as those of several rows.
        """
        label_type, names = "string" if self.labels_are_names else "long", self._known_names
        labels = [names[given] for given in wanted] if self.labels_are_names and names else list(wanted)
        classes = self.df.sparkSession.createDataFrame(
            list(zip(labels, wanted, map(list, wanted.values()), strict=True)),
            f"{c.LABEL} {label_type}, {c.GIVEN} int, {WANTED} array<int>",
        )
        rows = self.select_rows(repeated).join(F.broadcast(classes), c.LABEL)
        return replace_wanted_arrays(rows, self.prob_format.element, num_classes)

    def make_block_builder(
        self, *, keeps_all_arrays: bool = False, given_classes: Bools | None = None
    ) -> BlockBuilder:
        """Make a builder of blocks from record batches of `select_rows`.

        Args:
            keeps_all_arrays: keep the arrays of all rows.
            given_classes: (K,) True for the given classes whose rows are wanted; None for all rows.
        """
        return BlockBuilder(
            prob_format=self.prob_format,
            class_names=tuple(self._known_names or ()) if self.labels_are_names else None,
            ids=tuple(self.ids),
            slices=tuple(self.slices),
            policy=self.listing,
            # of one number a row, a score would make no sense: p and 1 - p stand for two classes
            are_promised=self.probabilities or self._is_binary,
            keeps_all_arrays=keeps_all_arrays,
            given_classes=given_classes,
        )

    # Results
    # -------------------------------------------------------------------------------------------------------

    def class_column(self, index: str | Column) -> Column:
        """Select a class index as results show it: as the class's name where classes have names."""
        index = F.col(index) if isinstance(index, str) else index
        if self.names is None:
            return index.cast("int")
        return find_name(index, self.names)

    def show_classes(self, frame: DataFrame, names: Mapping[str, str]) -> DataFrame:
        """Replace columns of class indices by the classes as results show them, under new names."""
        return frame.select(
            *[
                self.class_column(name).alias(names[name]) if name in names else F.col(name)
                for name in frame.columns
            ]
        )

    def restore_ids(self) -> list[Column]:
        """Select the id columns under their own names."""
        return [F.col(name).alias(col) for name, col in zip(self.ids, self.id_columns, strict=True)]


@dataclass(frozen=True)
class _EvidenceFunction:
    """Packs the evidence of record batches of input rows."""

    build: BlockBuilder
    whole_id: str | None

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        return pack_blocks(map(self.build, batches), self.whole_id)
