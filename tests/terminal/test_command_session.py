"""Sessions of commands: what Spark says is told where a person needs it, and only there."""

import subprocess
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path

import pytest

from cl_spark.errors import ConfigurationError, InputError, RunError
from cl_spark.terminal import command_session as commands
from cl_spark.terminal.command_session import command_session


@contextmanager
def noisy_session(conf: Mapping[str, str], **options: bool) -> Iterator[str]:
    """A session whose Java writes to the output it was given, when it starts and when it ends."""
    subprocess.run(["sh", "-c", "echo resolving; echo 'WARN slow\n\tat java.Main' >&2"], check=True)
    if conf.get("spark.master") == "nowhere":
        raise ConfigurationError("spark_conf: no such master")
    java = subprocess.Popen(["sh", "-c", "read line; echo broken pipe >&2"], stdin=subprocess.PIPE)
    try:
        yield "session"
    finally:
        java.communicate()


@pytest.fixture(autouse=True)
def java(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "spark_session", noisy_session)


@pytest.mark.parametrize("error", [None, InputError("there is no path")])
def test_nothing_of_spark_is_told_where_our_sentence_is_enough(
    error: Exception | None, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(InputError) if error else nullcontext(), command_session({}, delta=False) as session:
        print(f"result of {session}")
        if error:
            raise error
    assert capfd.readouterr() == ("result of session\n", "")


@pytest.mark.parametrize("error", [RunError("failed while scanning"), ZeroDivisionError()])
def test_the_log_is_told_where_spark_failed(error: Exception, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(type(error)), command_session({}, delta=False):
        raise error
    assert capfd.readouterr() == ("", "resolving\nWARN slow\n\tat java.Main\n")


def test_where_spark_does_not_start_it_says_why_without_a_stack_trace(
    capfd: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(ConfigurationError), command_session({"spark.master": "nowhere"}, delta=False):
        pass
    assert capfd.readouterr() == ("", "resolving\nWARN slow\n")


def test_who_sets_the_level_of_the_log_sees_it(capfd: pytest.CaptureFixture[str]) -> None:
    with command_session({"spark.log.level": "WARN"}, delta=False):
        pass
    told = capfd.readouterr()
    assert told.out == "resolving\n"
    assert told.err.endswith("broken pipe\n")


def test_pyspark_prints_no_json_and_no_warnings_of_queries(capfd: pytest.CaptureFixture[str]) -> None:
    PySparkLogger = pytest.importorskip("pyspark.logger", reason="Spark 4").PySparkLogger
    logger = PySparkLogger.getLogger("SQLQueryContextLogger")
    with command_session({}, delta=False):
        logger.exception("no such table", errorClass="TABLE_OR_VIEW_NOT_FOUND")
        warnings.warn_explicit("moving all data", UserWarning, "x.py", 1, module="pyspark.sql.connect.x")
    assert capfd.readouterr() == ("", "")
    assert not logger.disabled  # outside, it is the user's


@pytest.mark.slow
def test_a_person_who_mistypes_reads_one_sentence(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "from cl_spark.terminal.command_line import main; main()"]
    done = subprocess.run(
        [*command, "show", "./none"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "cl-spark: output: there is no table 'runs' in './none'\n"
