"""Training data: an input table of ids, labels and features, and which of its rows can be used."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import (
    ArrayType,
    BooleanType,
    DataType,
    MapType,
    NumericType,
    StringType,
    StructType,
)

from cl_spark.errors import (
    ColumnTypeError,
    ConfigurationError,
    EmptyTableError,
    InputError,
    SingleClassError,
)
from cl_spark.evidence.class_columns import (
    NO_CLASS,
    check_class_names,
    find_name,
    list_names,
    says_true_first,
    select_class,
)
from cl_spark.evidence.ids import MANY_ROWS, find_repeated_ids
from cl_spark.evidence.partitions import partitions_for
from cl_spark.evidence.predictions import RESULT_COLUMNS
from cl_spark.evidence.storage import Storage
from cl_spark.evidence.validity import join_reasons
from cl_spark.methods.learning.features import Features
from cl_spark.methods.learning.profile import BYTES, LENGTH, Profile, name_other_length, summarize
from cl_spark.tables import columns as c
from cl_spark.tables.columns import check_result_names, is_case_sensitive, quoted, resolve_column
from cl_spark.tables.ids import lacks_id
from cl_spark.tables.row_json import select_row_json

logger = logging.getLogger(__name__)

FEATURES, GROUP, WEIGHT = "_features", "_group", "_weight"
"""Columns of selected rows, beside the ids and the class index `c.LABEL`."""

REPEATED_ID = "id of several rows"


@dataclass(frozen=True)
class TrainingData:
    """An input table of ids, given labels and features.

    It is checked against the schema when made, and read when asked.

    Attributes:
        df: the table.
        id_col: id column, or the columns of a composite key.
        label_col: given label: class index (whole number of any type, or boolean) or class name (string).
        features_col: features: a column of arrays of numbers, of ML vectors or of texts; or a list of columns
            of numbers, booleans or texts.
        group_col: column of groups; rows of one group stay together.
        weight_col: column of weights of the examples.
        class_names: names of the classes, in the order of their indices; default, where labels are names: all
            that there are, in alphabetical order.
        takes_missing: missing features (null, NaN) can be used.
        storage: persists what is read several times.

    Raises:
        ConfigurationError: the arguments contradict each other.
        MissingColumnError: a column is not in the table.
        ColumnTypeError: a column is of a type that cannot be used.
    """

    df: DataFrame
    id_col: str | Sequence[str]
    label_col: str
    features_col: str | Sequence[str]
    group_col: str | None = None
    weight_col: str | None = None
    class_names: Sequence[str] | None = None
    takes_missing: bool = False
    storage: Storage = field(default_factory=Storage)
    _types: dict[str, DataType] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_types", {part.name: part.dataType for part in self.df.schema.fields})
        check_class_names(self.class_names)
        self._check_columns()
        self._check_types()

    # Checks -------------------------------------------------------------------------------------------------

    def _check_columns(self) -> None:
        features = [self.features_col] if isinstance(self.features_col, str) else list(self.features_col)
        if not self.id_columns or not features:
            raise ConfigurationError("id_col and features_col name at least one column each")
        optional = {"group_col": self.group_col, "weight_col": self.weight_col}
        wanted = {"id_col": self.id_columns, "label_col": [self.label_col], "features_col": features}
        wanted |= {key: [col] for key, col in optional.items() if col is not None}
        is_sensitive = is_case_sensitive(self.df.sparkSession)
        there, columns = dict(self._types), self.df.columns
        for key, cols in wanted.items():
            for col in cols:
                name = resolve_column(key, col, columns, case_sensitive=is_sensitive)
                self._types[col] = there[name]
        check_result_names(self.id_columns, RESULT_COLUMNS | {"label", "fold", "pred_probs"})
        fold = str if is_sensitive else str.casefold
        if fold(self.label_col) in set(map(fold, features)):
            raise ConfigurationError(
                f"features_col: {self.label_col!r} is the label: a model would learn to repeat it"
            )

    def _check_types(self) -> None:
        for key, cols in (("id_col", self.id_columns), ("group_col", [self.group_col])):
            for col in filter(None, cols):
                kind = self._types[col]
                if isinstance(kind, ArrayType | MapType | StructType) or kind.typeName() == "variant":
                    raise ColumnTypeError(
                        f"{key}: column {col!r} is {kind.simpleString()}, which has no order; use a plain "
                        "column"
                    )
        kind = self._types[self.label_col]
        if not isinstance(kind, NumericType | BooleanType | StringType):
            raise ColumnTypeError(
                f"label_col: column {self.label_col!r} is {kind.simpleString()}; labels are class indices "
                "(numbers or booleans) or class names (string): cast it"
            )
        if self.weight_col is not None and not isinstance(self._types[self.weight_col], NumericType):
            raise ColumnTypeError(
                f"weight_col: column {self.weight_col!r} is {self._types[self.weight_col].simpleString()}; "
                "weights are numbers"
            )
        _ = self.features

    # Meaning of the columns ---------------------------------------------------------------------------------

    @property
    def id_columns(self) -> list[str]:
        """Id columns of the input, in the order of the key."""
        return [self.id_col] if isinstance(self.id_col, str) else list(self.id_col)

    @property
    def ids(self) -> list[str]:
        """Names of the id columns within selected rows."""
        return [f"_id_{i}" for i in range(len(self.id_columns))]

    @property
    def id_types(self) -> dict[str, str]:
        """Id columns within selected rows, and their types."""
        kinds = (self._types[col].simpleString() for col in self.id_columns)
        return dict(zip(self.ids, kinds, strict=True))

    @cached_property
    def features(self) -> Features:
        """The columns of the features."""
        cols = [self.features_col] if isinstance(self.features_col, str) else self.features_col
        return Features.find(self.features_col, [self._types[col] for col in cols])

    @property
    def label_is_boolean(self) -> bool:
        """True if the labels are booleans."""
        return isinstance(self._types[self.label_col], BooleanType)

    @property
    def labels_are_names(self) -> bool:
        """True if the label column holds class names, False if it holds indices."""
        return isinstance(self._types[self.label_col], StringType)

    @cached_property
    def names(self) -> list[str] | None:
        """Names of the classes; None where labels are indices and nobody named them. Reads the labels where
        they are names and nobody listed these.

        Raises:
            ConfigurationError: there are too many.
        """
        if self.class_names is not None or not self.labels_are_names:
            return None if self.class_names is None else list(self.class_names)
        return list_names(self.df, self.label_col)

    @cached_property
    def num_classes(self) -> int:
        """K: how many classes are named, or the greatest index + 1."""
        return max(self.profile.class_counts) + 1 if self.names is None else len(self.names)

    def class_name(self, index: int) -> str:
        """Name a class in a message."""
        return str(index) if self.names is None else repr(self.names[index])

    def show_label(self, index: Column) -> Column:
        """Select a class index as the label column of the input would hold it."""
        kind = self._types[self.label_col]
        if says_true_first(kind, self.class_names or ()):
            return index == 0
        return self.show_class(index) if self.labels_are_names else index.cast(kind)

    def show_class(self, index: Column) -> Column:
        """Select a class index as results show it: as the class's name where classes have names."""
        return index.cast("int") if self.names is None else find_name(index, self.names)

    def class_index(self, frame: DataFrame, col: str) -> Column:
        """Select the class index, as int, of a column of names, indices or booleans, which mean what they do
        as given labels; null where it is no class.
        """
        column = F.col(quoted(col))
        kind = frame.select(column).schema[0].dataType
        index = select_class(column, kind, self.names)
        return F.when(index != NO_CLASS, index)

    def select_ids(self) -> list[Column]:
        """Select the id columns of the input under the names of `ids`."""
        renamed = zip(self.id_columns, self.ids, strict=True)
        return [F.col(quoted(col)).alias(name) for col, name in renamed]

    @property
    def weights(self) -> list[str]:
        """The column of weights within selected rows; empty where there are none."""
        return [] if self.weight_col is None else [WEIGHT]

    def restore_ids(self) -> list[Column]:
        """Select the id columns under their own names."""
        return [F.col(name).alias(col) for name, col in zip(self.ids, self.id_columns, strict=True)]

    # Reading ------------------------------------------------------------------------------------------------

    def select_label(self) -> Column:
        """Select the class index as int: null of a missing label, -1 of one that is no class."""
        return select_class(F.col(quoted(self.label_col)), self._types[self.label_col], self.names)

    def _reason(self, ids_are_repeated: Column) -> Column:
        """Reason why a row cannot be used by itself, null where it can."""
        label = self.select_label()
        unknown = "unknown class name" if self.labels_are_names else "label outside 0..K-1"
        reasons = [
            (ids_are_repeated, REPEATED_ID),
            (lacks_id(self.df, self.id_columns), "null id"),
            (label.isNull(), "null label"),
            (label < 0, unknown),
        ]
        if self.group_col is not None:
            reasons.append((F.col(quoted(self.group_col)).isNull(), "null group"))
        if self.weight_col is not None:
            weight = F.col(quoted(self.weight_col)).cast("double")
            is_weight = F.coalesce((weight >= 0) & (weight < float("inf")), F.lit(False))
            reasons.append((~is_weight, "weight that is null, NaN, infinite or negative"))
        missing = "infinity in features" if self.takes_missing else "null, NaN or infinity in features"
        reasons += [
            (self.features.is_null(), "null or empty features"),
            (self.features.is_unusable(takes_missing=self.takes_missing), missing),
        ]
        return F.coalesce(*[F.when(condition, reason) for condition, reason in reasons])

    @cached_property
    def _keys(self) -> DataFrame:
        """The narrow side of all rows, kept from one scan: ids, class index, group, reason, and what the
        features take.
        """
        group = self.group_col
        keys = self.df.select(
            *self.select_ids(),
            self.select_label().alias(c.LABEL),
            *([] if group is None else [F.col(quoted(group)).alias(GROUP)]),
            self._reason(F.lit(False)).alias(c.REASON),
            self.features.length().alias(LENGTH),
            self.features.num_bytes().alias(BYTES),
        )
        return self.storage.persist(keys)

    def _mark_keys(self) -> DataFrame:
        """The keys, with the reason of rows whose id is repeated."""
        if self._repeated_ids is None:
            return self._keys
        repeated = self._repeated_ids.withColumn(c.REPEATED, F.lit(True))
        reason = F.when(F.col(c.REPEATED), REPEATED_ID).otherwise(F.col(c.REASON))
        return self._keys.join(repeated, self.ids, "left").withColumn(c.REASON, reason).drop(c.REPEATED)

    def select_keys(self) -> DataFrame:
        """Select the ids, class index and group of the rows that can be used, from what is kept of them."""
        is_usable = F.col(c.REASON).isNull() & (F.col(LENGTH) == self.profile.num_features)
        return self._mark_keys().where(is_usable).drop(c.REASON, LENGTH, BYTES)

    @cached_property
    def _repeated_ids(self) -> DataFrame | None:
        """Ids of several rows, under the names of `ids`; None if there are none."""
        rows = self._keys.select(*self.ids)
        count = rows.count()
        return find_repeated_ids(
            rows,
            self.ids,
            self.storage.persist,
            num_partitions=partitions_for(count),
            few=count < MANY_ROWS,
        )

    def _marked(self) -> tuple[DataFrame, Column]:
        """Mark rows whose id is repeated: the table, and a condition on it."""
        if self._repeated_ids is None:
            return self.df, F.lit(False)
        keys = {name: f"_repeated{name}" for name in self.ids}
        repeated = self._repeated_ids.select(*[F.col(name).alias(key) for name, key in keys.items()])
        pairs = zip(self.id_columns, keys.values(), strict=True)
        condition = [F.col(quoted(col)) == F.col(key) for col, key in pairs]
        marked = self.df.join(repeated.withColumn(c.REPEATED, F.lit(True)), condition, "left")
        return marked.drop(*keys.values()), F.coalesce(F.col(c.REPEATED), F.lit(False))

    @cached_property
    def profile(self) -> Profile:
        """Counts of the rows, by one scan.

        Raises:
            EmptyTableError: there are no rows, or none can be used.
            SingleClassError: all labels are of one class.
        """
        label = F.when(F.col(c.REASON).isNull(), F.col(c.LABEL)).alias(c.LABEL)
        counts = (
            self._mark_keys()
            .groupBy(c.REASON, label, LENGTH)
            .agg(F.count(F.lit(1)).alias("rows"), F.sum(BYTES).alias("bytes"))
            .collect()
        )
        profile = summarize(counts)
        num_read, classes, rejected = profile.num_read, profile.class_counts, profile.num_rejected
        if not num_read:
            raise EmptyTableError("the input has no rows: there is nothing to learn from")
        seen = join_reasons(profile.rejected)
        if not classes:
            raise EmptyTableError(f"none of the {num_read:,} rows can be used: {seen}")
        if rejected:
            logger.warning("%s of %s rows cannot be used: %s", f"{rejected:,}", f"{num_read:,}", seen)
        if len(classes) == 1:
            index, rows = next(iter(classes.items()))
            raise SingleClassError(
                f"label_col: all {rows:,} examples carry the label {self.class_name(index)}: a classifier "
                "needs at least two classes"
            )
        return profile

    def select_examples(self, *more: Column) -> DataFrame:
        """Select the rows that can be used: ids, class index, features, and group and weight where there are
        some.

        Args:
            more: further columns of the input.
        """
        df, is_repeated = self._marked()
        is_usable = self._reason(is_repeated).isNull() & (self.features.length() == self.profile.num_features)
        group, weight = self.group_col, self.weight_col
        return df.where(is_usable).select(
            *self.select_ids(),
            self.select_label().alias(c.LABEL),
            *([] if group is None else [F.col(quoted(group)).alias(GROUP)]),
            *([] if weight is None else [F.col(quoted(weight)).cast("double").alias(WEIGHT)]),
            *more,
        )

    def rejected(self) -> DataFrame:
        """Read the rows that cannot be used: the id columns, reason, and the row as JSON."""
        df, is_repeated = self._marked()
        length = self.features.length()
        is_of_length = length == self.profile.num_features
        reason = F.coalesce(
            self._reason(is_repeated), F.when(~is_of_length, name_other_length(self.profile.num_features))
        )
        ids = map(quoted, self.id_columns)
        row = select_row_json(*[col for col in (c.REPEATED,) if col in df.columns])
        return df.select(*ids, reason.alias(c.REASON), row.alias(c.ROW)).where(F.col(c.REASON).isNotNull())

    def check_folds(self, folds: int) -> None:
        """Check that each class can be in every training part.

        Raises:
            InputError: there are fewer examples than folds, or a class has one example only.
        """
        profile = self.profile
        if profile.num_examples < folds:
            raise InputError(
                f"folds: there are {profile.num_examples:,} examples for {folds} folds: take fewer folds"
            )
        single = [index for index, rows in profile.class_counts.items() if rows == 1]
        if single:
            raise InputError(
                f"label_col: class {self.class_name(single[0])} has 1 example"
                + (f", and {len(single) - 1:,} more classes have 1" if len(single) > 1 else "")
                + ": a model that never saw it cannot predict its class. Add examples, or leave the class out"
            )
