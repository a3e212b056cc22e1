"""Ids of examples that several tables share."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pyspark.sql import Column, DataFrame, Row
from pyspark.sql import functions as F
from pyspark.sql.types import DataType, IntegralType, LongType

from cl_spark.errors import ColumnTypeError, ConfigurationError, one_line
from cl_spark.tables.columns import is_case_sensitive, quoted, resolve_column

_NO_ORDER = ("array", "map", "struct", "variant")


@dataclass(frozen=True)
class ExampleIds:
    """The id columns of tables about the same examples.

    Attributes:
        columns: id column, or the columns of a composite key.
    """

    columns: tuple[str, ...]

    @staticmethod
    def of(id_col: str | Sequence[str]) -> "ExampleIds":
        """Read the argument `id_col`.

        Raises:
            ConfigurationError: it names no column, or one twice.
        """
        columns = (id_col,) if isinstance(id_col, str) else tuple(id_col)
        if not columns or len(set(columns)) < len(columns):
            raise ConfigurationError(
                f"id_col must be the id column, or the different columns of a composite key, got {id_col!r}"
            )
        return ExampleIds(columns)

    @property
    def names(self) -> list[str]:
        """Names under which the ids are selected."""
        return [f"_id_{i}" for i in range(len(self.columns))]

    def select(self, df: DataFrame) -> list[Column]:
        """Select the ids of a table; whole numbers of any width as long, so that they compare."""
        types = find_types(df, self.columns)
        selected = []
        for col, name in zip(self.columns, self.names, strict=True):
            column = F.col(quoted(col))
            selected.append(
                (column.cast("long") if isinstance(types[col], IntegralType) else column).alias(name)
            )
        return selected

    def find_types(self, *tables: DataFrame) -> dict[str, DataType]:
        """Find types that hold the ids of some tables; whole numbers of different widths are long."""
        first, *others = [find_types(df, self.columns) for df in tables]
        return {
            col: kind if all(kinds[col] == kind for kinds in others) else LongType()
            for col, kind in first.items()
        }

    def restore(self, *tables: DataFrame) -> list[Column]:
        """Select ids under their own names again, in types that hold those of some tables."""
        pairs = zip(self.names, self.find_types(*tables).items(), strict=True)
        return [F.col(name).cast(kind).alias(col) for name, (col, kind) in pairs]

    def check(self, tables: Mapping[str, DataFrame]) -> None:
        """Check that ids of all tables can be compared: '003' and 3 are no equal ids.

        Args:
            tables: by the argument that holds them, for messages.

        Raises:
            MissingColumnError: a table lacks an id column.
            ColumnTypeError: the types of two tables differ, or have no order.
        """
        first, *_ = tables
        for argument, df in tables.items():
            check_columns(argument, df, {"id_col": self.columns})
        for col in self.columns:
            kinds = {argument: find_types(df, [col])[col] for argument, df in tables.items()}
            for argument, kind in kinds.items():
                if kind.typeName() in _NO_ORDER:
                    raise ColumnTypeError(
                        f"id_col: column {col!r} of {argument} is {kind.simpleString()}, which has no order; "
                        "use a plain column or list the parts of a composite key"
                    )
                if kind != kinds[first] and not (
                    isinstance(kind, IntegralType) and isinstance(kinds[first], IntegralType)
                ):
                    raise ColumnTypeError(
                        f"id_col: column {col!r} is {kinds[first].simpleString()} in {first} and "
                        f"{kind.simpleString()} in {argument}, which do not compare: cast one of them"
                    )


def find_types(df: DataFrame, cols: Sequence[str]) -> dict[str, DataType]:
    """Find the types of some columns."""
    fields = df.select(*map(quoted, cols)).schema.fields
    return {col: field.dataType for col, field in zip(cols, fields, strict=True)}


def check_columns(argument: str, df: DataFrame, wanted: Mapping[str, Sequence[str]]) -> None:
    """Check that a table has each of some columns once.

    Args:
        argument: the argument that holds the table, for messages.
        df: the table.
        wanted: column names by the argument that gives them.

    Raises:
        MissingColumnError: a column is missing.
        ConfigurationError: a name means several columns, that differ in case only.
    """
    is_sensitive, columns = is_case_sensitive(df.sparkSession), df.columns
    for key, cols in wanted.items():
        for col in cols:
            resolve_column(key, col, columns, case_sensitive=is_sensitive, table=argument)


def show_id(id_parts: Row | None) -> str:
    """Write the id of an example for a message; empty if there is none.

    Example:
        >>> show_id(Row(7)), show_id(Row("a", 7)), show_id(None)
        (' (such as id 7)', " (such as id ('a', 7))", '')
    """
    if id_parts is None or any(part is None for part in id_parts):
        return ""
    return f" (such as id {one_line(repr(id_parts[0] if len(id_parts) == 1 else tuple(id_parts)))})"
