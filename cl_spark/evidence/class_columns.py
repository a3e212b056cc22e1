"""Columns of classes: by index and by name."""

import json
from collections.abc import Sequence

from pyspark.sql import Column
from pyspark.sql import functions as F
from pyspark.sql.types import BooleanType, DataType, FractionalType


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
