"""Annotations: an input table of ids, annotators and labels, and which of its rows can be used."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F
from pyspark.sql.types import BooleanType, DataType, NumericType, StringType

from cl_spark.errors import ColumnTypeError, ConfigurationError, EmptyTableError
from cl_spark.evidence.class_columns import NO_CLASS, check_class_names, find_name, list_names, select_class
from cl_spark.evidence.storage import Storage
from cl_spark.evidence.validity import RejectionReason, explain_rejection, join_reasons
from cl_spark.tables import columns as c
from cl_spark.tables.columns import check_result_names, is_case_sensitive, quoted, resolve_column
from cl_spark.tables.example_ids import ExampleIds, find_types
from cl_spark.tables.ids import lacks_id
from cl_spark.tables.row_json import select_row_json

ANNOTATOR, CODE = "_annotator", "_code"
"""The annotator as the input names it, and as a number from 0 on."""

MAX_ANNOTATORS = 2_000_000
"""Most annotators: each Spark task holds a weight of each."""

NULL_ANNOTATOR = "null annotator"
EQUAL_LABEL = "annotation that its annotator gave before"
OTHER_LABEL = "annotator who gave the example several labels"
"""Reasons of rejection beside those of other tables."""

RESULT_COLUMNS = frozenset(
    (
        *(c.RUN_ID, c.ATTEMPT, c.LABEL_QUALITY, c.RANK, c.REASON, c.ROW, "annotator", "label", "score"),
        *("consensus_label", "consensus_quality", "annotator_agreement", "num_annotations"),
    )
)
"""Columns that stand beside the ids of examples in results."""


@dataclass(frozen=True)
class Annotations:
    """A long table of annotations: a row for each label that an annotator gave an example.

    It is checked against the schema when made, and read when asked.

    Attributes:
        df: the table.
        ids: the id columns of the examples.
        annotator_col: column of the annotator, of any plain type.
        label_col: column of the label: class index (whole number of any type, or boolean) or class name.
        class_names: names of the classes in their order; default, where labels are names: all that there are,
            in alphabetical order.
        storage: persists what is read several times.

    Raises:
        ConfigurationError: the arguments contradict each other.
        MissingColumnError: a column is not in the table.
        ColumnTypeError: a column is of a type that cannot be used.
    """

    df: DataFrame
    ids: ExampleIds
    annotator_col: str
    label_col: str
    class_names: Sequence[str] | None = None
    storage: Storage = field(default_factory=Storage)

    def __post_init__(self) -> None:
        check_class_names(self.class_names)
        self.ids.check({"annotations": self.df})
        is_sensitive = is_case_sensitive(self.df.sparkSession)
        fold = str if is_sensitive else str.casefold
        wanted = {"annotator_col": self.annotator_col, "label_col": self.label_col}
        for key, col in wanted.items():
            resolve_column(key, col, self.df.columns, case_sensitive=is_sensitive, table="annotations")
        if len({fold(col) for col in (*self.ids.columns, *wanted.values())}) < len(self.ids.columns) + 2:
            raise ConfigurationError(
                f"id_col, annotator_col and label_col must be different columns, got {self.ids.columns}, "
                f"{self.annotator_col!r} and {self.label_col!r}"
            )
        check_result_names(self.ids.columns, RESULT_COLUMNS)
        kind = self._type(self.annotator_col)
        if kind.typeName() in ("array", "map", "struct", "variant"):
            raise ColumnTypeError(
                f"annotator_col: column {self.annotator_col!r} is {kind.simpleString()}, which has no order; "
                "use a plain column"
            )
        if not isinstance(self._type(self.label_col), NumericType | BooleanType | StringType):
            raise ColumnTypeError(
                f"label_col: column {self.label_col!r} is {self._type(self.label_col).simpleString()}; "
                "labels are class indices (numbers or booleans) or class names (string): cast it"
            )

    def _type(self, col: str) -> DataType:
        return find_types(self.df, [col])[col]

    @cached_property
    def labels_are_names(self) -> bool:
        """True if the label column holds class names, False if it holds indices."""
        return isinstance(self._type(self.label_col), StringType)

    @cached_property
    def names(self) -> list[str] | None:
        """Names of the classes; None where labels are indices and nobody named them. Reads the labels where
        they are names and nobody listed these.
        """
        if self.class_names is not None or not self.labels_are_names:
            return None if self.class_names is None else list(self.class_names)
        return list_names(self.df, self.label_col)

    @property
    def labels_are_numbers(self) -> bool:
        """True if the label column holds class indices that are numbers."""
        return isinstance(self._type(self.label_col), NumericType)

    def check_gold(self, gold: DataFrame) -> None:
        """Check that a table of right answers has labels of the same kind.

        Raises:
            MissingColumnError: it lacks the label column.
            ColumnTypeError: an index would be taken for a name, or a name for an index: 1 is not '1'.
        """
        is_sensitive = is_case_sensitive(gold.sparkSession)
        resolve_column("label_col", self.label_col, gold.columns, case_sensitive=is_sensitive, table="gold")
        kind, own = find_types(gold, [self.label_col])[self.label_col], self._type(self.label_col)
        is_name, is_index = isinstance(kind, StringType), isinstance(kind, NumericType | BooleanType)
        can_be_name = self.labels_are_names or self.class_names is not None
        fits = (is_name and can_be_name) or (is_index and not self.labels_are_names)
        if not fits:
            raise ColumnTypeError(
                f"gold: column {self.label_col!r} is {kind.simpleString()} in gold and {own.simpleString()} "
                "in annotations, and class names and class indices do not compare: cast one of them, or pass "
                "class_names where they come from CSV"
            )

    def select_class(self, df: DataFrame, col: str) -> Column:
        """Select the class index of a column of labels: null where it is missing, -1 where it is no class."""
        return select_class(F.col(quoted(col)), find_types(df, [col])[col], self.names)

    def show_class(self, index: Column) -> Column:
        """Select a class index as results show it: as the class's name where classes have names."""
        return index.cast("int") if self.names is None else find_name(index, self.names)

    def restore_ids(self, *others: DataFrame) -> list[Column]:
        """Select the id columns under their own names and types.

        Args:
            others: further tables whose ids are among them.
        """
        return self.ids.restore(self.df, *others)

    def _select_reason(self, num_classes: int | None) -> Column:
        """Reason why a row cannot be used by itself, null where it can."""
        annotator, label = F.col(quoted(self.annotator_col)), self.select_class(self.df, self.label_col)
        lacks_annotator = annotator.isNull()
        if self._type(self.annotator_col).typeName() in ("float", "double"):
            lacks_annotator = lacks_annotator | F.isnan(annotator)
        unknown = (
            RejectionReason.UNKNOWN_CLASS if self.labels_are_names else RejectionReason.LABEL_OUT_OF_RANGE
        )
        is_unknown = label == NO_CLASS
        if num_classes is not None:
            is_unknown = is_unknown | (label >= num_classes)
        reasons = [
            (lacks_id(self.df, self.ids.columns), explain_rejection(RejectionReason.NULL_ID)),
            (lacks_annotator, NULL_ANNOTATOR),
            (label.isNull(), explain_rejection(RejectionReason.NULL_LABEL)),
            (is_unknown, explain_rejection(unknown)),
        ]
        return F.coalesce(*[F.when(condition, reason) for condition, reason in reasons])

    def select_rows(self, num_classes: int | None = None) -> DataFrame:
        """Select the ids, the annotator, the class index `c.LABEL` and the reason why a row cannot be used.

        Args:
            num_classes: K, if it is known.
        """
        return self.df.select(
            *self.ids.select(self.df),
            F.col(quoted(self.annotator_col)).alias(ANNOTATOR),
            self.select_class(self.df, self.label_col).alias(c.LABEL),
            self._select_reason(num_classes).alias(c.REASON),
        )

    @cached_property
    def annotators(self) -> DataFrame:
        """The annotators, each with a code: numbers from 0 on, ascending with the annotator.

        Raises:
            EmptyTableError: no row names one.
            ConfigurationError: there are too many.
        """
        annotator = F.col(quoted(self.annotator_col)).alias(ANNOTATOR)
        distinct = self.df.select(annotator).dropna().distinct()
        # in one partition, ids that ascend monotonically count from 0 on
        in_order = distinct.coalesce(1).sortWithinPartitions(ANNOTATOR)
        coded = self.storage.persist(
            in_order.select(ANNOTATOR, F.monotonically_increasing_id().cast("int").alias(CODE))
        )
        if not 0 < (found := coded.count()) <= MAX_ANNOTATORS:
            if not found:
                raise EmptyTableError("annotations: no row names an annotator: there is nothing to compare")
            raise ConfigurationError(
                f"annotator_col: column {self.annotator_col!r} has {found:,} values, and at most "
                f"{MAX_ANNOTATORS:,} can be annotators: does it name the annotator?"
            )
        return coded

    def rejected(self, num_classes: int, *, with_repeated: bool) -> DataFrame:
        """Read the rows that cannot be used: the id columns, reason, and the row as JSON.

        Args:
            num_classes: K.
            with_repeated: look for annotators who labelled an example several times.
        """
        rows = self.df.select(
            *self.ids.select(self.df),
            *[F.col(quoted(col)).alias(f"_of_input_{i}") for i, col in enumerate(self.ids.columns)],
            F.col(quoted(self.annotator_col)).alias(ANNOTATOR),
            self.select_class(self.df, self.label_col).alias(c.LABEL),
            self._select_reason(num_classes).alias(c.REASON),
            select_row_json().alias(c.ROW),
        )
        if with_repeated:
            is_usable = F.col(c.REASON).isNull()
            keys: list[str | Column] = [*self.ids.names, ANNOTATOR, is_usable]
            of_annotator, of_label = Window.partitionBy(keys), Window.partitionBy([*keys, c.LABEL])
            differs = F.min(c.LABEL).over(of_annotator) != F.max(c.LABEL).over(of_annotator)
            place = F.row_number().over(of_label.orderBy(c.ROW))
            repeated = F.when(differs, OTHER_LABEL).when(place > 1, EQUAL_LABEL)
            reason = F.coalesce(c.REASON, F.when(is_usable, repeated))
            rows = rows.withColumn(c.REASON, reason)
        ids = [F.col(f"_of_input_{i}").alias(col) for i, col in enumerate(self.ids.columns)]
        return rows.where(F.col(c.REASON).isNotNull()).select(*ids, c.REASON, c.ROW)


def widen_ids(df: DataFrame, ids: ExampleIds, other: DataFrame) -> DataFrame:
    """Cast the ids of a table to types that hold those of another table, too."""
    own = find_types(df, ids.columns)
    for col, kind in ids.find_types(df, other).items():
        if kind != own[col]:
            df = df.withColumn(col, F.col(quoted(col)).cast(kind))
    return df


def explain_no_rows(reasons: Mapping[str | None, int]) -> EmptyTableError:
    """Explain that no annotation can be used.

    Args:
        reasons: rows by the reason why they cannot be used by themselves; None where they can.
    """
    seen = join_reasons({reason: rows for reason, rows in reasons.items() if reason is not None})
    return EmptyTableError(
        f"annotations: none of the {sum(reasons.values()):,} rows can be used{': ' if seen else ''}{seen}"
    )
