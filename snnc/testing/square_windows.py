"""Windows of square pooling."""

from __future__ import annotations

from collections.abc import Sequence

from snnc.ir import Windows


def windows(size: Sequence[int], kernel: int, stride: int, padding: int = 0) -> Windows:
    """Pooling windows of a square kernel over the spatial axes `size`, clipped to the input."""
    return tuple(
        tuple(
            (max(start, 0), min(start + kernel, n))
            for start in range(-padding, n + padding - kernel + 1, stride)
        )
        for n in size
    )
