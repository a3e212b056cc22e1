"""One Spark session for the whole run, real data where it is, a real browser, and nothing else."""

import logging
import os
import shutil
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
os.environ.setdefault("TZ", "UTC")
os.environ.setdefault("PYSPARK_PYTHON", sys.executable)

# A test asks a query once, of a few rows: generated code takes longer to compile than it runs, and so does
# what the second compiler of the JVM makes of it. (Alone, the first one is given so little room for its code
# that it stops compiling after half a minute.) Nor are there rows for a session's usual partitions.
# What is tried in a process as users have it goes without this: see `tests.environment`.
IN_TESTS = {
    "spark.sql.codegen.wholeStage": "false",
    "spark.sql.codegen.factoryMode": "NO_CODEGEN",
    "spark.sql.shuffle.partitions": "2",
    "spark.databricks.delta.snapshotPartitions": "2",
    "spark.ui.enabled": "false",
}
COMPILERS = "-XX:TieredStopAtLevel=1 -XX:ReservedCodeCacheSize=240m"
os.environ.setdefault(
    "SPARK_SUBMIT_OPTS", " ".join([COMPILERS, *(f"-D{key}={value}" for key, value in IN_TESTS.items())])
)

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


PLACES = {
    "local": {"spark.master": "local[2]", "spark.driver.memory": "3g"},
    "connect": {"spark.remote": "local[2]"},
    "cluster": {
        "spark.master": "local-cluster[2,1,1024]",
        "spark.executor.memory": "1g",
        "spark.executorEnv.PYTHONPATH": str(Path(__file__).resolve().parents[1]),
    },
}
PLACE = os.environ.get("CL_SPARK_TEST_ON", "local")
"""Where the tests run Spark: in this process, behind a Spark Connect server, or on two executor processes."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if PLACE == "connect" and item.get_closest_marker("classic"):
            item.add_marker(pytest.mark.skip(reason="asks a classic session how it works inside"))


@pytest.fixture(autouse=True)
def own_log_level() -> Iterator[None]:
    """Give the package's log back the level it had: commands that a test runs set it for their process."""
    logger = logging.getLogger("cl_spark")
    level = logger.level
    yield
    logger.setLevel(level)


@pytest.fixture(scope="session")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[object]:
    """A session with Delta, its warehouse in a temporary directory."""
    import pyspark

    from cl_spark.runs.session import spark_session

    if PLACE == "cluster":
        os.environ.setdefault("SPARK_HOME", str(Path(pyspark.__file__).parent))
    home = tmp_path_factory.mktemp("spark")
    own_port = {"spark.connect.grpc.binding.port": _find_connect_port()} if PLACE == "connect" else {}
    conf = {
        **PLACES[PLACE],
        **own_port,
        **IN_TESTS,
        "spark.sql.warehouse.dir": str(home / "warehouse"),
        "spark.hadoop.javax.jdo.option.ConnectionURL": f"jdbc:derby:memory:{home.name};create=true",
    }
    with spark_session(conf, delta=True) as session:
        yield session


def _find_connect_port() -> str:
    """Find a free port for a server, and let its clients look there: each process of tests has its own."""
    from pyspark.sql.connect.client import DefaultChannelBuilder

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    DefaultChannelBuilder.default_port = staticmethod(lambda: port)
    return str(port)


@pytest.fixture(scope="session")
def df(spark: Any) -> Any:
    """Predictions of 200 rows and 4 classes, with two columns to slice by."""
    from pyspark.sql import functions as F

    from tests.frames import predictions
    from tests.oracle.datasets import dataset

    data = dataset(83, 200, 4)
    columns = {"source": F.expr("if(id < 20, 'a', 'b')"), "day": F.expr("if(id % 50 = 0, null, id % 3)")}
    return predictions(spark, data.labels, data.probs).withColumns(columns).cache()


@pytest.fixture(scope="session")
def table(df: Any, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The path of these predictions, as Parquet."""
    path = str(tmp_path_factory.mktemp("input") / "predictions")
    df.write.parquet(path)
    return path


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real predictions and votes; tests that read them are skipped, loudly, where they are not."""
    if not SHARED.is_dir():
        pytest.skip(f"real data not found at {SHARED}")
    return SHARED


@pytest.fixture(scope="module")
def browser() -> Iterator[object]:
    """A real browser. Without one tests are skipped, or fail where one is required."""
    from playwright.sync_api import sync_playwright  # not on every version of Spark that tests run on

    path = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    if path is None:
        told = "no Chromium found: install it (apt-get install chromium) or set CHROMIUM"
        pytest.fail(told) if os.environ.get("CL_SPARK_REQUIRE_BROWSER") else pytest.skip(told)
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield launched
        launched.close()
