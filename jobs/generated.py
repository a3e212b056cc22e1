"""Judge generated rows beside real ones: spark-submit jobs/generated.py --generated /lake/generated
--real /lake/real --output /lake/judged.

It has the flags and exit codes of `cl-spark generated`.
"""

import sys

from cl_spark.terminal.command_line import exit_code

if __name__ == "__main__":
    sys.exit(exit_code(["generated", *sys.argv[1:]]))
