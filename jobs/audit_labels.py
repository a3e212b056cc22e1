"""The main job: spark-submit jobs/audit_labels.py --config conf/audit_digits.yaml.

It has the flags and exit codes of `cl-spark audit`.
"""

import sys

from cl_spark.terminal.command_line import exit_code

if __name__ == "__main__":
    sys.exit(exit_code(["audit", *sys.argv[1:]]))
