"""Moves of a tensor to another device in a module's forward, which is read on the CPU."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from snnc.errors import Diagnostic, Loc, UnsupportedError

_ACCELERATORS = ("cuda", "xpu", "ipu", "hpu", "mps")
"""Methods of a tensor that move it to a device of this kind."""
_SIGNS = ("CUDA", "NVIDIA", "on the same device", "HIP", "MPS", "XPU")
"""Words of the messages in which torch speaks of devices."""


def moves(method: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> bool:
    """Whether a method of a tensor, called with these arguments, moves it off the CPU."""
    if method in _ACCELERATORS:
        return True
    return method == "to" and any(_is_accelerator(value) for value in (*args, *kwargs.values()))


def _is_accelerator(value: Any) -> bool:
    if isinstance(value, int) and not isinstance(value, bool):
        return True  # the number of a CUDA device
    if isinstance(value, str):
        try:
            value = torch.device(value)
        except RuntimeError:
            return False  # torch says what is wrong with it
    return isinstance(value, torch.device) and value.type != "cpu"


def speaks_of_devices(error: Exception) -> bool:
    """Whether torch raised it for want of a device, or for tensors on two of them."""
    return isinstance(error, RuntimeError | AssertionError) and any(
        sign in str(error) for sign in _SIGNS
    )


def moved(name: str, loc: Loc) -> UnsupportedError:
    """The error for a module `name` whose line `loc` moves tensors."""
    reason = "forward moves tensors to a device"
    remedy = (
        "remove .cuda() and .to('cuda') from forward: move the module and its input where "
        "they are used; x.to(self.weight.device) fits every device"
    )
    return UnsupportedError(
        f"{name} cannot be traced\n  {loc}: {reason}",
        hint=remedy,
        problems=[Diagnostic("forward", name, loc, reason, remedy)],
    )
