"""Torch modules for inference: in eval mode, in float32, on the CPU."""

from __future__ import annotations

import contextlib
import copy
import logging
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from snnc.errors import ModelError
from snnc.frontends.base import Reference

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

    def run(x: NDArray[np.float32]) -> tuple[NDArray[np.float32], ...]:
        batch = torch.tensor(np.asarray(x, np.float32))  # a copy: the module may overwrite it
        if len(x) == 1:  # of a single sample, squeeze() would drop the axis of the batch
            batch = batch.repeat(2, *(1,) * (batch.ndim - 1))
        with eval_mode(module), torch.no_grad():
            result: Any = module(batch)
        outputs = list(result) if isinstance(result, tuple | list) else [result]
        _check_outputs(outputs, len(batch), name)
        return tuple(output[: len(x)].float().numpy() for output in outputs)

    return run


def _check_outputs(outputs: Sequence[Any], samples: int, name: str) -> None:
    if not outputs:
        raise ModelError(f"{name} gives no output")
    for output in outputs:
        if not isinstance(output, Tensor):
            raise ModelError(
                f"{name} gives a {type(output).__name__}",
                hint="return one tensor, or a tuple of tensors",
            )
        if not output.is_floating_point():
            raise ModelError(
                f"{name} gives a tensor of {str(output.dtype).removeprefix('torch.')}",
                hint="return the logits, not classes",
            )
        if output.ndim == 0 or len(output) != samples:
            raise ModelError(
                f"{name} gives a tensor of shape {tuple(output.shape)} for {samples} samples",
                hint="keep the batch as the first axis",
            )
