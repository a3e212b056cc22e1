"""The report people open: facts from the written tables, charts and tables of them, one HTML page."""

from cl_spark.report.page import write_report

__all__ = ["write_report"]
