"""The tables of a run that judges generated rows, with the meaning of every column."""

from cl_spark.methods.generated.generated_data import (
    COPY_OF,
    COVERAGE,
    DIVERSITY,
    FIT,
    GENERATED,
    ISSUE_TYPE,
    KEEP,
    KEPT,
    NEARNESS,
    REALISM,
    REASON,
)
from cl_spark.tables import columns as c
from cl_spark.tables.schema import ATTEMPT, ID_COLUMNS, RUN_ID, Column, Table

PROMPT = "prompt"

_PROMPT = Column(PROMPT, "as the input's", "The class that the row was meant to be of (`prompt_col`)")
_SCORES = (
    Column(REALISM, "double", "Share of real rows among the k nearest rows of both tables"),
    Column(FIT, "double", "How probable the prompt is by the labels of the neighbors; null with one prompt"),
    Column(NEARNESS, "double", "Outlier score beside the real rows: 0.37 is usual, low is far"),
    Column(
        COPY_OF,
        "as the input's",
        "The one row of its group of near copies that is none: of those that fit and are not far, else of "
        "all, that with the lowest id; null for that row, and for rows without copies",
    ),
)

DROPPED_ROWS = Table(
    "dropped_rows",
    "generated row to drop (written by `generated`)",
    (
        RUN_ID,
        ATTEMPT,
        ID_COLUMNS,
        _PROMPT,
        *_SCORES,
        Column(REASON, "string", "Why, as a sentence"),
        Column(ISSUE_TYPE, "string", "`far` from all real rows, `misfit` with its prompt, or `copy`"),
        Column(c.RANK, "long", "The worst of each kind come first, then the second of each"),
        Column("<review column(s)>", "any", "Column of the generated table that `review_columns` names"),
    ),
)
GENERATED_ROWS = Table(
    "generated_rows",
    "generated row that can be used (written by `generated`)",
    (
        RUN_ID,
        ATTEMPT,
        ID_COLUMNS,
        _PROMPT,
        *_SCORES,
        Column(KEEP, "boolean", "Whether to keep the row"),
        Column(REASON, "string", "Why it is to be dropped; null if it is kept"),
    ),
)
PROMPTS = Table(
    "prompts",
    "prompt, or class of real rows (written by `generated`)",
    (
        RUN_ID,
        ATTEMPT,
        Column(PROMPT, "as the input's", "The prompt"),
        Column(GENERATED, "long", "Generated rows that can be used"),
        Column(KEPT, "long", "Those to keep"),
        Column(REALISM, "double", "Their mean realism"),
        Column(FIT, "double", "Share that fit the prompt; null with one prompt"),
        Column(DIVERSITY, "double", "Share that are no copies of another row"),
        Column(
            COVERAGE,
            "double",
            "Share of real rows of the class with a generated row as near as their k-th real neighbor; null "
            "without real rows",
        ),
    ),
)
TABLES = (DROPPED_ROWS, GENERATED_ROWS, PROMPTS)
"""The tables of a run beside `rejected` and `runs`."""

NUMBERS = (
    Column("num_generated", "long", "Generated rows that can be used"),
    Column("num_rows_kept", "long", "Generated rows to keep"),
    Column("mean_realism", "double", "Mean realism of generated rows"),
    Column("prompt_fit", "double", "Share of generated rows that fit their prompt"),
    Column(
        "diversity",
        "double",
        "Share of generated rows that are no copies: of each group of near copies one row is none",
    ),
    Column("coverage", "double", "Share of real rows with a generated row nearby"),
)
"""Columns that such a run adds to `runs`."""
