"""Compare models: spark-submit jobs/benchmark_models.py --predictions /lake/models --labels /lake/test
--corrected-labels /lake/reviewed --output /lake/compared.

It has the flags and exit codes of `cl-spark benchmark-models`.
"""

import sys

from cl_spark.terminal.command_line import exit_code

if __name__ == "__main__":
    sys.exit(exit_code(["benchmark-models", *sys.argv[1:]]))
