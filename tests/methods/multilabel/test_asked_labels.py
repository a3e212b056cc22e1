"""Single labels that are asked for: given labels and scores, in every form of sets and probabilities."""

from typing import Any

import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from cl_spark import MultilabelAudit
from cl_spark.methods.multilabel.asked_labels import read_asked_labels

pytestmark = pytest.mark.matrix

LABELS = [[0], [1, 2], [], [0, 1, 2], [7], [2]]
"""Sets of labels, of which one cannot be used."""
PROBS = [[0.9, 0.2, 0.1], [0.3, 0.8, 0.6], [0.1, 0.4, 0.7], [0.9, 0.9, 0.2], [0.1, 0.1, 0.1], [0.5, 0.1, 0.3]]


def make_audit(spark: SparkSession, form: str) -> MultilabelAudit:
    """An audit of these rows: sets as indices, names or booleans; probabilities as arrays or maps."""
    rows = [
        (str(i), i % 2, labels, probs) for i, (labels, probs) in enumerate(zip(LABELS, PROBS, strict=True))
    ]
    schema = "part string, nr int, labels array<int>, pred_probs array<double>"
    df = spark.createDataFrame(rows, schema).repartition(3)
    names, options = ["a", "b", "c"], {}
    if form == "names":
        df = df.withColumn("labels", F.expr("transform(labels, k -> get(array('a', 'b', 'c'), k))"))
        options = {"class_names": names}
    if form == "booleans":
        df = df.withColumns({name: F.array_contains("labels", i) for i, name in enumerate(names)})
        df = df.withColumn("a", F.when(~F.array_contains("labels", 7), F.col("a")))
        options = {"labels_col": names}
    if form == "sparse":
        pairs = F.expr("map_from_arrays(array(0, 1, 2), pred_probs)")
        df = df.withColumn("pred_probs", F.map_filter(pairs, lambda k, p: p > 0.1))
        options = {"num_classes": 3}
    arguments: dict[str, Any] = {"id_col": ["part", "nr"], **options}
    return MultilabelAudit(df, **arguments)


@pytest.mark.parametrize("form", ["indices", "names", "booleans", "sparse"])
def test_a_single_label_has_the_given_label_and_the_score_of_the_audit(
    spark: SparkSession, form: str
) -> None:
    with make_audit(spark, form) as audit:
        predictions = audit.predictions
        wanted = F.pmod(F.col("part").cast("int"), F.lit(3)).alias("_class")
        ids = [F.col(col).alias(name) for col, name in zip(["part", "nr"], predictions.ids, strict=True)]
        asked = predictions.df.select(*ids, wanted)
        found = read_asked_labels(predictions, asked, 3, "self_confidence")
        assert found.columns == ["part", "nr", "_class", "_is_given", "label_quality"]
        got = {row.part: (row["_class"], row["_is_given"], row.label_quality) for row in found.collect()}
        scores = {
            (row.part, row["class"]): row.label_quality
            for row in audit.label_quality_scores_per_class().collect()
        }
    assert set(got) == {"0", "1", "2", "3", "5"}
    shown = {k: name if form in ("names", "booleans") else k for k, name in enumerate("abc")}
    for part, (class_index, is_given, score) in got.items():
        assert class_index == int(part) % 3
        assert is_given == (class_index in LABELS[int(part)])
        assert score == scores[part, shown[class_index]]
