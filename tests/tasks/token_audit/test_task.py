"""The token audit as a run: its tables, report, queue and command come from the machinery."""

import json
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from cl_spark import (
    AuditResult,
    ColumnTypeError,
    ConfigurationError,
    EmptyTableError,
    MissingColumnError,
    RejectedRowsError,
    ReviewQueueConfig,
    TokenAudit,
    TokenAuditConfig,
    read_run,
    run_review_queue,
    run_token_audit,
)
from cl_spark.runs.config import load_config
from cl_spark.tasks.label_audit.check import check
from cl_spark.tasks.token_audit.task import TOKEN_AUDIT
from cl_spark.terminal.command_line import exit_code
from tests.methods.tokens.frames import BIO, TOKEN_COLUMNS, make_text, sentences_table, tokens_table

pytestmark = pytest.mark.matrix

TEXT = make_text(150, 5)
OPTIONS: dict[str, Any] = {"class_names": BIO, "scheme": "BIO"}


@pytest.fixture(scope="module")
def table(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Sentences with a source; one cannot be used, and one has a token that cannot."""
    path = str(tmp_path_factory.mktemp("input") / "sentences")
    rows = sentences_table(spark, TEXT).withColumn("source", F.expr("if(id % 3 = 0, 'web', 'book')"))
    bad = rows.where("id < 2").withColumn("id", F.col("id") + 1000)
    bad = bad.withColumn(
        "labels", F.expr("if(id = 1000, array('O'), transform(labels, (l, i) -> if(i = 0, null, l)))")
    )
    rows.unionByName(bad).write.parquet(path)
    return path


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tmp_path_factory.mktemp("output"))


@pytest.fixture(scope="module")
def result(spark: SparkSession, table: str, output: str) -> AuditResult:
    config = TokenAuditConfig(
        predictions=table, output=output, run_id="first", slice_by=["source"], label_scores=True, report=True,
        gates=["class_health.class_quality >= 0.99"], review_columns=["context", "source"], **OPTIONS,
    )  # fmt: skip
    return run_token_audit(spark, config)


def lines(df: Any) -> list[str]:
    return sorted(map(str, df.collect()))


def test_it_writes_what_the_audit_answers(spark: SparkSession, table: str, result: AuditResult) -> None:
    with TokenAudit(spark.read.parquet(table), slice_by=["source"], **OPTIONS) as audit:
        for name, expected in {
            "issues": audit.find_label_issues(),
            "class_health": audit.health_summary().class_health,
            "common_issues": audit.common_issues(),
            "sentence_scores": audit.sentence_scores(),
            "entity_issues": audit.find_entity_issues(),
            "invalid_tags": audit.find_invalid_tags(),
            "slice_health": audit.slice_health(),
            "rejected": audit.rejected(),
        }.items():
            written = result.run.table(name)
            assert written.columns[: len(expected.columns)] == expected.columns
            assert lines(written.select(expected.columns)) == lines(expected), name
        num_tokens = sum(map(len, TEXT.tokens)) + len(TEXT.tokens[1]) - 1
        assert result.num_examples == audit.num_examples == num_tokens
    assert result.rejected == {"null label": 1, "tokens, labels and pred_probs of different lengths": 1}
    assert result.run.id_columns == ["id", "position", "token"]
    assert len(result.failed_gates) == 1
    assert result.run.table("label_scores").where("is_issue").count() == result.num_issues


def test_issues_show_the_token_among_those_around_it(result: AuditResult) -> None:
    for row in result.issues().collect():
        words = TEXT.tokens[row.id % 1000]
        assert words[row.position] == row.token
        before, after = words[: row.position][-10:], words[row.position + 1 :][:10]
        assert row.context == " ".join([*before, f"[{row.token}]", *after])
        assert row.source in ("web", "book")


def test_the_report_shows_sentences_and_entities(result: AuditResult) -> None:
    page = Path(str(result.report)).read_text(encoding="utf-8")
    for heading in ("Token audit", "Issues that recur", "Entities, most suspicious", "Tags that break the"):
        assert heading in page
    assert result.issues().first().context in page


def test_a_row_per_token_gives_the_same(spark: SparkSession, tmp_path: Path, output: str) -> None:
    tokens_table(spark, TEXT).write.parquet(f"{tmp_path}/tokens")
    sentences_table(spark, TEXT).write.parquet(f"{tmp_path}/sentences")
    common = {"output": str(tmp_path / "out"), "format": "parquet", **OPTIONS}
    ours = run_token_audit(spark, TokenAuditConfig(predictions=f"{tmp_path}/sentences", run_id="a", **common))
    theirs = run_token_audit(
        spark, TokenAuditConfig(predictions=f"{tmp_path}/tokens", run_id="b", **common, **TOKEN_COLUMNS)
    )
    for name in ("issues", "common_issues", "entity_issues", "invalid_tags", "class_health"):
        assert lines(ours.run.table(name)) == lines(theirs.run.table(name))


def test_issues_go_to_a_review_queue(spark: SparkSession, output: str, result: AuditResult) -> None:
    config = ReviewQueueConfig(
        run_location=output, run="first", output=output, id_col=result.run.id_columns, run_id="queue",
        budget=12, random_share=0.5,
    )  # fmt: skip
    queue = run_review_queue(spark, config).run.table("review_queue")
    rows = queue.collect()
    assert len(rows) == 12
    assert all(f"[{row.token}]" in row.context for row in rows)
    issues = {(row.id, row.position) for row in result.issues().collect()}
    assert 0 < sum((row.id, row.position) in issues for row in rows) < 12


def test_first_rows_can_be_looked_at(spark: SparkSession, table: str, output: str) -> None:
    config = TokenAuditConfig(predictions=table, output=output, max_rejected_fraction=0.5, **OPTIONS)
    checked = check(spark, config, 10, TOKEN_AUDIT)
    assert (
        checked.accepted + sum(rows for rows, _ in checked.rejected.values()) == checked.rows > 10
    )  # tokens
    with pytest.raises(ColumnTypeError, match="tokens_col: column 'id'"):
        check(spark, TokenAuditConfig(predictions=table, output=output, tokens_col="id"), 10, TOKEN_AUDIT)


def test_labels_of_first_rows_that_are_no_class_are_named(
    spark: SparkSession, table: str, tmp_path: Path
) -> None:
    labels = F.expr("transform(labels, (l, i) -> if(i = 0, '?', l))")
    spark.read.parquet(table).withColumn("labels", labels).withColumnRenamed("labels", "tags").write.parquet(
        f"{tmp_path}/in"
    )
    for labels_col in ("tags", "Tags"):
        config = TokenAuditConfig(
            predictions=f"{tmp_path}/in", output=f"{tmp_path}/out", labels_col=labels_col,
            max_rejected_fraction=0.5, **OPTIONS,
        )  # fmt: skip
        assert check(spark, config, 20, TOKEN_AUDIT).unknown_classes == ["?"]


def test_labels_that_are_no_class_are_shown_with_the_name_of_their_column(
    spark: SparkSession, table: str, tmp_path: Path
) -> None:
    renamed = spark.read.parquet(table).where("id < 10").withColumnRenamed("labels", "tags")
    renamed.write.parquet(f"{tmp_path}/in")
    config = TokenAuditConfig(
        predictions=f"{tmp_path}/in", output=f"{tmp_path}/out", labels_col="tags",
        class_names=["A", "B", "C", "D", "E"],
    )  # fmt: skip
    with pytest.raises(EmptyTableError, match=r"check labels_col, .*; labels of 'tags': 'O', "):
        check(spark, config, 10, TOKEN_AUDIT)


def test_sentences_are_judged_by_themselves(spark: SparkSession, tmp_path: Path) -> None:
    rows = sentences_table(spark, TEXT).withColumn("labels", F.expr("if(id < 6, array('O'), labels)"))
    rows.write.parquet(f"{tmp_path}/in")
    options = {"predictions": f"{tmp_path}/in", "output": f"{tmp_path}/out", **OPTIONS}
    with pytest.raises(RejectedRowsError, match="6 of 150 rows"):
        run_token_audit(spark, TokenAuditConfig(max_rejected_fraction=0.02, **options))


def test_review_columns_are_checked_before_anything_is_read(
    spark: SparkSession, table: str, output: str
) -> None:
    for col, error, told in (
        ("nowhere", MissingColumnError, "review_columns: there is no column 'nowhere'"),
        ("id", ConfigurationError, "review_columns: 'id' is a column of the table of issues already"),
    ):
        config = TokenAuditConfig(
            predictions=table, output=output, review_columns=["context", col], **OPTIONS
        )
        with pytest.raises(error, match=told):
            run_token_audit(spark, config)
    with pytest.raises(ConfigurationError, match="example_ids: unknown key"):
        load_config(TokenAuditConfig, None, {"predictions": table, "output": output, "example_ids": ["nope"]})


@pytest.mark.classic
def test_the_command_takes_the_task(table: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    where = str(tmp_path / "out")
    (tmp_path / "audit.yaml").write_text(
        f"task: tokens\npredictions: {table}\noutput: {where}\nformat: parquet\n"
        "max_rejected_fraction: 0.5\n"
        f"class_names: [{', '.join(BIO)}]\n"
    )
    config = ["--config", str(tmp_path / "audit.yaml")]
    assert exit_code(["audit", *config, "--scheme", "BIO", "--merge-tags", "--json"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["num_classes"] == 3
    assert exit_code(["validate", *config, "--rows", "5"]) == 0
    assert exit_code(["show", where]) == 0
    assert "[" in capsys.readouterr().out
    assert exit_code(["audit", *config, "--task", "words"]) == 2
    assert (
        "task: there is no 'words'; choose one of classification, multilabel, tokens"
        in capsys.readouterr().err
    )
    assert exit_code(["audit", *config, "--task", "classification"]) == 2
    assert exit_code(["audit", *config, "--label-col", "labels"]) == 2
    assert "label_col: unknown key" in capsys.readouterr().err
    read_run(where)
