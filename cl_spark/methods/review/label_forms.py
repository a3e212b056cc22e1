"""Forms of labels: one label an example, or a set of labels, of which people judge single ones.

Both are compared with verdicts in the same way. Of a set, each class that was judged is seen as a row of its
own, whose label is "present" or "absent"; what is written is the set with all its changes.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import ArrayType, DataType, IntegralType, LongType, StringType

from cl_spark.errors import ColumnTypeError, ConfigurationError, InputError
from cl_spark.methods.review import columns as q
from cl_spark.methods.review.corrected_labels import CORRECTION_RUN, PREVIOUS_LABEL, has_own_columns
from cl_spark.methods.review.label_changes import (
    CONFLICT,
    CORRECTED,
    CORRECTION,
    GIVEN,
    OUTCOME,
    PRUNED,
    REPEATED_ID,
    TARGET,
    WANTED,
    convert_class,
    find_outcomes,
    read_changes,
)
from cl_spark.tables import columns as c
from cl_spark.tables.columns import find_columns, is_case_sensitive, quoted
from cl_spark.tables.example_ids import ExampleIds, find_types

_NOW, _MARKED, _APPLIED = "_single", "_single_marked", "_single_applied"
_ADDED, _REMOVED, _WAS_PRUNED = "_added", "_removed", "_was_pruned"


@dataclass(frozen=True)
class LabelForm(ABC):
    """Form of the labels in a table: what it holds of an example.

    Attributes:
        ids: the id columns of the verdicts.
        label: column of the label, or of the set.
        label_type: its type.
        class_names: names of the classes in the order of their indices, if they are known.
    """

    ids: ExampleIds
    label: str
    label_type: DataType
    class_names: Sequence[str] | None

    @property
    @abstractmethod
    def example_ids(self) -> ExampleIds:
        """The id columns of the labels."""

    @property
    @abstractmethod
    def judged_type(self) -> DataType:
        """Type of the labels that are judged."""

    @abstractmethod
    def read_changes(self, verdicts: DataFrame, action: str) -> DataFrame:
        """Read what verdicts or issues are to change; see `label_changes.read_changes`."""

    @abstractmethod
    def find_outcomes(
        self, changes: DataFrame, labels: DataFrame, run_id: str, *, after_run: bool
    ) -> DataFrame:
        """Find what becomes of each change, or became of it where the labels are those after the run."""

    @abstractmethod
    def find_touched(self, outcomes: DataFrame, labels: DataFrame) -> DataFrame:
        """Find the rows of the labels that outcomes are about, each once.

        Returns:
            Keys of the labels, `_outcome`, `_given` (the label before) and `_target` (the one to write; null
            where it stays).
        """

    @abstractmethod
    def restore_ids(self, labels: DataFrame, verdicts: DataFrame) -> list[Column]:
        """Select the ids of outcomes under their own names."""


@dataclass(frozen=True)
class OneLabel(LabelForm):
    """An example has one label."""

    @property
    def example_ids(self) -> ExampleIds:
        """The id columns of the verdicts."""
        return self.ids

    @property
    def judged_type(self) -> DataType:
        """Type of the labels."""
        return self.label_type

    def read_changes(self, verdicts: DataFrame, action: str) -> DataFrame:
        """Read the changes, with labels in the type of the table."""
        return read_changes(verdicts, self.ids, self.label_type, action=action, class_names=self.class_names)

    def find_outcomes(
        self, changes: DataFrame, labels: DataFrame, run_id: str, *, after_run: bool
    ) -> DataFrame:
        """Compare each change with the label of its example."""
        marked, is_of_run = F.lit(None).cast("string"), F.lit(False)
        if has_own_columns(labels.schema, self.label_type):
            marked = F.col(CORRECTION)
            is_of_run = F.col(CORRECTION_RUN).eqNullSafe(run_id)
        applied = is_of_run if after_run else None
        return find_outcomes(changes, labels, self.ids, self.label, marked=marked, applied=applied)

    def find_touched(self, outcomes: DataFrame, labels: DataFrame) -> DataFrame:
        """Find one outcome of each example: an id that several verdicts share is there once."""
        target = F.when(F.col(OUTCOME) == CORRECTED, F.col(TARGET))
        return outcomes.groupBy(*self.ids.names).agg(
            F.min(OUTCOME).alias(OUTCOME), F.min(GIVEN).alias(GIVEN), F.min(target).alias(TARGET)
        )

    def restore_ids(self, labels: DataFrame, verdicts: DataFrame) -> list[Column]:
        """Select the ids in types that hold those of labels and verdicts, which may be beyond the labels'."""
        return self.ids.restore(labels, verdicts)


@dataclass(frozen=True)
class LabelSet(LabelForm):
    """An example has a set of labels, an array of class names or indices; the last id column of verdicts is
    the class.

    Attributes:
        class_type: type of the class in the verdicts.
    """

    class_type: DataType

    @property
    def example_ids(self) -> ExampleIds:
        """The id columns of the verdicts, without the class."""
        return ExampleIds(self.ids.columns[:-1])

    @property
    def judged_type(self) -> DataType:
        """Text: "present" or "absent"."""
        return StringType()

    @property
    def _member(self) -> Column:
        """The class of a change as the sets hold it; null where it can be none of theirs."""
        kind = LongType() if isinstance(self.class_type, IntegralType) else self.class_type
        element = self.label_type.elementType  # type: ignore[attr-defined]
        return convert_class(F.col(self.ids.names[-1]), c.CLASS, kind, element, self.class_names)

    def read_changes(self, verdicts: DataFrame, action: str) -> DataFrame:
        """Read the changes of single labels, "present" or "absent".

        Raises:
            InputError: a label is another one, or a class cannot be one of the sets.
        """
        changes = read_changes(verdicts, self.ids, StringType(), action=action, class_names=None)
        labels = (q.PRESENT, q.ABSENT)
        other = ~F.col(GIVEN).isin(*labels) | ~F.coalesce(TARGET, GIVEN).isin(*labels)
        class_ = F.col(self.ids.names[-1])
        unknown = class_.isNotNull() & self._member.isNull()
        found = changes.agg(
            F.count(F.when(other, 1)).alias("others"),
            F.count(F.when(unknown, 1)).alias("unknown"),
            F.min(F.when(unknown, class_.cast("string"))).alias("class"),
        ).collect()[0]
        if found["others"]:
            raise InputError(
                f"verdicts: {found['others']:,} rows have other labels than {q.PRESENT!r} and {q.ABSENT!r}, "
                f"and {self.label!r} holds sets: these are corrected by verdicts about single labels"
            )
        if found["unknown"]:
            raise InputError(
                f"verdicts: {found['unknown']:,} rows have a class that is none of the labels, such as "
                f"{found['class']!r}: see whether class_names holds all names in the order of the indices"
            )
        return changes

    def find_outcomes(
        self, changes: DataFrame, labels: DataFrame, run_id: str, *, after_run: bool
    ) -> DataFrame:
        """Compare each change with the set of its example, seen as a row of each class that was judged."""
        keys = self.example_ids.names
        # a label of two has its contrary or is as judged: one that is not as judged was corrected already
        marked = F.when(F.col(WANTED) == CORRECTED, CORRECTED)
        applied = F.lit(False)
        if has_own_columns(labels.schema, self.label_type):
            marked = marked.when(F.col(CORRECTION) == PRUNED, PRUNED)
            # a run leaves alone a class that was not as judged, whatever else it changes in the row
            stood = self._find_flag(F.col(PREVIOUS_LABEL)).eqNullSafe(F.col(GIVEN))
            applied = F.col(CORRECTION_RUN).eqNullSafe(run_id) & stood
        asked = changes.select(*self.ids.names, WANTED, GIVEN).distinct()
        rows = labels.select("*", *self.example_ids.select(labels)).join(asked, keys)
        names = zip(self.ids.names, self.ids.columns, strict=True)
        now = self._find_flag(F.col(quoted(self.label)))
        if after_run:
            # a null in a set leaves open what else it has, but not whether it has what the run took out
            known = self._find_flag(F.array_compact(F.col(quoted(self.label))))
            now = F.when(applied, known).otherwise(now)
        seen = rows.select(
            *[F.col(key).alias(name) for key, name in names],
            now.alias(_NOW),
            marked.alias(_MARKED),
            applied.alias(_APPLIED),
        )
        is_applied = F.col(_APPLIED) if after_run else None
        return find_outcomes(changes, seen, self.ids, _NOW, marked=F.col(_MARKED), applied=is_applied)

    def find_touched(self, outcomes: DataFrame, labels: DataFrame) -> DataFrame:
        """Put the changes of each set together. An example with a label that is pruned, now or by an earlier
        run, is pruned, so that readers leave it out; the labels that were corrected beside it are corrected
        all the same.
        """
        keys, outcome, target = self.example_ids.names, F.col(OUTCOME), F.col(TARGET)
        is_corrected = outcome == CORRECTED
        by_example = outcomes.groupBy(*keys).agg(
            *[F.max(outcome == name).alias(f"_{name}") for name in (PRUNED, CORRECTED, CONFLICT)],
            # at most K of an example
            F.collect_set(F.when(is_corrected & (target == q.PRESENT), self._member)).alias(_ADDED),
            F.collect_set(F.when(is_corrected & (target == q.ABSENT), self._member)).alias(_REMOVED),
        )
        # which of its labels an earlier run has pruned is not on record, so that no other one lifts the mark
        has_mark = has_own_columns(labels.schema, self.label_type)
        was_pruned = F.col(CORRECTION).eqNullSafe(PRUNED) if has_mark else F.lit(False)
        of_example = (
            F.when(F.col(f"_{PRUNED}") | (F.col(f"_{CORRECTED}") & F.col(_WAS_PRUNED)), PRUNED)
            .when(F.col(f"_{CORRECTED}"), CORRECTED)
            .when(F.col(f"_{CONFLICT}"), CONFLICT)
            .otherwise(REPEATED_ID)
        )
        sets = labels.select(
            *self.example_ids.select(labels),
            F.col(quoted(self.label)).alias(GIVEN),
            was_pruned.alias(_WAS_PRUNED),
        )
        changed = F.array_union(F.array_except(GIVEN, _REMOVED), F.array_sort(_ADDED))
        touched = sets.join(by_example, keys).select(
            *keys,
            of_example.alias(OUTCOME),
            GIVEN,
            F.when(F.col(f"_{CORRECTED}"), changed).alias(TARGET),
        )
        # of an id that several rows share, nothing is changed
        return touched.dropDuplicates(keys)

    def restore_ids(self, labels: DataFrame, verdicts: DataFrame) -> list[Column]:
        """Select the ids of examples in types that hold those of both tables, and the class as verdicts have
        it.
        """
        ids, name = self.example_ids.restore(labels, verdicts), F.col(self.ids.names[-1])
        return [*ids, name.cast(self.class_type).alias(self.ids.columns[-1])]

    def _find_flag(self, labels: Column) -> Column:
        """Find the single label of a set: "present" or "absent"; null where the set is not known whole."""
        has = F.array_contains(labels, self._member)
        return F.when(has, q.PRESENT).when(~has, q.ABSENT)


def find_form(
    ids: ExampleIds, labels: DataFrame, label: str, verdicts: DataFrame, class_names: Sequence[str] | None
) -> LabelForm:
    """Find what a table of labels holds of an example.

    Args:
        ids: the id columns of the verdicts.
        labels: the labels.
        label: column of the label.
        verdicts: verdicts or issues.
        class_names: names of the classes, if they are known.

    Raises:
        ConfigurationError: the labels are sets, and the verdicts have no class among their ids.
        ColumnTypeError: verdicts are about single labels, and the labels are no sets of them.
    """
    kind = labels.schema[label].dataType
    names_class = len(ids.columns) > 1 and ids.columns[-1].casefold() == c.CLASS
    if isinstance(kind, ArrayType):
        if not names_class:
            raise ConfigurationError(
                f"id_col: column {label!r} is {kind.simpleString()}, a set of labels, which verdicts about "
                f"single labels correct: name the class behind the ids, id_col=[{', '.join(ids.columns)}, "
                f"{c.CLASS}]"
            )
        if not isinstance(kind.elementType, StringType | IntegralType):
            raise ColumnTypeError(
                f"label_col: column {label!r} is {kind.simpleString()}; a set of labels is an array of class "
                "names or indices"
            )
        class_type = find_types(verdicts, [ids.columns[-1]])[ids.columns[-1]]
        return LabelSet(ids, label, kind, class_names, class_type)
    sensitive = is_case_sensitive(labels.sparkSession)
    if names_class and not find_columns(ids.columns[-1], labels.columns, case_sensitive=sensitive):
        raise ColumnTypeError(
            f"label_col: verdicts are about single labels of sets, and column {label!r} is "
            f"{kind.simpleString()}: name the array of class names or indices that holds the sets. Columns "
            "of one class each cannot be corrected; make an array of them first, such as "
            "array_compact(array(if(bird, 'bird', null), if(car, 'car', null)))"
        )
    return OneLabel(ids, label, kind, class_names)


def drop_class(ids: ExampleIds, label_type: DataType) -> ExampleIds:
    """Find the id columns of labels: those of verdicts, of sets of labels without the class."""
    is_set = isinstance(label_type, ArrayType) and len(ids.columns) > 1
    return ExampleIds(ids.columns[:-1]) if is_set and ids.columns[-1].casefold() == c.CLASS else ids
