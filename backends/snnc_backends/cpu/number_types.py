"""Types of numbers in buffers and files, and how large a plan may be."""

from __future__ import annotations

import numpy as np

DTYPES = {
    "i8": np.dtype(np.int8),
    "i16": np.dtype(np.int16),
    "i32": np.dtype(np.int32),
    "i64": np.dtype(np.int64),
    "f32": np.dtype(np.float32),
    "f64": np.dtype(np.float64),
}
ALIGNMENT = 64
"""Arrays start at multiples of this many bytes."""
LARGEST = 2**31 - 1
"""The largest extent, and the largest number of elements, in a plan."""
