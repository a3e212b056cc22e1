"""Columns of classes: by index and by name."""

import json
from collections import Counter
from collections.abc import Sequence

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import BooleanType, DataType, FractionalType, StringType

from cl_spark.errors import ConfigurationError
from cl_spark.tables.columns import quoted

MAX_CLASSES = 100_000
"""Most classes: a label column of more holds something else, such as an id."""

NO_CLASS = -1
"""Index of a label that is no class."""


def check_class_names(class_names: Sequence[str] | None) -> None:
    """Check the names of the classes, where there are any.

    Raises:
        ConfigurationError: they are no list of at least two different names.
    """
    if class_names is None:
        return
    if isinstance(class_names, str):
        raise ConfigurationError(f"class_names must be a list of names, not the text {class_names!r}")
    repeated = [name for name, times in Counter(class_names).items() if times > 1]
    if repeated:
        raise ConfigurationError(f"class_names holds {repeated[0]!r} more than once")
    if len(class_names) < 2:
        raise ConfigurationError(f"class_names must name at least 2 classes, got {list(class_names)!r}")


def check_class_order(option: str, columns: Sequence[str], class_names: Sequence[str]) -> None:
    """Check that no column of a class is called like a class that stands at another place.

    The order of the columns says which class each is of, and their names are not looked at. So a column is
    looked for among the names as it is, and then in whatever case.

    Args:
        option: the argument that names the columns, for messages.
        columns: a column per class.
        class_names: the classes.

    Raises:
        ConfigurationError: one is.
    """
    for fold in (str, str.casefold):
        wanted = [fold(str(column)) for column in columns]
        known = [fold(str(name)) for name in class_names]
        for place, column in enumerate(wanted):
            if column in known and known[place : place + 1] != [column]:
                raise ConfigurationError(
                    f"{option}: column {columns[place]!r} is number {place + 1}, but class "
                    f"{class_names[known.index(column)]!r} is number {known.index(column) + 1} of "
                    "class_names, whose order the columns would not follow: give both in the order of the "
                    "probabilities, or the columns other names"
                )


def find_name(index: Column, class_names: Sequence[str]) -> Column:
    """Find the name of a class by its index."""
    # one literal, folded to a constant: an array of K literals would make a plan of K nodes
    return F.get(F.from_json(F.lit(json.dumps(list(class_names))), "array<string>"), index.cast("int"))


def find_index(name: Column, class_names: Sequence[str]) -> Column:
    """Find the index of a class by its name; null where no class has the name."""
    # one literal, folded to a constant: a map of K literals would make a plan of K nodes
    indices = json.dumps({name: i for i, name in enumerate(class_names)})
    return F.try_element_at(F.from_json(F.lit(indices), "map<string,int>"), name)


def says_true_first(kind: DataType, class_names: Sequence[str]) -> bool:
    """Tell whether labels are booleans and the names of the classes say true and false, in this order."""
    return isinstance(kind, BooleanType) and [name.casefold() for name in class_names] == ["true", "false"]


def select_index(label: Column, kind: DataType, class_names: Sequence[str]) -> Column:
    """Select the class index, as long, of a label that is a number or a boolean.

    Args:
        label: the label; null or NaN where it is missing.
        kind: its type.
        class_names: names of the classes, where they are known.

    Returns:
        Null where the label is missing, -1 where a fraction can be no index. Others may be outside 0..K-1.
    """
    if isinstance(kind, BooleanType):
        return (~label if says_true_first(kind, class_names) else label).cast("int").cast("long")
    if not isinstance(kind, FractionalType):
        return label.cast("long")
    is_index = (label % 1 == 0) & label.between(0, 2**31 - 1)
    is_missing = label.isNull() | F.isnan(label.cast("double"))
    return F.when(is_index, label.cast("long")).when(~is_missing, F.lit(-1).cast("long"))


def select_class(label: Column, kind: DataType, class_names: Sequence[str] | None) -> Column:
    """Select the class index, as int, of a label of any type: null where it is missing, `NO_CLASS` where it
    is no class.

    Args:
        label: the label.
        kind: its type.
        class_names: names of the classes; labels that are names need them.
    """
    if isinstance(kind, StringType):
        index = find_index(label, class_names or ())
        return F.when(label.isNotNull(), F.coalesce(index, F.lit(NO_CLASS)))
    index = select_index(label, kind, class_names or ())
    greatest = MAX_CLASSES - 1 if class_names is None else len(class_names) - 1
    is_class = index.between(0, greatest)
    return F.when(index.isNotNull(), F.when(is_class, index.cast("int")).otherwise(F.lit(NO_CLASS)))


def list_names(df: DataFrame, label_col: str) -> list[str]:
    """List the class names in a column, ascending. Reads the table.

    Raises:
        ConfigurationError: there are more than can be classes.
    """
    label = F.col(quoted(label_col))
    found = df.select(label.alias("name")).where(label.isNotNull()).distinct().limit(MAX_CLASSES + 1)
    names = sorted(row.name for row in found.collect())
    if len(names) > MAX_CLASSES:
        raise ConfigurationError(
            f"label_col: column {label_col!r} has more than {MAX_CLASSES:,} different names: is it "
            "the label? Pass class_names, if it is"
        )
    return names
