"""Reading CSV files and JSON lines: what their text means, column by column."""

import re
from dataclasses import dataclass
from functools import partial

from pyspark.sql import Column, DataFrame, DataFrameReader
from pyspark.sql import functions as F
from pyspark.sql.types import StringType, StructField, StructType

from cl_spark.errors import InputError, one_line
from cl_spark.tables.columns import find_columns, is_case_sensitive, quoted

_CORRUPT = "_corrupt_record"
"""Column in which Spark puts the lines that it cannot read."""

WHOLE = r"^(0|-?[1-9][0-9]{0,17})$"
"""Whole numbers as they are usually written: of others, such as 007, a number would lose the spelling."""

_NUMBER = WHOLE.replace("$", r"(\.[0-9]+)?$")
_DECIMAL = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$|^(?i:nan)$"
_INTEGER = r"^[+-]?[0-9]{1,18}$"
_DATE = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$"
_LOCAL_TIME = _DATE.replace("$", r"([T ][0-9]{2}(:[0-9]{2}(:[0-9]{2}([.][0-9]+)?)?)?)?$")
_TIME = _LOCAL_TIME.replace("$", r"( ?(Z|[+-][0-9]{2}(:?[0-9]{2})?))?$")
_TIME_TYPES = ("date", "timestamp_ntz", "timestamp_ltz")
_PROB_TYPES = {
    "[{": "array<struct<label: string, score: double>>",
    "[": "array<double>",
    "{": "map<string, double>",
}
"""Types of probabilities that are JSON, by how their text begins."""


@dataclass(frozen=True)
class Roles:
    """Roles of the columns of an input table, as far as reading it depends on them.

    Attributes:
        ids: id columns.
        label: column of given labels.
        probs: columns of probabilities.
        values: columns of numbers, booleans or texts.
        orders: columns that order rows: numbers, dates or times (`order_col`).
        others: further columns that are asked for.
        class_names: names of the classes, where they are known.
    """

    ids: tuple[str, ...] = ()
    label: str = ""
    probs: tuple[str, ...] = ()
    values: tuple[str, ...] = ()
    orders: tuple[str, ...] = ()
    others: tuple[str, ...] = ()
    class_names: tuple[str, ...] = ()

    @property
    def columns(self) -> tuple[str, ...]:
        """All columns that are asked for."""
        return (*self.ids, self.label, *self.probs, *self.values, *self.orders, *self.others)


def read_json(reader: DataFrameReader, path: str, roles: Roles) -> DataFrame:
    """Read files of JSON: an object per line, or one document that is an array of them.

    Texts that order rows become numbers, dates or times.

    Raises:
        InputError: a column that orders rows holds something else, or some files are documents and some not.
        pyspark.errors.PySparkException: the files cannot be read.
    """
    df = reader.json(path)
    if _CORRUPT in df.columns:
        # of a file of lines this finds the first alone, and leaves the others out without a word
        document = reader.option("multiLine", True).json(path)
        if _CORRUPT not in document.columns and _are_documents(reader, path):
            df = document
    return _convert_orders(df, roles)


def _are_documents(reader: DataFrameReader, path: str) -> bool:
    """Tell whether the first line of each file begins a document: an array, or what the line does not end.

    Raises:
        InputError: of some files it does, of others it does not.
    """
    lines = reader.text(path).where(r"_metadata.file_block_start = 0 AND value RLIKE '\\S'")
    placed = lines.select(
        "value", F.col("_metadata.file_path").alias("file"), F.monotonically_increasing_id().alias("n")
    )
    first = placed.groupBy("file").agg(F.min_by("value", "n").alias("line"))
    is_document = F.col("line").rlike(r"^\s*\[") | F.get_json_object("line", "$").isNull()
    found = first.groupBy(is_document.alias("is_document")).agg(F.min("file").alias("file")).collect()
    files = {row["is_document"]: row["file"] for row in found}
    if len(files) > 1:
        raise InputError(
            f"{one_line(path)}: {files[True]} is one JSON document, {files[False]} has an object per line: "
            "put files of one kind into a directory"
        )
    return True in files


def read_csv(reader: DataFrameReader, path: str, separator: str, roles: Roles) -> DataFrame:
    """Read CSV files, each with a header.

    Ids become whole numbers where all are written as such, and labels class indices, booleans or numbers;
    probabilities become numbers, or what their JSON holds; what orders rows becomes numbers, dates or times.
    All else stays text, and so do names of classes. Where a line has more or fewer cells than the header, all
    are null, and `_corrupt_record`, a column of files with such lines, holds the line.

    Raises:
        InputError: a column that orders rows holds something else, or arrays of probabilities are no JSON.
        pyspark.errors.PySparkException: the files cannot be read, or their headers differ.
    """
    reader = reader.options(header=True, sep=separator, multiLine=True, escape='"')
    # without enforceSchema, a header of another order is an error, not a column taken for another
    reader = reader.options(enforceSchema=False, ignoreLeadingWhiteSpace=True, ignoreTrailingWhiteSpace=True)
    text = reader.csv(path)
    sensitive = is_case_sensitive(text.sparkSession)
    columns = {
        name: same[0]
        for name in roles.columns
        if len(same := find_columns(name, text.columns, case_sensitive=sensitive)) == 1
    }
    # only a schema that says so keeps lines of more or fewer cells, of which Spark drops cells in silence
    lines = reader.schema(StructType([*text.schema.fields, StructField(_CORRUPT, StringType())])).csv(path)
    is_whole = F.col(_CORRUPT).isNull()
    lines = lines.withColumns({col: F.when(is_whole, F.col(quoted(col))) for col in text.columns})
    kinds = {
        **{name: _find_id_type(F.col(quoted(columns[name]))) for name in roles.ids if name in columns},
        **{name: _find_prob_type(F.col(quoted(columns[name]))) for name in roles.probs if name in columns},
        **{name: _find_value_type(F.col(quoted(columns[name]))) for name in roles.values if name in columns},
    }
    if roles.label in columns:
        kinds[roles.label] = _find_label_type(F.col(quoted(columns[roles.label])), roles.class_names)
    if not kinds:
        return _convert_orders(text, roles)
    probs = [columns[name] for name in roles.probs if name in columns]
    no_arrays = [_find_no_array(F.col(quoted(col))) for col in probs]
    num_broken, *found = lines.agg(F.count(_CORRUPT), *no_arrays, *kinds.values()).collect()[0]
    for col, seen in zip(probs, found, strict=False):
        if seen is not None:
            raise InputError(
                f"{one_line(path)}: column {col!r} holds {one_line(seen[:60])!r}, and nowhere a JSON "
                "array of numbers, which has commas: of a numpy array write json.dumps(array.tolist())"
            )
    types = dict(zip(kinds, found[len(probs) :], strict=True))
    text = lines if num_broken else text
    text = text.withColumns({columns[name]: _convert(columns[name], kind) for name, kind in types.items()})
    return _convert_orders(text, roles)


def _convert_orders(df: DataFrame, roles: Roles) -> DataFrame:
    """Convert the texts of columns that order rows. Ids and labels stay what they are.

    Raises:
        InputError: a value is no number, date or time, or numbers and times are mixed.
    """
    sensitive, kept = is_case_sensitive(df.sparkSession), (*roles.ids, roles.label)
    for name in roles.orders:
        same = find_columns(name, df.columns, case_sensitive=sensitive)
        if len(same) != 1 or df.schema[same[0]].dataType != StringType():
            continue
        if not find_columns(same[0], kept, case_sensitive=sensitive):
            df = df.withColumn(same[0], _convert(same[0], _find_order_type(df, same[0])))
    return df


def _find_order_type(df: DataFrame, col: str) -> str:
    """Find the type of a column that orders rows.

    Times without a zone are taken as they are written; beside others with a zone, as of the session's.

    Raises:
        InputError: it is none.
    """
    column, day, local, moment = F.col(quoted(col)), *map(partial(_convert, col), _TIME_TYPES)
    is_number, is_time = column.rlike(_DECIMAL), column.rlike(_TIME) & moment.isNotNull()
    kind = (
        F.when((F.count(column) == 0) | _all(column, column.rlike(_INTEGER)), "bigint")
        .when(_all(column, is_number), "double")
        .when(_all(column, column.rlike(_DATE) & day.isNotNull()), "date")
        .when(_all(column, column.rlike(_LOCAL_TIME) & local.isNotNull()), "timestamp_ntz")
        .when(_all(column, is_time), "timestamp_ltz")  # whatever the session takes a timestamp for
    )
    no_order, no_number, no_time = (
        F.first(F.when(condition, column), ignorenulls=True)
        for condition in (~is_number & ~is_time, ~is_number, ~is_time)
    )
    found, *others = df.agg(kind, no_order, no_number, no_time).collect()[0]
    if found is None:
        seen = others[:1] if others[0] is not None else others[1:]
        shown = " and ".join(repr(one_line(value)) for value in seen)
        raise InputError(
            f"order_col: column {col!r} holds {shown}: it must hold numbers only, or only dates and times "
            "such as 2026-01-31 or 2026-01-31T10:00:00"
        )
    return str(found)


def _all(column: Column, condition: Column) -> Column:
    """Tell whether a condition holds for every value that is not null."""
    return F.bool_and(column.isNull() | condition)


def _find_id_type(column: Column) -> Column:
    return F.when(_all(column, column.rlike(WHOLE)), "bigint").otherwise("string")


def _find_label_type(column: Column, class_names: tuple[str, ...]) -> Column:
    is_name = column.isin(*class_names)
    # names that are numbers: one label that is none of them makes no indices of the others
    are_numbers = bool(class_names) and all(re.match(WHOLE, name) for name in class_names)
    return (
        F.when(F.bool_or(is_name) if are_numbers else _all(column, is_name), "string")
        .when(_all(column, column.rlike(WHOLE)), "bigint")
        .when(_all(column, F.lower(column).isin("true", "false")), "boolean")
        .when(_all(column, column.rlike(_NUMBER)), "double")
        .otherwise("string")
    )


def _find_value_type(column: Column) -> Column:
    """Find the type of features or weights: JSON arrays, booleans, numbers, or else texts."""
    return (
        F.when(_all(column, F.lower(column).isin("true", "false")), "boolean")
        .when(_all(column, column.startswith("[")) & _has_array(column), "array<double>")
        .when(_all(column, column.rlike(_DECIMAL)), "double")
        .otherwise("string")
    )


def _find_prob_type(column: Column) -> Column:
    first = F.first(column, ignorenulls=True)
    kind = F.lit("double")
    for begin, json_type in reversed(_PROB_TYPES.items()):
        kind = F.when(first.startswith(begin), json_type).otherwise(kind)
    return kind


def _has_array(column: Column) -> Column:
    return F.count(F.from_json(column, "array<double>")) > 0


def _find_no_array(column: Column) -> Column:
    """Find the first text where arrays of numbers are meant and none is JSON; else null."""
    first = F.first(column, ignorenulls=True)
    return F.when(first.rlike(r"^\[[^{]") & ~_has_array(column), first)


def _convert(col: str, kind: str) -> Column:
    """Convert text; what cannot be converted becomes null, and its row is rejected."""
    if kind in _PROB_TYPES.values():
        return F.from_json(F.col(quoted(col)), kind)
    return F.expr(f"try_cast({quoted(col)} AS {kind})")
