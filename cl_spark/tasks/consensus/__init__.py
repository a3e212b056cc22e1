"""Consensus labels of several annotators, as a task."""
