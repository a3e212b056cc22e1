"""Rows that can be used: those with an id of their own, and without a fault; and why others cannot."""

from collections.abc import Mapping, Sequence
from functools import cached_property

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from cl_spark.evidence.ids import MANY_ROWS, find_repeated_ids
from cl_spark.evidence.partitions import partitions_for
from cl_spark.evidence.storage import Storage
from cl_spark.evidence.validity import RejectionReason, explain_rejection
from cl_spark.tables.columns import quoted

NULL_ID = explain_rejection(RejectionReason.NULL_ID)
REPEATED_ID = explain_rejection(RejectionReason.REPEATED_ID)

FAULT = "_cl_spark_fault"
_IS_REPEATED = "_cl_spark_is_repeated"


class UsableRows:
    """Tells which rows of a table can be used.

    Args:
        rows: the rows, with `FAULT`: why a row cannot be used by itself, null where it can (see
            `choose_reason`).
        ids: their id columns.
        storage: persists ids of several rows.
    """

    def __init__(self, rows: DataFrame, ids: Sequence[str], storage: Storage) -> None:
        self._rows, self._ids, self._storage = rows, list(ids), storage

    @cached_property
    def _counts(self) -> Mapping[str | None, int]:
        """Rows by the reason why they cannot be used by themselves; None where they can."""
        return _count_faults(self._rows)

    @property
    def num_read(self) -> int:
        """All rows."""
        return sum(self._counts.values())

    @cached_property
    def _repeated_ids(self) -> DataFrame | None:
        """Ids of several rows; None if there are none."""
        return find_repeated_ids(
            self._rows,
            [quoted(col) for col in self._ids],
            self._storage.persist,
            num_partitions=partitions_for(self.num_read),
            few=self.num_read < MANY_ROWS,
        )

    @cached_property
    def rejected_counts(self) -> Mapping[str, int]:
        """Rows that cannot be used, by reason."""
        counts = self._counts if self._repeated_ids is None else _count_faults(self.marked())
        return dict(sorted((reason, rows) for reason, rows in counts.items() if reason is not None))

    @property
    def num_rejected(self) -> int:
        """Rows that cannot be used."""
        return sum(self.rejected_counts.values())

    @property
    def num_accepted(self) -> int:
        """Rows that can be used."""
        return self.num_read - self.num_rejected

    def mark(self, rows: DataFrame) -> DataFrame:
        """Give those of some rows whose id others share that fault, whatever else is wrong with them.

        Args:
            rows: rows with the ids and `FAULT`.
        """
        if self._repeated_ids is None:
            return rows
        fault = F.when(F.col(_IS_REPEATED), REPEATED_ID).otherwise(F.col(FAULT))
        marked = self._repeated_ids.withColumn(_IS_REPEATED, F.lit(True))
        return rows.join(marked, self._ids, "left").withColumn(FAULT, fault).drop(_IS_REPEATED)

    def marked(self) -> DataFrame:
        """All rows, with `FAULT`."""
        return self.mark(self._rows)

    def accepted(self) -> DataFrame:
        """The rows that can be used, without `FAULT`."""
        return self.marked().where(F.col(FAULT).isNull()).drop(FAULT)

    def rejected(self) -> DataFrame:
        """The rows that cannot be used, with `FAULT`."""
        return self.marked().where(F.col(FAULT).isNotNull())


def choose_reason(faults: Sequence[tuple[Column, str]]) -> Column:
    """Reason of the first condition that holds; null where none does."""
    return F.coalesce(*[F.when(condition, reason) for condition, reason in faults])


def _count_faults(rows: DataFrame) -> Mapping[str | None, int]:
    return {row[0]: row[1] for row in rows.groupBy(FAULT).count().collect()}
