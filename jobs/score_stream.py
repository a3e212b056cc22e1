"""The stream: spark-submit jobs/score_stream.py /lake/audits --predictions /lake/new --checkpoint /lake/ck.

It has the flags and exit codes of `cl-spark score-stream`.
"""

import sys

from cl_spark.terminal.command_line import exit_code

if __name__ == "__main__":
    sys.exit(exit_code(["score-stream", *sys.argv[1:]]))
