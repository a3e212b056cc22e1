"""The environment of processes that tests start."""

import os


def plain_environment() -> dict[str, str]:
    """Return this environment without what tests tune in Spark: for what is tried as users have it."""
    return {name: value for name, value in os.environ.items() if name != "SPARK_SUBMIT_OPTS"}
