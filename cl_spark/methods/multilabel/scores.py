"""Label quality scores of sets of labels, of each class and of whole examples, read from input rows."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from cl_spark.errors import ConfigurationError
from cl_spark.evidence.workers import add_column
from cl_spark.kernels.arrays import Int64s
from cl_spark.kernels.class_score_aggregates import Aggregate, MovingAverage, Softmin
from cl_spark.kernels.memberships import METHODS, MembershipRows
from cl_spark.methods.multilabel.membership_reader import MembershipReader
from cl_spark.methods.multilabel.predictions import CLASS
from cl_spark.tables import columns as c


def check_membership_method(method: str, option: str, *, is_sparse: bool) -> None:
    """Check that a label quality score exists, and means something for the probabilities.

    Args:
        method: the score.
        option: the argument that names it, for messages.
        is_sparse: whether the probabilities are lists of classes.

    Raises:
        ConfigurationError: there is no such score, or it does not go with lists of classes.
    """
    if method not in METHODS:
        raise ConfigurationError(
            f"{option}={method!r} is no score of sets of labels; choose one of {', '.join(METHODS)}"
        )
    if method == "confidence_weighted_entropy" and is_sparse:
        raise ConfigurationError(
            f"{option}={method!r} does not go with lists of classes: it is 0, the worst score, of every "
            "class that is left out; choose another score, or pass arrays"
        )


def make_aggregate(aggregate: str, alpha: float | None, temperature: float) -> Aggregate:
    """Make what aggregates the scores of classes.

    Raises:
        ConfigurationError: it is unknown, or an option is out of range or belongs to another.
    """
    if aggregate == "exponential_moving_average":
        if alpha is not None and not 0 <= alpha <= 1:
            raise ConfigurationError(f"alpha={alpha!r} must lie in [0, 1], or be None for 2 / (K + 1)")
        if temperature != Softmin.temperature:
            raise ConfigurationError("temperature goes with aggregate='softmin'")
        return MovingAverage(alpha)
    if aggregate == "softmin":
        if not temperature > 0:
            raise ConfigurationError(f"temperature={temperature!r} must be above 0")
        if alpha != MovingAverage.alpha:
            raise ConfigurationError("alpha goes with aggregate='exponential_moving_average'")
        return Softmin(temperature)
    raise ConfigurationError(
        f"aggregate={aggregate!r} is unknown; choose 'exponential_moving_average' or 'softmin'"
    )


@dataclass(frozen=True)
class MembershipFunction:
    """Function of batches of input rows: what is read of the memberships of accepted examples.

    Attributes:
        read: reads the memberships of a batch.
        ids: id columns.
        method: label quality score of the classes.
    """

    read: MembershipReader
    ids: Sequence[str]
    method: str

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Read the memberships of a Spark task."""
        for batch in batches:
            for position, members in self.read(batch).groups:
                yield from self.answer(batch, position, members)

    def answer(
        self, batch: pa.RecordBatch, position: Int64s, members: MembershipRows
    ) -> Iterator[pa.RecordBatch]:
        """Answer for some examples of a batch.

        Args:
            batch: the batch.
            position: the rows of the examples in it.
            members: their memberships.
        """
        raise NotImplementedError


@dataclass(frozen=True)
class ExampleScores(MembershipFunction):
    """Function of batches of input rows: ids of accepted examples, and their label quality.

    Attributes:
        aggregate: how the scores of the classes make one score.
    """

    aggregate: Aggregate

    def answer(
        self, batch: pa.RecordBatch, position: Int64s, members: MembershipRows
    ) -> Iterator[pa.RecordBatch]:
        """Score the examples."""
        ids = batch.select(self.ids).take(pa.array(position))
        scores = members.score(self.method, self.aggregate)
        yield add_column(ids, c.LABEL_QUALITY, pa.array(scores))


@dataclass(frozen=True)
class ClassScores(MembershipFunction):
    """Function of batches of input rows: label quality of every class of the accepted examples."""

    def answer(
        self, batch: pa.RecordBatch, position: Int64s, members: MembershipRows
    ) -> Iterator[pa.RecordBatch]:
        """Score all classes of the examples."""
        for rows, scores in members.score_classes(self.method):
            size, num_classes = scores.shape
            row = np.repeat(position[rows], num_classes)
            classes = np.tile(np.arange(num_classes, dtype=np.int32), size)
            found = batch.select(self.ids).take(pa.array(row))
            found = add_column(found, CLASS, pa.array(classes))
            yield add_column(found, c.LABEL_QUALITY, pa.array(scores.ravel()))
