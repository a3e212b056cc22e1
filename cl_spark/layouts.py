"""How a row holds its probabilities: an array with a value per class, or the list of the classes worth listing.

Both say in native expressions over the column `PROBS` what the evidence asks of a row, so arrays stay where they are read.
"""

from dataclasses import dataclass
from functools import reduce
from operator import add

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql import Column
from pyspark.sql import functions as F

from cl_spark import columns as c

PROBES = 8
"""How many values of an array are looked at to guess whether many reach a bar."""

SHORT = 64
"""Arrays up to this length are as cheap to keep as to list."""

_END = 2**31 - 1


@dataclass(frozen=True)
class Dense:
    """array<element> of length K; the class is the position."""

    element: str

    @property
    def type(self) -> str:
        """The type of the column `PROBS`."""
        return f"array<{self.element}>"

    def length(self) -> Column:
        """K as the row has it; -1 where there is no array."""
        return F.coalesce(F.size(c.PROBS), F.lit(-1))

    def highest(self) -> Column:
        """The highest value: NaN if any is."""
        return F.array_max(c.PROBS)

    def lowest(self) -> Column:
        """The lowest value."""
        return F.array_min(c.PROBS)

    def total(self) -> Column:
        """The sum of the values, in the order of the classes."""
        return _sum(F.col(c.PROBS))

    def at(self, index: Column) -> Column:
        """The value of a class; null outside the array, whatever the ANSI setting."""
        return F.get(F.col(c.PROBS), F.when((index >= 0) & (index < 2**31), index.cast("int")))

    def first_of(self, value: Column) -> Column:
        """The first class that has a value."""
        return (_position(F.col(c.PROBS), value) - 1).cast("int")

    def second(self) -> Column:
        """The highest value of another class than the predicted."""
        probs, first = F.col(c.PROBS), F.col(c.PREDICTED)
        return F.greatest(F.array_max(F.slice(probs, F.lit(1), first)), F.array_max(F.slice(probs, first + 2, F.lit(_END))))

    def lacks_values(self) -> tuple[Column, Column]:
        """Whether a value is null, and whether one is minus infinity (a maximum does not show it)."""
        # null where nothing matches and the array holds a null
        found = F.array_contains(c.PROBS, F.lit(float("-inf")).cast(self.element))
        return found.isNull(), found

    def crowded(self, bar: Column) -> Column:
        """Whether so many classes seem to reach the bar that listing them would cost more than the array: a guess by probes."""
        hits = [(F.get(F.col(c.PROBS), F.lit(9 * i)) >= bar).cast("int") for i in range(PROBES)]
        return F.when(F.size(c.PROBS) > SHORT, reduce(add, hits) > 2).otherwise(F.lit(False))

    def reachable(self, bar: Column) -> Column:
        """The bar, raised to what no class without a value of its own exceeds: here every class has one."""
        return bar

    def unusable(self) -> tuple[Column, Column]:
        """Whether the listed classes are no set of classes, and whether none stands out: neither can be of an array."""
        return F.lit(False), F.lit(False)

    def exploded(self, probs: Column) -> Column:
        """Generates (position, value) for each value listed; one row of nulls for none."""
        return F.posexplode_outer(probs)

    def class_at(self, position: Column) -> Column:
        """The class whose value is at a position."""
        return position

    def matrix(self, batch: pa.Array, num_classes: int) -> NDArray[np.floating]:
        """(n, K) values of an Arrow array of accepted rows."""
        values: NDArray[np.floating] = batch.flatten().to_numpy(zero_copy_only=False)
        return values.reshape(len(batch), num_classes)


@dataclass(frozen=True)
class Sparse:
    """struct<class array<int>, value array<element>>: some classes and their values; every absent class has the same value.

    A list of structs has to be copied to be read by part, so inputs are turned round once, where they are read.
    """

    element: str
    num_classes: int
    absent: float

    @property
    def type(self) -> str:
        """The type of the column `PROBS`."""
        return f"struct<class:array<int>,value:array<{self.element}>>"

    @property
    def _classes(self) -> Column:
        return F.col(c.PROBS)["class"]

    @property
    def _values(self) -> Column:
        return F.col(c.PROBS)["value"]

    @property
    def _size(self) -> Column:
        return F.size(self._values)

    @property
    def _absent(self) -> Column:
        """The value of absent classes, null where there are none."""
        return F.when(self._size < self.num_classes, F.lit(self.absent).cast(self.element))

    def length(self) -> Column:
        """K; 0 for an empty list, -1 where there is none."""
        return F.when(self._size > 0, F.lit(self.num_classes)).otherwise(F.coalesce(self._size, F.lit(-1)))

    def highest(self) -> Column:
        """The highest value listed: NaN if any is."""
        return F.array_max(self._values)

    def lowest(self) -> Column:
        """The lowest value, of absent classes too."""
        return F.least(F.array_min(self._values), self._absent)

    def total(self) -> Column:
        """The sum of the values, those of absent classes too."""
        return _sum(self._values) + (self.num_classes - self._size) * F.lit(self.absent)

    def at(self, index: Column) -> Column:
        """The value of a class; null outside 0..K-1."""
        listed = F.get(self._values, (_position(self._classes, index.cast("int")) - 1).cast("int"))
        inside = (index >= 0) & (index < self.num_classes)
        return F.when(inside, F.coalesce(listed, F.lit(self.absent).cast(self.element)))

    def first_of(self, value: Column) -> Column:
        """The lowest class that is listed with a value."""
        place = _position(self._values, value).cast("int")
        tied = _position(F.slice(self._values, place + 1, F.lit(_END)), value) > 0
        pairs = F.arrays_zip(self._classes.alias("class"), self._values.alias("value"))
        lowest = F.array_min(F.filter(pairs, lambda entry: entry["value"] == value)["class"])
        return F.when((place > 0) & tied, lowest).otherwise(F.get(self._classes, place - 1))

    def second(self) -> Column:
        """The highest value of another class than the predicted."""
        place = _position(self._classes, F.col(c.PREDICTED)).cast("int")
        before, after = F.slice(self._values, F.lit(1), place - 1), F.slice(self._values, place + 1, F.lit(_END))
        return F.greatest(F.array_max(before), F.array_max(after), self._absent)

    def lacks_values(self) -> tuple[Column, Column]:
        """Whether a class or value is null, and whether a value is minus infinity."""
        found = F.array_contains(self._values, F.lit(float("-inf")).cast(self.element))
        return found.isNull() | F.array_contains(self._classes, F.lit(_END)).isNull(), found

    def reachable(self, bar: Column) -> Column:
        """The bar, raised to the value of absent classes, which cannot be listed."""
        return F.greatest(bar, F.lit(self.absent).cast(self.element))

    def unusable(self) -> tuple[Column, Column]:
        """Whether a class is listed twice or outside 0..K-1, and whether none is listed above the value of absent ones."""
        classes = self._classes
        outside = (F.array_min(classes) < 0) | (F.array_max(classes) >= self.num_classes)
        return outside | (F.size(F.array_distinct(classes)) < F.size(classes)), self.highest() <= self._absent

    def crowded(self, bar: Column) -> Column:
        """Never: the list is short."""
        return F.lit(False)

    def exploded(self, probs: Column) -> Column:
        """Generates (position, value) for each value listed; one row of nulls for none."""
        return F.posexplode_outer(probs["value"])

    def class_at(self, position: Column) -> Column:
        """The class whose value is at a position."""
        return F.get(self._classes, position)

    def matrix(self, batch: pa.Array, num_classes: int) -> NDArray[np.floating]:
        """(n, K) values of an Arrow array of accepted rows."""
        classes, lists = batch.flatten()
        values = lists.flatten().to_numpy(zero_copy_only=False)
        matrix = np.full((len(batch), num_classes), self.absent, dtype=values.dtype)
        rows = np.repeat(np.arange(len(batch)), lists.value_lengths().to_numpy(zero_copy_only=False))
        matrix[rows, classes.flatten().to_numpy(zero_copy_only=False)] = values
        return matrix


def _position(values: Column, value: Column) -> Column:
    """Where a value comes first, from 1; 0 where it is not. (PySpark 3.5's own function takes no column.)"""
    return F.call_function("array_position", values, value)


def _sum(values: Column) -> Column:
    return F.aggregate(values, F.lit(0.0), lambda total, value: total + value)


Layout = Dense | Sparse
