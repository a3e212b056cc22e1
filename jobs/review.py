"""Choose the rows of an audit to review: spark-submit jobs/review.py --run-location /lake/audits --budget 500
--output /lake/audits --page /lake/review.html.

It has the flags and exit codes of `cl-spark review`.
"""

import sys

from cl_spark.terminal.command_line import exit_code

if __name__ == "__main__":
    sys.exit(exit_code(["review", *sys.argv[1:]]))
