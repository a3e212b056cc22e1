"""Make the Jupyter notebooks of docs/notebooks from their source, which is in the format Databricks imports
and exports.
"""

import re
from pathlib import Path

import nbformat

NOTEBOOKS = Path(__file__).resolve().parents[1] / "docs" / "notebooks"
HEADER, CELL, MAGIC = (
    "# Databricks notebook source\n",
    "\n# COMMAND ----------\n",
    re.compile(r"^# MAGIC ?", re.MULTILINE),
)


def notebook(source: str) -> nbformat.NotebookNode:
    """The notebook of a Databricks source file: code cells, and Markdown cells where they begin with %md."""
    cells = []
    for number, part in enumerate(source.removeprefix(HEADER).split(CELL)):
        text = part.strip("\n")
        is_text = text.startswith("# MAGIC %md")
        content = MAGIC.sub("", text).removeprefix("%md\n") if is_text else text
        made = (nbformat.v4.new_markdown_cell if is_text else nbformat.v4.new_code_cell)(content)
        cells.append({**made, "id": f"cell-{number}"})
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    return nbformat.v4.new_notebook(cells=[nbformat.from_dict(cell) for cell in cells], metadata=kernel)


if __name__ == "__main__":
    for path in NOTEBOOKS.glob("*.py"):
        nbformat.write(notebook(path.read_text(encoding="utf-8")), path.with_suffix(".ipynb"))
