"""Confident learning on numpy arrays: pure functions, no Spark, no input or output."""

EPS = 1e-6
"""Slack of every comparison with a threshold or a given label (specification: eps)."""

TINY = 1e-100
"""Keeps a division by an empty class from failing (specification: tiny)."""

CACHED_VALUES = 2**17
"""Values worked on together, so that they stay in the processor's cache through all passes over them: 1 MiB
of doubles."""
