"""One correction of a table of labels, and what became of it."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from cl_spark.errors import ConfigurationError, InputError, OutputError
from cl_spark.evidence.class_columns import check_class_names
from cl_spark.methods.review.applied_runs import (
    AppliedRun,
    correction_mark,
    find_applied,
    list_commits,
    replay,
)
from cl_spark.methods.review.corrected_labels import (
    CORRECTION_RUN,
    NOT_PRUNED,
    OWN_COLUMNS,
    PREVIOUS_LABEL,
    correct_labels,
    has_own_columns,
    own_columns,
)
from cl_spark.methods.review.label_changes import (
    CONFLICT,
    CORRECTED,
    CORRECTION,
    GIVEN,
    NOW,
    NULL_ID,
    OUTCOME,
    OUTCOMES,
    PRUNED,
    REPEATED_ID,
    TARGET,
    UNKNOWN_ID,
)
from cl_spark.methods.review.label_forms import LabelForm, find_form
from cl_spark.methods.review.verdicts import VERDICT
from cl_spark.tables.card import card
from cl_spark.tables.columns import quoted, resolve_columns
from cl_spark.tables.delta_table import (
    DeltaTable,
    create_table,
    find_table_mark,
    read_created,
    was_finished,
)
from cl_spark.tables.example_ids import ExampleIds
from cl_spark.tables.location import is_path
from cl_spark.tables.spark_errors import SPARK_ERRORS, error_summary

logger = logging.getLogger(__name__)

_LABEL = "_label"
LABEL = "label"
"""Column of `Corrections.corrections` for the label as it is now."""


@dataclass(frozen=True)
class Corrections:
    """Effect of one correction run on a table of labels.

    Pruned examples are not removed: they stay in the table with their label, marked "pruned" in the column
    `correction`. Who reads the table has to leave them out (`where` says how).

    Attributes:
        run_id: name of the run, as in the column `correction_run`.
        table: path or name of the table that holds the corrected labels.
        in_place: whether it is the table of labels itself.
        version: in place: version of the Delta table that the correction made; None where nothing changed,
            or where it was made so long ago that the log no longer tells.
        corrections: a row for each verdict: the id columns, previous_label, label (both null-safe: of an
            example that is not there the label is null), correction ("corrected", "pruned", "kept",
            "already_done", "conflict", "unknown_id", "repeated_id" or "null_id"), verdict.
        counts: number of verdicts by correction.
        was_applied: whether an earlier call with this run_id had made the correction already.
        was_undone: whether it had been undone since, and has now been made again.
    """

    run_id: str
    table: str
    in_place: bool
    version: int | None
    corrections: DataFrame
    counts: Mapping[str, int]
    was_applied: bool
    was_undone: bool = False

    where: ClassVar[str] = NOT_PRUNED
    """SQL condition that leaves pruned examples out."""

    @property
    def notices(self) -> list[str]:
        """Sentences that whoever uses the labels has to know."""
        told, counts = [], self.counts
        if self.was_undone:
            told.append(f"the run {self.run_id} had been undone, and is made again")
        if counts[PRUNED]:
            told.append(
                f"{counts[PRUNED]:,} pruned examples are still in {self.table!r}: read it with WHERE "
                f"{self.where}"
            )
        for outcome, text in {
            CONFLICT: "labels are no longer the given ones that were judged; they were left as they are",
            UNKNOWN_ID: "verdicts are about ids that the labels do not have",
            REPEATED_ID: "verdicts are about ids that several rows share; nothing was changed there",
            NULL_ID: "verdicts have no id",
        }.items():
            if counts[outcome]:
                told.append(f"{counts[outcome]:,} {text}")
        return told

    def _repr_html_(self) -> str:
        return card(
            f"Corrections {self.run_id}",
            {name.replace("_", " "): self.counts[name] for name in OUTCOMES},
            notes=[*self.notices, f"labels: {self.table}"],
        )


@dataclass(frozen=True)
class CorrectionRun:
    """One correction of a table of labels, with all that it needs to know.

    Attributes:
        spark: the session.
        verdicts: verdicts or issues.
        ids: the id columns of the verdicts.
        label_col: column of the label.
        run_id: name of the run.
        corrected_by: who corrects; None: the user of the session.
        moment: when.
        action: what happens to issues.
        class_names: names of the classes, if they are known.

    Raises:
        ConfigurationError: class_names is no list of different names.
    """

    spark: SparkSession
    verdicts: DataFrame
    ids: ExampleIds
    label_col: str
    run_id: str
    corrected_by: str | None
    moment: datetime
    action: str
    class_names: Sequence[str] | None

    def __post_init__(self) -> None:
        """Check the names of the classes: with a repeated one, an index would become another class."""
        check_class_names(self.class_names)

    def merge(self, table: DeltaTable) -> Corrections:
        """Correct a Delta table in place, unless it holds this run already."""
        before = table.read(table.find_latest())
        changes = self._read_changes(before)
        has_columns = has_own_columns(before.schema, self.find_form(before).label_type)
        commits = list_commits(table, self.run_id)
        applied = find_applied(commits, before, self.run_id)
        was_applied = applied is not None
        was_undone = applied is None and any(commit.mark for commit in commits)
        if applied is None:
            outcomes = self._find_outcomes(changes, before)
            ready = outcomes.where(F.col(OUTCOME).isin(CORRECTED, PRUNED))
            if ready.limit(1).count():
                self._merge(table, ready, before, has_columns=has_columns)
                mark = correction_mark(self.run_id)
                applied = AppliedRun(replay(list_commits(table, self.run_id), mark))
        outcomes = self._find_applied_outcomes(table, applied, changes)
        return self._summarize(
            outcomes,
            before,
            table.name,
            in_place=True,
            version=None if applied is None else applied.version,
            was_applied=was_applied,
            was_undone=was_undone,
        )

    def preview(self, labels: DeltaTable | DataFrame) -> dict[str, int]:
        """Count what would become of each verdict, by outcome; or of a run that the table holds, what did.

        Args:
            labels: the Delta table that is corrected in place, or the labels of a new table.
        """
        if not isinstance(labels, DeltaTable):
            return self._preview_new(labels)
        rows = labels.read(labels.find_latest())
        applied = find_applied(list_commits(labels, self.run_id), rows, self.run_id)
        if applied is None:
            return self._preview_new(rows)
        outcomes = self._find_applied_outcomes(labels, applied, self._read_changes(rows))
        return self._count(outcomes, labels.name, was_applied=True)

    def _preview_new(self, labels: DataFrame) -> dict[str, int]:
        outcomes = self._find_outcomes(self._read_changes(labels), labels)
        return self._count(outcomes, "", was_applied=False)

    def _count(self, outcomes: DataFrame, table: str, *, was_applied: bool) -> dict[str, int]:
        """Count verdicts by outcome.

        Raises:
            InputError: the run was applied before, and the rows that it left can no longer be read.
        """
        try:
            counts = {row[0]: row[1] for row in outcomes.groupBy(OUTCOME).count().collect()}
        except SPARK_ERRORS as error:
            if not was_applied:
                raise
            raise InputError(
                f"labels: {table!r} has the corrections of run {self.run_id!r} already, and the rows as that "
                "run left them, which tell what became of each verdict, cannot be read (VACUUM removes old "
                f"ones): {error_summary(error)}"
            ) from error
        return {name: counts.get(name, 0) for name in OUTCOMES}

    def _find_applied_outcomes(
        self, table: DeltaTable, applied: AppliedRun | None, changes: DataFrame
    ) -> DataFrame:
        """Find what became of each change in the version that the run made, or where it made none, now."""
        version = None if applied is None else applied.version
        after = table.read(table.find_latest() if version is None else version)
        return self._find_outcomes(changes, after, after_run=True)

    def _find_outcomes(self, changes: DataFrame, labels: DataFrame, *, after_run: bool = False) -> DataFrame:
        """Find what becomes of each change, or became of it where the labels are those after this run."""
        return self.find_form(labels).find_outcomes(changes, labels, self.run_id, after_run=after_run)

    def write_new(self, labels: DataFrame, output: str, output_format: str) -> Corrections:
        """Write a new table, unless this run has written it.

        Raises:
            ConfigurationError: a table name is no place for Parquet.
            OutputError: the table cannot be written, or is there and of somebody else.
        """
        if output_format == "parquet" and not is_path(output):
            raise ConfigurationError(
                f"output: {output!r} is a table name; Parquet goes to a path, as in ./{output}"
            )
        changes, form = self._read_changes(labels), self.find_form(labels)
        outcomes = self._find_outcomes(changes, labels)
        touched = outcomes.where(F.col(OUTCOME).isin(CORRECTED, PRUNED, CONFLICT, REPEATED_ID))
        corrected = correct_labels(
            labels,
            form.find_touched(touched, labels),
            form.example_ids,
            form.label,
            self.run_id,
            self.corrected_by,
            self.moment,
        )
        there = self._find_written(output, output_format, labels)
        if there is None:
            create_table(corrected, output, output_format, correction_mark(self.run_id))
            now = F.when(F.col(OUTCOME) == CORRECTED, F.col(TARGET)).otherwise(F.col(NOW))
            written = outcomes.withColumn(NOW, now)
        else:
            # verdicts may be other ones than those that the table was written with
            written = self._find_outcomes(changes, there, after_run=True)
        was_applied = there is not None
        return self._summarize(written, labels, output, in_place=False, version=None, was_applied=was_applied)

    def find_form(self, labels: DataFrame) -> LabelForm:
        """Find what the labels hold of an example, and check that their ids compare with those of verdicts.

        Raises:
            MissingColumnError: a column is missing.
            ConfigurationError: the id columns are not those of such labels.
            ColumnTypeError: ids or labels do not compare.
        """
        label = resolve_columns(labels, "labels", {"label_col": self.label_col})["label_col"]
        self.ids.check({"verdicts": self.verdicts})
        form = find_form(self.ids, labels, label, self.verdicts, self.class_names)
        form.example_ids.check({"labels": labels, "verdicts": self.verdicts})
        return form

    def find_types(self, labels: DataFrame) -> dict[str, str]:
        """Find the types of the ids and labels of `Corrections.corrections`, by name."""
        form = self.find_form(labels)
        changes = labels.limit(0).select(*form.example_ids.select(labels))
        of_class = {name: F.lit(None) for name in form.ids.names if name not in changes.columns}
        ids = changes.withColumns(of_class).select(*form.restore_ids(labels, self.verdicts))
        kinds = {field.name: field.dataType.simpleString() for field in ids.schema.fields}
        return kinds | dict.fromkeys((PREVIOUS_LABEL, LABEL), form.judged_type.simpleString())

    def _read_changes(self, labels: DataFrame) -> DataFrame:
        return self.find_form(labels).read_changes(self.verdicts, self.action)

    def _merge(self, table: DeltaTable, ready: DataFrame, before: DataFrame, *, has_columns: bool) -> None:
        """Change the rows in one commit; each only if its label still is the given one."""
        form = self.find_form(before)
        keys = form.example_ids.names
        of_run = own_columns(self.run_id, self.corrected_by, self.moment)
        source = form.find_touched(ready, before).select(
            *keys,
            GIVEN,
            F.coalesce(TARGET, GIVEN).alias(_LABEL),
            F.col(GIVEN).alias(PREVIOUS_LABEL),
            F.col(OUTCOME).alias(CORRECTION),
            *[column.alias(name) for name, column in of_run.items()],
        )
        condition = f"t.{quoted(form.label)} = s.{GIVEN}"
        if has_columns:
            condition += f" AND NOT (t.{CORRECTION_RUN} <=> s.{CORRECTION_RUN})"
        id_columns = form.example_ids.columns
        ids = [resolve_columns(before, "labels", {"id_col": col})["id_col"] for col in id_columns]
        values = {form.label: _LABEL, **{name: name for name in OWN_COLUMNS}}
        mark = correction_mark(self.run_id)
        table.merge(source, dict(zip(ids, keys, strict=True)), condition, values, mark)

    def _find_written(self, output: str, output_format: str, labels: DataFrame) -> DataFrame | None:
        """Find the rows that this run has written to the output; None where it has not, or not whole.

        Raises:
            OutputError: something else is there.
        """
        mark = find_table_mark(self.spark, output, output_format)
        if mark is None:
            return None
        if mark != correction_mark(self.run_id):
            raise OutputError(
                f"output: {output!r} is there already, and run {self.run_id!r} has not written it: choose "
                "another output"
            )
        there = read_created(self.spark, output, output_format)
        # a writer of Parquet that was killed may have left some of the files; then they are written again.
        # The labels may be others than then, so their number tells only where there is no mark of the end.
        is_whole = output_format == "delta" or was_finished(self.spark, output)
        return there if is_whole or there.count() == labels.count() else None

    def _summarize(
        self,
        outcomes: DataFrame,
        labels: DataFrame,
        table: str,
        *,
        in_place: bool,
        version: int | None,
        was_applied: bool,
        was_undone: bool = False,
    ) -> Corrections:
        """Count the outcomes, and say what people have to know."""
        corrections = outcomes.select(
            *self.find_form(labels).restore_ids(labels, self.verdicts),
            F.col(GIVEN).alias(PREVIOUS_LABEL),
            F.col(NOW).alias(LABEL),
            F.col(OUTCOME).alias(CORRECTION),
            VERDICT,
        )
        done = Corrections(
            run_id=self.run_id,
            table=table,
            in_place=in_place,
            version=version,
            corrections=corrections,
            counts=self._count(outcomes, table, was_applied=was_applied),
            was_applied=was_applied,
            was_undone=was_undone,
        )
        for notice in done.notices:
            logger.warning("corrections %s: %s", self.run_id, notice)
        return done
