"""What an input table may be, and what is said of one that cannot be used."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from cl_spark import ConfigurationError, EmptyTableError, InputError, LabelAudit, find_label_issues
from cl_spark.evidence.predictions import RESULT_COLUMNS
from cl_spark.evidence.validity import RejectionReason
from cl_spark.tables.schema import REJECTED
from cl_spark.tasks.label_audit.tables import ISSUES, LABEL_SCORES, SCORED
from tests.forgotten import collect
from tests.frames import ids, predictions
from tests.oracle import reference
from tests.oracle.datasets import dataset

pytestmark = pytest.mark.matrix
DATA = dataset(61, 200, 4)
EXPECTED = reference.issues(DATA.labels, DATA.probs, "prune_by_noise_rate")
NAMES = ["ant", "bee", "cat", 'd\'oe "x"']


@pytest.fixture(scope="module")
def df(spark: SparkSession) -> DataFrame:
    return predictions(spark, DATA.labels, DATA.probs).cache()


def test_separate_columns_are_one_class_each(df: DataFrame) -> None:
    wide = df.select("id", "label", *[F.col("pred_probs")[k].alias(f"p {k}.x") for k in range(4)])
    issues = find_label_issues(wide, pred_probs_col=[f"p {k}.x" for k in range(4)])
    assert ids(issues) == EXPECTED
    assert dict(issues.dtypes)["given_label"] == "int"


def test_ml_vectors_are_read_as_spark_ml_writes_them(df: DataFrame) -> None:
    from pyspark.ml.functions import array_to_vector

    assert ids(find_label_issues(df.withColumn("pred_probs", array_to_vector("pred_probs")))) == EXPECTED


def test_class_names_stand_for_indices_in_the_order_given(spark: SparkSession, df: DataFrame) -> None:
    names = spark.createDataFrame(list(enumerate(NAMES)), "label int, name string")
    named = df.join(names, "label").select("id", F.col("name").alias("label"), "pred_probs")
    issues = find_label_issues(named, class_names=NAMES)
    assert ids(issues) == EXPECTED
    for row in issues.collect():
        assert row.given_label == NAMES[DATA.labels[row.id]]
        assert row.suggested_label == NAMES[int(DATA.probs[row.id].argmax())]


def test_names_of_the_columns_are_names_of_the_classes(df: DataFrame) -> None:
    names = F.array(*map(F.lit, NAMES))
    wide = df.select(
        "id",
        names[F.col("label")].alias("label"),
        *[F.col("pred_probs")[k].alias(NAMES[k]) for k in range(4)],
    )
    issues = find_label_issues(wide, pred_probs_col=NAMES)
    assert ids(issues) == EXPECTED
    assert {row.given_label for row in issues.collect()} <= set(NAMES)


def test_class_names_rename_index_labels(df: DataFrame) -> None:
    with LabelAudit(df, class_names=NAMES) as audit:
        assert sorted(row["class"] for row in audit.confident_thresholds().collect()) == sorted(NAMES)


def test_composite_keys_and_odd_column_names_work(df: DataFrame) -> None:
    keys = ["a.b `c`", "part 'é'"]
    odd = df.select(
        (F.col("id") / 10).cast("int").alias(keys[0]),
        (F.col("id") % 10).alias(keys[1]),
        F.col("label").alias("the label"),
        F.col("pred_probs").alias("p.p"),
    )
    issues = find_label_issues(odd, id_col=keys, label_col="the label", pred_probs_col="p.p")
    assert issues.columns[:2] == keys
    assert {row[0] * 10 + row[1] for row in issues.collect()} == EXPECTED


def test_labels_may_be_a_table_of_their_own(df: DataFrame) -> None:
    labels = df.select("id", "label").where("id <> 3").union(df.limit(1).selectExpr("1000L", "0"))
    with LabelAudit(df.drop("label"), labels=labels) as audit:
        assert audit.num_examples == 199
        rejected = {(row.id, row.reason) for row in audit.rejected().collect()}
        assert rejected == {(3, "prediction without a label"), (1000, "label without a prediction")}
        assert audit.statistics.num_rejected == 2


def test_every_row_that_cannot_be_used_is_rejected_with_its_reason(
    spark: SparkSession, df: DataFrame
) -> None:
    nan, inf = float("nan"), float("inf")
    bad: dict[int, tuple[Any, Any, str]] = {
        1000: (None, [0.1, 0.2, 0.3, 0.4], "null label"),
        1001: (4, [0.1, 0.2, 0.3, 0.4], "label outside 0..K-1"),
        1002: (-1, [0.1, 0.2, 0.3, 0.4], "label outside 0..K-1"),
        1003: (0, None, "null or empty pred_probs"),
        1004: (0, [], "null or empty pred_probs"),
        1005: (0, [0.1, None, 0.3, 0.4], "null inside pred_probs"),
        1006: (0, [0.1, nan, 0.3, 0.4], "NaN or infinity in pred_probs"),
        1007: (0, [0.1, inf, 0.3, 0.4], "NaN or infinity in pred_probs"),
        1008: (0, [0.1, -inf, 0.3, 0.4], "NaN or infinity in pred_probs"),
        1009: (0, [0.5, 0.5], "pred_probs of another length than K"),
        1010: (3, [0.5, 0.5], "pred_probs of another length than K"),
        1011: (0, [1e10, 0.2, 0.3, 0.4], "score beyond 2^29"),
        1012: (0, [nan, 0.2, 0.3, 0.4], "NaN or infinity in pred_probs"),
        1013: (0, [-inf, 0.2, 0.3, 0.4], "NaN or infinity in pred_probs"),
        1014: (0, [0.7, -0.1, 0.2, 0.2], "negative value in pred_probs"),
        1015: (0, [0.7, 0.1, 0.1, 0.2], "pred_probs that do not sum to 1"),
        1016: (1, [0.7, 0.1, 0.1, 0.1], "id of several rows"),
        1017: (0, [1.00001, 0.0, 0.0, 0.0], "value outside 0..1 in pred_probs"),
    }
    rows = spark.createDataFrame([(i, label, probs) for i, (label, probs, _) in bad.items()], df.schema)
    rows = rows.unionByName(spark.createDataFrame([(1016, 9, [0.7, 0.1, 0.1, 0.1])], df.schema))
    no_id = spark.createDataFrame([(None, 0, [0.25] * 4)], df.schema)
    with LabelAudit(df.unionByName(rows).unionByName(no_id), probabilities=True) as audit:
        found = {row.id: row for row in audit.rejected().collect()}
        assert {i: row.reason for i, row in found.items()} == {i: why for i, (*_, why) in bad.items()} | {
            None: "null id"
        }
        assert '"label":4' in found[1001].row
        assert audit.num_examples + audit.statistics.num_rejected == df.count() + len(bad) + 2
        assert ids(audit.find_label_issues()) == EXPECTED


def test_rows_of_another_length_alone_are_rejected(spark: SparkSession, df: DataFrame) -> None:
    odd = spark.createDataFrame([(1000, 0, [0.5, 0.5]), (1001, 1, [0.2] * 5)], df.schema)
    with LabelAudit(df.unionByName(odd).coalesce(1)) as audit:
        assert {row.id for row in audit.rejected().collect()} == {1000, 1001}
        assert audit.statistics.rejected == {RejectionReason.WRONG_LENGTH: 2}
        assert ids(audit.find_label_issues()) == EXPECTED


def test_what_was_not_promised_is_not_checked(df: DataFrame) -> None:
    logits = df.withColumn("pred_probs", F.expr("transform(pred_probs, p -> 2 * p - 1)"))
    with LabelAudit(logits.unionByName(logits), check_ids=False) as audit:
        assert audit.statistics.num_rejected == 0
    with (
        LabelAudit(logits, probabilities=True) as audit,
        pytest.raises(EmptyTableError, match="negative value"),
    ):
        _ = audit.statistics


@pytest.mark.parametrize("few", [10, 1000])
def test_rows_that_share_an_id_are_left_out_of_every_answer(
    df: DataFrame, monkeypatch: pytest.MonkeyPatch, few: int
) -> None:
    monkeypatch.setattr("cl_spark.methods.classification.cuts.FEW", few)
    twice = df.unionByName(df.where("id < 20"))
    with LabelAudit(twice) as audit, LabelAudit(df.where("id >= 20")) as without:
        assert audit.statistics.rejected == {RejectionReason.REPEATED_ID: 40}
        for answer in ("find_label_issues", "confident_joint", "label_quality_scores"):
            first, second = getattr(audit, answer)(), getattr(without, answer)()
            assert sorted(first.collect()) == sorted(second.collect()), answer
        margins = [one.label_quality_scores(method="normalized_margin") for one in (audit, without)]
        assert sorted(margins[0].collect()) == sorted(margins[1].collect())
        assert audit.rejected().where("reason = 'id of several rows'").count() == 40


def test_unknown_class_names_are_rejected(spark: SparkSession) -> None:
    rows = [(0, "a", [0.9, 0.1]), (1, "b", [0.2, 0.8]), (2, "?", [0.5, 0.5])]
    table = spark.createDataFrame(rows, "id long, label string, pred_probs array<double>")
    with LabelAudit(table, class_names=["a", "b"]) as audit:
        assert [(row.id, row.reason) for row in audit.rejected().collect()] == [(2, "unknown class name")]


@pytest.mark.parametrize(
    ("change", "arguments", "error", "message"),
    [
        ("*", {"label_col": "y"}, InputError, "label_col: no column 'y' in the input; it has 'id', 'label'"),
        ("*", {"id_col": []}, ConfigurationError, "id_col names no column"),
        ("*", {"label_col": "id"}, ConfigurationError, "must be different columns"),
        ("id, current_date() label, pred_probs", {}, InputError, "column 'label' is date"),
        ("id, label, 1 pred_probs", {}, InputError, "pred_probs_col: column 'pred_probs' is int"),
        ("id, label, 0.5D pred_probs", {"num_classes": 3}, ConfigurationError, "num_classes=3 .* are 2"),
        ("id, label, map('a',0.5D) pred_probs", {}, ConfigurationError, "has its classes by name"),
        ("id, label, struct(0.5D a,0.5D b) pred_probs", {}, ConfigurationError, "has its classes by name"),
        (
            "id, label, struct(0.5D a,0.5D b) pred_probs",
            {"class_names": ["a", "c"]},
            ConfigurationError,
            "'b' is not both a class name and a field of column 'pred_probs'",
        ),
        ("id, label, pred_probs, id ID", {}, ConfigurationError, "id_col: 'id' may be any of 'id', 'ID'"),
        ("id Rank, label, pred_probs", {"id_col": "Rank"}, ConfigurationError, "id_col: 'Rank' is the name"),
        (
            "id, cast(label as string) label, pred_probs",
            {},
            ConfigurationError,
            "holds class names, but nothing says",
        ),
        ("array(id) id, label, pred_probs", {}, InputError, "which has no order"),
        ("*", {"class_names": ["a", "a", "b", "c"]}, ConfigurationError, "'a' more than once"),
        ("*", {"class_names": "abcd"}, ConfigurationError, "a list of names"),
        ("*", {"class_names": []}, ConfigurationError, "at least 2 classes, got \\[\\]"),
    ],
)
def test_unusable_columns_are_named_before_anything_is_read(
    df: DataFrame, change: str, arguments: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message.replace("(", r"\(").replace("?", r"\?")):
        LabelAudit(df.selectExpr(*[change] if change == "*" else change.split(", ")), **arguments)


@pytest.mark.parametrize("name", sorted(RESULT_COLUMNS))
def test_no_id_has_the_name_of_a_column_of_the_results(df: DataFrame, name: str) -> None:
    with pytest.raises(ConfigurationError, match=f"id_col: '{name}' is the name of a column of the results"):
        LabelAudit(df.withColumnRenamed("id", name), id_col=name)


def test_all_columns_beside_ids_are_kept_from_ids() -> None:
    beside = {
        column.name
        for table in (ISSUES, LABEL_SCORES, SCORED, REJECTED)
        for column in table.columns
        if not column.name.startswith("<")
    }
    assert beside == RESULT_COLUMNS


@pytest.mark.parametrize(
    "label",
    [
        "cast(label as double)",
        "cast(label as decimal(20,0))",
        "cast(label as float)",
        "cast(label as tinyint)",
    ],
)
def test_labels_are_whole_numbers_of_any_type(df: DataFrame, label: str) -> None:
    assert ids(find_label_issues(df.selectExpr("id", f"{label} label", "pred_probs"))) == EXPECTED


def test_labels_that_are_no_whole_numbers_are_rejected_with_a_reason(df: DataFrame) -> None:
    odd = ["double('NaN')", "null", "1.5D", "double('Infinity')", "-1D", "1e300D"]
    labels = " ".join(f"when {i} then {value}" for i, value in enumerate(odd))
    changed = df.selectExpr("id", f"case id {labels} else double(label) end label", "pred_probs")
    with LabelAudit(changed) as audit:
        found = {row.id: row.reason for row in audit.rejected().collect()}
    assert found == {0: "null label", 1: "null label"} | dict.fromkeys(range(2, 6), "label outside 0..K-1")


BINARY = "if(label > 1, 0.9D, 0.2D)"


@pytest.mark.parametrize(
    ("label", "names", "given"),
    [
        ("label > 1", None, [0, 1]),
        ("int(label > 1)", None, [0, 1]),
        ("label > 1", ["no", "yes"], ["no", "yes"]),
        ("label > 1", ["False", "True"], ["False", "True"]),
    ],
)
def test_one_number_is_the_probability_of_the_second_of_two_classes(
    df: DataFrame, label: str, names: list[str] | None, given: list[Any]
) -> None:
    two = df.selectExpr("id", f"{label} label", f"if(id < 9, 1 - {BINARY}, {BINARY}) pred_probs")
    issues = find_label_issues(two, class_names=names, filter_by="predicted_neq_given").collect()
    assert {row.id for row in issues} == set(range(9))
    for row in issues:
        assert row.given_label == given[int(DATA.labels[row.id] > 1)] != row.suggested_label


def test_booleans_mean_the_names_that_classes_have(df: DataFrame) -> None:
    two = df.selectExpr("id", "label > 1 label", f"array({BINARY}, 1 - {BINARY}) pred_probs")
    issues = find_label_issues(two, class_names=["true", "false"], filter_by="predicted_neq_given")
    assert issues.count() == 0


def test_a_number_that_is_no_probability_is_rejected(df: DataFrame) -> None:
    values = "case id when 0 then -1.5D when 1 then 3D when 2 then null else 0.3D end"
    with LabelAudit(df.selectExpr("id", "label > 1 label", f"{values} pred_probs")) as audit:
        found = {row.id: row.reason for row in audit.rejected().collect()}
    negative = "negative value in pred_probs"
    assert found == {0: negative, 1: negative, 2: "null inside pred_probs"}


BY_NAME = {
    "maps": "map_from_arrays({names}, pred_probs)",
    "lists": "transform(pred_probs, (p, i) -> struct(p as score, {names}[i] as label))",
    "labels first": "transform(pred_probs, (p, i) -> struct({names}[i] as label, float(p) as score))",
    "structs": "struct(pred_probs[3] c3, pred_probs[0] c0, pred_probs[1] c1, pred_probs[2] c2)",
}


@pytest.mark.parametrize("form", BY_NAME)
def test_probabilities_may_be_told_by_class_name(df: DataFrame, form: str) -> None:
    names = "array('c0', 'c1', 'c2', 'c3')"
    named = df.selectExpr("id", f"{names}[label] label", BY_NAME[form].format(names=names) + " pred_probs")
    issues = find_label_issues(named, class_names=["c0", "c1", "c2", "c3"])
    assert ids(issues) == EXPECTED
    for row in issues.collect():
        assert row.suggested_label == f"c{int(DATA.probs[row.id].argmax())}"


def test_a_name_that_no_class_has_rejects_the_row(spark: SparkSession) -> None:
    rows = [(0, "a", {"a": 0.9, "b": 0.1}), (1, "b", {"a": 0.2, "b": 0.8}), (2, "a", {"a": 0.2, "z": 0.8})]
    table = spark.createDataFrame(rows, "id long, label string, pred_probs map<string, double>")
    with LabelAudit(table, class_names=["a", "b"]) as audit:
        assert [(row.id, row.reason) for row in audit.rejected().collect()] == [
            (2, "class listed twice or outside 0..K-1 in pred_probs")
        ]


def test_columns_are_found_as_spark_finds_them(spark: SparkSession, df: DataFrame) -> None:
    upper = df.selectExpr("id Id", "label LABEL", "pred_probs", "label _unmatched", "1 x", "2 X")
    assert ids(find_label_issues(upper)) == EXPECTED
    with LabelAudit(upper.drop("LABEL"), labels=df.selectExpr("id ID", "label Label")) as audit:
        assert ids(audit.find_label_issues()) == EXPECTED
    spark.conf.set("spark.sql.caseSensitive", "true")
    try:
        with pytest.raises(InputError, match="label_col: no column 'LABEL'"):
            LabelAudit(df, label_col="LABEL")
        assert ids(find_label_issues(df.withColumn("ID", F.lit("x")))) == EXPECTED
    finally:
        spark.conf.unset("spark.sql.caseSensitive")


def test_tables_without_usable_rows_say_why(spark: SparkSession, df: DataFrame) -> None:
    with pytest.raises(InputError, match="no rows"):
        find_label_issues(df.limit(0))
    with pytest.raises(InputError, match=r"no row of the input can be used \(label outside 0..K-1: 200\)"):
        find_label_issues(df.withColumn("label", F.lit(9)))
    with pytest.raises(InputError, match="at least 2"):
        find_label_issues(df.selectExpr("id", "0 label", "array(1.0D) pred_probs"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"filter_by": "prune"}, "filter_by='prune' is not a filter"),
        ({"rank_by": "entropy"}, "rank_by='entropy' is not a label quality score"),
        (
            {"rank_by": "confidence_weighted_entropy", "adjust_pred_probs": True},
            "adjust_pred_probs does not go with",
        ),
        ({"frac_noise": 1.5}, r"frac_noise=1.5 must lie in"),
        ({"filter_by": "confident_learning", "frac_noise": 0.5}, "frac_noise has no effect"),
        ({"num_issues": 5}, "num_issues has no effect"),
        ({"filter_by": "low_self_confidence", "num_issues": "most"}, "neither a number nor"),
        ({"num_to_remove_per_class": [1, 2]}, "must be 4 whole numbers"),
    ],
)
def test_options_that_cannot_be_used_are_refused(
    df: DataFrame, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigurationError, match=message):
        find_label_issues(df, **options)


def test_options_that_need_probabilities_refuse_logits(spark: SparkSession) -> None:
    logits = predictions(spark, DATA.labels, np.log(DATA.probs))
    with pytest.raises(ConfigurationError, match="adjust_pred_probs needs probabilities"):
        find_label_issues(logits, adjust_pred_probs=True)
    with pytest.raises(ConfigurationError, match="confidence_weighted_entropy' needs probabilities"):
        find_label_issues(logits, rank_by="confidence_weighted_entropy")


def test_values_a_little_above_one_are_scores_like_any_other(spark: SparkSession) -> None:
    probs = DATA.probs * 1.00001
    assert ids(find_label_issues(predictions(spark, DATA.labels, probs))) == reference.issues(
        DATA.labels, probs, "prune_by_noise_rate"
    )


def test_small_classes_are_named_in_a_warning(df: DataFrame, caplog: pytest.LogCaptureFixture) -> None:
    find_label_issues(df, min_examples_per_class=1000)
    assert "4 classes have at most 1000 examples and are not pruned: 0, 1, 2, 3" in caplog.text
    caplog.clear()
    find_label_issues(df, min_examples_per_class=1000, class_names=["a\nERROR forged", "\x1b[31mb", "c", "d"])
    assert len(caplog.records) == 1
    assert caplog.records[0].message.endswith("not pruned: a\\nERROR forged, \\x1b[31mb, c, d")


def test_answers_stay_readable_after_the_audit_is_released(df: DataFrame) -> None:
    with LabelAudit(df) as audit:
        issues = audit.find_label_issues()
    assert ids(issues) == EXPECTED


@pytest.mark.classic
def test_the_functions_free_the_cache_with_their_result(spark: SparkSession, df: DataFrame) -> None:
    def cached() -> set[int]:
        return set(spark.sparkContext._jsc.getPersistentRDDs())

    df.count()  # its own cache is not ours
    before = cached()
    issues = find_label_issues(df)
    issues.count()
    ours = cached() - before
    assert ours
    del issues
    collect()
    assert not cached() & ours


def test_issues_have_the_promised_columns(df: DataFrame) -> None:
    issues = find_label_issues(df)
    assert issues.columns == [
        "id",
        "given_label",
        "suggested_label",
        "label_quality",
        "self_confidence",
        "normalized_margin",
        "rank",
    ]
    row = issues.where("rank = 1").first()
    assert row is not None
    p, y = DATA.probs[row.id], DATA.labels[row.id]
    others = np.delete(p, y)
    assert (row.given_label, row.suggested_label) == (y, p.argmax())
    assert row.self_confidence == row.label_quality == p[y]
    assert row.normalized_margin == pytest.approx((p[y] - others.max() + 1) / 2)
    assert isinstance(issues.toPandas(), pd.DataFrame)
