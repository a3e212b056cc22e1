"""The wheel, as a new user installs it: into an empty environment, from the file alone."""

import re
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from tests.environment import plain_environment

ROOT = Path(__file__).resolve().parents[1]


def test_what_is_installed_to_run_is_installed_to_test() -> None:
    """Else what is set up to run, by the quickstart, replaces packages that tests have half imported."""
    run, dev = (
        set((ROOT / lock).read_text(encoding="utf-8").splitlines())
        for lock in ("requirements.lock", "requirements-dev.lock")
    )
    assert run - dev == set()


@pytest.mark.parametrize("name", ["pyspark", "delta-spark"])
def test_the_extras_bring_nothing_newer_than_what_is_tested(name: str) -> None:
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    major, minor = re.findall(rf"^{name}==(\d+)\.(\d+)", lock, re.MULTILINE)[0]
    declared = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert re.findall(rf'"{name}>=[\d.]+,<([\d.]+)"', declared) == [f"{major}.{int(minor) + 1}"]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_wheel_in_an_empty_environment_audits_the_sample(tmp_path: Path) -> None:
    def run(*command: str | Path) -> str:
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{command}\n{done.stdout[-3000:]}{done.stderr[-3000:]}"
        return done.stdout

    environment = {
        key: value
        for key, value in plain_environment().items()
        if key not in ("PYTHONPATH", "PYSPARK_PYTHON", "SPARK_HOME")
    }
    quiet = ("--quiet", "--disable-pip-version-check")
    run(sys.executable, "-m", "pip", "wheel", *quiet, "--no-deps", "--wheel-dir", tmp_path, ROOT)
    wheel = next(tmp_path.glob("cl_spark-*.whl"))
    home = tmp_path / "environment"
    venv.create(home, with_pip=True)
    # Versions as tested; the jars of Delta are fetched by Spark itself, as for anyone who installs it so.
    run(
        home / "bin" / "pip",
        "install",
        *quiet,
        "--constraint",
        ROOT / "requirements.lock",
        f"{wheel}[spark,delta,report]",
    )
    told = run(
        home / "bin" / "cl-spark",
        "audit",
        "--sample",
        "digits",
        "--output",
        "./audits",
        "--review-columns",
        "image",
        "--report",
    )
    assert "overall label health" in told
    assert (tmp_path / "audits" / "runs" / "_delta_log").is_dir()
    page = next((tmp_path / "audits" / "reports").glob("*.html")).read_text(encoding="utf-8")
    assert "data:image/png;base64," in page
    assert str(home) in run(home / "bin" / "python", "-c", "import cl_spark; print(cl_spark.__file__)")
