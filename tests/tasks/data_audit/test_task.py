"""The data audit as a run: tables, report, gates, history, and the command."""

from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from cl_spark import ConfigurationError, DataAuditConfig, read_run, run_data_audit
from cl_spark.runs.history import compare
from cl_spark.tasks.data_audit import report
from cl_spark.tasks.data_audit.task import DATA_AUDIT
from cl_spark.terminal.command_line import exit_code
from tests.methods.checks.frames import COPY, EMPTY, FAR, digits

pytestmark = [pytest.mark.matrix, pytest.mark.tables, pytest.mark.slow]


@pytest.fixture(scope="module")
def table(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = str(tmp_path_factory.mktemp("checked") / "digits")
    spark.createDataFrame(digits()).write.parquet(path)
    return path


@pytest.fixture(scope="module")
def output(spark: SparkSession, table: str) -> str:
    """Where two runs are: of all columns, and of labels and features alone."""
    output = f"{Path(table).parent}/audits"
    common = {"predictions": table, "output": output}
    every = DataAuditConfig(
        **common, run_id="every", order_col="at", review_columns=["source"], all_scores=True, report=True
    )
    result = run_data_audit(spark, every)
    assert result.num_examples == len(digits())
    run_data_audit(
        spark, DataAuditConfig(**common, run_id="features", k=5, gates=["data_checks.issues <= 1"])
    )
    return output


def test_issues_checks_and_scores_are_written(spark: SparkSession, output: str) -> None:
    run = read_run(output, "every", spark=spark)
    issues = run.table("data_issues").toPandas().sort_values("rank")
    assert issues["rank"].tolist() == list(range(1, len(issues) + 1))
    assert issues.is_issue.all()
    assert issues.why.notna().all()
    assert set(issues.source) == {"phone", "scan"}
    copies = issues[issues.issue_type == "near_duplicate"]
    assert set(copies.id) == {COPY - 1, COPY}
    assert set(copies.group) == {COPY - 1}
    assert issues[issues.issue_type != "near_duplicate"].group.isna().all()
    assert (issues.given_label == digits().label.loc[issues.id].to_numpy()).all()
    checks = run.table("data_checks").toPandas().set_index("issue_type")
    assert checks.issues.sum() == len(issues) == run.record.num_issues
    assert checks.unusable["outlier"] == 1  # the row without features
    assert run.table("data_scores").where("is_issue").count() == len(issues)
    assert run.record.overall_health == 1 - issues.id.nunique() / len(digits())


def test_the_report_lists_kinds_with_what_people_look_at(output: str) -> None:
    page = Path(f"{output}/reports/every.html").read_text(encoding="utf-8")
    assert "What was looked for" in page
    assert f"Group {COPY - 1}" in page
    assert "2 near copies" in page
    assert "phone" in page


def test_outliers_beyond_the_cards_and_without_anything_to_look_at_are_in_a_table(
    spark: SparkSession, output: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    every, features = (read_run(output, run_id, spark=spark) for run_id in ("every", "features"))
    number = every.table("data_issues").where("issue_type = 'outlier'").count()
    monkeypatch.setattr(report, "CARDS", 1)
    section = next(section for section in report.sections(every, 50) if section.name == "outlier-section")
    assert [card.title for card in section.galleries[0].cards] == [f"id {FAR}"]
    assert [len(table.columns[0].cells) for table in section.tables] == [number - 1]
    section = next(section for section in report.sections(features, 50) if section.name == "outlier-section")
    assert section.shown_galleries == []
    assert section.tables[0].columns[1].cells[0] == FAR


def test_ids_of_another_type_go_elsewhere(spark: SparkSession, output: str, tmp_path: Path) -> None:
    """The column of groups holds ids, and one table cannot hold ids of two types."""
    rows = digits().assign(name=[f"row {i}" for i in digits().id])
    spark.createDataFrame(rows).write.parquet(f"{tmp_path}/named")
    config = DataAuditConfig(predictions=f"{tmp_path}/named", output=output, id_col=["name"])
    with pytest.raises(ConfigurationError, match="hold 'group' as bigint, and this run has string: choose"):
        run_data_audit(spark, config)


def test_gates_name_checks(spark: SparkSession, output: str) -> None:
    run = read_run(output, "features", spark=spark)
    assert any("data_checks.issues" in gate for gate in run.failed_gates)


def test_issues_of_a_row_are_told_apart_by_their_kinds(spark: SparkSession, output: str) -> None:
    every, features = (read_run(output, run_id, spark=spark) for run_id in ("every", "features"))
    change = compare(every, features, DATA_AUDIT)
    gone = {row.issue_type for row in change.resolved.collect()}
    assert "non_iid" in gone  # the second run has no order
    kept = {(row.issue_type, row.id) for row in change.persisting.collect()}
    assert ("null", EMPTY) in kept


def test_the_command_takes_the_task(table: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags = [
        "--predictions",
        table,
        "--output",
        f"{tmp_path}/out",
        "--features-col",
        "features",
        "--run-id",
        "r",
    ]
    assert exit_code(["audit", "--task", "data", *flags, "--label-col", "label", "--k", "5"]) == 0
    told = capsys.readouterr().out
    assert "rows have no issue" in told
    assert "near_duplicate" in told
    assert exit_code(["show", f"{tmp_path}/out", "r", "--class", "3"]) == 2


def test_what_does_not_fit_is_told_before_anything_is_written(
    table: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ["audit", "--task", "data", "--predictions", table, "--output", f"{tmp_path}/out"]
    for more, message in (
        (["--order-col", "nowhere"], "order_col"),
        (["--review-columns", "group"], "review_columns: 'group' is a column of the table of issues"),
        (["--review-columns", "why"], "review_columns: 'why' is a column of the table of issues"),
        (["--id-col", "id,at"], "id_col: neighbors need one column"),
        (["--filter-by", "both"], "filter_by"),
    ):
        assert exit_code([*flags, *more]) == 2
        assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_validate_looks_at_the_first_rows(
    table: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ["--task", "data", "--predictions", table, "--output", f"{tmp_path}/out"]
    assert exit_code(["validate", *flags, "--rows", "60"]) == 0
    assert "60 of the first 60 rows can be used" in capsys.readouterr().out
    assert exit_code(["validate", *flags, "--order-col", "source"]) == 2
    assert not (tmp_path / "out").exists()


def test_validate_has_no_doubts_that_the_first_rows_of_a_sorted_table_cannot_support(
    spark: SparkSession, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = digits().sort_values(["label", "id"])[["id", "label", "features"]]
    rows["label"] = rows.label.map("abcdefghij".__getitem__)
    spark.createDataFrame(rows).coalesce(1).write.parquet(f"{tmp_path}/in")
    flags = ["--task", "data", "--predictions", f"{tmp_path}/in", "--output", f"{tmp_path}/out"]
    flags += ["--on-warning", "fail", "--evidence-path", f"{tmp_path}/evidence"]
    assert exit_code(["validate", *flags, "--rows", "20"]) == 0  # of one class
    told = " ".join(capsys.readouterr().out.split())
    assert "20 of the first 20 rows can be used" in told
    assert "no check was run: each judges a row by all others" in told
    assert "warning" not in told
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_dates_in_csv_order_rows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = ["id,x,y,at", *[f"{i},{i % 7},{i % 5},2026-01-{31 - i}" for i in range(20)]]
    (tmp_path / "in.csv").write_text("\n".join(lines))
    flags = ["validate", "--task", "data", "--predictions", f"{tmp_path}/in.csv", "--features-col", "x,y"]
    flags += ["--output", f"{tmp_path}/out", "--order-col"]
    assert exit_code([*flags, "at"]) == 0
    (tmp_path / "in.csv").write_text("\n".join([*lines, "20,1,1,soon"]))
    assert exit_code([*flags, "at"]) == 2
    assert "order_col: column 'at' holds 'soon': it must hold numbers" in capsys.readouterr().err
