"""Sessions: which one is taken, and with which settings one is made."""

import os
from pathlib import Path
from typing import Any

import delta
import pytest
from pyspark.errors import AnalysisException, PySparkRuntimeError

from cl_spark.errors import ConfigurationError, MissingDependencyError
from cl_spark.runs import session
from cl_spark.runs.session import spark_session, start_session


class Conf(dict[str, str]):
    def set(self, key: str, value: str) -> None:
        if key == "spark.driver.memory":
            raise AnalysisException(f"cannot modify {key}")
        self[key] = value


class FakeSession:
    """Stands for `SparkSession`: keeps what it is told, and starts no Java."""

    active: "FakeSession | None" = None
    builder: Any

    def __init__(self) -> None:
        self.conf, self.is_stopped = Conf(), False

    @classmethod
    def getActiveSession(cls) -> "FakeSession | None":
        return cls.active

    def stop(self) -> None:
        self.is_stopped = True


class FakeBuilder:
    def __init__(self) -> None:
        self.settings: dict[str, str] = {}
        self.address: str | None = None

    def appName(self, name: str) -> "FakeBuilder":
        self.settings["spark.app.name"] = name
        return self

    def config(self, key: str, value: str) -> "FakeBuilder":
        self.settings[key] = value
        return self

    def remote(self, address: str) -> "FakeBuilder":
        self.address = address
        return self

    def getOrCreate(self) -> FakeSession:
        if self.settings.get("spark.master") == "nowhere":
            raise AnalysisException("no such master")
        return FakeSession()


@pytest.fixture
def builder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FakeBuilder:
    """The builder of the next session, on a machine with Java and with Delta on Spark's classpath."""
    for name in (
        "PYSPARK_GATEWAY_PORT", "SPARK_REMOTE", "MASTER", "DATABRICKS_RUNTIME_VERSION", "SPARK_CONF_DIR"
    ):  # fmt: skip
        monkeypatch.delenv(name, raising=False)
    java = tmp_path / "java_home" / "bin" / "java"
    java.parent.mkdir(parents=True)
    java.touch(mode=0o755)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "java_home"))
    monkeypatch.setattr(session, "_delta_on_classpath", lambda: True)
    made = FakeBuilder()
    monkeypatch.setattr(FakeSession, "builder", made, raising=False)
    monkeypatch.setattr("pyspark.sql.SparkSession", FakeSession)
    return made


def test_settings_of_the_user_win_over_those_chosen_here(builder: FakeBuilder) -> None:
    told = {
        "spark.sql.execution.arrow.maxRecordsPerBatch": "9",
        "spark.sql.shuffle.partitions": "7",
        "spark.sql.catalog.spark_catalog": "mine",
    }
    start_session(told)
    assert {key: builder.settings[key] for key in told} == told
    assert builder.settings["spark.sql.extensions"] == "io.delta.sql.DeltaSparkSessionExtension"
    assert builder.settings["spark.master"] == "local[*]"
    assert builder.settings["spark.sql.session.timeZone"] == "UTC"


def test_settings_of_one_machine_stay_away_from_a_cluster(builder: FakeBuilder) -> None:
    start_session({"spark.master": "yarn"}, delta=False)
    assert builder.settings["spark.master"] == "yarn"
    assert "spark.sql.session.timeZone" not in builder.settings
    assert "spark.sql.extensions" not in builder.settings, "no Delta table is read or written"
    assert builder.settings["spark.sql.execution.arrow.maxRecordsPerBatch"] == "1000"


def test_a_submitted_job_takes_the_master_of_its_submitter(
    builder: FakeBuilder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYSPARK_GATEWAY_PORT", "1")
    monkeypatch.setenv("JAVA_HOME", "/nowhere")
    start_session()
    assert "spark.master" not in builder.settings


@pytest.mark.parametrize("given", ["setting", "environment"])
def test_a_remote_session_gets_its_address_and_the_settings_of_the_user_only(
    given: str, builder: FakeBuilder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JAVA_HOME", "/nowhere")  # a client needs no Java
    conf = {"spark.sql.ansi.enabled": "true"}
    if given == "setting":
        conf["spark.remote"] = "sc://host"
    else:
        monkeypatch.setenv("SPARK_REMOTE", "sc://host")
    start_session(conf)
    assert builder.address == "sc://host"
    assert builder.settings == {"spark.app.name": "cl_spark", "spark.sql.ansi.enabled": "true"}


def test_a_machine_without_java_is_told_what_to_install(
    builder: FakeBuilder, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name, value in (("JAVA_HOME", str(tmp_path)), ("PATH", str(tmp_path))):
        monkeypatch.setenv(name, value)
        with pytest.raises(MissingDependencyError, match="Spark needs Java 17 or 21"):
            start_session()
        monkeypatch.delenv("JAVA_HOME", raising=False)


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        ("pyspark", "PySpark is not installed: pip install"),
        ("delta", "Delta Lake is not installed: pip"),
        ("py4j", "only Spark's Connect client is installed.*spark.remote=sc://"),
    ],
)
def test_a_missing_package_is_named_with_the_command_that_installs_it(
    missing: str, message: str, builder: FakeBuilder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "_delta_on_classpath", lambda: False)
    monkeypatch.setattr(session, "find_spec", lambda name: None if name == missing else object())
    with pytest.raises(MissingDependencyError, match=message):
        start_session()


def test_jars_of_delta_that_cannot_be_fetched_are_told(
    builder: FakeBuilder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise PySparkRuntimeError(errorClass="JAVA_GATEWAY_EXITED", messageParameters={})

    monkeypatch.setattr(builder, "getOrCreate", fail)
    with pytest.raises(PySparkRuntimeError, match="JAVA_GATEWAY_EXITED"):
        start_session()
    monkeypatch.setattr(session, "_delta_on_classpath", lambda: False)
    monkeypatch.setattr(delta, "configure_spark_with_delta_pip", lambda builder: builder)
    with pytest.raises(MissingDependencyError, match=r"the jars of delta-spark \d.* or use --format parquet"):
        start_session()


def test_the_active_session_is_taken_with_the_settings_of_the_user(
    builder: FakeBuilder, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = FakeSession()
    monkeypatch.setattr(FakeSession, "active", there)
    assert start_session({"spark.sql.ansi.enabled": "true"}) is there  # type: ignore[comparison-overlap]
    assert there.conf == {"spark.sql.ansi.enabled": "true"}


def test_a_setting_that_the_active_session_refuses_is_named_without_its_value(
    builder: FakeBuilder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FakeSession, "active", FakeSession())
    with pytest.raises(ConfigurationError, match=r"^spark_conf: .* refuses spark.driver.memory: ") as refused:
        start_session({"spark.driver.memory": "secret"})
    assert "secret" not in str(refused.value)


def test_a_session_that_does_not_start_names_the_settings_of_the_user(builder: FakeBuilder) -> None:
    with pytest.raises(ConfigurationError, match=r"^spark_conf: .* start with spark.master: no such master"):
        start_session({"spark.master": "nowhere"})


@pytest.mark.parametrize(
    ("conf", "options"),
    [
        ({}, "-XX:+UseSerialGC -XX:TieredStopAtLevel=1 -XX:ReservedCodeCacheSize=240m"),
        ({"spark.driver.extraJavaOptions": "-Xmx1g"}, "-Xmx1g"),
        ({"spark.master": "yarn"}, None),
    ],
)
def test_java_of_a_brief_session_compiles_quickly_on_this_machine_only(
    conf: dict[str, str], options: str | None, builder: FakeBuilder
) -> None:
    start_session(conf, brief=True)
    assert builder.settings.get("spark.driver.extraJavaOptions") == options


def test_a_session_is_stopped_after_its_block_unless_it_was_there_before(
    builder: FakeBuilder, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ValueError, match="broken"), spark_session({}, delta=False) as made:
        raise ValueError("broken")
    assert made.is_stopped  # type: ignore[attr-defined]
    there = FakeSession()
    monkeypatch.setattr(FakeSession, "active", there)
    with spark_session({}, delta=False):
        pass
    assert not there.is_stopped


@pytest.mark.parametrize(
    ("line", "is_there"),
    [
        ("spark.jars.packages io.delta:delta-spark_2.13:4.0.0\n", True),
        ("# spark.jars /opt/delta.jar\n", False),
        ("spark.sql.extensions io.delta.sql.DeltaSparkSessionExtension\n", False),
        (None, False),
    ],
)
def test_defaults_of_spark_tell_whether_delta_is_on_the_classpath(
    line: str | None, is_there: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SPARK_HOME", os.fspath(tmp_path))
    monkeypatch.setenv("SPARK_CONF_DIR", os.fspath(tmp_path))
    if line is not None:
        (tmp_path / "spark-defaults.conf").write_text(line, encoding="utf-8")
    assert session._delta_on_classpath() is is_there


def test_delta_may_be_among_the_jars_of_spark(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SPARK_HOME", os.fspath(tmp_path))
    monkeypatch.delenv("SPARK_CONF_DIR", raising=False)
    (tmp_path / "jars").mkdir()
    assert not session._delta_on_classpath()
    (tmp_path / "jars" / "io.delta_delta-spark_4.1_2.13-4.3.1.jar").touch()
    assert session._delta_on_classpath()
