"""Write one Delta table and read it: the least that a program with Spark and Delta Lake does.

Usage: python scripts/minimal_program.py DIRECTORY
"""

import sys
from pathlib import Path

from pyspark.sql import SparkSession

SAMPLE = Path(__file__).resolve().parents[1] / "cl_spark" / "sample" / "digits.parquet"


def main(table: str) -> None:
    """Copy the sample into a Delta table, and count its rows."""
    spark = SparkSession.builder.getOrCreate()
    spark.read.parquet(str(SAMPLE)).write.format("delta").save(table)
    print(spark.read.format("delta").load(table).count())
    spark.stop()


if __name__ == "__main__":
    main(sys.argv[1])
