"""Confident learning on numpy arrays: pure functions, no Spark, no input or output."""

EPS = 1e-6
"""Slack of every comparison with a threshold, and the handicap a rival class must beat (SEMANTICS: eps)."""

TINY = 1e-100
"""Keeps a division by an empty class from failing."""
