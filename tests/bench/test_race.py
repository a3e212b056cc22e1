"""The benchmark works from end to end, in its smallest size: nothing is timed here."""

import json
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from cl_spark.bench.contestants import PLAIN
from cl_spark.bench.generated import Shape, generate
from cl_spark.bench.race import contestants
from cl_spark.errors import ConfigurationError
from tests.environment import plain_environment

ROOT = Path(__file__).resolve().parents[2]


def run(directory: Path, *arguments: str) -> dict[str, dict[str, float]]:
    command = [
        sys.executable,
        str(ROOT / "scripts" / "bench.py"),
        "--directory",
        str(directory),
        "--repeat",
        "1",
        *arguments,
    ]
    done = subprocess.run(
        [*command, "--files", "2", "--row-group", "100"],
        env=plain_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    (written,) = (directory / "results").glob("*.json")
    assert written.with_suffix(".md").read_text(encoding="utf-8").count("| cl_spark |") == 1
    return json.loads(written.read_text(encoding="utf-8"))["results"]  # type: ignore[no-any-return]


@pytest.mark.slow
def test_all_contestants_run_on_the_same_files(tmp_path: Path) -> None:
    results = run(tmp_path, "--rows", "1000", "--classes", "5")
    assert set(results) == {PLAIN, "cl_spark", "floor", "cleanlab in memory", "cleanlab batched"}
    assert results[PLAIN]["issues"] == results["cl_spark"]["issues"]
    assert results["cl_spark"]["issues"] == results["cleanlab in memory"]["issues"] > 0
    for name, result in results.items():
        assert result["cold"] > result["warm"] > 0, name
        assert result["python_peak_mib"] > 10
    assert results["cl_spark"]["jvm_peak_mib"] > 100


@pytest.mark.slow
def test_single_answers_are_measured_by_name(tmp_path: Path) -> None:
    results = run(tmp_path, "--rows", "1000", "--classes", "5", "--only", "cl_spark", "--only", "all filters")
    assert set(results) == {"cl_spark", "all filters"}
    assert results["all filters"]["examples"] == 1000
    with pytest.raises(ConfigurationError, match=r"no contestant 'no such'.*all filters"):
        contestants(Shape(1000, 5), None, ["floor", "no such"])


@pytest.mark.slow
def test_an_audit_stays_within_its_heap(tmp_path: Path) -> None:
    """200,000 x 1,000 float32 in a heap of 2 GiB: the process stays below the heap and the JVM's own part."""
    data = generate(Shape(200_000, 1_000), tmp_path)
    settings = json.dumps({"repeat": 0, "spark_conf": {"spark.driver.memory": "2g"}})
    command = [sys.executable, "-m", "cl_spark.bench.contestants", "cl_spark", str(data), settings]
    environment = plain_environment()
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    measured = json.loads(done.stdout.splitlines()[-1])
    assert measured["examples"] == 200_000
    assert measured["issues"] == 20_107  # as cleanlab's, its sorts made stable
    assert measured["jvm_peak_mib"] < 3 * 1024
    assert measured["python_peak_mib"] < 1024
    assert measured["read_mib"] < 3 * sum(file.stat().st_size for file in data.glob("*.parquet")) / 2**20, (
        "one scan, and one for single probabilities"
    )


def test_the_same_shape_gives_the_same_bytes(tmp_path: Path) -> None:
    for shape in (Shape(500, 4, files=2, row_group=100), Shape(300, 50, top=6, files=2, dtype="float64")):
        first, again = generate(shape, tmp_path / "a"), generate(shape, tmp_path / "b")
        table = pq.read_table(first)
        assert table.equals(pq.read_table(again))
        assert table.num_rows == shape.rows
        for entries in table["pred_probs"].to_pylist():
            if shape.top:
                assert len({entry["class"] for entry in entries}) == len(entries) <= 6
                assert sum(entry["prob"] for entry in entries) <= 1 + 1e-6
            else:
                assert abs(sum(entries) - 1) < 1e-5
