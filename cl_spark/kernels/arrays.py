"""Types of the numpy arrays that kernels take and return."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Bools = NDArray[np.bool_]
Int8s = NDArray[np.int8]
Int32s = NDArray[np.int32]
Int64s = NDArray[np.int64]
Float32s = NDArray[np.float32]
Float64s = NDArray[np.float64]

Ints = NDArray[np.integer[Any]]
"""Whole numbers of any width."""

Floats = NDArray[Any]
"""Single or double precision, as the input has it."""
