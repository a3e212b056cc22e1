"""Train without wrong labels: spark-submit jobs/clean_learning.py --config conf/clean_learning.yaml.

It has the flags and exit codes of `cl-spark clean-learning`.
"""

import sys

from cl_spark.terminal.command_line import exit_code

if __name__ == "__main__":
    sys.exit(exit_code(["clean-learning", *sys.argv[1:]]))
