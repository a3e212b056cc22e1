"""Names for the types of numpy arrays that kernels take and return."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Bools = NDArray[np.bool_]
Int32s = NDArray[np.int32]
Int64s = NDArray[np.int64]
Float64s = NDArray[np.float64]

Floats = NDArray[Any]
"""Single or double precision, as the input has it."""
