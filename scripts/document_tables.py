"""Write the description of the result tables into README.md, from the one place that declares them."""

from pathlib import Path

from cl_spark.columns import SCORES_OF_NEW_ROWS, TABLES

README = Path(__file__).resolve().parents[1] / "README.md"
START, END = "<!-- tables: made by scripts/document_tables.py -->", "<!-- end of tables -->"


def described() -> str:
    """The tables as Markdown."""
    lines = ["| table | one row per | columns |", "|---|---|---|"]
    for table in (*TABLES, *SCORES_OF_NEW_ROWS):
        columns = ", ".join(f"`{column.name}`" for column in table.columns)
        lines.append(f"| `{table.name}` | {table.row} | {columns} |")
    return "\n".join(lines)


def documented(text: str) -> str:
    """The text with the tables described between its two marks."""
    before, rest = text.split(START)
    return f"{before}{START}\n{described()}\n{END}{rest.split(END)[1]}"


if __name__ == "__main__":
    README.write_text(documented(README.read_text(encoding="utf-8")), encoding="utf-8")
