"""`trust_scores` on Spark: scores, ranks, calibration, and rows that cannot be used."""

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from sklearn.isotonic import IsotonicRegression
from sklearn.metrics import roc_auc_score

from cl_spark.errors import (
    ColumnTypeError,
    ConfigurationError,
    EmptyTableError,
    InputError,
    MissingColumnError,
)
from cl_spark.methods.answers.trust_scores import TrustAudit, trust_scores

pytestmark = pytest.mark.matrix

SCHEMA = "id long, answers array<string>, sure double"


def make_answers(seed: int, questions: int = 400, samples: int = 4) -> pd.DataFrame:
    """Make questions of different difficulty: the model answers easy ones rightly, and is surer of them."""
    rng = np.random.default_rng(seed)
    knows = rng.beta(1.2, 1.0, questions)
    is_right = rng.random((questions, samples)) < knows[:, None]
    # two wrong answers, so that samples of a hard question agree on one at times
    wrong = rng.integers(1, 3, (questions, samples))
    answers = np.where(is_right, "Right.", np.char.add("wrong ", wrong.astype(str)))
    sure = np.clip(0.5 * knows + 0.25 + rng.normal(0, 0.2, questions), 0, 1)
    return pd.DataFrame(
        {
            "id": np.arange(questions),
            "answers": answers.tolist(),
            "sure": sure,
            "right": is_right[:, 0].astype(float),
        }
    )


def by_id(scores: DataFrame) -> pd.DataFrame:
    return scores.toPandas().set_index("id").sort_index()


def test_trust_finds_wrong_answers_better_than_each_part_alone(spark: SparkSession) -> None:
    made = make_answers(0)
    rated = made["right"].where(made["id"] % 2 == 0)
    df = spark.createDataFrame(made.assign(rating=rated)).repartition(3)
    df = df.withColumn("rating", F.nanvl("rating", F.lit(None)))
    scores = trust_scores(df, "answers", "sure", ratings_col="rating", budget=40)
    assert scores.columns == [
        *("id", "answer", "consistency", "self_assessment", "trust", "rank"),
        *("calibrated_trust", "to_review"),
    ]
    found = by_id(scores)
    auc = {
        col: roc_auc_score(made["right"], found[col]) for col in ("trust", "consistency", "self_assessment")
    }
    assert auc["trust"] > max(auc["consistency"], auc["self_assessment"]) > 0.7
    assert found["answer"].tolist() == [answers[0] for answers in made["answers"]]
    np.testing.assert_allclose(found["trust"], 0.7 * found["consistency"] + 0.3 * made["sure"])
    order = np.lexsort([found.index, found["trust"]])
    assert found["rank"].to_numpy()[order].tolist() == list(range(1, 401))
    assert (found["to_review"] == (found["rank"] <= 40)).all()
    ordered = found["calibrated_trust"].to_numpy()[order]
    assert (np.diff(ordered) >= 0).all()
    is_rated = (made["id"] % 2 == 0).to_numpy()
    expected = IsotonicRegression(out_of_bounds="clip").fit(
        found["trust"].round(4)[is_rated], made["right"][is_rated]
    )
    np.testing.assert_allclose(
        found["calibrated_trust"], expected.predict(found["trust"].round(4)), atol=1e-9
    )


def test_consistency_by_each_similarity(spark: SparkSession) -> None:
    rows = [
        (1, ["The cat sat", " the CAT  sat.", "a cat sat", "no"], [1.0, 0.5, 0.0]),
        (2, ["-5", "5", "-5", "-5."], [0.25, 0.25, 0.25]),
        (3, ["?!", "...", "3.5", "35"], [1.0, 1.0, 1.0]),
    ]
    df = spark.createDataFrame(rows, "id int, answers array<string>, alike array<double>")
    expected = {
        "exact": [1 / 3, 2 / 3, 0.0],
        "token_overlap": [(1 + 0.5 + 0) / 3, 1.0, 1 / 3],
        "alike": [0.5, 0.25, 1.0],
    }
    for similarity, values in expected.items():
        found = by_id(trust_scores(df, "answers", similarity=similarity))
        assert found.columns.tolist() == ["answer", "consistency", "trust", "rank"]
        np.testing.assert_allclose(found["consistency"], values)
        np.testing.assert_allclose(found["trust"], values)


def test_one_answer_is_judged_by_the_self_assessment_alone(spark: SparkSession) -> None:
    df = spark.createDataFrame([(1, ["yes"], [0.2, 0.4]), (2, ["yes", "no"], [1.0])],
                               "id int, answers array<string>, sure array<double>")  # fmt: skip
    found = by_id(trust_scores(df, "answers", "sure", consistency_weight=0.5))
    assert found["consistency"].isna().tolist() == [True, False]
    np.testing.assert_allclose(found["self_assessment"], [0.3, 1.0])
    np.testing.assert_allclose(found["trust"], [0.3, 0.5])
    with TrustAudit(df, "answers") as audit:
        assert audit.rejected_counts == {"one answer without self-assessment": 1}


def test_rows_that_cannot_be_used_are_told_with_their_reasons(
    spark: SparkSession, caplog: pytest.LogCaptureFixture
) -> None:
    nan, good = float("nan"), ["a", "a"]
    rows = [
        *((1, good, 0.5), (2, None, 0.5), (3, [], 0.5), (4, [None, "a"], 0.5), (5, ["  ", "a"], 0.5)),
        *((6, ["a", None], 0.5), (7, good, None), (8, good, 1.5), (9, good, nan), (10, good, -0.1)),
        *((None, good, 0.5), (11, good, 0.5), (11, None, 0.5)),
    ]
    df = spark.createDataFrame(rows, SCHEMA).repartition(3)
    expected = {
        "id of several rows": [11, 11],
        "null id": [None],
        "null inside answers": [6],
        "null or blank first answer": [4, 5],
        "null or empty answers": [2, 3],
        "null or empty self-assessment": [7],
        "self-assessment outside 0..1": [8, 9, 10],
    }
    with TrustAudit(df, "answers", "sure") as audit, caplog.at_level(logging.WARNING):
        assert [row.id for row in audit.scores().collect()] == [1]
        assert "12 rows cannot be used: id of several rows: 2; null id: 1;" in caplog.text
        assert audit.rejected_counts == {reason: len(ids) for reason, ids in expected.items()}
        found = audit.rejected()
        assert found.columns == ["id", "reason", "row"]
        rejected = found.toPandas()
        assert {
            reason: sorted(None if pd.isna(i) else int(i) for i in ids)
            for reason, ids in rejected.groupby("reason")["id"]
        } == expected
        assert json.loads(rejected.set_index("id").loc[8, "row"]) == {"id": 8, "answers": good, "sure": 1.5}
    alike = [(1, good, [0.5]), (2, good, [0.5, 0.5]), (3, good, None), (4, good, [nan]), (5, ["a"], None)]
    similar = spark.createDataFrame(alike, "id int, answers array<string>, alike array<double>")
    with TrustAudit(similar, "answers", similarity="alike") as audit:
        assert audit.rejected_counts == {
            "one answer without self-assessment": 1,
            "similarities of another number than the other answers": 2,
            "similarity outside 0..1": 1,
        }
    with TrustAudit(df.where("id = 2"), "answers") as audit, pytest.raises(EmptyTableError, match="none of"):
        audit.scores()


def test_doubtful_ratings_are_told(spark: SparkSession) -> None:
    rows = [(1, ["a", "a"], 0.0), (2, ["a", "b"], 1.0), (3, ["a", "a"], None), (4, ["a", "a"], 2.0)]
    df = spark.createDataFrame(rows, "id int, answers array<string>, right double")
    with TrustAudit(df, "answers", ratings_col="right") as audit:
        found = by_id(audit.scores())
        assert found["calibrated_trust"].tolist() == [0.5, 0.5, 0.5]
        codes = ["few_ratings", "trust_does_not_order_ratings"]
        assert [warning.code for warning in audit.warnings()] == codes
        assert audit.rejected_counts == {"rating outside 0..1": 1}
    with pytest.raises(InputError, match="nothing to calibrate by"):
        trust_scores(df.where("id = 3"), "answers", ratings_col="right")


def test_pandas_and_composite_ids(spark: SparkSession) -> None:
    frame = pd.DataFrame(
        {"part": ["x", "x", "y"], "n": [2, 1, 1], "answers": [["a", "b"], ["a", "b"], ["a", "a"]]}
    )
    scores = trust_scores(frame, "answers", id_col=["part", "n"], spark=spark)
    rows = [tuple(row) for row in scores.select("part", "n", "rank").orderBy("rank").collect()]
    assert rows == [("x", 1, 1), ("x", 2, 2), ("y", 1, 3)]


def test_rows_may_be_kept_in_a_directory(spark: SparkSession, tmp_path: Path) -> None:
    made = make_answers(1, questions=60).drop(columns="right")
    made["rating"] = made.index % 2.0
    df = spark.createDataFrame(made)
    df = df.unionByName(spark.createDataFrame([(60, [], 0.5, 1.0)], df.schema))
    options: dict[str, Any] = {"ratings_col": "rating", "budget": 5}
    with TrustAudit(df, "answers", "sure", **options) as audit:
        expected, rejected = by_id(audit.scores()), audit.rejected_counts
    with TrustAudit(df, "answers", "sure", **options, evidence_path=str(tmp_path / "kept")) as audit:
        pd.testing.assert_frame_equal(by_id(audit.scores()), expected)
        assert audit.rejected_counts == rejected == {"null or empty answers": 1}
        assert list((tmp_path / "kept").glob("*"))
    assert not list((tmp_path / "kept").glob("*"))
    scores = trust_scores(df, "answers", "sure", **options, evidence_path=str(tmp_path / "kept"))
    pd.testing.assert_frame_equal(by_id(scores), expected)


def test_wrong_arguments_are_refused_at_once(spark: SparkSession) -> None:
    df = spark.createDataFrame([(1, ["a"], 0.5)], SCHEMA)
    for error, text, options in (
        (ConfigurationError, "consistency_weight", {"consistency_weight": 1.5}),
        (ConfigurationError, "budget", {"budget": 0}),
        (ConfigurationError, "similarity", {"similarity": "cosine"}),
        (ColumnTypeError, "similarity", {"similarity": "sure"}),
        (MissingColumnError, "ratings_col", {"ratings_col": "right"}),
        (ColumnTypeError, "ratings_col", {"ratings_col": "answers"}),
        (ColumnTypeError, "answers_col", {"answers_col": "sure"}),
        (MissingColumnError, "id_col", {"id_col": "key"}),
    ):
        with pytest.raises(error, match=text):
            trust_scores(df, **{"answers_col": "answers", **options})  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="rename it in the input"):
        trust_scores(df.withColumnRenamed("id", "rank"), "answers", id_col="rank")


def test_blanks_are_no_answer_and_signs_are_not_left_out_of_answers_of_signs(spark: SparkSession) -> None:
    rows = [(1, ["\n", "\t"], 1.0), (2, ["?", "..."], 1.0), (3, ["?", " ? "], 1.0), (4, ["yes.", "Yes"], 1.0)]
    with TrustAudit(spark.createDataFrame(rows, SCHEMA), "answers") as audit:
        assert by_id(audit.scores())["consistency"].to_dict() == {2: 0.0, 3: 1.0, 4: 1.0}
        assert audit.rejected_counts == {"null or blank first answer": 1}


def test_spaces_and_punctuation_of_any_script_are_no_difference(spark: SparkSession) -> None:
    rows = [(1, ["10 000", "10\u00a0000"]), (2, ["Paris", "\u2009Paris\u00a0"]), (3, ["巴黎", "「巴黎」。"])]
    df = spark.createDataFrame([*rows, (4, ["\u00a0", "a"])], "id long, answers array<string>")
    with TrustAudit(df, "answers") as audit:
        assert by_id(audit.scores())["consistency"].to_dict() == {1: 1.0, 2: 1.0, 3: 1.0}
        assert [(row.id, row.reason) for row in audit.rejected().collect()] == [
            (4, "null or blank first answer")
        ]
