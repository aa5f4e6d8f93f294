"""Torch modules for inference: in eval mode, in float32, on the CPU."""

from __future__ import annotations

import contextlib
import copy
import logging
import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from snnc.errors import ModelError
from snnc.frontends.base import Reference
from snnc.frontends.calling import as_reference

LOG = logging.getLogger("snnc.frontends")


def float32_on_cpu(module: nn.Module) -> nn.Module:
    """The module in float32 on the CPU: itself if it already is, else a copy."""
    if isinstance(module, nn.DataParallel):
        module = module.module
    require_values(module)
    tensors = [*module.parameters(), *module.buffers()]
    other = {t.dtype for t in tensors if t.is_floating_point() and t.dtype != torch.float32}
    if other:
        kinds = ", ".join(sorted(str(kind).removeprefix("torch.") for kind in other))
        LOG.warning("parameters of type %s are cast to float32", kinds)
    if other or any(t.device.type != "cpu" for t in tensors):
        module = copy.deepcopy(module, _computed(module)).cpu().float()
    return module


def require_values(module: nn.Module) -> None:
    """Raise `ModelError` if a parameter or buffer has no values: lazy layers, the meta device."""
    for key, tensor in [*module.named_parameters(), *module.named_buffers()]:
        if is_lazy(tensor):
            raise ModelError(
                f"{key} is lazy: its shape is not known before the module has run",
                hint="run the module on one batch in the factory, before its weights are loaded",
            )
        if tensor.is_meta:
            raise ModelError(
                f"{key} is on the meta device, without values",
                hint="build the module on the CPU: module.to_empty(device='cpu'), then its weights",
            )


def check_finite(state: Mapping[str, Any], name: str) -> None:
    """Raise `ModelError` if a tensor of `state` holds NaN or infinity; messages say `name`."""
    bad = [
        key
        for key, value in state.items()
        if isinstance(value, Tensor) and value.is_floating_point() and not _finite(value)
    ]
    if bad:
        more = f" and {len(bad) - 5} more" if bad[5:] else ""
        raise ModelError(
            f"{name}: NaN or infinity in {', '.join(bad[:5])}{more}",
            hint="the training diverged, or the file is damaged",
        )


def _finite(tensor: Tensor) -> bool:
    """Whether no element is NaN or infinite; unlike `torch.isfinite`, in no memory."""
    return not tensor.numel() or all(map(math.isfinite, map(float, tensor.aminmax())))


def _computed(module: nn.Module) -> dict[int, Any]:
    """Copies of the tensors that hooks compute (weight norm, pruning), which deepcopy refuses."""
    found = [value for part in module.modules() for value in vars(part).values()]
    computed = [value for value in found if isinstance(value, Tensor) and not value.is_leaf]
    return {id(value): value.detach().clone() for value in computed}


@contextlib.contextmanager
def eval_mode(module: nn.Module) -> Iterator[None]:
    """Put every submodule into eval mode, and restore their modes on exit."""
    modes = {part: part.training for part in module.modules()}
    module.eval()
    try:
        yield
    finally:
        for part, training in modes.items():
            part.training = training


@contextlib.contextmanager
def inference(module: nn.Module) -> Iterator[nn.Module]:
    """The module in eval mode, in float32 on the CPU; the user's module is not modified."""
    module = float32_on_cpu(module)
    with eval_mode(module):
        yield module


def as_function(module: nn.Module, name: str) -> Reference:
    """The module as a function of a batch (N, *shape), one array (N, …) per output.

    The function raises `ModelError`, naming `name`, if the module returns anything else.
    """
    module = float32_on_cpu(module)

    def call(batch: NDArray[np.float32]) -> object:
        with eval_mode(module), torch.no_grad():
            result: Any = module(torch.from_numpy(batch))
        return [*map(_array, result)] if isinstance(result, tuple | list) else _array(result)

    return as_reference(call, name)


def _array(output: Any) -> Any:
    """A tensor as an array, floats of any precision in float32; anything else as it is."""
    if not isinstance(output, Tensor):
        return output
    return (output.float() if output.is_floating_point() else output).numpy()
