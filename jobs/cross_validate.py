"""Cross-validate a classifier: spark-submit jobs/cross_validate.py --data /lake/training --output
/lake/validated --estimator sklearn.linear_model.LogisticRegression.

It has the flags and exit codes of `cl-spark cross-validate`.
"""

import sys

from cl_spark.terminal.command_line import exit_code

if __name__ == "__main__":
    sys.exit(exit_code(["cross-validate", *sys.argv[1:]]))
