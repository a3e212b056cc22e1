"""`AnnotatorAudit` on Spark: which rows count, what is defined at the edges, and that nothing depends on "
"order."""

import numpy as np
import pandas as pd
import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from cl_spark import (
    AnnotatorAudit,
    ColumnTypeError,
    ConfigurationError,
    EmptyTableError,
    InputError,
    MissingColumnError,
    SingleClassError,
)
from tests.methods.annotators.frames import make

pytestmark = pytest.mark.matrix


def frame(*rows: tuple) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["id", "annotator", "label"])


THREE = frame(
    (1, "ann", "cat"),
    (1, "bob", "cat"),
    (1, "eve", "dog"),
    (2, "ann", "dog"),
    (2, "bob", "dog"),
    (3, "eve", "cat"),
)


def rows(df, *columns: str) -> list[tuple]:  # type: ignore[no-untyped-def]
    return sorted(tuple(row) for row in df.select(*columns).collect())


def test_columns_and_values_without_predictions(spark: SparkSession) -> None:
    with AnnotatorAudit(THREE, spark=spark) as audit:
        consensus = audit.consensus()
        assert consensus.columns == [
            *("id", "consensus_label", "consensus_quality", "annotator_agreement", "num_annotations")
        ]
        assert rows(consensus, "id", "consensus_label", "num_annotations") == [
            *((1, "cat", 3), (2, "dog", 2), (3, "cat", 1))
        ]
        assert rows(audit.annotation_quality(), "id", "annotator", "label")[:3] == [
            *((1, "ann", "cat"), (1, "bob", "cat"), (1, "eve", "dog"))
        ]
        annotators = audit.annotators()
        assert annotators.columns == [
            *("annotator", "quality", "agreement_with_consensus", "num_examples", "worst_class")
        ]
        assert rows(annotators, "annotator", "num_examples", "worst_class") == [
            *(("ann", 2, "dog"), ("bob", 2, "dog"), ("eve", 2, "dog"))
        ]
        scores = audit.active_learning_scores()
        assert scores.columns == ["id", "score"]
        assert scores.count() == 3


def test_rows_that_cannot_be_used_are_kept_with_reasons(spark: SparkSession) -> None:
    annotations = spark.createDataFrame(
        [
            *((1, "ann", 0), (1, "bob", 0), (1, "bob", 0), (2, "ann", 1), (2, "bob", 1)),
            *((3, "ann", 0), (3, "ann", 1), (3, "bob", 1)),
            *((None, "ann", 0), (4, None, 0), (4, "ann", None), (4, "bob", 9)),
        ],
        "id int, annotator string, label int",
    )
    predictions = spark.createDataFrame(
        [
            *((1, [0.9, 0.1]), (2, [0.2, 0.8]), (2, [0.3, 0.7]), (3, [0.2, 0.9]), (None, [0.5, 0.5])),
            *(
                (4, None),
                (5, [0.5, 0.5]),
                (6, [0.5]),
                (7, [0.5, None]),
                (8, [float("nan"), 1.0]),
                (9, [-0.5, 1.5]),
            ),
        ],
        "id int, pred_probs array<double>",
    )
    with AnnotatorAudit(annotations, predictions) as audit:
        assert audit.counts.num_annotations == 5
        assert audit.rejected_counts == {
            "annotation that its annotator gave before": 1,
            "annotator who gave the example several labels": 2,
            "label outside 0..K-1": 1,
            "null annotator": 1,
            "null id": 1,
            "null label": 1,
            "predictions: NaN or infinity in pred_probs": 1,
            "predictions: id of several rows": 2,
            "predictions: negative value in pred_probs": 1,
            "predictions: null id": 1,
            "predictions: null inside pred_probs": 1,
            "predictions: null or empty pred_probs": 1,
            "predictions: pred_probs of another length than K": 1,
            "predictions: pred_probs that do not sum to 1": 1,
        }
        rejected = audit.rejected()
        assert rejected.columns == ["id", "reason", "row"]
        counts = {row[0]: row[1] for row in rejected.groupBy("reason").count().collect()}
        assert counts == audit.rejected_counts
        # accepted + rejected = read
        accepted = audit.counts.num_annotations + 2  # the predictions of 1 and 5
        assert accepted + rejected.count() == audit.num_read == 23
        assert rows(audit.consensus(), "id") == [(1,), (2,), (3,)]
        assert rows(audit.active_learning_scores(), "id") == [(1,), (2,), (3,), (5,)]


@pytest.mark.parametrize("partitions", [7, 200])
def test_nothing_depends_on_partitions_and_order(spark: SparkSession, partitions: int) -> None:
    made = make(3, examples=80, decimals=1)

    def answers(parts: int, seed: int) -> list[list[tuple]]:
        annotations = spark.createDataFrame(made.annotations.sample(frac=1, random_state=seed))
        predictions = spark.createDataFrame(made.predictions.sample(frac=1, random_state=seed))
        with AnnotatorAudit(annotations.repartition(parts), predictions.repartition(parts)) as audit:
            frames = audit.consensus(), audit.annotation_quality(), audit.annotators()
            return [sorted(map(tuple, df.collect())) for df in (*frames, audit.active_learning_scores())]

    assert answers(1, 0) == answers(partitions, 1)


@pytest.mark.classic
def test_votes_of_few_examples_stand_in_one_partition(spark: SparkSession) -> None:
    made = make(3, examples=80)
    gold = pd.DataFrame({"id": [0], "label": [1]})
    with AnnotatorAudit(made.annotations, made.predictions, gold=gold, spark=spark) as audit:
        assert audit.votes.rows.rdd.getNumPartitions() == 1  # each pass is a Python task for each


def test_an_example_without_prediction_is_judged_by_its_annotators(spark: SparkSession) -> None:
    made = make(4, examples=60)
    some = made.predictions[made.predictions["id"] % 2 == 0]
    with AnnotatorAudit(made.annotations, some, spark=spark) as audit:
        found = audit.consensus().toPandas().set_index("id")
    votes = made.annotations.groupby(["id", "label"]).size()
    alone = made.annotations.groupby("id").size()
    odd = [i for i in alone.index[alone == 1] if i % 2]
    assert odd
    assert all(found["consensus_label"][i] == votes[i].index[0] for i in odd)
    assert found["consensus_quality"].between(0, 1).all()


def test_where_no_example_is_shared_the_model_judges(
    spark: SparkSession, caplog: pytest.LogCaptureFixture
) -> None:
    annotations = frame((1, "ann", 0), (2, "bob", 1), (3, "ann", 1))
    probs = pd.DataFrame({"id": [1, 2, 3], "pred_probs": [[0.9, 0.1], [0.6, 0.4], [0.2, 0.8]]})
    with AnnotatorAudit(annotations, probs, spark=spark) as audit:
        assert [warning.code for warning in audit.warnings()] == ["no_shared_examples"]
        found = audit.consensus().toPandas().sort_values("id")
        assert caplog.text.count("no_shared_examples") == 1
        assert found["consensus_label"].tolist() == [0, 1, 1]
        np.testing.assert_allclose(found["consensus_quality"], [0.9, 0.4, 0.8])
        # all weights are 1: (2 * 0.9 + 0.5) / 3 ...
        scores = audit.active_learning_scores().toPandas().sort_values("id")["score"]
        np.testing.assert_allclose(scores, (2 * np.array([0.9, 0.4, 0.8]) + 0.5) / 3)
    with AnnotatorAudit(annotations, spark=spark) as audit, pytest.raises(InputError, match="two annotators"):
        audit.consensus()


def test_gold_answers_are_the_consensus_and_judge_annotators(spark: SparkSession) -> None:
    gold = pd.DataFrame({"id": [1, 77], "label": ["dog", "cat"]})
    with AnnotatorAudit(THREE, gold=gold, spark=spark) as audit:
        found = audit.consensus().toPandas().set_index("id")
        assert (found["consensus_label"][1], found["consensus_quality"][1]) == ("dog", 1.0)
        assert found["annotator_agreement"][1] == pytest.approx(1 / 3)
        quality = audit.annotation_quality().toPandas().set_index(["id", "annotator"])["label_quality"]
        assert (quality[1, "eve"], quality[1, "ann"]) == (1.0, 0.0)
    with (
        AnnotatorAudit(THREE, gold=pd.DataFrame({"id": [77], "label": ["cat"]}), spark=spark) as audit,
    ):
        assert [warning.code for warning in audit.warnings()] == ["gold_unused"]
    for label, text in (("cow", "no class"), (None, "no class")):
        wrong = pd.DataFrame({"id": [1, 2], "label": [label, "cat"]})
        with AnnotatorAudit(THREE, gold=wrong, spark=spark) as audit, pytest.raises(InputError, match=text):
            audit.consensus()
    twice = pd.DataFrame({"id": [1, 1], "label": ["cat", "dog"]})
    with AnnotatorAudit(THREE, gold=twice, spark=spark) as audit, pytest.raises(InputError, match="several"):
        audit.consensus()


def test_formats_of_probabilities_and_composite_ids(spark: SparkSession) -> None:
    made = make(5, examples=40, classes=3)
    names = ["x", "y", "z"]
    annotations = spark.createDataFrame(made.annotations).withColumnRenamed("id", "key")
    annotations = annotations.withColumn("part", F.lit("p"))
    predictions = spark.createDataFrame(made.predictions).withColumnRenamed("id", "key")
    predictions = predictions.withColumn("part", F.lit("p"))
    wide = predictions.select("part", "key", *[F.col("pred_probs")[i].alias(names[i]) for i in range(3)])
    struct = predictions.select(
        "part",
        "key",
        F.struct(*[F.col("pred_probs")[i].alias(names[i]) for i in (2, 0, 1)]).alias("pred_probs"),
    )
    options = {"id_col": ["part", "key"], "class_names": names}
    found = []
    for table, cols in ((predictions, "pred_probs"), (wide, names), (struct, "pred_probs")):
        with AnnotatorAudit(annotations, table, pred_probs_col=cols, **options) as audit:
            consensus = audit.consensus()
            assert consensus.columns[:3] == ["part", "key", "consensus_label"]
            found.append(sorted(map(tuple, consensus.collect())))
    assert found[0] == found[1] == found[2]
    assert {row[2] for row in found[0]} == set(names)


def test_examples_to_label_next_come_from_a_second_table_too(spark: SparkSession) -> None:
    made, more = make(6, examples=30), make(7, examples=10).predictions.assign(id=range(100, 110))
    with AnnotatorAudit(made.annotations, made.predictions, spark=spark) as audit:
        assert audit.active_learning_scores(more).count() == 40
        with pytest.raises(InputError, match="hold already: 30"):
            audit.active_learning_scores(made.predictions)
        wrong = more.assign(pred_probs=[[0.5] * 4] * 10)
        with pytest.raises(InputError, match=r"^unlabeled: pred_probs that do not sum to 1: 10\. "):
            audit.active_learning_scores(wrong)
        with pytest.raises(InputError, match="that of another row"):
            audit.active_learning_scores(pd.concat([more, more]))
        with pytest.raises(ConfigurationError, match="2 classes, and predictions of 1 and 4"):
            audit.active_learning_scores(pd.DataFrame({"id": [900], "pred_probs": [[0.5, 0.5]]}))


def test_wrong_arguments_are_refused_at_once(spark: SparkSession) -> None:
    probs = pd.DataFrame({"id": [1], "pred_probs": [[0.5, 0.5]]})
    for error, text, options in (
        (ConfigurationError, "consensus_method", {"consensus_method": "best"}),
        (ConfigurationError, "calibrate", {"calibrate": True}),
        (ConfigurationError, "num_classes", {"num_classes": 1}),
        (ConfigurationError, "class_names", {"predictions": probs}),
        (MissingColumnError, "annotator_col", {"annotator_col": "worker"}),
        (ConfigurationError, "different columns", {"annotator_col": "label"}),
        (ConfigurationError, "more than once", {"class_names": ["cat", "cat"]}),
        (
            MissingColumnError,
            "id",
            {"predictions": probs.rename(columns={"id": "key"}), "class_names": ["a", "b"]},
        ),
        (ColumnTypeError, "id", {"predictions": probs.assign(id="1"), "class_names": ["a", "b"]}),
        (
            ColumnTypeError,
            "pred_probs",
            {"predictions": probs.assign(pred_probs="x"), "class_names": ["a", "b"]},
        ),
    ):
        with pytest.raises(error, match=text):
            AnnotatorAudit(THREE, **options, spark=spark)  # type: ignore[arg-type]
    for error, text, table in (
        (EmptyTableError, "annotator", frame((1, None, "cat"))),
        (
            EmptyTableError,
            "none of the 1 rows can be used: null label: 1",
            frame((1, "ann", None)).astype(object),
        ),
        (SingleClassError, "one class", frame((1, "ann", "cat"), (1, "bob", "cat"))),
    ):
        table["label"] = table["label"].astype("string")
        table["annotator"] = table["annotator"].astype("string")
        names = ["cat", "dog"] if error is EmptyTableError else None
        with AnnotatorAudit(table, class_names=names, spark=spark) as audit, pytest.raises(error, match=text):
            audit.consensus()


def test_gold_of_another_kind_of_label_is_refused(spark: SparkSession) -> None:
    # as an index, 1 would be the second of the names '1', '2', '3'
    numbered = THREE.assign(label=THREE["label"].map({"cat": "1", "dog": "2"}))
    gold = pd.DataFrame({"id": [1], "label": [1]})
    with pytest.raises(ColumnTypeError, match="gold: column 'label' is bigint in gold and string in"):
        AnnotatorAudit(numbered, gold=gold, spark=spark)
    with pytest.raises(ColumnTypeError, match="gold: column 'label' is array<bigint>"):
        AnnotatorAudit(numbered, gold=gold.assign(label=[[1]]), spark=spark)
    with pytest.raises(MissingColumnError, match="no column 'label' in gold"):
        AnnotatorAudit(numbered, gold=gold.rename(columns={"label": "class"}), spark=spark)
    same = gold.assign(label="2").rename(columns={"label": "LABEL"})
    with AnnotatorAudit(numbered, gold=same, spark=spark) as audit:
        assert rows(audit.consensus(), "id", "consensus_label")[0] == (1, "2")
    indices = THREE.assign(label=THREE["label"].map({"cat": 0, "dog": 1}))
    named = gold.assign(label="dog")
    with AnnotatorAudit(indices, gold=named, class_names=["cat", "dog"], spark=spark) as audit:
        assert rows(audit.consensus(), "id", "consensus_label")[0] == (1, "dog")


def test_predictions_that_tell_nothing_are_an_error_or_a_warning(spark: SparkSession) -> None:
    made = make(11, examples=60, classes=3)
    with (
        AnnotatorAudit(made.annotations, made.predictions, class_names=list("abcd"), spark=spark) as audit,
        pytest.raises(InputError, match=r"none of the 60 rows can be used: pred_probs of another length"),
    ):
        audit.consensus()
    elsewhere = made.predictions.assign(id=made.predictions["id"] + 1000)
    with AnnotatorAudit(made.annotations, elsewhere, spark=spark) as audit:
        assert [warning.code for warning in audit.warnings()] == ["predictions_unused"]
        assert audit.active_learning_scores().count() == 120
    # nothing at all tells about a label: not even a quality of 1 would be true
    single = made.annotations.drop_duplicates("id")
    with (
        AnnotatorAudit(single, elsewhere, spark=spark) as audit,
        pytest.raises(InputError, match="two annotators, and no annotated one is predicted"),
    ):
        audit.consensus()
    with AnnotatorAudit(single, made.predictions[:50], spark=spark) as audit:
        (warning,) = audit.warnings()
        assert "1 for the 10 examples without a prediction" in warning.message


def test_labels_from_1_on_and_classes_in_another_order_are_told(spark: SparkSession) -> None:
    made = make(12, examples=200, classes=3, labels=(2, 4), skill=(0.8, 0.95))
    from_one = made.annotations.assign(label=made.annotations["label"] + 1)
    moved = made.predictions.assign(pred_probs=[np.roll(probs, 1) for probs in made.probs])
    for annotations, predictions, codes in (
        (from_one, None, ["labels_one_based"]),
        (from_one, made.predictions, ["model_disagrees", "labels_one_based"]),
        (made.annotations, moved, ["model_disagrees"]),
        (made.annotations, made.predictions, []),
    ):
        with AnnotatorAudit(annotations, predictions, spark=spark) as audit:
            assert [warning.code for warning in audit.warnings()] == codes


def test_ids_of_predictions_may_be_wider_than_those_of_annotations(spark: SparkSession) -> None:
    made, far = make(13, examples=20), 3_000_000_000
    annotations = spark.createDataFrame(made.annotations).withColumn("id", F.col("id").cast("int"))
    more = make(14, examples=2).predictions
    wide = pd.concat([made.predictions, more.assign(id=far), more[:1].assign(id=far + 1)])
    with AnnotatorAudit(annotations, wide) as audit:
        assert rows(audit.active_learning_scores(), "id")[-1] == (far + 1,)
        assert rows(audit.rejected(), "id") == [(far,), (far,)]
        assert dict(audit.consensus().dtypes)["id"] == "bigint"
    narrow = spark.createDataFrame(made.predictions).withColumn("id", F.col("id").cast("int"))
    with AnnotatorAudit(annotations, narrow) as audit:
        assert dict(audit.consensus().dtypes)["id"] == "int"
        assert rows(audit.active_learning_scores(more[:1].assign(id=far)), "id")[-1] == (far,)


def test_columns_of_classes_name_them_only_where_labels_are_names(spark: SparkSession) -> None:
    made = make(15, examples=40, classes=3)
    columns = [f"p{k}" for k in range(3)]
    wide = pd.DataFrame(made.probs, columns=columns).assign(id=range(40))
    with AnnotatorAudit(made.annotations, wide, pred_probs_col=columns, spark=spark) as audit:
        assert {row[0] for row in rows(audit.consensus(), "consensus_label")} == {0, 1, 2}
    named = made.annotations.assign(label=np.array(columns)[made.annotations["label"]])
    with AnnotatorAudit(named, wide, pred_probs_col=columns, spark=spark) as audit:
        assert {row[0] for row in rows(audit.consensus(), "consensus_label")} == set(columns)
    with pytest.raises(ConfigurationError, match="2 names for 3 pred_probs columns"):
        AnnotatorAudit(named, wide, pred_probs_col=columns, class_names=["a", "b"], spark=spark)
    # one column of numbers is the probability of the second class, in a list or not
    two = make(16, examples=40, classes=2)
    second = pd.DataFrame({"id": range(40), "p": two.probs[:, 1]})
    found = []
    for col in ("p", ["p"]):
        with AnnotatorAudit(two.annotations, second, pred_probs_col=col, spark=spark) as audit:
            found.append(rows(audit.consensus(), "id", "consensus_label", "consensus_quality"))
    assert found[0] == found[1]


def test_class_names_may_be_an_array(spark: SparkSession) -> None:
    with AnnotatorAudit(THREE, class_names=np.array(["cat", "dog"]), spark=spark) as audit:
        assert rows(audit.consensus(), "id", "consensus_label")[0] == (1, "cat")
    with pytest.raises(ConfigurationError, match="at least 2 classes"):
        AnnotatorAudit(THREE, class_names=["cat"], spark=spark)


def test_a_table_without_rows_is_said_to_be_empty(spark: SparkSession) -> None:
    for kind in ("int", "string"):
        empty = spark.createDataFrame([], f"id int, annotator string, label {kind}")
        with AnnotatorAudit(empty) as audit, pytest.raises(EmptyTableError, match="none of the 0 rows"):
            audit.consensus()
