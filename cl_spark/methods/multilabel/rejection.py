"""Rows of a table of sets of labels that cannot be used, read from input rows."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa

from cl_spark.evidence.workers import add_column
from cl_spark.methods.classification.rejection import explain_codes
from cl_spark.methods.multilabel.membership_reader import MembershipReader
from cl_spark.tables import columns as c


@dataclass(frozen=True)
class RejectedRows:
    """Function of batches of input rows: those that are rejected, with the reason and the row as JSON.

    Attributes:
        read: reads the memberships of a batch; K is known to it.
        id_columns: names of the id columns in the input.
    """

    read: MembershipReader
    id_columns: Sequence[str]

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Find the rejected rows of a Spark task."""
        for batch in batches:
            codes = self.read(batch).rejection
            rows = batch.filter(pa.array(codes > 0))
            reasons = explain_codes(codes[codes > 0], self.id_columns)
            explained = add_column(rows.select(list(self.read.ids)), c.REASON, reasons)
            yield add_column(explained, c.ROW, rows.column(c.ROW))
