"""The files that people review a queue with."""

from collections.abc import Mapping

from pyspark.sql import DataFrame

from cl_spark.methods.review.files import check_export
from cl_spark.methods.review.label_studio import check_tasks_path, export_label_studio
from cl_spark.methods.review.page import export_review_page
from cl_spark.methods.review.review_csv import check_unanswered, export_review_csv
from cl_spark.runs.steps import Steps
from cl_spark.tables import columns as c
from cl_spark.tables.finished_run import Run
from cl_spark.tasks.label_audit.tables import CLASS_HEALTH
from cl_spark.tasks.review_queue.judged import JudgedLabels

MAX_CHOICES = 100
"""Most classes that annotators choose from: of more, a list on the screen helps nobody."""


def check_exports(exports: Mapping[str, str]) -> None:
    """Look, without writing, whether the files can be written, and take the place of no answers.

    Raises:
        ConfigurationError: one cannot.
        OutputError: people have written answers into the CSV that is there.
    """
    for key, path in exports.items():
        check_export(path, key)
    if "label_studio" in exports:
        check_tasks_path(exports["label_studio"], "label_studio")
    if "csv" in exports:
        check_unanswered(exports["csv"], "csv")


def write_exports(
    queue: DataFrame, judged: JudgedLabels, exports: Mapping[str, str], steps: Steps, *, remote_images: bool
) -> None:
    """Write the files that are asked for.

    Args:
        queue: the queue.
        judged: the labels of the audit that it is of.
        exports: files by key.
        steps: told of each file.
        remote_images: let the page show images from http(s) addresses in the data.

    Raises:
        OutputError: a file cannot be written.
    """
    ids, run_id = judged.ids, judged.run.run_id
    if "label_studio" in exports:
        with steps("writing the tasks of Label Studio"):
            # whether an example has a class has no other answer to choose
            names = None if judged.group == c.CLASS else list_choices(judged.run)
            export_label_studio(queue, exports["label_studio"], id_col=ids, run_id=run_id, class_names=names)
    if "csv" in exports:
        with steps("writing the CSV"):
            export_review_csv(queue, exports["csv"], id_col=ids)
    if "page" in exports:
        with steps("writing the page"):
            export_review_page(queue, exports["page"], id_col=ids, run_id=run_id, remote_images=remote_images)


def list_choices(run: Run, most: int = MAX_CHOICES) -> list[str] | None:
    """List the classes of a run as annotators choose from them; None if there are too many.

    Args:
        run: the audit.
        most: most classes to choose from.
    """
    classes = run.table(CLASS_HEALTH.name).select(c.CLASS).orderBy(c.CLASS).limit(most + 1).collect()
    return [str(row[c.CLASS]) for row in classes] if len(classes) <= most else None
