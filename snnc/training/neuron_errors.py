"""Errors of the output of a population, in machine code on the CPU: for searches of settings."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Mapping, Sequence
from functools import cache

import torch
from torch import Tensor

from snnc.native.cache import open_cache
from snnc.native.jit import Library
from snnc.training.neuron_error_code import ERRORS, PARAMETERS, SLOTS, NeuronErrorSpec, text
from snnc.training.threads import spread, this_host


def error_sums(
    current: Tensor,
    target: Tensor,
    neurons: Sequence[Tensor],
    marks: Sequence[int],
    timesteps: int,
    weight: Tensor | None = None,
) -> Tensor:
    """(n, marks, 2, C): sums over positions of the errors after some steps, and of their squares.

    The error after t steps is t/T of the target minus the spikes so far times their value: of
    neurons without leak that fire above the threshold and are reset by subtraction. The sums are
    the same for any number of threads.

    Args:
        current: (T or 1, n, C, *rest) float32, fastest in channels_last.
        target: (n, C, *rest).
        neurons: threshold, starting potential, bias and value of a spike, (C,) each.
        marks: numbers t of steps, in ascending order.
        timesteps: T.
        weight: (n, C, *rest) factors of the errors; None for 1.
    """
    steps, samples, channels = current.shape[:3]
    current, target = _channels_last(current, 2, shared=2), _channels_last(target, 1)
    weight = None if weight is None else _channels_last(weight, 1)
    shares = torch.tensor(marks) / timesteps
    sums = torch.zeros(samples, len(marks), 2, channels)
    arrays = {
        **dict(zip(PARAMETERS, (each.float().contiguous() for each in neurons), strict=True)),
        "current": current, "target": target, "ends": torch.tensor(marks), "shares": shares,
        "sums": sums, **({} if weight is None else {"weight": weight}),
    }  # fmt: skip
    lanes = min(this_host().machine.block, channels & -channels)
    sizes = {
        "samples": samples, "positions": target[0, ..., 0].numel(), "channels": channels,
        "step": current.stride(0) if steps > 1 else 0, "sample": current.stride(1),
        "marks": len(marks),
    }  # fmt: skip
    _run(NeuronErrorSpec(lanes, weight is not None), sizes, arrays)
    return sums


def _run(spec: NeuronErrorSpec, sizes: Mapping[str, int], arrays: Mapping[str, Tensor]) -> None:
    """Call the code with slots that hold numbers, and the addresses of arrays."""
    slots = {**sizes, **{name: array.data_ptr() for name, array in arrays.items()}}
    arguments = (ctypes.c_int64 * len(SLOTS))(*(slots.get(name, 0) for name in SLOTS))
    spread(_function(spec), arguments, sizes["samples"])


def _channels_last(x: Tensor, axis: int, shared: int = 0) -> Tensor:
    """With the channels of an axis moved to the end, dense but for `shared` axes before them."""
    x = x.movedim(axis, -1)
    inner = x[(0,) * shared]
    return x if inner.is_contiguous() else x.contiguous()


@cache
def _library(spec: NeuronErrorSpec) -> Library:
    """The code, compiled or from the user's cache."""
    target = this_host()
    return Library(text(spec, target.machine), (ERRORS,), target, open_cache())


@cache
def _function(spec: NeuronErrorSpec) -> Callable[..., None]:
    return _library(spec).function(ERRORS, ctypes.c_void_p)
