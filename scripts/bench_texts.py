#!/usr/bin/env python
"""Near copies among texts, timed: scripts/bench_texts.py --rows 1000000 10000000.

It generates texts of 50 words, a hundredth of which are another text with one word changed, and another
hundredth a copy of one. It finds the groups, every size in a process of its own. Found is the share of
planted pairs whose two texts come to one group. Needs the dev dependencies.
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

from contestant_process import measure, plain_session

WORDS, VOCABULARY = 50, 20_000


def generate(rows: int, directory: Path) -> Path:
    """Generate the table, unless it is there. Row i with i % 100 of 1 or 2 is made of row i - 50."""
    from pyspark.sql import functions as F

    path = directory / f"texts-{rows}"
    if (path / "rows" / "_SUCCESS").exists():
        return path
    spark = plain_session("2g")
    is_copy = F.col("id") % 100 == 1
    is_changed = F.col("id") % 100 == 2
    made = spark.range(50, rows + 50, 1, 16).withColumn(
        "source", F.when(is_copy | is_changed, F.col("id") - 50).otherwise(F.col("id"))
    )
    words = F.transform(
        F.sequence(F.lit(1), F.lit(WORDS)),
        lambda place: F.concat(
            F.lit("w"),
            F.pmod(
                F.xxhash64(F.when(is_changed & (place == 25), F.col("id")).otherwise(F.col("source")), place),
                F.lit(VOCABULARY),
            ).cast("string"),
        ),
    )
    text = F.concat_ws(" ", words)
    shown = F.when(is_copy, F.upper(text)).otherwise(text)
    made.select("id", shown.alias("text")).write.mode("overwrite").parquet(f"{path}/rows")
    spark.stop()
    return path


def run(path: str, memory: str) -> dict[str, Any]:
    """Time one size: the seconds, the rows in groups, and the share of planted pairs that were found."""
    from pyspark.sql import functions as F

    from cl_spark import find_duplicates

    spark = plain_session(memory)
    start = time.monotonic()
    rows = spark.read.parquet(f"{path}/rows")
    find_duplicates(rows, text_col="text").write.mode("overwrite").parquet(f"{path}/result")
    seconds = time.monotonic() - start
    result = spark.read.parquet(f"{path}/result")
    groups = result.select("id", "group")
    sources = groups.select((F.col("id") + 50).alias("id"), F.col("group").alias("of_source"))
    made = groups.where("id % 100 IN (1, 2) AND id >= 100").join(sources, "id", "left")
    num_planted = rows.where("id % 100 IN (1, 2) AND id >= 100").count()
    num_found = made.where(F.col("group") == F.col("of_source")).count()
    found = {"seconds": seconds, "grouped": result.count(), "found": num_found / num_planted}
    spark.stop()
    return found


def main() -> None:
    """Measure, and print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[20_000])
    parser.add_argument("--directory", type=Path, default=Path("/tmp/cl_spark_bench"))
    parser.add_argument("--memory", default="2g", help="heap of Spark")
    parser.add_argument("--contestant")
    parser.add_argument("--path")
    options = parser.parse_args()
    if options.contestant:
        print(json.dumps(run(options.path, options.memory)))
        return
    print(f"Heap of {options.memory}\n")
    print("| texts | seconds | in groups | planted pairs found | Python MiB | Java MiB |")
    print("|---|---|---|---|---|---|")
    for rows in options.rows:
        found = measure(__file__, "cl_spark", generate(rows, options.directory), options.memory)
        cells = f"{found['failed']} | | | | " if "failed" in found else (
            f"{found['seconds']:.1f} | {found['grouped']:,} | {found['found']:.4f} | {found['python']:,} | "
            f"{found['java']:,}"
        )  # fmt: skip
        print(f"| {rows:,} | {cells} |", flush=True)


if __name__ == "__main__":
    main()
