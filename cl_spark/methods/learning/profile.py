"""The profile of training data: how many rows can be used, of which classes, and why others cannot."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pyspark.sql import Row

from cl_spark.tables import columns as c

LENGTH, BYTES = "_length", "_bytes"
"""Columns of the number of features of a row, and of their size."""


@dataclass(frozen=True)
class Profile:
    """Counts of the rows of training data.

    Attributes:
        num_read: rows of the table.
        class_counts: examples of each class, by its index; classes without any are left out.
        num_features: features of an example, where they are an array or a vector; else 0.
        rejected: rows that cannot be used, by reason.
        num_bytes: size of the features of all examples.
    """

    num_read: int
    class_counts: Mapping[int, int]
    num_features: int
    rejected: Mapping[str, int]
    num_bytes: int

    @property
    def num_rejected(self) -> int:
        """Rows that cannot be used, whatever the reason."""
        return sum(self.rejected.values())

    @property
    def num_examples(self) -> int:
        """Rows that can be used."""
        return sum(self.class_counts.values())


def summarize(counts: Sequence[Row]) -> Profile:
    """Summarize rows that were counted by reason, class index and number of features.

    Most rows have D features (on ties the lower number); those with another number cannot be used.

    Args:
        counts: reason (null of rows that can be used), class index, `LENGTH`, rows and bytes.
    """
    lengths: Counter[int] = Counter()
    for row in counts:
        if row[c.REASON] is None:
            lengths[row[LENGTH]] += row.rows
    num_features = min(lengths, key=lambda length: (-lengths[length], length)) if lengths else 0
    classes: Counter[int] = Counter()
    rejected: Counter[str] = Counter()
    num_bytes = 0
    for row in counts:
        if row[c.REASON] is not None:
            rejected[row[c.REASON]] += row.rows
        elif row[LENGTH] != num_features:
            rejected[name_other_length(num_features)] += row.rows
        else:
            classes[row[c.LABEL]] += row.rows
            num_bytes += row.bytes
    num_read = sum(row.rows for row in counts)
    return Profile(
        num_read, dict(sorted(classes.items())), num_features, dict(sorted(rejected.items())), num_bytes
    )


def name_other_length(num_features: int) -> str:
    """Name the reason of a row with another number of features."""
    return f"features of another number than {num_features:,}"
