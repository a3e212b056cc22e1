"""The sections of a report on a comparison of models, read from the written tables: few rows, whatever the
number of models and classes.
"""

from collections.abc import Mapping

import pandas as pd
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from cl_spark.methods.learning import accuracy as a
from cl_spark.report.sections import KeyNumber, ReportColumn, ReportTable, Section, Spec
from cl_spark.runs.facts import first_rows, tell_cut
from cl_spark.tables import columns as c
from cl_spark.tables.finished_run import Run
from cl_spark.tasks.model_comparison.tables import (
    CHANGE,
    CORRECTED_LABEL,
    FLIP_PREVALENCE,
    LABEL_CORRECTIONS,
    LAST_FLIP_PREVALENCE,
    MODEL_A,
    MODEL_ACCURACY,
    MODEL_B,
    MODEL_CLASS_ACCURACY,
    MODEL_FLIP_PREVALENCES,
    MODEL_PREVALENCE_ACCURACY,
)

ROWS = 1_000
"""Most rows of a table in the report."""

DRAWN_MODELS, DRAWN_ROWS = 10, 10_010
"""Models that are drawn, the best by corrected labels; and rows they may have, at 1,001 noise prevalences."""

_ACCURACY_TEXT = (
    "Accuracy is the share of the examples whose label is among the k classes that a model finds most "
    "probable. It is shown by given and by corrected labels, with 95 % intervals, on all examples "
    "that have a right label, and on the corrected ones among them alone. On these, a high accuracy by given "
    "labels means that a model predicts wrong labels. Rank 1 is the best model."
)
_PREVALENCE_TEXT = (
    "The noise prevalence is the share of corrected examples. From left to right it rises, as unchanged "
    "examples are removed at random: this is how the models would do on a test set with more wrong labels. "
    "Dashed lines are accuracy by given labels, solid ones by corrected labels. Where the two kinds order "
    "two models differently, given labels put the wrong model first. The table has the lowest and highest "
    "noise prevalence at which they do, pair by pair."
)
_CLASS_TEXT = (
    "Accuracy (top 1) on the examples of a class, by given and by corrected labels; the greatest differences "
    "first."
)


def accuracy_by_model(accuracy: DataFrame) -> DataFrame:
    """Put the accuracy of a model by given and by corrected labels side by side.

    Args:
        accuracy: rows of `model_accuracy`.

    Returns:
        A row for each subset, k and model: subset, top_k, model, examples; accuracy, lower, upper and rank,
        each with the suffix `_given` and `_corrected`; and change.
    """
    sides = [
        F.max(F.when(F.col(a.LABEL_KIND) == kind, F.col(col))).alias(f"{col}_{kind}")
        for kind in (a.GIVEN, a.CORRECTED)
        for col in (a.ACCURACY, c.LOWER, c.UPPER, c.RANK)
    ]
    rows = accuracy.groupBy(a.SUBSET, a.TOP_K, a.MODEL).agg(F.max(c.EXAMPLES).alias(c.EXAMPLES), *sides)
    return rows.withColumn(CHANGE, F.col(a.RANK_GIVEN) - F.col(a.RANK_CORRECTED))


def key_numbers(run: Run) -> list[KeyNumber]:
    """Return the numbers at the head of the report; each says what it counts."""
    record = run.record
    return [
        KeyNumber(
            "given labels that stand",
            f"{100 * record[c.OVERALL_HEALTH]:.2f} %",
            f"{record.num_reviewed:,} examples were reviewed",
            "health",
        ),
        KeyNumber(
            "noise prevalence",
            f"{100 * record.noise_prevalence:.2f} %",
            "corrected labels, among examples with a right label",
        ),
        KeyNumber("corrected labels", f"{record.num_corrected:,}"),
        KeyNumber("without a right label", f"{record.num_without_right_label:,}", "left out"),
        KeyNumber("examples", f"{record.num_examples:,}"),
        KeyNumber("models", f"{record.num_models:,}"),
        KeyNumber("classes", f"{record.num_classes:,}"),
    ]


def sections(run: Run, issues: int) -> list[Section]:
    """Return the sections: accuracy, noise prevalence, classes and corrected labels.

    Args:
        run: the run.
        issues: how many corrected labels to list.
    """
    compared = accuracy_by_model(run.table(MODEL_ACCURACY.name)).where(F.col(c.EXAMPLES) > 0)
    accuracy = first_rows(compared, ROWS, a.SUBSET, a.TOP_K, a.RANK_CORRECTED)
    flips = run.table(MODEL_FLIP_PREVALENCES.name).where(F.col(FLIP_PREVALENCE).isNotNull())
    return [
        Section(
            "accuracy-section",
            "Accuracy",
            "Accuracy by given and by corrected labels",
            text=[_ACCURACY_TEXT],
            tables=[_accuracy_table(accuracy)],
        ),
        Section(
            "prevalence-section",
            "Noise",
            "If more labels were wrong",
            text=[_PREVALENCE_TEXT] if run.record.num_corrected else [],
            charts=_draw(run, accuracy),
            tables=[_flip_table(first_rows(flips, ROWS, FLIP_PREVALENCE, a.TOP_K, MODEL_A, MODEL_B))],
            otherwise="No label was corrected, so that both kinds of labels are the same.",
        ),
        Section(
            "classes-section",
            "Classes",
            "Accuracy by class",
            text=[_CLASS_TEXT],
            tables=[_class_table(_read_classes(run))],
        ),
        Section(
            "corrections-section",
            "Corrected labels",
            "Corrected labels",
            text=tell_cut(issues, run.record.num_corrected, LABEL_CORRECTIONS),
            tables=[_correction_table(run, issues)],
            otherwise="None is listed." if run.record.num_corrected else "No label was corrected.",
        ),
    ]


def _draw(run: Run, accuracy: pd.DataFrame) -> Mapping[str, Spec]:
    """Draw the accuracy of the best models by noise prevalence, for the lowest k."""
    from cl_spark.tasks.model_comparison.charts import prevalence_chart  # Altair is of an extra

    all_examples = accuracy[accuracy[a.SUBSET] == a.ALL]
    k = int(all_examples[a.TOP_K].min())
    models = all_examples[all_examples[a.TOP_K] == k][a.MODEL].head(DRAWN_MODELS).tolist()
    rows = run.table(MODEL_PREVALENCE_ACCURACY.name).where(
        (F.col(a.TOP_K) == k) & F.col(a.MODEL).isin(models)
    )
    return prevalence_chart(first_rows(rows, DRAWN_ROWS, a.PREVALENCE, a.RANK_CORRECTED), models, k)


def _read_classes(run: Run) -> pd.DataFrame:
    sides = [
        F.max(F.when(F.col(a.LABEL_KIND) == kind, F.col(col))).alias(f"{col}_{kind}")
        for kind in (a.GIVEN, a.CORRECTED)
        for col in (c.EXAMPLES, a.ACCURACY)
    ]
    rows = run.table(MODEL_CLASS_ACCURACY.name).groupBy(a.MODEL, c.CLASS).agg(*sides)
    difference = F.abs(F.col("accuracy_corrected") - F.col("accuracy_given"))
    return first_rows(rows, ROWS, F.desc_nulls_last(difference), c.CLASS, a.MODEL)


def _accuracy_table(accuracy: pd.DataFrame) -> ReportTable:
    return ReportTable(
        "accuracy",
        [
            ReportColumn.of(accuracy, a.SUBSET, "examples", "text"),
            ReportColumn.of(accuracy, a.TOP_K, "top", "count"),
            ReportColumn.of(accuracy, a.MODEL, "model", "text"),
            ReportColumn.of(accuracy, "accuracy_given", "by given labels", "score"),
            ReportColumn.of(accuracy, "lower_given", "at least", "score"),
            ReportColumn.of(accuracy, "upper_given", "at most", "score"),
            ReportColumn.of(accuracy, "accuracy_corrected", "by corrected labels", "score"),
            ReportColumn.of(accuracy, "lower_corrected", "at least", "score"),
            ReportColumn.of(accuracy, "upper_corrected", "at most", "score"),
            ReportColumn.of(accuracy, a.RANK_GIVEN, "rank by given", "count"),
            ReportColumn.of(accuracy, a.RANK_CORRECTED, "rank by corrected", "count"),
            ReportColumn.of(accuracy, CHANGE, "change", "count"),
        ],
        rows_at_once=25,
    )


def _flip_table(flips: pd.DataFrame) -> ReportTable:
    return ReportTable(
        "flips",
        [
            ReportColumn.of(flips, a.TOP_K, "top", "count"),
            ReportColumn.of(flips, MODEL_A, "model", "text"),
            ReportColumn.of(flips, MODEL_B, "and model", "text"),
            ReportColumn.of(flips, FLIP_PREVALENCE, "from noise prevalence", "score"),
            ReportColumn.of(flips, LAST_FLIP_PREVALENCE, "to noise prevalence", "score"),
        ],
        heading="Pairs of models that change places",
    )


def _class_table(classes: pd.DataFrame) -> ReportTable:
    return ReportTable(
        "classes",
        [
            ReportColumn.of(classes, c.CLASS, "class", "text"),
            ReportColumn.of(classes, a.MODEL, "model", "text"),
            ReportColumn.of(classes, "examples_given", "examples by given labels", "count"),
            ReportColumn.of(classes, "accuracy_given", "accuracy by given labels", "score"),
            ReportColumn.of(classes, "examples_corrected", "examples by corrected labels", "count"),
            ReportColumn.of(classes, "accuracy_corrected", "accuracy by corrected labels", "score"),
        ],
    )


def _correction_table(run: Run, issues: int) -> ReportTable:
    rows = first_rows(run.table(LABEL_CORRECTIONS.name), issues, c.RANK)
    return ReportTable(
        "corrections",
        [
            *[ReportColumn.of(rows, col, col, "text") for col in run.id_columns],
            ReportColumn.of(rows, c.GIVEN_LABEL, "given label", "text"),
            ReportColumn.of(rows, CORRECTED_LABEL, "corrected label", "text"),
        ],
        rows_at_once=25,
    )
