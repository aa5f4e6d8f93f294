"""The call of a model as its own framework runs it; every comparison with a model makes it here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from snnc.errors import ModelError
from snnc.frontends.base import Reference


def as_reference(call: Callable[[NDArray[np.float32]], object], name: str) -> Reference:
    """A model as a function of a batch (N, *shape), one float32 array (N, …) per output.

    Args:
        call: gives one array or a tuple or list of arrays, of a batch that it may overwrite. A
            single sample is given to it twice, as squeeze() would drop the axis of a batch of one.
        name: what messages call the model.

    The function raises `ModelError` if `call` gives anything else: nothing, no array, numbers that
    are not floats, or arrays whose first axis is not the batch.
    """

    def run(x: NDArray[np.float32]) -> tuple[NDArray[np.float32], ...]:
        batch = np.array(x, np.float32)
        batch = np.repeat(batch, 2, axis=0) if len(x) == 1 else batch
        result = call(batch)
        outputs = cast("list[Any]", list(result) if isinstance(result, tuple | list) else [result])
        if not outputs:
            raise ModelError(f"{name} gives no output")
        return tuple(_checked(output, len(batch), name)[: len(x)] for output in outputs)

    return run


def _checked(output: object, samples: int, name: str) -> NDArray[np.float32]:
    if not isinstance(output, np.ndarray):
        raise ModelError(
            f"{name} gives a {type(output).__name__}",
            hint="return one tensor, or a tuple of tensors",
        )
    array = cast("NDArray[Any]", output)
    if array.dtype.kind != "f":
        raise ModelError(
            f"{name} gives a tensor of {array.dtype}", hint="return the logits, not classes"
        )
    if array.ndim == 0 or len(array) != samples:
        raise ModelError(
            f"{name} gives a tensor of shape {array.shape} for {samples} samples",
            hint="keep the batch as the first axis",
        )
    return array.astype(np.float32, copy=False)
