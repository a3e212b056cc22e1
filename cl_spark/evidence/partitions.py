"""Numbers of partitions, chosen by size: a session has 200 by default, whatever there is to shuffle."""

ROWS_PER_PARTITION = 250_000
"""Narrow rows that a partition holds: sorting or grouping them takes a Spark task less than a second."""


def partitions_for(num_rows: int) -> int:
    """Choose the number of partitions of some narrow rows.

    What is persisted keeps its partitions, and each is a Spark task of every later query: 200 for a few rows
    take seconds, and a memory page each where they sort.

    Example:
        >>> partitions_for(1_797), partitions_for(1_000_000)
        (1, 4)
    """
    return max(-(-num_rows // ROWS_PER_PARTITION), 1)
