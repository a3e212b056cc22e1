"""One Spark session for the whole run, real data where it is, and nothing else."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
os.environ.setdefault("TZ", "UTC")
os.environ.setdefault("PYSPARK_PYTHON", sys.executable)

# Tests ask each query a few times: the second compiler of the JVM costs a fifth more than it saves.
# Alone, the first is given so little room for its code that it stops compiling after half a minute.
os.environ.setdefault("SPARK_SUBMIT_OPTS", "-XX:TieredStopAtLevel=1 -XX:ReservedCodeCacheSize=240m")

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


@pytest.fixture(scope="session")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[object]:
    """A session with Delta, its warehouse in a temporary directory."""
    import pyspark

    from cl_spark.runs.session import spark_session

    if PLACE == "cluster":
        os.environ.setdefault("SPARK_HOME", str(Path(pyspark.__file__).parent))
    home = tmp_path_factory.mktemp("spark")
    conf = {
        **PLACES[PLACE],
        "spark.sql.shuffle.partitions": "2",
        "spark.databricks.delta.snapshotPartitions": "2",
        "spark.sql.warehouse.dir": str(home / "warehouse"),
        "spark.hadoop.javax.jdo.option.ConnectionURL": f"jdbc:derby:memory:{home.name};create=true",
    }
    with spark_session(conf, delta=True) as session:
        yield session


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
