"""Predictions of several classes: a table of ids, sets of given labels, and independent probabilities."""

from collections.abc import Sequence
from dataclasses import dataclass

from pyspark.sql import Column
from pyspark.sql import functions as F
from pyspark.sql.types import ArrayType, BooleanType, DataType, IntegralType, StringType

from cl_spark.errors import ColumnTypeError, ConfigurationError
from cl_spark.evidence.class_columns import check_class_order, find_name
from cl_spark.evidence.predictions import Predictions
from cl_spark.evidence.prob_columns import is_binary
from cl_spark.tables import columns as c
from cl_spark.tables.columns import quoted

CLASS = "_class"
"""Column of the evidence: the class of a membership."""

GIVEN_CLASSES = "_given_classes"
"""Column of the evidence: the given labels of an example, ascending class indices."""


@dataclass(frozen=True)
class MultilabelPredictions(Predictions):
    """An input table of ids, sets of given labels, and the probability of each class by itself.

    Attributes:
        labels_col: array<int> of class indices, array<string> of class names, or K boolean columns, in the
            order of `class_names`.

    Raises:
        ConfigurationError: the arguments contradict each other.
        MissingColumnError: a column is not in the table.
        ColumnTypeError: a column is of a type that cannot be used.
    """

    labels_col: str | Sequence[str] = "labels"

    def __post_init__(self) -> None:
        if not isinstance(self.labels_col, str):
            object.__setattr__(self, "labels_col", list(self.labels_col))
            if len(self.labels_col) < 2:
                raise ConfigurationError(
                    f"labels_col must name a boolean column per class, at least 2, got {self.labels_col!r}"
                )
            if self.class_names is None:
                object.__setattr__(self, "class_names", list(self.labels_col))
            check_class_order("labels_col", self.labels_col, self.class_names or ())
        super().__post_init__()

    def _check_label_type(self) -> None:
        for col in self._label_columns:
            kind = self._types[col]
            if isinstance(self.labels_col, str) and not self._is_list(kind):
                raise ColumnTypeError(
                    f"labels_col: column {col!r} is {kind.simpleString()}; a set of labels is an array of "
                    "class indices (array<int>) or names (array<string>), or K boolean columns: "
                    "labels_col=['cat', 'dog', ...]"
                )
            if not isinstance(self.labels_col, str) and not isinstance(kind, BooleanType):
                raise ColumnTypeError(
                    f"labels_col: column {col!r} is {kind.simpleString()}; of several columns each tells "
                    "whether examples have its class: cast it to boolean"
                )
        if isinstance(self.pred_probs_col, str) and is_binary(self._types[self.pred_probs_col]):
            kind = self._types[self.pred_probs_col]
            raise ColumnTypeError(
                f"pred_probs_col: column {self.pred_probs_col!r} is {kind.simpleString()}, one probability a "
                "row; of several classes each has its own: make an array of them"
            )

    def _check_classes(self) -> None:
        super()._check_classes()
        if not isinstance(self.labels_col, str) and len(self.labels_col) != self.known_classes:
            raise ConfigurationError(
                f"labels_col names {len(self.labels_col)} columns for {self.known_classes} classes"
            )

    @staticmethod
    def _is_list(kind: DataType) -> bool:
        return isinstance(kind, ArrayType) and isinstance(kind.elementType, IntegralType | StringType)

    @property
    def label_option(self) -> str:
        """Name of the option that names the label column."""
        return "labels_col"

    @property
    def _label_columns(self) -> list[str]:
        return [self.labels_col] if isinstance(self.labels_col, str) else list(self.labels_col)

    @property
    def labels_are_names(self) -> bool:
        """True if the label column holds class names, False if it holds indices or booleans."""
        kind = self._types[self._label_columns[0]]
        return isinstance(kind, ArrayType) and isinstance(kind.elementType, StringType)

    @property
    def class_set(self) -> tuple[str, ...] | None:
        """Names of the classes, where labels are names."""
        return tuple(self._known_names or ()) if self.labels_are_names else None

    def _select_label(self) -> Column:
        """Select the given labels: an array of names, of indices as long, or of K booleans."""
        if isinstance(self.labels_col, str):
            element = "string" if self.labels_are_names else "bigint"
            return F.col(quoted(self.labels_col)).cast(f"array<{element}>")
        return F.array(*[F.col(quoted(col)) for col in self.labels_col])

    @property
    def row_types(self) -> dict[str, str]:
        """Columns of an example, and their types."""
        return {**self.id_types, GIVEN_CLASSES: "array<int>", c.LABEL_QUALITY: "double"}

    @property
    def membership_types(self) -> dict[str, str]:
        """Columns of a membership, and their types."""
        return {**self.id_types, CLASS: "int", c.GIVEN: "int", c.LABEL_QUALITY: "double"}

    def classes_column(self, indices: str | Column) -> Column:
        """Select an array of class indices as results show it: names where classes have names."""
        indices = F.col(indices) if isinstance(indices, str) else indices
        if self.names is None:
            return indices.cast("array<int>")
        names = self.names
        return F.transform(indices, lambda index: find_name(index, names))
