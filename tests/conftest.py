"""One Spark session for the whole run, real data where it is, and nothing else."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
os.environ.setdefault("TZ", "UTC")
os.environ.setdefault("PYSPARK_PYTHON", sys.executable)

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[object]:
    """A local session with two cores and Delta, its warehouse in a temporary directory."""
    from cl_spark.session import spark_session

    home = tmp_path_factory.mktemp("spark")
    conf = {
        "spark.master": "local[2]",
        "spark.driver.memory": "3g",
        "spark.sql.shuffle.partitions": "2",
        "spark.sql.warehouse.dir": str(home / "warehouse"),
        "spark.hadoop.javax.jdo.option.ConnectionURL": f"jdbc:derby:memory:{home.name};create=true",
    }
    with spark_session(conf, delta=True) as session:
        yield session


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real predictions and votes; tests that read them are skipped, loudly, where they are not."""
    if not SHARED.is_dir():
        pytest.skip(f"real data not found at {SHARED}")
    return SHARED
