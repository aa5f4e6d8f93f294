"""The parameters, buffers and constants of a program, from their bytes."""

from __future__ import annotations

from math import prod
from typing import Any

import torch
from torch import Tensor

from snnc.errors import ModelError
from snnc.frontends.pt2.archive import AGAIN, DISTRUST, Archive

TYPES = {
    1: torch.uint8, 2: torch.int8, 3: torch.int16, 4: torch.int32, 5: torch.int64,
    6: torch.float16, 7: torch.float32, 8: torch.float64, 12: torch.bool, 13: torch.bfloat16,
}  # fmt: skip
"""By the numbers of torch's schema."""

_CONFIGS = (
    ("data/weights/", "data/weights/model_weights_config.json"),
    ("data/constants/", "data/constants/model_constants_config.json"),
)


def read_tensors(archive: Archive) -> dict[str, Tensor]:
    """All tensors by their names in the model, floats in float32.

    Raises `ModelError` for one that is pickled, or does not fit into its bytes.
    """
    stored: dict[tuple[object, ...], Tensor] = {}
    tensors: dict[str, Tensor] = {}
    for folder, config in _CONFIGS:
        for name, entry in archive.document(config)["config"].items():
            if entry["use_pickle"] is not False:
                raise ModelError(f"{archive.file} has {name!a} as a pickle", hint=DISTRUST)
            member, meta = f"{folder}{entry['path_name']}", entry["tensor_meta"]
            sizes, strides = (_numbers(meta[key]) for key in ("sizes", "strides"))
            key = (member, meta["dtype"], sizes, strides, _number(meta["storage_offset"]))
            if key not in stored:  # a tensor of several names is one
                stored[key] = _tensor(archive, name, *key)
            tensors[name] = stored[key]
    return tensors


def _tensor(
    archive: Archive, name: str, member: str, kind: int, sizes: tuple[int, ...],
    strides: tuple[int, ...], offset: int,
) -> Tensor:  # fmt: skip
    content = archive.member(member)
    if kind not in TYPES:
        raise ModelError(f"{archive.file}: {name!a} holds no real numbers", hint=AGAIN)
    size = torch.empty((), dtype=TYPES[kind]).element_size()
    last = offset + sum((n - 1) * step for n, step in zip(sizes, strides, strict=True))
    empty = prod(sizes) == 0
    if min(*sizes, *strides, offset, 0) < 0 or (not empty and size * (last + 1) > len(content)):
        raise ModelError(f"{archive.file} is damaged: {name!a} does not fit", hint=AGAIN)
    if empty:
        return torch.zeros(sizes)
    flat = torch.frombuffer(bytearray(content), dtype=TYPES[kind])
    tensor = flat.as_strided(sizes, strides, offset)
    return tensor.float() if tensor.is_floating_point() else tensor


def _numbers(sizes: Any) -> tuple[int, ...]:
    return tuple(_number(size) for size in sizes)


def _number(size: Any) -> int:
    number = size["as_int"]
    if type(number) is not int:
        raise TypeError(number)
    return number
