"""`undo_corrections`: a correction of a Delta table in place, taken back."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from cl_spark.errors import ConfigurationError, InputError
from cl_spark.methods.review.applied_runs import correction_mark, find_applied, list_commits, undo_mark
from cl_spark.methods.review.corrected_labels import CORRECTION_RUN, OWN_COLUMNS
from cl_spark.methods.review.label_forms import drop_class
from cl_spark.tables.columns import quoted, resolve_columns
from cl_spark.tables.delta_table import DeltaTable
from cl_spark.tables.example_ids import ExampleIds
from cl_spark.tables.names import check_name

logger = logging.getLogger(__name__)

RESTORED, REVERSED, NOTHING = "restored", "reversed", "nothing"
"""How a correction was undone."""

_WRITTEN, _LABEL, _NOW = "_written", "_label", "_now"


@dataclass(frozen=True)
class Undone:
    """Effect of undoing a correction run.

    Attributes:
        run_id: the correction run.
        table: path or name of the table.
        how: "restored" (the version before the correction was brought back), "reversed" (the rows of the
            correction were set back, as later commits stand in the table), or "nothing" (it was undone
            before, and no row that was left then can be set back now).
        version: the version that this made; None for "nothing", or where no row was left to set back.
        num_restored: rows that are as they were before the correction.
        num_left: rows that the run had changed and someone has changed or removed since; nothing was done
            about them.
        left: their ids.
    """

    run_id: str
    table: str
    how: str
    version: int | None
    num_restored: int
    num_left: int
    left: DataFrame

    @property
    def sentence(self) -> str:
        """One sentence about what was done."""
        left = (
            f"; {self.num_left:,} were changed or removed since: nothing was done about them"
            if self.num_left
            else ""
        )
        if self.how == NOTHING:
            return f"corrections {self.run_id} of {self.table} were undone before: nothing has changed{left}"
        what = "restored to the version before" if self.how == RESTORED else "set back"
        return f"corrections {self.run_id} of {self.table}: {self.num_restored:,} rows {what}{left}"

    def summary(self) -> dict[str, Any]:
        """Return the numbers as plain values."""
        names = ("run_id", "table", "how", "version", "num_restored", "num_left")
        return {name: getattr(self, name) for name in names}


def undo_corrections(
    labels: str,
    run_id: str,
    *,
    id_col: str | Sequence[str] = "id",
    label_col: str = "label",
    spark: SparkSession | None = None,
) -> Undone:
    """Take back what `apply_corrections` did to a Delta table in place.

    If no commit stands after the correction, the table is restored to the version before it: rows, columns
    and files are the same as before. Otherwise one MERGE sets back the rows of the correction, label and
    columns, to what they were. It touches no row whose label is not what the correction has written, or that
    another correction run has changed since; these are reported. Undoing twice changes nothing, unless
    rows that were left then are as the correction has written them again, because the other run has been
    undone since: these are set back, too.

    Both ways need the version before the correction. Unless the table has other settings, VACUUM removes its
    files after 7 days, and its log goes after 30 days.

    Args:
        labels: path or name of the Delta table.
        run_id: the correction run.
        id_col: id column, or the columns of a composite key; of sets of labels with or without the class.
        label_col: column of the label.
        spark: the session; default the active one.

    Raises:
        ConfigurationError: the table is no Delta table, or there is no session.
        MissingColumnError: the table lacks a column.
        InputError: the table never held such a correction run, or its version before it is gone.
        OutputError: the table cannot be changed.

    Example:
        >>> from cl_spark.methods.review.corrections import apply_corrections
        >>> labels = spark.createDataFrame([(1, "cat"), (2, "dog")], "id long, label string")
        >>> labels.write.format("delta").save(f"{results}/labels")
        >>> columns = "id long, given_label string, suggested_label string"
        >>> issues = spark.createDataFrame([(2, "dog", "cat")], columns)
        >>> done = apply_corrections(f"{results}/labels", issues, run_id="june")
        >>> undone = undo_corrections(f"{results}/labels", "june")
        >>> undone.how, undone.num_restored, spark.read.format("delta").load(f"{results}/labels").columns
        ('restored', 1, ['id', 'label'])
    """
    check_name("run_id", run_id)
    session = spark or SparkSession.getActiveSession()
    if session is None:
        raise ConfigurationError("there is no active Spark session: pass spark=")
    table = DeltaTable.open(session, labels, "labels")
    now = table.read(table.find_latest())
    label = resolve_columns(now, "labels", {"label_col": label_col})["label_col"]
    ids = drop_class(ExampleIds.of(id_col), now.schema[label].dataType)
    commits = list_commits(table, run_id)
    applied = find_applied(commits, now, run_id)
    if applied is None:
        if not any(commit.mark for commit in commits):
            raise InputError(
                f"run_id: {labels!r} holds no corrections of a run {run_id!r}; DESCRIBE HISTORY and the "
                f"column {CORRECTION_RUN} tell which runs there are"
            )
        ids.check({"labels": now})
        made = [commit.version for commit in commits if commit.mark == correction_mark(run_id)]
        return _undo_rest(table, run_id, ids, label, now, made)
    if applied.version is None:
        raise InputError(
            f"labels: the log of {labels!r} does not reach back to the corrections of run {run_id!r}, so "
            "that they cannot be undone; previous_label holds the labels before"
        )
    after = table.read(applied.version)
    ids.check({"labels": after})
    label = resolve_columns(after, "labels", {"label_col": label_col})["label_col"]
    change = _read_change(table, run_id, ids, label, applied.version)
    if table.find_latest() == applied.version:
        version = table.restore(change.version_before)
        if version == applied.version + 1:
            left = change.changed.limit(0).select(*ids.restore(after))
            return Undone(run_id, labels, RESTORED, version, change.changed.count(), 0, left)
        # another writer's commit came between, and was taken back with ours: it is brought back
        table.restore(version - 1)
    return _reverse(table, run_id, ids, label, change.before, change.changed, change.changed)


@dataclass(frozen=True)
class _Change:
    """One commit of a correction run.

    Attributes:
        version_before: the version before it.
        before: the table then.
        changed: keys of the rows that the commit changed, and the label that it wrote.
    """

    version_before: int
    before: DataFrame
    changed: DataFrame


def _read_change(table: DeltaTable, run_id: str, ids: ExampleIds, label: str, version: int) -> _Change:
    """Read the commit of a correction run that made a version.

    Raises:
        InputError: the version, or the one before, is gone.
    """
    version_before = table.find_before(version, CORRECTION_RUN)
    before, after = table.read(version_before), table.read(version)
    changed = _select_rows(after, run_id, ids).select(*ids.names, F.col(quoted(label)).alias(_WRITTEN))
    if CORRECTION_RUN in before.columns:
        # an earlier commit of the run may have changed rows that no undoing could set back
        changed = changed.join(_select_rows(before, run_id, ids), ids.names, "left_anti")
    return _Change(version_before, before, changed)


def _select_rows(rows: DataFrame, run_id: str, ids: ExampleIds) -> DataFrame:
    """Select the rows that a correction run has changed last, with their keys."""
    return rows.where(F.col(CORRECTION_RUN) == run_id).select(*ids.select(rows), "*")


def _undo_rest(
    table: DeltaTable, run_id: str, ids: ExampleIds, label: str, now: DataFrame, versions: Sequence[int]
) -> Undone:
    """Set back the rows of a run that was undone before which that undoing had to leave: where a later run
    had changed them, and has been undone since, they are again as this run wrote them.

    Args:
        table: the table.
        run_id: the correction run.
        ids: the id columns.
        label: column of the label.
        now: the latest version.
        versions: the versions that the run made, as far as the log tells.

    Raises:
        InputError: there are such rows, and a version that is needed is gone.
        OutputError: the table cannot be changed.
    """
    if CORRECTION_RUN not in now.columns:
        nothing = now.limit(0).select(*ids.select(now))
        return Undone(run_id, table.name, NOTHING, None, 0, 0, nothing.select(*ids.restore(now)))
    rest = _select_rows(now, run_id, ids).select(*ids.names)
    num_left = rest.count()
    for version in reversed(versions) if num_left else ():
        change = _read_change(table, run_id, ids, label, version)
        changed = change.changed.join(rest, ids.names, "left_semi")
        if _find_standing(now, run_id, ids, label, changed).limit(1).count():
            return _reverse(table, run_id, ids, label, change.before, changed, rest)
    _warn_left(run_id, num_left)
    return Undone(run_id, table.name, NOTHING, None, 0, num_left, rest.select(*ids.restore(now)))


def _find_standing(now: DataFrame, run_id: str, ids: ExampleIds, label: str, changed: DataFrame) -> DataFrame:
    """Find the keys of the rows that are as a correction has written them."""
    current = _select_rows(now, run_id, ids).select(*ids.names, F.col(quoted(label)).alias(_NOW))
    # others may have added rows with an id of the run's: of these it says nothing
    stands = current.join(changed, ids.names)
    return stands.where(F.col(_NOW).eqNullSafe(F.col(_WRITTEN))).select(*ids.names)


def _warn_left(run_id: str, num_left: int) -> None:
    if num_left:
        logger.warning(
            "undo %s: %d rows were changed or removed since the correction: nothing was done about them",
            run_id,
            num_left,
        )


def _reverse(
    table: DeltaTable,
    run_id: str,
    ids: ExampleIds,
    label: str,
    before: DataFrame,
    changed: DataFrame,
    rest: DataFrame,
) -> Undone:
    """Set back the rows of a correction that nobody has changed since, in one commit.

    Args:
        table: the table.
        run_id: the correction run.
        ids: the id columns.
        label: column of the label.
        before: the table before the correction.
        changed: keys of the rows that the correction changed, and the label that it wrote.
        rest: keys of all rows that are to be set back; those that are not changed ones are left.
    """
    keys, there = ids.names, {name.casefold() for name in before.columns}
    kinds = {field.name: field.dataType for field in table.schema.fields}
    were = before.select(
        *ids.select(before),
        F.col(quoted(label)).alias(_LABEL),
        *[
            (F.col(name) if name in there else F.lit(None).cast(kinds[name])).alias(name)
            for name in OWN_COLUMNS
        ],
    )
    source = changed.join(were, keys)
    columns = [resolve_columns(before, "labels", {"id_col": col})["id_col"] for col in ids.columns]
    now = table.read(table.find_latest())
    stands = _find_standing(now, run_id, ids, label, changed)
    left = rest.join(stands, keys, "left_anti").select(*ids.restore(now))
    # the mark is part of the statement, and holds the run_id, which has no quotes
    condition = f"t.{quoted(label)} <=> s.{_WRITTEN} AND t.{CORRECTION_RUN} <=> '{run_id}'"
    values = {label: _LABEL, **{name: name for name in OWN_COLUMNS}}
    table.merge(source, dict(zip(columns, keys, strict=True)), condition, values, undo_mark(run_id))
    made = [commit.version for commit in list_commits(table, run_id) if commit.mark == undo_mark(run_id)]
    num_rows, num_left = rest.count(), left.count()
    _warn_left(run_id, num_left)
    return Undone(
        run_id=run_id,
        table=table.name,
        how=REVERSED,
        version=made[-1] if made else None,
        num_restored=num_rows - num_left,
        num_left=num_left,
        left=left,
    )
