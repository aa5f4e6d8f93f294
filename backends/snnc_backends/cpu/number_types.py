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
EXACT = 1 << 24
"""Whole numbers up to this one are numbers of float32."""
THREE_DIGITS = 127 * (1 + (1 << 8) + (1 << 16))
"""The largest integer of three digits of -128 to 127 in base 256, as weights have them."""
LARGEST = 2**31 - 1
"""The largest extent, and the largest number of elements, in a plan."""
