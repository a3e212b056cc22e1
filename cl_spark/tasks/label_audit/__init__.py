"""The label audit as a task: configuration, tables, run, report, and scoring with a frozen run."""
