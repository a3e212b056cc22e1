"""Write the reference pages from the code: result tables, configuration keys, and commands.

`python scripts/document.py` writes the pages; `--check` writes nothing and fails where a page is out of date.
"""

import re
import sys
from pathlib import Path
from typing import Any

import click

from cl_spark.tables.schema import BASELINES, REJECTED, runs_table
from cl_spark.tasks.clean_learning.config import CleanLearningConfig
from cl_spark.tasks.clean_learning.task import CLEAN_LEARNING
from cl_spark.tasks.consensus import tables as consensus
from cl_spark.tasks.consensus.config import ConsensusConfig
from cl_spark.tasks.corrections import tables as corrections
from cl_spark.tasks.corrections.config import CorrectionsConfig
from cl_spark.tasks.cross_validation.config import CrossValidationConfig
from cl_spark.tasks.cross_validation.tables import FOLD_ACCURACY, PRED_PROBS
from cl_spark.tasks.data_audit import tables as data_audit
from cl_spark.tasks.data_audit.config import DataAuditConfig
from cl_spark.tasks.generated_data import tables as generated_data
from cl_spark.tasks.generated_data.config import GeneratedDataConfig
from cl_spark.tasks.label_audit.config import AuditConfig
from cl_spark.tasks.label_audit.tables import NUMBERS, SCORED, SCORED_REJECTED, STREAMS, TABLES
from cl_spark.tasks.model_comparison import tables as model_comparison
from cl_spark.tasks.model_comparison.config import ModelComparisonConfig
from cl_spark.tasks.multilabel_audit import tables as multilabel_audit
from cl_spark.tasks.multilabel_audit.config import MultilabelAuditConfig
from cl_spark.tasks.review_queue import tables as review_queue
from cl_spark.tasks.review_queue.config import ReviewQueueConfig
from cl_spark.tasks.token_audit import tables as token_audit
from cl_spark.tasks.token_audit.config import TokenAuditConfig
from cl_spark.tasks.verdicts import tables as verdicts
from cl_spark.tasks.verdicts.config import VerdictsConfig
from cl_spark.terminal.command_line import cli

ROOT = Path(__file__).resolve().parents[1]
REFERENCE = ROOT / "docs" / "reference"

RESULT_TABLES = (
    *TABLES,
    *token_audit.TABLES[len(TABLES) :],
    *multilabel_audit.TABLES[:-1],
    *data_audit.TABLES,
    *generated_data.TABLES,
    *consensus.TABLES,
    PRED_PROBS,
    FOLD_ACCURACY,
    *model_comparison.TABLES,
    *review_queue.TABLES,
    *verdicts.TABLES,
    *corrections.TABLES,
    REJECTED,
    runs_table(
        dict.fromkeys(
            (
                *NUMBERS,
                *CLEAN_LEARNING.numbers,
                *generated_data.NUMBERS,
                *consensus.NUMBERS,
                *model_comparison.NUMBERS,
                *review_queue.NUMBERS,
                *verdicts.NUMBERS,
                *corrections.NUMBERS,
            )
        )
    ),
    BASELINES,
    SCORED,
    SCORED_REJECTED,
    STREAMS,
)

TABLES_INTRODUCTION = """\
# Tables

An audit writes these tables below its `output`, which is a directory or a schema, in Delta or Parquet.
A run is finished when it has a row in `runs`, which is written last. Running a `run_id` again replaces the
rows of that run and of no other. Rows carry the attempt at the run that wrote them: those of another attempt
than the one in `runs` do not count. Columns of type *label* hold class indices, or class names where the
input or `class_names` has names. [SQL recipes](../howto/sql.md) shows queries.
"""
CONFIGURATION_INTRODUCTION = """\
# Configuration

These are the keys of the YAML file that a command reads with `--config`, and the fields of a configuration in
Python. Each is also a flag of the command line: `id_col` is `--id-col`. Unknown keys are errors.
"""
CONFIGURATIONS = {
    "An audit": (
        "`cl-spark audit`, `AuditConfig`. `cl-spark validate` takes the same keys and only checks.",
        AuditConfig,
    ),
    "An audit of sets of labels": (
        "`cl-spark audit --task multilabel`, `MultilabelAuditConfig`.",
        MultilabelAuditConfig,
    ),
    "An audit of tokens": ("`cl-spark audit --task tokens`, `TokenAuditConfig`.", TokenAuditConfig),
    "An audit for bad rows of every kind": (
        "`cl-spark audit --task data`, `DataAuditConfig`.",
        DataAuditConfig,
    ),
    "Generated data": ("`cl-spark generated`, `GeneratedDataConfig`.", GeneratedDataConfig),
    "A consensus of annotators": ("`cl-spark consensus`, `ConsensusConfig`.", ConsensusConfig),
    "A cross-validation": ("`cl-spark cross-validate`, `CrossValidationConfig`.", CrossValidationConfig),
    "Learning with noisy labels": ("`cl-spark clean-learning`, `CleanLearningConfig`.", CleanLearningConfig),
    "A comparison of models": (
        "`cl-spark benchmark-models`, `ModelComparisonConfig`.",
        ModelComparisonConfig,
    ),
    "A review queue": ("`cl-spark review`, `ReviewQueueConfig`.", ReviewQueueConfig),
    "Verdicts": ("`cl-spark verdicts`, `VerdictsConfig`.", VerdictsConfig),
    "Corrections": ("`cl-spark correct`, `CorrectionsConfig`.", CorrectionsConfig),
}
COMMANDS_INTRODUCTION = """\
# Command line

| exit code | meaning |
|---|---|
| 0 | The command is done. |
| 1 | It failed. |
| 2 | The configuration or the input cannot be used. |
| 3 | All tables were written, but a gate failed. |
| 4 | All tables were written, but the report could not be made. |
| 130 | It was interrupted (Ctrl-C). |

On a terminal, a bar shows how far Spark is. Elsewhere the log has one line per step, with the name of the
run. `--quiet` prints errors only. `--json` prints for programs what the command otherwise prints as text.
"""
NAMES_OF_TYPES = {
    "string": "text",
    "object": "keys and values",
    "integer": "integer",
    "number": "number",
    "boolean": "true or false",
}


def render_tables() -> str:
    """Return the page of result tables: one line per table, then every column of each."""
    parts = [TABLES_INTRODUCTION, "| table | one row per | columns |\n|---|---|---|"]
    for table in RESULT_TABLES:
        names = ", ".join(f"`{column.name}`" for column in table.columns)
        parts.append(f"| [`{table.name}`](#{table.name}) | {table.row} | {names} |")
    parts.append("")
    for table in RESULT_TABLES:
        parts.append(f"## {table.name}\n\nOne row per {table.row}.\n")
        parts.append("| column | type | meaning |\n|---|---|---|")
        for column in table.columns:
            parts.append(f"| `{column.name}` | {column.type} | {_escape(column.meaning)} |")
        parts.append("")
    return "\n".join(parts)


def render_configuration() -> str:
    """Return the page of configuration keys, from the schemas of the configurations."""
    lines = [CONFIGURATION_INTRODUCTION]
    for title, (about, config) in CONFIGURATIONS.items():
        schema = config.model_json_schema()["properties"]
        lines.append(f"## {title}\n\n{about}\n\n| key | type | default | meaning |\n|---|---|---|---|")
        for name, field in config.model_fields.items():
            default = (
                "" if field.is_required() else _show_default(field.get_default(call_default_factory=True))
            )
            meaning = _escape(str(field.description))
            lines.append(f"| `{name}` | {_name_type(schema[name])} | {default} | {meaning} |")
        lines.append("")
    return "\n".join(lines)


def render_commands() -> str:
    """Return the page of commands, with the help text of each."""
    context = click.Context(cli, info_name="cl-spark", terminal_width=100)
    parts = [COMMANDS_INTRODUCTION]
    for name, command in sorted(cli.commands.items()):
        own = click.Context(
            command, parent=context, info_name=name, max_content_width=100, terminal_width=100
        )
        parts.append(f"## cl-spark {name}\n\n```text\n{command.get_help(own)}\n```\n")
    return "\n".join(parts)


PAGES = {
    REFERENCE / "tables.md": render_tables,
    REFERENCE / "configuration.md": render_configuration,
    REFERENCE / "command-line.md": render_commands,
}


def find_outdated_pages() -> list[Path]:
    """Return the pages whose file is missing or differs from what the code declares."""
    outdated = []
    for path, render in PAGES.items():
        if not path.is_file() or path.read_text(encoding="utf-8") != render():
            outdated.append(path)
    return outdated


def write_pages() -> None:
    """Write every page of `PAGES`."""
    for path, render in PAGES.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(render(), encoding="utf-8")


def _show_default(value: object) -> str:
    """Return a default as YAML writes it; empty ones are left out."""
    if value in (None, [], {}):
        return ""
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _name_type(schema: dict[str, Any]) -> str:
    """Return the type that a JSON schema describes, in words."""
    if "anyOf" in schema:
        return " or ".join(name for name in map(_name_type, schema["anyOf"]) if name != "null")
    if "enum" in schema:
        return " or ".join(f"`{value}`" for value in schema["enum"])
    if "const" in schema:
        return f"`{schema['const']}`"
    kind = str(schema.get("type"))
    return f"list of {_name_type(schema['items'])}" if kind == "array" else NAMES_OF_TYPES.get(kind, kind)


def _escape(text: str) -> str:
    """Return a text as one cell of a Markdown table."""
    return re.sub(r"\s+", " ", text).replace("|", "\\|")


if __name__ == "__main__":
    if sys.argv[1:] == ["--check"]:
        outdated = [str(path.relative_to(ROOT)) for path in find_outdated_pages()]
        if outdated:
            sys.exit(f"{', '.join(outdated)}: out of date; run python scripts/document.py")
    elif sys.argv[1:]:
        sys.exit("usage: python scripts/document.py [--check]")
    else:
        write_pages()
