"""Correct labels by verdicts: spark-submit jobs/correct.py --run-location /lake/audits --labels /lake/labels
--output /lake/audits --run-id corrected-2026-01.

It has the flags and exit codes of `cl-spark correct`.
"""

import sys

from cl_spark.terminal.command_line import exit_code

if __name__ == "__main__":
    sys.exit(exit_code(["correct", *sys.argv[1:]]))
