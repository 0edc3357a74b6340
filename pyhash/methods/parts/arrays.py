"""Types of the arrays that methods compute with, and of what a file keeps of a model."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Matrix: TypeAlias = NDArray[np.float64]
Signs: TypeAlias = NDArray[np.int8]  # -1 and +1
Fields: TypeAlias = dict[str, Any]  # of a file's JSON header
Arrays: TypeAlias = dict[str, NDArray[Any]]  # of a file, by name
