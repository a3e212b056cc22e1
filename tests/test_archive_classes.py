"""The archive of Spark's classes: who starts with it, and who does without."""

import os
import subprocess
from pathlib import Path

import pytest

from scripts import archive_classes


@pytest.mark.parametrize(
    ("arguments", "environment", "is_used"),
    [
        (["pyspark-shell", "--conf", "spark.master=local[2]"], {}, True),
        (["--conf", "spark.driver.extraClassPath=/x.jar"], {}, False),
        (["--driver-class-path", "/x.jar"], {}, False),
        (["--properties-file", "/x.conf"], {}, False),
        ([], {"HADOOP_CONF_DIR": "/etc/hadoop"}, False),
        ([], {"SPARK_DIST_CLASSPATH": "/x.jar"}, False),
    ],
)
def test_what_is_put_on_the_class_path_wins_over_the_archive(
    arguments: list[str], environment: dict[str, str], is_used: bool, tmp_path: Path
) -> None:
    archive = tmp_path / "a b.jsa"
    archive.touch()
    start = tmp_path / "spark-env.sh"
    start.write_text(archive_classes.START.replace(str(archive_classes.ARCHIVE), str(archive)))
    given = {
        "PATH": os.environ["PATH"],
        "SPARK_HOME": "/s",
        "SPARK_CONF_DIR": "/c",
        "SPARK_SUBMIT_OPTS": "-Dx=1",
    }
    script = ["bash", "-c", f'. "{start}"; printf %s "$SPARK_SUBMIT_OPTS"', "bash", *arguments]
    told = subprocess.run(script, env=given | environment, capture_output=True, text=True, check=True).stdout
    assert (f'-XX:SharedArchiveFile="{archive}"' in told) == ('-cp "/s/jars/*:/c"' in told) == is_used
    assert told.endswith("-Dx=1")
