"""Waiting for what is released in a thread of its own."""

import gc
from threading import Event

from cl_spark.evidence.forgotten import release_when_forgotten


class _Last:
    """What is forgotten last."""


def collect() -> None:
    """Collect garbage, and wait until everything that was kept for it is released."""
    gc.collect()
    done = Event()
    release_when_forgotten(_Last(), done.set)
    assert done.wait(60)
