"""Which correction runs a Delta table holds, as its history tells."""

from bisect import bisect_right
from dataclasses import dataclass

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from cl_spark.methods.review.corrected_labels import CORRECTION_RUN
from cl_spark.tables.delta_table import Commit, DeltaTable


@dataclass(frozen=True)
class AppliedRun:
    """A correction run that a table holds.

    Attributes:
        version: the version that it made; None where the log does not reach back so far.
    """

    version: int | None


def correction_mark(run_id: str) -> str:
    """Name a correction run in the history of a table. No run_id holds a bracket, so none is part of another.

    Example:
        >>> correction_mark("june")
        'cl_spark corrections [june]'
    """
    return f"cl_spark corrections [{run_id}]"


def undo_mark(run_id: str) -> str:
    """Name the undoing of a correction run in the history of a table.

    Example:
        >>> undo_mark("june")
        'cl_spark undo [june]'
    """
    return f"cl_spark undo [{run_id}]"


def find_applied(commits: list[Commit], rows: DataFrame, run_id: str) -> AppliedRun | None:
    """Find the correction run in a table; None where it was never made, or has been undone since.

    Args:
        commits: what `list_commits` finds of the run.
        rows: the rows of the table, which tell where the log does not: where it does not reach back so far,
            or where all rows were replaced since.
        run_id: the run.
    """
    if any(commit.mark == correction_mark(run_id) for commit in commits):
        version = replay(commits, correction_mark(run_id))
        if version is None:
            return None
        was_replaced = any(commit.replaces for commit in commits if commit.version > version)
        return None if was_replaced and not _has_rows_of(run_id, rows) else AppliedRun(version)
    return AppliedRun(None) if _has_rows_of(run_id, rows) else None


def _has_rows_of(run_id: str, rows: DataFrame) -> bool:
    has_column = CORRECTION_RUN in rows.columns
    return has_column and bool(rows.where(F.col(CORRECTION_RUN) == run_id).limit(1).count())


def list_commits(table: DeltaTable, run_id: str) -> list[Commit]:
    """List the commits of a correction run, those that undo it, and those that may have taken it away."""
    return table.list_commits(correction_mark(run_id), undo_mark(run_id))


def replay(commits: list[Commit], mark: str) -> int | None:
    """Find the version of the correction that a table still holds after some commits.

    Args:
        commits: commits of the correction (with the mark) and of its undoing (with another), and those that
            restore a version.
        mark: the mark of the correction.

    Example:
        >>> made, undone, again = Commit(5, "made", None), Commit(7, None, 4), Commit(8, None, 6)
        >>> [replay(commits, "made") for commits in ([made], [made, undone], [made, undone, again])]
        [5, None, 5]
    """
    versions: list[int] = [-1]
    held: list[int | None] = [None]
    for commit in commits:
        if commit.replaces:
            continue
        if commit.restored is not None:
            now = held[bisect_right(versions, commit.restored) - 1]
        else:
            now = commit.version if commit.mark == mark else None
        versions.append(commit.version)
        held.append(now)
    return held[-1]
