"""The examples for schedulers and platforms, as far as they can be tried without one."""

import os
import re
import subprocess
import sys
import venv
import zipfile
from pathlib import Path
from typing import Any

import click
import pytest
import yaml
from databricks.bundles.jobs import Job

from cl_spark.runs.config import load_config
from cl_spark.tasks.label_audit.config import AuditConfig
from cl_spark.terminal import command_line as cli
from scripts.build_archive import build

ROOT = Path(__file__).resolve().parents[1]
BUNDLE = ROOT / "conf" / "databricks"
BIN = Path(sys.executable).parent


def resolved(text: str, variables: dict[str, str]) -> str:
    """Text with the bundle's variables in their places; the platform's own are a date here."""
    text = re.sub(r"\$\{var\.(\w+)\}", lambda match: variables[match[1]], text)
    return text.replace("{{job.start_time.iso_date}}", "2026-01-31")


@pytest.mark.parametrize("name", ["audit_serverless", "audit_classic"])
def test_the_jobs_of_the_bundle_are_what_the_platform_takes(name: str) -> None:
    bundle = yaml.safe_load((BUNDLE / "databricks.yml").read_text(encoding="utf-8"))
    variables = {key: value["default"] for key, value in bundle["variables"].items()}
    path = next(path for pattern in bundle["include"] for path in BUNDLE.glob(pattern) if path.stem == name)
    text = path.read_text(encoding="utf-8")
    job = yaml.safe_load(resolved(text, variables))["resources"]["jobs"][name]
    made = Job.from_dict(job)  # refuses unknown keys and values of the wrong type
    with pytest.raises(ValueError, match="Unexpected field"):
        Job.from_dict({**job, "taks": []})
    task = made.tasks[0].python_wheel_task
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert f'name = "{task.package_name}"' in project
    assert f'{task.entry_point} = "cl_spark.terminal.command_line:main"' in project
    given = cli.cli.commands["audit"].make_context("audit", list(task.parameters[1:])).params
    values = {
        key: value for key, value in given.items() if value is not None and key not in ("config", "as_json")
    }
    config = load_config(AuditConfig, None, values)
    assert (config.predictions, config.output, config.run_id) == (
        "main.vision.predictions",
        "main.audits",
        "2026-01-31",
    )
    assert len(config.gates) == 2
    wheels = [str(item) for item in re.findall(r"\S*\*\.whl", text)]
    assert all((path.parent / wheel).resolve().parent == ROOT / "dist" for wheel in wheels)
    assert wheels


def test_the_session_of_the_platform_is_taken_and_never_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    from pyspark.sql import SparkSession

    from cl_spark.runs.session import spark_session

    class Session:
        stopped = False

        def stop(self) -> None:
            self.stopped = True

    class Builder:
        session = Session()

        def getOrCreate(self) -> Session:
            return self.session

    monkeypatch.setenv("DATABRICKS_RUNTIME_VERSION", "17.3")
    monkeypatch.setattr(SparkSession, "getActiveSession", classmethod(lambda cls: None))
    monkeypatch.setattr(SparkSession, "builder", Builder())
    with spark_session({}, delta=True) as spark:
        assert spark is Builder.session
    assert not Builder.session.stopped


def test_a_job_that_succeeds_returns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli, "exit_code", lambda arguments: 0)
    assert cli.main([]) is None
    monkeypatch.setattr(cli, "exit_code", lambda arguments: 3)
    with pytest.raises(SystemExit, match="3"):
        cli.main([])


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Python that has what the package needs, but not the package."""
    home = tmp_path_factory.mktemp("bare")
    venv.create(home, symlinks=True)
    ours = next((BIN.parent / "lib").glob("python3.*/site-packages"))
    next((home / "lib").glob("python3.*/site-packages")).joinpath("ours.pth").write_text(str(ours))
    found = subprocess.run(
        [home / "bin" / "python", "-c", "import pandas, cl_spark"], cwd=home, capture_output=True, text=True
    )
    assert "No module named 'cl_spark'" in found.stderr
    return home / "bin" / "python"


@pytest.mark.slow
def test_an_archive_ships_the_package_to_driver_and_executors(bare: Path, tmp_path: Path) -> None:
    archive = build(tmp_path / "cl_spark.zip")
    assert archive.read_bytes() == build(tmp_path / "again.zip").read_bytes()
    assert "cl_spark/sample/digits.parquet" in zipfile.ZipFile(archive).namelist()
    settings = {
        "spark.master": "local-cluster[2,1,1024]", "spark.executor.memory": "1g", "spark.ui.enabled": "false",
        "spark.sql.shuffle.partitions": "2",
    }  # fmt: skip
    import pyspark

    environment = {
        **os.environ,
        "PYSPARK_PYTHON": str(bare),
        "SPARK_HOME": str(Path(pyspark.__file__).parent),
        "TZ": "UTC",
    }
    environment.pop("PYTHONPATH", None)
    done = subprocess.run(
        [BIN / "spark-submit", *(part for pair in settings.items() for part in ("--conf", "=".join(pair))),
         "--py-files", archive, ROOT / "jobs" / "audit_labels.py", "--sample", "digits",
         "--output", tmp_path / "out", "--format", "parquet", "--rank-by", "confidence_weighted_entropy",
         "--label-scores", "--review-columns", "image", "--report"],
        cwd=tmp_path, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert "overall label health" in done.stdout
    assert list((tmp_path / "out" / "reports").glob("*.html"))


@pytest.mark.slow
def test_the_cron_job_tells_what_happened(tmp_path: Path) -> None:
    def night(*more: str, **environment: str) -> Any:
        return subprocess.run(
            [ROOT / "conf" / "cron" / "label_audit.sh", *more], capture_output=True, text=True, check=False,
            env={**os.environ, "SUBMIT": f"{BIN}/spark-submit", "LOGS": str(tmp_path / "logs"),
                 "OUTPUT": str(tmp_path / "out"), **environment},
        )  # fmt: skip

    done = night(
        "--gates", "overall_health >= 0.999", PREDICTIONS=str(ROOT / "cl_spark" / "sample" / "digits.parquet")
    )
    assert done.returncode == 3, done.stdout + done.stderr
    assert "written, but a gate failed" in done.stdout
    log = next((tmp_path / "logs").glob("*.log")).read_text()
    assert '"num_issues":' in log
    assert "gate failed: overall_health >= 0.999: it is" in log
    bad = night(PREDICTIONS="/no/such")
    assert bad.returncode == 2
    assert "cannot be used" in bad.stdout
    log = next((tmp_path / "logs").glob("*.log")).read_text()
    assert "predictions: there is no path '/no/such'" in log
    assert "Traceback" not in log
    without = subprocess.run(
        [ROOT / "conf" / "cron" / "label_audit.sh"], capture_output=True, text=True, check=False, env={}
    )
    assert "set OUTPUT" in without.stderr


def test_the_flags_of_validate_are_those_of_audit() -> None:
    def names(command: click.Command) -> set[str]:
        return {str(parameter.name) for parameter in command.params}

    assert names(cli.validate) == names(cli.cli.commands["audit"]) | {"rows"}


IN_AIRFLOW = """
import importlib.util, sys
from airflow.exceptions import AirflowFailException

spec = importlib.util.spec_from_file_location("label_audit", sys.argv[1])
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
tasks = module.label_audit().task_dict
assert {name: sorted(task.downstream_task_ids) for name, task in tasks.items()} == {
    "validate": ["audit"], "audit": ["changes"], "changes": []
}
tasks["validate"].python_callable()
assert tasks["changes"].python_callable().strip() == "{}"
try:
    tasks["audit"].python_callable(ds="2026-01-31")
    raise SystemExit("a failed gate must fail the task")
except AirflowFailException as error:
    assert "gate failed" in str(error)
"""


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_airflow_takes_the_dag_and_its_tasks_call_commands_that_exist(tmp_path: Path) -> None:
    home, calls, fake = tmp_path / "airflow", tmp_path / "calls", tmp_path / "bin" / "cl-spark"
    venv.create(home, with_pip=True)
    packages = ("apache-airflow-core==3.3.2", "apache-airflow-providers-standard==1.21.0")
    install = [home / "bin" / "pip", "install", "--quiet", "--disable-pip-version-check", *packages]
    subprocess.run(install, check=True)
    fake.parent.mkdir()
    fake.write_text(
        f'#!/bin/sh\necho "$@" >> {calls}\n'
        '[ "$1" = audit ] && { echo "gate failed: x" >&2; exit 3; }\necho "{}"\n'
    )
    fake.chmod(0o755)
    done = subprocess.run(
        [home / "bin" / "python", "-W", "ignore", "-c", IN_AIRFLOW,
         ROOT / "conf" / "airflow" / "label_audit.py"],
        env={**os.environ, "AIRFLOW_HOME": str(tmp_path),
             "PATH": f"{fake.parent}{os.pathsep}{os.environ['PATH']}"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    ran = [line.split() for line in calls.read_text().splitlines()]
    assert [words[0] for words in ran] == ["validate", "history", "audit"]
    for name, *words in ran:
        words = (
            " ".join(words).replace("overall_health >= 0.9,health_drop <= 0.01", "a>=1").split()
        )  # the shell kept no quotes
        cli.cli.commands[name].make_context(name, words)
