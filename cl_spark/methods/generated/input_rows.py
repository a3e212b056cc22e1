"""The two tables, of generated and of real rows: which rows have a prompt, and an id of their own."""

from collections.abc import Mapping

from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import BooleanType, IntegralType, StringType

from cl_spark.errors import ColumnTypeError, EmptyTableError
from cl_spark.evidence.storage import Storage
from cl_spark.evidence.usable_rows import FAULT, NULL_ID, UsableRows, choose_reason
from cl_spark.evidence.validity import join_reasons
from cl_spark.methods.neighbors.features import FeatureTable
from cl_spark.tables import columns as c
from cl_spark.tables.columns import quoted, resolve_columns
from cl_spark.tables.ids import lacks_id
from cl_spark.tables.row_json import select_row_json
from cl_spark.tables.union import union_rows

TABLES = ("generated", "real")
"""Names of the two tables for callers; the place of each says whether its rows are real."""

NO_PROMPT = "null prompt"


class InputRows:
    """Generated and real rows, as they come.

    Args:
        generated: the generated rows.
        real: the real rows.
        id_col: id column of both.
        prompt_col: column of the prompt, and of the class of real rows.
        storage: persists ids of several rows.

    Raises:
        MissingColumnError: a column is missing.
        ColumnTypeError: a column has another type in the other table, or one that prompts cannot have.
    """

    def __init__(
        self, generated: DataFrame, real: DataFrame, id_col: str, prompt_col: str, storage: Storage
    ) -> None:
        frames = dict(zip(TABLES, (generated, real), strict=True))
        names = {"id_col": id_col, "prompt_col": prompt_col}
        found = {argument: resolve_columns(df, argument, names) for argument, df in frames.items()}
        self.id_col, self.prompt_col = found["generated"].values()
        for key in names:
            kinds = [df.schema[found[argument][key]].dataType for argument, df in frames.items()]
            if kinds[0] != kinds[1]:
                raise ColumnTypeError(
                    f"{key}: column {names[key]!r} of generated is {kinds[0].simpleString()}, that of real "
                    f"is {kinds[1].simpleString()}: cast one of them"
                )
        if not isinstance(kinds[0], StringType | IntegralType | BooleanType):
            raise ColumnTypeError(
                f"prompt_col: column {prompt_col!r} is {kinds[0].simpleString()}; it must be text or whole "
                "numbers: cast it"
            )
        self._usable = {argument: self._sort_out(df, storage) for argument, df in frames.items()}

    def _sort_out(self, df: DataFrame, storage: Storage) -> UsableRows:
        lacks_prompt = F.col(quoted(self.prompt_col)).isNull()
        fault = choose_reason([(lacks_id(df, [self.id_col]), NULL_ID), (lacks_prompt, NO_PROMPT)])
        return UsableRows(df.withColumn(FAULT, fault), [self.id_col], storage)

    def accepted(self, argument: str) -> DataFrame:
        """Return the rows of a table that have a prompt, and an id of their own.

        Raises:
            EmptyTableError: there are none.
        """
        usable = self._usable[argument]
        if not usable.num_accepted:
            raise EmptyTableError(
                f"{argument}: none of {usable.num_read:,} rows can be used: "
                f"{join_reasons(usable.rejected_counts) or 'there are none'}"
            )
        return usable.accepted()

    def marked(self, argument: str) -> DataFrame:
        """Return all rows of a table, with `FAULT`: why a row is not accepted, null where it is."""
        return self._usable[argument].marked()

    @property
    def num_read(self) -> int:
        """Rows of both tables."""
        return sum(usable.num_read for usable in self._usable.values())

    def count_rejected(self, features: Mapping[str, FeatureTable]) -> Mapping[str, int]:
        """Count the rows of both tables that cannot be used, by reason.

        Args:
            features: the features of the accepted rows of each table.
        """
        counted = [
            (f"{argument}: {reason}", rows)
            for argument in TABLES
            for counts in (self._usable[argument].rejected_counts, features[argument].counts.rejected)
            for reason, rows in counts.items()
        ]
        return dict(sorted(counted))

    def rejected(self, features: Mapping[str, FeatureTable]) -> DataFrame:
        """Return these rows: the id column, reason, and the row as JSON. Reads the tables again."""
        found, ids = [], F.col(quoted(self.id_col)).alias(self.id_col)
        for argument in TABLES:
            row = select_row_json(FAULT).alias(c.ROW)
            unusable = self._usable[argument].rejected().select(ids, F.col(FAULT).alias(c.REASON), row)
            for rows in (unusable, features[argument].rejected()):
                reason = F.concat(F.lit(f"{argument}: "), F.col(c.REASON)).alias(c.REASON)
                found.append(rows.select(ids, reason, c.ROW))
        return union_rows(found)
