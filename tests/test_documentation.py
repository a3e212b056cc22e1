"""What the documentation shows is run, and what it says of tables is what the code declares."""

import doctest
import importlib
import re
from pathlib import Path

import numpy as np
import pytest
from pyspark.sql import SparkSession

import cl_spark
from cl_spark.config import AuditConfig
from cl_spark.job import run_audit
from scripts.document_tables import documented

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def results(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Where the results of an audit of the sample are."""
    output = str(tmp_path_factory.mktemp("documentation") / "audits")
    run_audit(spark, AuditConfig(sample="digits", output=output, format="parquet"))
    return output


@pytest.mark.slow
def test_code_in_the_readme_runs(
    spark: SparkSession, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) == 2
    scope: dict[str, object] = {"spark": spark}
    for block in blocks:
        exec(compile(block, "README.md", "exec"), scope)
    assert "% healthy" in capsys.readouterr().out
    assert scope["scores"].count() == 1797  # type: ignore[attr-defined]


def test_the_readme_describes_the_tables_as_declared() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert documented(text) == text, "run scripts/document_tables.py"


@pytest.mark.parametrize("name", ["calibration", "confident", "fixed_point", "removal", "scores"])
def test_examples_of_the_kernels_run(name: str) -> None:
    module = importlib.import_module(f"cl_spark.kernels.{name}")
    result = doctest.testmod(module, extraglobs={"np": np})
    assert result.attempted > 0
    assert result.failed == 0


@pytest.mark.slow
@pytest.mark.parametrize("name", ["api", "thresholds", "audit", "history", "runs", "frozen"])
def test_examples_of_the_library_run(spark: SparkSession, name: str, results: str) -> None:
    module = importlib.import_module(f"cl_spark.{name}")
    df = spark.read.parquet(str(ROOT / "cl_spark" / "sample" / "digits.parquet"))
    scope = {"df": df, "spark": spark, "results": results, "read_run": cl_spark.read_run}
    result = doctest.testmod(module, extraglobs=scope)
    assert result.attempted > 0
    assert result.failed == 0


def test_every_public_name_is_documented() -> None:
    for name in cl_spark.__all__:
        assert name == "__version__" or getattr(cl_spark, name).__doc__
