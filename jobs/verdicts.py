"""Decide about reviewed rows: spark-submit jobs/verdicts.py --run-location /lake/audits --answers ann.csv
--output /lake/audits.

It has the flags and exit codes of `cl-spark verdicts`.
"""

import sys

from cl_spark.terminal.command_line import exit_code

if __name__ == "__main__":
    sys.exit(exit_code(["verdicts", *sys.argv[1:]]))
