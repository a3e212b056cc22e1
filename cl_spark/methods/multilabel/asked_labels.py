"""Single labels that are asked for: of some examples one class each, with its given label and its score."""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from cl_spark.evidence.packing import ddl
from cl_spark.evidence.workers import add_column, map_in_arrow
from cl_spark.kernels.arrays import Int64s
from cl_spark.kernels.memberships import MembershipRows
from cl_spark.methods.multilabel.membership_reader import MembershipReader
from cl_spark.methods.multilabel.predictions import CLASS, MultilabelPredictions
from cl_spark.methods.multilabel.scores import MembershipFunction
from cl_spark.tables import columns as c

GIVEN_FLAG = "_is_given"
"""Column of single labels: whether the example is given the class."""


def read_asked_labels(
    predictions: MultilabelPredictions, asked: DataFrame, num_classes: int, method: str
) -> DataFrame:
    """Read one single label of each of some examples; only the rows of these reach Python.

    Args:
        predictions: the input.
        asked: few rows: the ids of the evidence, and `_class`, an index.
        num_classes: K.
        method: label quality score.

    Returns:
        The id columns of the input, `_class`, `_is_given` and `label_quality`. Examples that cannot be used
        are left out.
    """
    ids = list(predictions.ids)
    rows = predictions.select_rows().join(F.broadcast(asked), ids)
    reader = MembershipReader(predictions.prob_format, predictions.class_set, tuple(ids), num_classes)
    types = {**predictions.id_types, CLASS: "int", GIVEN_FLAG: "boolean", c.LABEL_QUALITY: "double"}
    found = map_in_arrow(rows, AskedLabels(reader, ids, method), ddl(types))
    return found.select(*predictions.restore_ids(), CLASS, GIVEN_FLAG, c.LABEL_QUALITY)


class AskedLabels(MembershipFunction):
    """Function of batches of input rows with the class that is asked for: its given label and its score."""

    def answer(
        self, batch: pa.RecordBatch, position: Int64s, members: MembershipRows
    ) -> Iterator[pa.RecordBatch]:
        """Read the single label of each example that is asked for."""
        found = batch.select([*self.ids, CLASS]).take(pa.array(position))
        asked, num_classes = found.column(CLASS).to_numpy(zero_copy_only=False), members.num_classes
        row, class_index = members.given_labels()
        keys = np.arange(len(position)) * num_classes + asked
        is_given = np.isin(keys, row * num_classes + class_index)
        scores = [
            scores[np.arange(len(scores)), asked[rows]] for rows, scores in members.score_classes(self.method)
        ]
        found = add_column(found, GIVEN_FLAG, pa.array(is_given))
        yield add_column(found, c.LABEL_QUALITY, pa.array(np.concatenate(scores)))
