"""One item of a user's data, a sample or a batch, as arrays: `(x, y)`, `(x,)`, `x` or a dict."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, cast

import numpy as np

from snnc.data.arrays import Array
from snnc.errors import DataError

INPUT_KEYS = frozenset(
    {"x", "image", "images", "img", "input", "inputs", "pixel_values", "data", "features"}
)
LABEL_KEYS = frozenset({"y", "label", "labels", "target", "targets", "class"})


@contextmanager
def user_code(what: str) -> Iterator[None]:
    """Turn exceptions of user code into `DataError`."""
    try:
        yield
    except DataError:
        raise
    except Exception as error:
        raise DataError(f"{what} failed: {type(error).__name__}: {error}") from error


def pair(item: Any, what: str) -> tuple[Array, Array | None]:
    """The input and the label of a sample or a batch, None where there is none.

    Raises `DataError` for more than two parts, a dict without one obvious input, or no numbers.
    """
    if isinstance(item, Mapping):
        return _entries(cast("Mapping[Any, Any]", item), what)
    if not isinstance(item, (tuple, list)):
        return as_array(item, what), None
    parts = cast("list[Any]", list(item))  # type: ignore[arg-type]
    if len(parts) not in (1, 2):
        raise DataError(f"{what}: an item of {len(parts)} parts", hint="(x, y) or x is taken")
    y = parts[1] if len(parts) == 2 else None
    return as_array(parts[0], what), None if y is None else as_array(y, what)


def is_array(value: Any) -> bool:
    """Whether it is a numpy array, a torch tensor, or another object that gives an array."""
    return hasattr(value, "__array__") and hasattr(value, "shape")


def as_array(value: Any, what: str) -> Array:
    """Numbers as an array; a tensor from whatever device it is on. Raises `DataError`."""
    if hasattr(value, "detach"):  # a torch tensor, without importing torch
        value = value.detach().cpu()
        if str(value.dtype) == "torch.bfloat16":  # numpy has no such type
            value = value.float()
    array = np.asarray(value)
    if array.dtype.kind not in "fiub":
        raise DataError(f"{what}: a {type(value).__name__} is not numbers")
    return array


def _entries(item: Mapping[Any, Any], what: str) -> tuple[Array, Array | None]:
    inputs = [key for key in item if key in INPUT_KEYS]
    labels = [key for key in item if key in LABEL_KEYS]
    if len(inputs) != 1 or len(labels) > 1:
        raise DataError(
            f"{what}: a dict of {', '.join(map(str, item)) or 'nothing'} has not one obvious input "
            "and at most one label",
            hint="(x, y), or keys such as image and label",
        )
    y = item[labels[0]] if labels else None
    return as_array(item[inputs[0]], what), None if y is None else as_array(y, what)
