"""What an input table means: ids, given labels and predicted probabilities, and the compact evidence kept of each row."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from functools import reduce
from operator import or_

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

from cl_spark import columns as c
from cl_spark.columns import quoted
from cl_spark.errors import ColumnTypeError, ConfigurationError, MissingColumnError
from cl_spark.kernels import EPS
from cl_spark.kernels.fixed_point import LIMB
from cl_spark.layouts import SHORT, Dense, Layout, Sparse
from cl_spark.matching import UNMATCHED


class Refusal(IntEnum):
    """Why a row cannot be used; 0 is an accepted row. Kept as one byte in the evidence."""

    NONE = 0
    NULL_ID = 1
    NULL_LABEL = 2
    UNKNOWN_CLASS = 3
    NULL_PROBS = 4
    NULL_PROBABILITY = 5
    NOT_FINITE = 6
    TOO_LARGE = 7
    LABEL_OUT_OF_RANGE = 8
    WRONG_LENGTH = 9
    NO_PREDICTION = 10
    NO_LABEL = 11
    NO_SET_OF_CLASSES = 12
    NONE_ABOVE_ABSENT = 13
    NEGATIVE = 14
    NO_DISTRIBUTION = 15
    REPEATED_ID = 16


REASONS = {
    Refusal.NULL_ID: "null id",
    Refusal.NULL_LABEL: "null label",
    Refusal.UNKNOWN_CLASS: "unknown class name",
    Refusal.NULL_PROBS: "null or empty pred_probs",
    Refusal.NULL_PROBABILITY: "null inside pred_probs",
    Refusal.NOT_FINITE: "NaN or infinity in pred_probs",
    Refusal.TOO_LARGE: "score beyond 2^29",
    Refusal.LABEL_OUT_OF_RANGE: "label outside 0..K-1",
    Refusal.WRONG_LENGTH: "pred_probs of another length than K",
    Refusal.NO_PREDICTION: "label without a prediction",
    Refusal.NO_LABEL: "prediction without a label",
    Refusal.NO_SET_OF_CLASSES: "class listed twice or outside 0..K-1 in pred_probs",
    Refusal.NONE_ABOVE_ABSENT: "no class listed above the value of absent ones",
    Refusal.NEGATIVE: "negative value in pred_probs",
    Refusal.NO_DISTRIBUTION: "pred_probs that do not sum to 1",
    Refusal.REPEATED_ID: "id of several rows",
}


def suspect() -> Column:
    """Whether the row could be an issue at all: another class beats the given label by more than the slack.

    This is ``argmax(p + 1e-6 at the label) != label`` from scalars alone. Only the label's entry changes, so the argmax is
    the label or stays `predicted`, the first maximum: the label wins where ``p[label] + eps`` is larger, or equal and the
    label comes first.
    """
    handicapped, best = F.col(c.SELF).cast("double") + F.lit(EPS), F.col(c.MAX_PROB).cast("double")
    return (F.col(c.PREDICTED) != F.col(c.GIVEN)) & (
        (handicapped < best) | ((handicapped == best) & (F.col(c.PREDICTED) < F.col(c.GIVEN)))
    )


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
    _types: dict[str, DataType] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        fields = {field.name: field.dataType for field in self.df.schema.fields}
        object.__setattr__(self, "_types", fields)
        names = self.class_names
        if isinstance(names, str):
            raise ConfigurationError(f"class_names must be a list of names, not the text {names!r}")
        if not self.id_columns:
            raise ConfigurationError("id_col names no column: give the id column, or the columns of a composite key")
        wanted = {
            "id_col": self.id_columns,
            "label_col": [self.label_col],
            "pred_probs_col": self._prob_columns,
            "slice_by": self.slice_by,
        }
        for key, cols in wanted.items():
            for col in cols:
                if col not in fields:
                    raise MissingColumnError(f"{key}: no column {col!r} in the input; it has {', '.join(map(repr, fields))}")
        parts = [*self.id_columns, self.label_col, *self._prob_columns]
        if len(set(parts)) < len(parts):
            raise ConfigurationError(f"id_col, label_col and pred_probs_col must be different columns, got {wanted}")
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
            usable = sparse or _is_vector(found) or (isinstance(found, ArrayType) and isinstance(found.elementType, NumericType))
            wanted = "an array of float or double, an ML vector, a list of K columns, or a sparse map<int, float>"
            if sparse and self.known_classes is None:
                raise ConfigurationError(
                    f"num_classes: column {col!r} lists some classes only ({found.simpleString()}): "
                    "pass num_classes (or class_names), which the lists do not tell"
                )
            if not sparse and self.absent_prob:
                raise ConfigurationError(f"absent_prob goes with sparse probabilities; column {col!r} is {found.simpleString()}")
        if not usable:
            raise ColumnTypeError(f"pred_probs_col: column {col!r} is {found.simpleString()}; it must be {wanted}")

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
    def layout(self) -> Layout:
        """How the rows hold their probabilities."""
        found = self._types.get(self.pred_probs_col) if isinstance(self.pred_probs_col, str) else None
        value = found.elementType if isinstance(found, ArrayType) else None
        if found is not None and (parts := _sparse_parts(found)) is not None:
            element = "float" if isinstance(parts[1], FloatType) else "double"
            return Sparse(element, self.known_classes or 0, self.absent_prob)
        return Dense("float" if isinstance(value, FloatType) else "double")

    def _probs(self) -> Column:
        if not isinstance(self.pred_probs_col, str):
            return F.array(*[F.col(quoted(col)).cast("double") for col in self._prob_columns])
        found, col = self._types[self.pred_probs_col], F.col(quoted(self.pred_probs_col))
        if _is_vector(found):
            from pyspark.ml.functions import vector_to_array

            return vector_to_array(col)
        if isinstance(self.layout, Sparse):
            kinds = {"class": "array<int>", "value": f"array<{self.layout.element}>"}
            if isinstance(found, MapType):
                parts = [F.map_keys(col), F.map_values(col)]
            else:
                names = [part.name for part in found.elementType.fields]  # type: ignore[attr-defined]
                whole_first = isinstance(found.elementType.fields[0].dataType, IntegralType)  # type: ignore[attr-defined]
                parts = [col[name] for name in (names if whole_first else reversed(names))]
            lists = [part.cast(kind).alias(name) for part, (name, kind) in zip(parts, kinds.items(), strict=True)]
            return F.when(col.isNotNull(), F.struct(*lists))
        floating = isinstance(found, ArrayType) and isinstance(found.elementType, FloatType | DoubleType)
        return col if floating else col.cast("array<double>")

    def are_short(self) -> bool:
        """Whether arrays are short, as far as the arguments or the first row tell."""
        if (classes := self.known_classes) is None:
            first = self.df.select(self._probs().alias(c.PROBS)).limit(1).select(self.layout.length()).collect()
            classes = first[0][0] if first else 0
        return classes <= SHORT

    def examples(self, *, source: bool = False, of_classes: DataFrame | None = None, keep_arrays: bool = True) -> DataFrame:
        """One row per input row: ids, given and predicted class, two probabilities, why it is refused if it is, and its array.

        Native expressions only, so that arrays stay where they are read; a few passes find all there is to know of one.

        Args:
            source: the input row itself too, as JSON.
            of_classes: given classes; rows of others are left out before anything is computed of them.
            keep_arrays: whether the evidence is to hold arrays, as far as `keeps_array`.
        """
        given, layout = F.col(c.GIVEN), self.layout
        rows = self.df.select(
            *[F.col(quoted(col)).alias(name) for col, name in zip(self.id_columns, self.ids, strict=True)],
            *[F.col(quoted(col)).cast("string").alias(name) for col, name in zip(self.slice_by, self.slices, strict=True)],
            F.col(quoted(self.label_col)).alias("_label"),
            self._probs().alias(c.PROBS),
            *([UNMATCHED] if UNMATCHED in self._types else []),
            *([F.to_json(F.struct("*")).alias(c.ROW)] if source else []),
        )
        if self.labels_are_names:
            names = self.df.sparkSession.createDataFrame(list(enumerate(self._known_names or [])), f"{c.GIVEN} int, _name string")
            rows = rows.join(F.broadcast(names), F.col("_label") == F.col("_name"), "left").drop("_name")
        else:
            rows = rows.withColumn(c.GIVEN, F.col("_label").cast("long"))
        if of_classes is not None:
            wanted = of_classes.select(F.col(c.GIVEN).cast("int" if self.labels_are_names else "long"))
            rows = rows.join(F.broadcast(wanted), c.GIVEN, "left_semi")
        rows = rows.withColumn(c.MAX_PROB, layout.highest()).withColumn(c.SELF, layout.at(given))
        lacking, infinite = layout.lacks_values()
        no_set, none_above = layout.unusable()
        unmatched = F.col(UNMATCHED) if UNMATCHED in self._types else F.lit(None)
        checks: list[tuple[Refusal, Column]] = [
            (Refusal.NULL_ID, reduce(or_, [F.col(name).isNull() for name in self.ids])),
            (Refusal.NO_LABEL, unmatched == "label"),
            (Refusal.NO_PREDICTION, unmatched == "prediction"),
            (Refusal.NULL_LABEL, F.col("_label").isNull()),
            (Refusal.UNKNOWN_CLASS, given.isNull()),
            (Refusal.NULL_PROBS, layout.length() <= 0),
            (Refusal.NULL_PROBABILITY, lacking),
            (Refusal.NOT_FINITE, infinite | F.isnan(c.MAX_PROB) | (F.col(c.MAX_PROB) == float("inf"))),
            (Refusal.NO_SET_OF_CLASSES, no_set),
            (Refusal.NONE_ABOVE_ABSENT, none_above),
            (Refusal.LABEL_OUT_OF_RANGE, F.col(c.SELF).isNull()),
            (Refusal.TOO_LARGE, F.greatest(F.abs(c.MAX_PROB), F.abs(c.SELF)) >= F.lit(LIMB)),
        ]
        if self.probabilities:
            off = F.abs(layout.total() - 1) > SUM_TOLERANCE
            checks += [(Refusal.NEGATIVE, layout.lowest() < 0), (Refusal.NO_DISTRIBUTION, off)]
        refusal = F.lit(0)  # F.when() tries its conditions in order: the first check ends up outermost
        for code, condition in reversed(checks):
            refusal = F.when(condition, F.lit(int(code))).otherwise(refusal)
        return rows.select(
            *self.ids,
            *self.slices,
            given.cast("int").alias(c.GIVEN),
            F.coalesce(layout.first_of(F.col(c.MAX_PROB)), F.lit(0)).alias(c.PREDICTED),
            c.SELF,
            c.MAX_PROB,
            layout.length().alias(c.LENGTH),
            refusal.cast("byte").alias(c.REFUSAL),
            c.PROBS,
            *([c.ROW] if source else []),
        ).withColumn(c.BAR, self._bar(keep_arrays))

    def _bar(self, keep_arrays: bool) -> Column:
        """From which value on other classes are listed: `RUNNER_UP`, or half the highest value; the highest lists none.

        A suspect without array lists them from half its self-confidence if that is lower: all that beat the label, and more.
        """
        best, half = F.col(c.MAX_PROB), F.lit(0.5).cast(self.layout.element)
        bar = F.least(F.lit(RUNNER_UP).cast(self.layout.element), best * half)
        listing = F.when(suspect() & ~keeps_array(keep_arrays), F.least(bar, F.col(c.SELF) * half)).otherwise(bar)
        return F.when((best <= 0) | self.layout.crowded(bar), best).otherwise(self.layout.reachable(listing))

    def evidence(self, *, keep_arrays: bool = True) -> DataFrame:
        """What the audit keeps: a row per example, and one for each of its runners-up, the classes at or above its bar.

        The arrays go through a generator and a filter where they are read; few of their values come out. Whole arrays are
        kept for the examples of `keeps_array` only.

        Args:
            keep_arrays: else there is no column of arrays at all: Spark reads a cache of numbers twice as fast.
        """
        listed = F.when((F.col(c.REFUSAL) == 0) & (F.col(c.BAR) < F.col(c.MAX_PROB)), F.col(c.BAR))
        examples = self.examples(keep_arrays=keep_arrays).withColumn("_listed", listed)
        usable = F.when(F.col(c.REFUSAL) == 0, F.col(c.PROBS))
        others = [name for name in examples.columns if name not in (c.PROBS, "_listed")]
        rows = examples.select("*", self.layout.exploded(usable).alias("_at", c.VALUE)).withColumn(
            c.ENTRY, F.coalesce(self.layout.class_at(F.col("_at")), c.PREDICTED)
        )
        kept = is_example() & (F.col(c.REFUSAL) == 0) & keeps_array()
        array = [F.when(kept, F.col(c.PROBS)).alias(c.PROBS)] if keep_arrays else []
        return rows.where(is_example() | (F.col(c.VALUE) >= F.col("_listed"))).select(*others, c.ENTRY, c.VALUE, *array)

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


RUNNER_UP = 0.2
"""Other classes than the predicted are listed from this probability up, or from half the highest if that is lower. Any value
gives the same results: it only decides how often a row is read again."""


SURELY_WRONG = 0.05
"""Suspects with a self-confidence below this keep their array: where a quota outlasts the classes that beat the label, they
are who it takes. Any value gives the same results."""


SUM_TOLERANCE = 0.01
"""How far probabilities may be from summing to 1: what half precision and rounding to three digits lose, and more."""


def keeps_array(some: bool = True) -> Column:
    """Whether the evidence of an accepted row holds its array; it never does where it is not to hold `some`."""
    return F.lit(some) & suspect() & ((F.col(c.SELF) < SURELY_WRONG) | (F.col(c.LENGTH) <= SHORT))


def where_computed(rows: DataFrame, condition: Column) -> DataFrame:
    """The rows of `examples` where a condition on computed columns holds.

    As a filter it would be pushed below the columns it asks of and so compute them twice, from arrays, in code too long to be
    compiled (measured: 4 times the whole scan). Nothing is pushed below a generator.
    """
    return rows.select("*", F.explode_outer(F.array(condition)).alias("_holds")).where("_holds").drop("_holds")


def is_example() -> Column:
    """Whether a row of the evidence is that of an example itself, not of one of its runners-up."""
    return F.col(c.ENTRY) == F.col(c.PREDICTED)


def _is_vector(found: DataType) -> bool:
    return type(found).__name__ == "VectorUDT"


def _sparse_parts(found: DataType) -> tuple[DataType, DataType] | None:
    """The types of class and probability, if a column lists classes with their probabilities."""
    if isinstance(found, MapType):
        parts = [found.keyType, found.valueType]
    elif isinstance(found, ArrayType) and isinstance(found.elementType, StructType) and len(found.elementType.fields) == 2:
        parts = [part.dataType for part in found.elementType.fields]
        if not isinstance(parts[0], IntegralType):
            parts.reverse()
    else:
        return None
    whole, real = isinstance(parts[0], IntegralType), isinstance(parts[1], FractionalType)
    return (parts[0], parts[1]) if whole and real else None
