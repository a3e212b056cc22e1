"""The machinery of every run, whatever its task: configuration, steps, writing, gates, history, report,
session.
"""
