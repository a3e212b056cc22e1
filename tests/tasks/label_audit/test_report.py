"""The report of a label audit says what its written tables say."""

import base64
import json
import re
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from cl_spark import (
    ConfigurationError,
    InputError,
    MissingColumnError,
    read_run,
    write_report,
)
from cl_spark.tables import columns as c
from cl_spark.tasks.label_audit.config import AuditConfig
from cl_spark.tasks.label_audit.task import AuditResult, run_audit
from tests.frames import predictions
from tests.oracle.datasets import dataset

ROOT = Path(__file__).resolve().parents[3]
DATA = dataset(83, 200, 4)


def audit(spark: SparkSession, output: Path, **values: Any) -> AuditResult:
    return run_audit(
        spark, AuditConfig(**{"sample": "digits", "output": str(output), "format": "parquet", **values})
    )


def data_of(html: str, name: str) -> Any:
    found = re.search(rf'<script type="application/json" id="data-{name}">(.*?)</script>', html, re.DOTALL)
    assert found is not None
    return json.loads(found[1])


@pytest.mark.slow
@pytest.mark.matrix
def test_columns_for_review_go_with_the_issues(spark: SparkSession, tmp_path: Path) -> None:
    odd = "a note; it's `odd`"
    df = predictions(spark, DATA.labels, DATA.probs).withColumns(
        {odd: F.concat(F.lit("note "), "id"), "url": F.lit("x")}
    )
    df.write.format("delta").option("delta.columnMapping.mode", "name").save(str(tmp_path / "in"))
    for kind in ("delta", "parquet"):
        values = {"sample": None, "predictions": str(tmp_path / "in"), "format": kind}
        plain = audit(spark, tmp_path / kind, **values, run_id="plain")
        result = audit(spark, tmp_path / kind, **values, run_id="r", review_columns=[odd])
        assert result.num_issues == plain.num_issues == result.issues().count()
        rows = result.issues().select("id", c.quoted(odd)).collect()
        assert all(row[1] == f"note {row[0]}" for row in rows)
        assert read_run(str(tmp_path / kind), "plain", spark=spark).id_columns == ["id"]
        for column, error in (
            ("nothing", MissingColumnError),
            ("Rank", ConfigurationError),
            ("id", ConfigurationError),
        ):
            with pytest.raises(error, match=f"review_columns: .*'{column}'"):
                audit(spark, tmp_path / kind, **values, review_columns=[column])
    audit(
        spark,
        tmp_path / "new",
        sample=None,
        predictions=str(tmp_path / "in"),
        format="delta",
        review_columns=["url", odd],
    )
    meanings = {
        row.col_name: row.comment for row in spark.sql(f"DESCRIBE delta.`{tmp_path}/new/issues`").collect()
    }
    assert meanings[odd] == "Column of the input that `review_columns` names"
    assert meanings["id"].startswith("The example")


@pytest.mark.slow
def test_the_report_says_what_the_tables_say(spark: SparkSession, tmp_path: Path) -> None:
    for run_id in ("first", "second"):
        result = audit(
            spark, tmp_path, run_id=run_id, review_columns=["image"], slice_by=["true_label"], report=True
        )
    assert result.report == f"{tmp_path}/reports/second.html"
    html = Path(result.report).read_text(encoding="utf-8")
    of = data_of(html, "tables")
    assert len(of["issues"]["rows"]) == result.num_issues
    assert len(of["classes"]["rows"]) == len(of["slices"]["rows"]) == 10
    assert f"{100 * result.overall_health:.2f} %" in html
    first = dict(
        zip([column["title"] for column in of["issues"]["columns"]], of["issues"]["rows"][0], strict=True)
    )
    worst = result.issues().orderBy(c.RANK).first()
    assert (first["rank"], first["id"], first["given label"], first["suggested label"]) == (
        1, worst.id, worst.given_label, worst.suggested_label
    )  # fmt: skip
    assert base64.b64decode(first["image"]["image"].removeprefix("data:image/png;base64,")) == bytes(
        worst.image
    )
    of_charts = data_of(html, "charts")
    assert set(of_charts) == {"trend", "confusion", "distribution"}
    drawn = next(iter(of_charts["trend"]["datasets"].values()))
    assert [point["run_id"] for point in drawn] == ["first", "second"]
    # any finished run, elsewhere, with fewer issues
    other = write_report(
        read_run(str(tmp_path), "first", spark=spark), str(tmp_path / "a" / "b.html"), issues=5
    )
    assert len(data_of(Path(other).read_text(encoding="utf-8"), "tables")["issues"]["rows"]) == 5
    with pytest.raises(ConfigurationError, match="no file this user may write"):
        write_report(read_run(str(tmp_path), spark=spark), f"{other}/c.html")


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["delta", "parquet"])
def test_runs_of_earlier_versions_have_reports(spark: SparkSession, tmp_path: Path, kind: str) -> None:
    location = str(ROOT / "tests" / "fixtures" / "runs_without_gates" / kind)
    run = read_run(location, spark=spark)
    html = Path(write_report(run, str(tmp_path / "r.html"))).read_text(encoding="utf-8")
    assert "did not keep this" in html
    assert len(data_of(html, "tables")["issues"]["rows"]) == run.record.num_issues


@pytest.mark.slow
def test_where_a_report_goes_is_known_before_the_run(spark: SparkSession) -> None:
    with pytest.raises(InputError, match="where only Spark writes: name a file of this machine"):
        run_audit(spark, AuditConfig(sample="digits", output="spark_catalog.default", report=True))
    assert AuditConfig(sample="digits", output="./o", report="a.html").report == "a.html"
