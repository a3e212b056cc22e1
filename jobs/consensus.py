"""Find consensus labels of several annotators: spark-submit jobs/consensus.py --annotations /lake/annotations
--output /lake/consensus.

It has the flags and exit codes of `cl-spark consensus`.
"""

import sys

from cl_spark.terminal.command_line import exit_code

if __name__ == "__main__":
    sys.exit(exit_code(["consensus", *sys.argv[1:]]))
