"""Write what the code declares into the documentation: the README's tables, and the reference of tables, keys and commands."""

import re
from pathlib import Path

import click

from cl_spark.cli import cli
from cl_spark.columns import SCORES_OF_NEW_ROWS, TABLES
from cl_spark.config import AuditConfig

ROOT = Path(__file__).resolve().parents[1]
REFERENCE = ROOT / "docs" / "reference"
START, END = "<!-- tables: made by scripts/document.py -->", "<!-- end of tables -->"


def readme() -> str:
    """The README with a line per table between its two marks."""
    lines = ["| table | one row per | columns |", "|---|---|---|"]
    for table in (*TABLES, *SCORES_OF_NEW_ROWS):
        columns = ", ".join(f"`{column.name}`" for column in table.columns)
        lines.append(f"| `{table.name}` | {table.row} | {columns} |")
    before, rest = (ROOT / "README.md").read_text(encoding="utf-8").split(START)
    return f"{before}{START}\n" + "\n".join(lines) + f"\n{END}{rest.split(END)[1]}"


def tables() -> str:
    """Every column of every table."""
    parts = [
        "# Tables\n\nAn audit writes these below its `output`, a directory or a schema, in Delta or Parquet. A run is "
        "finished when it has a row in `runs`, which is written last; running a `run_id` again replaces its rows. Columns of "
        "type *label* hold class indices, or names where the input or `class_names` has names. "
        "[SQL recipes](../howto/sql.md) query them.\n"
    ]
    for table in (*TABLES, *SCORES_OF_NEW_ROWS):
        parts.append(f"## {table.name}\n\nOne row per {table.row}.\n\n| column | type | meaning |\n|---|---|---|")
        parts += [f"| `{column.name}` | {column.type} | {_cell(column.meaning)} |" for column in table.columns]
        parts.append("")
    return "\n".join(parts)


def configuration() -> str:
    """Every key of a configuration, from its schema."""
    schema = AuditConfig.model_json_schema()["properties"]
    lines = [
        "# Configuration\n\nEvery key of the YAML file that `cl-spark audit --config` reads, of the flags (`id_col` is "
        "`--id-col`), and of `AuditConfig` in Python. Unknown keys are errors. `cl-spark validate` takes the same and "
        "only checks.\n",
        "| key | type | default | meaning |",
        "|---|---|---|---|",
    ]
    for name, field in AuditConfig.model_fields.items():
        default = field.get_default(call_default_factory=True)
        shown = "" if default in (None, [], {}) else f"`{str(default).lower() if isinstance(default, bool) else default}`"
        lines.append(f"| `{name}` | {_kind(schema[name])} | {shown} | {_cell(str(field.description))} |")
    return "\n".join(lines) + "\n"


def command_line() -> str:
    """The help of every command."""
    context = click.Context(cli, info_name="cl-spark", terminal_width=100)
    parts = [
        "# Command line\n\nExit codes: 0 done, 1 failed, 2 the configuration or the input cannot be used, 3 written but a gate "
        "failed. On a terminal a bar shows how far Spark is; elsewhere the log has a line per step, with the run's name. "
        "`--quiet` prints nothing but errors, and `--json` gives programs what people read as text.\n"
    ]
    for name, command in sorted(cli.commands.items()):
        of_command = click.Context(command, info_name=name, parent=context, terminal_width=100, max_content_width=100)
        parts.append(f"## cl-spark {name}\n\n```text\n{command.get_help(of_command)}\n```\n")
    return "\n".join(parts)


def _kind(schema: dict[str, object]) -> str:
    """A type of the schema as people write it."""
    if "anyOf" in schema:
        kinds = [_kind(part) for part in schema["anyOf"]]  # type: ignore[attr-defined]
        return " or ".join(kind for kind in kinds if kind != "null")
    if "enum" in schema:
        return " or ".join(f"`{value}`" for value in schema["enum"])  # type: ignore[attr-defined]
    if "const" in schema:
        return f"`{schema['const']}`"
    if schema.get("type") == "array":
        return f"list of {_kind(schema['items'])}"  # type: ignore[arg-type]
    names = {"string": "text", "object": "keys and values", "integer": "integer", "number": "number", "boolean": "true or false"}
    return names.get(str(schema.get("type")), str(schema.get("type")))


def _cell(text: str) -> str:
    return re.sub(r"\s+", " ", text).replace("|", "\\|")


PAGES = {
    ROOT / "README.md": readme,
    REFERENCE / "tables.md": tables,
    REFERENCE / "configuration.md": configuration,
    REFERENCE / "command-line.md": command_line,
}

if __name__ == "__main__":
    for path, made in PAGES.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(made(), encoding="utf-8")
