"""Corrections as a task: verdicts, or the issues of an audit, put into a table of labels."""
