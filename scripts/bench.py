#!/usr/bin/env python
"""`cl-spark bench` with cleanlab beside it: scripts/bench.py --rows 200000 --classes 1000. Needs the dev
dependencies.
"""

import sys
from pathlib import Path

from cl_spark.terminal.command_line import exit_code

if __name__ == "__main__":
    against = str(Path(__file__).with_name("against_cleanlab.py"))
    sys.exit(exit_code(["bench", "--against", against, *sys.argv[1:]]))
