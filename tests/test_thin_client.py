"""The client of Spark Connect alone (``pyspark-client``): no Java, no py4j, no classic modules of PySpark."""

import os
import socket
import subprocess
import sys
import time
import venv
from collections.abc import Iterator
from pathlib import Path

import pyspark
import pytest

ROOT = Path(__file__).resolve().parents[1]
LIBRARY = """
import sys
from importlib.util import find_spec
from pyspark.ml.functions import array_to_vector
from cl_spark import LabelAudit, find_label_issues, read_run, start_session
from cl_spark.errors import ConfigurationError

assert find_spec("py4j") is None
output, sample = sys.argv[1:]
spark = start_session()
assert start_session({"spark.sql.shuffle.partitions": "3"}) is spark
try:
    start_session({"spark.sql.warehouse.dir": "/nowhere"})
    raise SystemExit("a static setting must be refused")
except ConfigurationError as error:
    assert "refuses spark.sql.warehouse.dir" in str(error), error
df = spark.read.parquet(sample)
with LabelAudit(df) as audit:
    issues = audit.find_label_issues().count()
    assert issues > 50 and audit.rejected().count() == 0
    assert audit.label_quality_scores(method="confidence_weighted_entropy").count() == 1797
assert find_label_issues(df.withColumn("pred_probs", array_to_vector("pred_probs"))).count() == issues
for format in ("delta", "parquet"):
    run = read_run(f"{output}/{format}", spark=spark)
    assert run.issues.count() == run.record.num_issues == issues
    assert run._repr_html_().startswith("<div")
print("all of it from the client alone")
"""


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment with this package and the client of Spark Connect (20 s)."""
    home = tmp_path_factory.mktemp("client")
    venv.create(home, with_pip=True)
    installed = subprocess.run(
        [
            home / "bin" / "pip", "install", "--quiet", "--disable-pip-version-check",
            "--constraint", ROOT / "requirements.lock",
            f"{ROOT}[report]", f"pyspark-client=={pyspark.__version__}",
        ],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if installed.returncode and "CL_SPARK_REQUIRE_NETWORK" not in os.environ:
        pytest.skip(f"pyspark-client could not be installed: {installed.stderr[-500:]}")
    assert installed.returncode == 0, installed.stderr[-3000:]
    return home / "bin" / "python"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a Spark Connect server, whose workers have this package."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    home = tmp_path_factory.mktemp("server")
    settings = {
        "spark.connect.grpc.binding.port": port,
        "spark.sql.shuffle.partitions": 2,
        "spark.databricks.delta.snapshotPartitions": 2,
        "spark.sql.warehouse.dir": home / "warehouse",
        "spark.ui.enabled": "false",
    }
    command = [Path(pyspark.__file__).parent / "bin" / "spark-submit", "--master", "local[2]"]
    for key, value in settings.items():
        command += ["--conf", f"{key}={value}"]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PYSPARK_PYTHON": sys.executable}
    with (home / "log").open("w") as log:
        java = subprocess.Popen(
            [*command, "--class", "org.apache.spark.sql.connect.service.SparkConnectServer"],
            cwd=home, env=environment, stdout=log, stderr=log,
        )  # fmt: skip
    try:
        while java.poll() is None:
            with socket.socket() as knocking:
                if knocking.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.2)
        assert java.poll() is None, (home / "log").read_text()[-3000:]
        yield f"sc://127.0.0.1:{port}"
    finally:
        java.terminate()
        java.wait()


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_an_audit_from_the_client_alone(client: Path, server: str, tmp_path: Path) -> None:
    def run(*command: str, code: int = 0) -> str:
        done = subprocess.run(
            [client, "-W", "ignore", *command],
            cwd=tmp_path, env=environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == code, f"{command}\n{done.stdout[-3000:]}{done.stderr[-3000:]}"
        return done.stdout + done.stderr

    def cl_spark(*arguments: str, code: int = 0) -> str:
        return run("-c", "from cl_spark.terminal.command_line import main; main()", *arguments, code=code)

    environment = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "SPARK_HOME")}
    environment["SPARK_REMOTE"] = server
    sample = str(ROOT / "cl_spark" / "sample" / "digits.parquet")
    for format in ("delta", "parquet"):
        output = f"{tmp_path}/{format}"
        assert "overall label health" in cl_spark(
            "audit", "--sample", "digits", "--output", output, "--format", format, "--run-id", "a",
            "--label-scores", "--report",
        )  # fmt: skip
        assert (tmp_path / format / "reports" / "a.html").exists()
        assert "Issues of run a" in cl_spark("show", output, "--rows", "2")
        assert "1,797 rows scored" in cl_spark("score", output, "--predictions", sample)
        assert f"{output}/b.html" in cl_spark("report", output, "--output", f"{output}/b.html")
    assert "there is no path './none'" in cl_spark(
        "audit", "--predictions", "./none", "--output", "./o", code=2
    )
    assert "all of it from the client alone" in run("-c", LIBRARY, str(tmp_path), sample)
    environment["SPARK_REMOTE"] = "not an address"
    assert "Spark does not start with SPARK_REMOTE" in cl_spark("history", "./o", code=2)
    del environment["SPARK_REMOTE"]
    assert "name a server" in cl_spark("history", "./o", code=1)
