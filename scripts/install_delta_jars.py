"""Give the Spark of this environment Delta Lake, once.

Spark can fetch Delta's jars at every start (``--packages``). Here its own resolver fetches them once. They go
beside Spark's own jars, and Delta's settings into Spark's defaults, so that every session of the environment,
spark-submit and Spark Connect have Delta, offline too, and copy no jars when they start.
"""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pyspark
from delta import configure_spark_with_delta_pip
from pyspark.sql import SparkSession

SPARK_HOME = Path(pyspark.__file__).parent
OWN = SPARK_HOME / "jars"
IVY = Path(sys.prefix) / "ivy"


def delta_packages() -> str:
    """The Maven coordinate that fits the installed delta-spark, as that package knows it."""
    builder = configure_spark_with_delta_pip(SparkSession.builder)
    return str(builder._options["spark.jars.packages"])


def main() -> None:
    """Resolve, put the jars that Spark lacks beside its own, and write Spark's defaults."""
    conf = SPARK_HOME / "conf"
    conf.mkdir(exist_ok=True)
    defaults = conf / "spark-defaults.conf"
    defaults.unlink(missing_ok=True)
    for jar in (IVY / "jars").glob("*.jar"):  # of an earlier version
        (OWN / jar.name).unlink(missing_ok=True)
        jar.unlink()
    script = IVY / "nothing.py"
    IVY.mkdir(exist_ok=True)
    script.write_text("", encoding="utf-8")
    resolve = [
        str(SPARK_HOME / "bin" / "spark-submit"), "--master", "local[1]",
        "--packages", delta_packages(), "--conf", f"spark.jars.ivy={IVY}", str(script),
    ]  # fmt: skip
    done = subprocess.run(resolve, capture_output=True, text=True, check=False)
    jars = sorted((IVY / "jars").glob("*.jar"))
    if done.returncode or not jars:
        told = [line for line in done.stderr.splitlines() if "unresolved" in line or "Exception" in line]
        sys.exit(
            "Delta Lake's jars could not be fetched from Maven Central: "
            + (told[0].strip() if told else done.stderr[-500:])
        )
    there = {_artifact(jar.name) for jar in OWN.glob("*.jar")}
    for jar in jars:
        if _artifact(jar.name.split("_", 1)[1]) not in there:  # its group stands before
            shutil.copy(jar, OWN)
    settings = {
        # spark-submit and its workers run this environment, activated or not
        "spark.pyspark.python": sys.executable,
        "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
        "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
    }
    defaults.write_text("".join(f"{key} {value}\n" for key, value in settings.items()), encoding="utf-8")
    logging = conf / "log4j2.properties"
    logging.write_text(
        "rootLogger.level = error\nrootLogger.appenderRef.stderr.ref = console\n"
        "appender.console.type = Console\nappender.console.name = console\n"
        "appender.console.target = SYSTEM_ERR\n"
        "appender.console.layout.type = PatternLayout\n"
        "appender.console.layout.pattern = %d{HH:mm:ss} %p %c{1}: %m%n%ex\n",
        encoding="utf-8",
    )


def _artifact(jar: str) -> str:
    """Name what a jar holds, whatever its version."""
    return re.sub(r"-\d.*", "", jar)


if __name__ == "__main__":
    main()
