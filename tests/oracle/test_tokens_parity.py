"""Issues of tokens, scores of sentences and common issues equal cleanlab's."""

import pytest
from numpy.testing import assert_allclose
from pyspark.sql import SparkSession

from cl_spark import TokenAudit
from tests.methods.tokens.frames import BIO, make_text, sentences_table
from tests.oracle import cleanlab_oracle as oracle

pytestmark = pytest.mark.slow

FILTERS = ["prune_by_noise_rate", "prune_by_class", "both", "confident_learning", "predicted_neq_given",
           "low_self_confidence", "low_normalized_margin"]  # fmt: skip


@pytest.mark.parametrize("seed", [1, 2])
def test_tokens_equal_those_of_cleanlab(spark: SparkSession, seed: int) -> None:
    text = make_text(120, seed)
    with TokenAudit(sentences_table(spark, text, names=False)) as audit:
        for filter_by in FILTERS:
            issues = audit.find_label_issues(filter_by=filter_by).orderBy("rank").collect()
            expected = oracle.token_issues(text.given, text.probs, filter_by)
            assert [(row.id, row.position) for row in issues] == expected, filter_by
            assert all(row.token == text.tokens[row.id][row.position] for row in issues)
            assert all(row.given_label == text.given[row.id][row.position] for row in issues)
        for method in ("min", "softmin"):
            for score in ("self_confidence", "normalized_margin"):
                found = audit.sentence_scores(method=method, score=score).orderBy("id").toPandas()
                expected_scores = oracle.sentence_scores(text.given, text.probs, method, score)
                assert_allclose(found["label_quality"], expected_scores, atol=1e-9)
        issues = audit.find_label_issues().orderBy("rank").collect()
        theirs = oracle.common_issues(
            [(row.id, row.position) for row in issues], text.tokens, text.given, text.probs
        )
        counts = {tuple(row)[:3]: row.issues for row in audit.common_issues().collect()}
    columns = ["token", "given_label", "predicted_label", "num_label_issues"]
    assert counts == {tuple(row[:3]): row[3] for row in theirs[columns].itertuples(index=False)}
    assert sum(counts.values()) == len(issues)


def test_most_errors_that_were_put_in_are_found(spark: SparkSession) -> None:
    text = make_text(400, 7)
    wrong = {
        (i, j) for i, true in enumerate(text.true) for j in range(len(true)) if true[j] != text.given[i][j]
    }
    with TokenAudit(sentences_table(spark, text), class_names=BIO) as audit:
        found = {(row.id, row.position) for row in audit.find_label_issues().collect()}
    assert len(wrong) > 80
    assert len(found & wrong) / len(wrong) > 0.85
    assert len(found & wrong) / len(found) > 0.7
