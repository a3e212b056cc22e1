"""`apply_corrections`: verdicts, or the issues of an audit, put into a table of labels."""

import uuid
from collections.abc import Sequence
from datetime import datetime, timezone

import pandas as pd
from pyspark.sql import DataFrame, SparkSession

from cl_spark.errors import ConfigurationError
from cl_spark.methods.review.correction_run import CorrectionRun, Corrections
from cl_spark.methods.review.verdicts import Verdicts
from cl_spark.tables.delta_table import DeltaTable
from cl_spark.tables.example_ids import ExampleIds
from cl_spark.tables.input_table import read_source
from cl_spark.tables.location import locate
from cl_spark.tables.names import check_name
from cl_spark.tables.overlap import check_apart
from cl_spark.tables.pandas_frames import to_spark

ACTIONS = ("correct", "prune")


def apply_corrections(
    labels: DataFrame | pd.DataFrame | str,
    verdicts: Verdicts | DataFrame | pd.DataFrame,
    *,
    id_col: str | Sequence[str] = "id",
    label_col: str = "label",
    output: str | None = None,
    output_format: str = "delta",
    run_id: str | None = None,
    corrected_by: str | None = None,
    action: str = "correct",
    class_names: Sequence[str] | None = None,
    spark: SparkSession | None = None,
) -> Corrections:
    """Correct a table of labels by verdicts, or by the issues of an audit: as a new table, or in place.

    **Pruned examples stay in the table.** They keep their label and get "pruned" in the column `correction`.
    Readers have to leave them out: ``WHERE coalesce(correction, 'kept') <> 'pruned'``.

    With `output`, a new table has all rows and columns of the labels, and beside the label:
    previous_label (the label in `labels`), correction ("corrected", "pruned", "kept" or "conflict"),
    corrected_by, corrected_at and correction_run (these three are null where nothing was changed).

    Without `output`, the labels are a Delta table, and one MERGE changes the rows to correct or to prune, and
    no others. It adds these five columns, which are null in all other rows. It is one commit, so that
    readers, and whoever comes after a crash, see all of it or nothing. (On Spark 3.5, a commit before it adds
    the columns, with nulls.) Calling it again with the same run_id changes nothing, whatever the verdicts are
    then, and `undo_corrections` takes it back.

    A label that is not the given label of the verdict any more was changed since the audit. It is never
    touched, and is reported as a conflict. Ids that the labels do not have, and ids of several rows in either
    table, are reported, too.

    Where `label_col` is an array of class names or indices, a set of labels, verdicts are about single
    labels, and `id_col` ends with the class, as in ``["id", "class"]``. A class is added to the set or taken
    out of it; all changes of an example are one. An example with a single label that is pruned is marked as
    pruned, and later runs leave the mark.

    Args:
        labels: the labels: a DataFrame, or a path or table name. In place only a Delta table will do.
        verdicts: what `decide_verdicts` returns, or its table; or issues, with given_label and
            suggested_label: then each of them is changed as `action` says.
        id_col: id column of both tables, or the columns of a composite key; of sets of labels, then the
            column of the class in the verdicts.
        label_col: column of the label, or of the set of labels.
        output: where the new table goes: a path, or for Delta also a table name. It must not be there, unless
            this run has written it. Default None: in place.
        output_format: "delta" or "parquet", of the new table.
        run_id: name of the correction run. Give one, so that it can be repeated after a crash; default: a new
            name with the time.
        corrected_by: who corrects; default the user of the Spark session.
        action: what happens to issues: "correct" gives them the suggested label, "prune" marks them. Verdicts
            say it themselves.
        class_names: names of the classes in the order of their indices, needed if labels are names in one
            table and indices in the other.
        spark: the session; default the active one.

    Raises:
        ConfigurationError: an argument cannot be used.
        MissingColumnError: a column is missing.
        ColumnTypeError: ids or labels of the two tables do not compare.
        InputError: a verdict is unknown, or its label is no class.
        OutputError: the table cannot be written, or is there already.

    Example:
        >>> labels = spark.createDataFrame([(1, "cat"), (2, "dog"), (3, "dog")], "id long, label string")
        >>> issues = pd.DataFrame({"id": [2], "given_label": ["dog"], "suggested_label": ["cat"]})
        >>> done = apply_corrections(labels, issues, output=f"{results}/corrected", output_format="parquet")
        >>> corrected = spark.read.parquet(done.table).orderBy("id")
        >>> {row.id: (row.previous_label, row.label, row.correction) for row in corrected.collect()}
        {1: ('cat', 'cat', 'kept'), 2: ('dog', 'cat', 'corrected'), 3: ('dog', 'dog', 'kept')}
    """
    if action not in ACTIONS:
        raise ConfigurationError(f"action: {action!r} is no action; choose one of {', '.join(ACTIONS)}")
    if output_format not in ("delta", "parquet"):
        raise ConfigurationError(f"output_format: {output_format!r} is neither 'delta' nor 'parquet'")
    if output is None and output_format != "delta":
        raise ConfigurationError(
            f"output_format: {output_format!r} is the format of a new table, and labels are corrected in "
            "place: name the output, or leave output_format out"
        )
    now = datetime.now(timezone.utc)
    name = run_id or f"corrections-{now:%Y%m%dT%H%M%S}-{uuid.uuid4().hex[:6]}"
    check_name("run_id", name)
    judged = to_spark(
        verdicts.verdicts if isinstance(verdicts, Verdicts) else verdicts, spark, argument="verdicts"
    )
    session = judged.sparkSession
    run = CorrectionRun(
        session, judged, ExampleIds.of(id_col), label_col, name, corrected_by, now, action, class_names
    )
    if output is not None:
        if isinstance(labels, str):
            check_apart("labels", locate(session, labels), "output", locate(session, output))
            labels = read_source(session, labels, "labels").df
        return run.write_new(to_spark(labels, session, argument="labels"), output, output_format)
    if not isinstance(labels, str):
        raise ConfigurationError(
            "labels: to correct labels in place, name their Delta table (a path or table name); a DataFrame "
            "can only be corrected into a new table, which output names"
        )
    return run.merge(DeltaTable.open(session, labels, "labels"))
