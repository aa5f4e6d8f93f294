"""The scan of snnc/training/scan.py in machine code (snnc/training/scan_kernel.py), on the CPU."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from math import gcd
from typing import Any, cast

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from snnc.interp import Population
from snnc.native.cache import open_cache
from snnc.native.jit import Library
from snnc.training.scan_forward import BACKWARD, FORWARD, PARTS, SLOTS, SUMMED, Kind, ScanSpec
from snnc.training.scan_kernel import text
from snnc.training.surrogate import AnySurrogate
from snnc.training.surrogate_code import SLOPES, slope_of
from snnc.training.threads import spread, this_host
from snnc.training.train_like import STEPS, train_like

DTYPES = {torch.float32: "f32", torch.bfloat16: "bf16"}
LEAST = 1 << 12
"""Minimum number of neurons in a part."""


def has_code(population: Population, current: Tensor, surrogate: AnySurrogate | None) -> bool:
    """Whether there is machine code for a population.

    Supported are the CPU, float32 parameters, a float32 or bfloat16 current, the order
    integrate-fire without `signed` and `wait`, and the surrogates of `SLOPES` or none.
    """
    op = population.op
    tensors = [current, *(x for x in _parameters(population) if x is not None)]
    return (
        not (population.integer or op.signed or op.wait)
        and op.order == "integrate-fire"
        and all(x.device.type == "cpu" and x.layout == torch.strided for x in tensors)
        and all(x.dtype == torch.float32 for x in tensors[1:])
        and current.dtype in DTYPES
        and current.numel() > 0
        and (surrogate is None or slope_of(surrogate) != "")
    )


def native_scan(
    population: Population, current: Tensor, timesteps: int, surrogate: AnySurrogate | None
) -> Tensor:
    """Spikes (T, N, *shape), the same as of `snnc.training.scan.scan`; differentiable."""
    parameters = _parameters(population)
    if surrogate is None:
        with torch.no_grad():
            return _Row.of(population, current).forward(timesteps)
    return cast(Tensor, _NativeScan.apply(current, *parameters, population, surrogate, timesteps))


@torch.no_grad()
def packed_scan(population: Population, current: Tensor, timesteps: int) -> Tensor:
    """The spikes of `native_scan` as bits, (ceil(T/8), N, *shape) bytes: the first step lowest."""
    return _Row.of(population, current).packed(timesteps)


def _parameters(population: Population) -> tuple[Tensor, Tensor | None, Tensor]:
    return population.threshold, population.leak, population.v_init


class _NativeScan(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        current: Tensor,
        threshold: Tensor,
        leak: Tensor | None,
        v_init: Tensor,
        population: Population,
        surrogate: AnySurrogate,
        timesteps: int,
    ) -> Tensor:
        row = _Row.of(population, current)
        ctx.save_for_backward(row.current, threshold, leak, v_init)
        ctx.population, ctx.surrogate = population, surrogate
        return row.forward(timesteps)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        current, threshold, leak, v_init = ctx.saved_tensors
        population = replace(ctx.population, threshold=threshold, leak=leak, v_init=v_init)
        wanted: Sequence[bool] = ctx.needs_input_grad[:4]
        row = _Row.of(population, current)
        to_current, *sums = row.backward(grads[0], ctx.surrogate, wanted)
        return to_current if wanted[0] else None, *sums, None, None, None


@dataclass(frozen=True)
class _Row:
    """The neurons of all samples as one row, in memory order.

    Attributes:
        current: (T or 1, N, *shape); every step is dense in memory, sample after sample.
        values: threshold, leak and v_init as the code reads them: one number, or `period` numbers.
        parameters: threshold, leak and v_init as tensors of the population.
        period: number of neurons after which rows of parameters repeat, a multiple of the lanes.
        own: the same before it was rounded up to a multiple of the lanes.
    """

    spec: ScanSpec
    current: Tensor
    values: tuple[Tensor | None, ...]
    parameters: tuple[Tensor | None, ...]
    period: int
    own: int

    @classmethod
    def of(cls, population: Population, current: Tensor) -> _Row:
        current = current if _dense(current) else current.contiguous()
        parameters = _parameters(population)
        sample = current[0, 0]
        own = _period([x for x in parameters if x is not None and x.numel() > 1], sample)
        lanes = _lanes()
        period = own * lanes // gcd(own, lanes)
        spec = ScanSpec(
            dtype=cast(Any, DTYPES[current.dtype]),
            reset=cast(Any, population.op.reset),
            constant=len(current) == 1,
            kinds=cast(Any, tuple(map(_kind, parameters))),
        )
        values = tuple(_value(x, sample, own, period) for x in parameters)
        return cls(spec, current, values, parameters, period, own)

    @property
    def count(self) -> int:
        """Neurons of all samples."""
        return self.current[0].numel()

    def forward(self, timesteps: int) -> Tensor:
        """Spikes (T, N, *shape)."""
        spikes = train_like(self.current, timesteps)
        self._call(self.spec, timesteps, spikes=spikes.data_ptr())
        return spikes

    def packed(self, timesteps: int) -> Tensor:
        """Spikes as bits, (ceil(T/8), N, *shape)."""
        spikes = train_like(self.current, -(-timesteps // STEPS), torch.uint8)
        self._call(replace(self.spec, packed=True), timesteps, spikes=spikes.data_ptr())
        return spikes

    def backward(
        self, grad: Tensor, surrogate: AnySurrogate, wanted: Sequence[bool]
    ) -> list[Tensor | None]:
        """Gradients of current, threshold, leak and v_init, given those of the spikes."""
        timesteps, name = len(grad), slope_of(surrogate)
        spec = replace(self.spec, constant=len(self.current) == 1 < timesteps, slope=name)
        spec = replace(spec, wanted=cast(Any, tuple(wanted[1:])))
        laid = train_like(self.current, timesteps)
        grad = grad if _same_order(grad, laid) else laid.copy_(grad)
        to_current = train_like(self.current, len(self.current))
        lanes = _lanes()
        scratch = torch.empty(PARTS * timesteps * 3 * lanes)
        sums = torch.zeros(PARTS, 3, SUMMED + 1, dtype=torch.float64)
        rows = torch.zeros(PARTS if "row" in self._wanted_kinds(wanted) else 0, 3, self.period)
        slope = torch.tensor(list(SLOPES[name].values(surrogate)), dtype=torch.float32)
        buffers = {
            "gradient": grad, "to_current": to_current, "slope": slope, "scratch": scratch,
            "sums": sums, "rows": rows,
        }  # fmt: skip
        self._call(spec, timesteps, **{name: x.data_ptr() for name, x in buffers.items()})
        gradients = [self._gradient(i, sums, rows) if wanted[1 + i] else None for i in range(3)]
        return [to_current, *gradients]

    def _wanted_kinds(self, wanted: Sequence[bool]) -> set[Kind]:
        return {kind for kind, want in zip(self.spec.kinds, wanted[1:], strict=True) if want}

    def _gradient(self, i: int, sums: Tensor, rows: Tensor) -> Tensor | None:
        parameter = self.parameters[i]
        if parameter is None:
            return None
        if self.spec.kinds[i] == "number":
            return sums[:, i].sum().to(parameter.dtype).reshape(parameter.shape)
        row = rows[:, i].sum(0).reshape(-1, self.own).sum(0)
        return _from_row(row, self.current[0, 0]).sum_to_size(parameter.shape)

    def _call(self, spec: ScanSpec, timesteps: int, **pointers: int) -> None:
        lanes, count = _lanes(), self.count
        part = max(LEAST, -(-count // PARTS))
        part = -(-part // lanes) * lanes
        parts = -(-count // part)
        names = ("threshold", "leak", "v_init")
        values = {n: x.data_ptr() for n, x in zip(names, self.values, strict=True) if x is not None}
        slots = {
            "parts": parts, "part": part, "count": count, "steps": timesteps,
            "stride": self.current.stride(0) if len(self.current) > 1 else 0,
            "period": self.period, "current": self.current.data_ptr(), **values, **pointers,
        }  # fmt: skip
        arguments = (ctypes.c_int64 * len(SLOTS))(*(slots.get(name, 0) for name in SLOTS))
        spread(_function(spec), arguments, parts)


def _lanes() -> int:
    return this_host().machine.block


@cache
def _library(spec: ScanSpec) -> Library:
    """The code of a population, compiled or from the user's cache."""
    target = this_host()
    name = BACKWARD if spec.slope else FORWARD
    return Library(text(spec, target.machine), (name,), target, open_cache())


@cache
def _function(spec: ScanSpec) -> Callable[..., None]:
    name = BACKWARD if spec.slope else FORWARD
    return _library(spec).function(name, ctypes.c_void_p)


def _kind(parameter: Tensor | None) -> Kind:
    if parameter is None:
        return "none"
    return "number" if parameter.numel() == 1 else "row"


def _dense(current: Tensor) -> bool:
    """Whether every step is dense in memory, sample after sample."""
    step = current[0]
    return _same_order(step, torch.empty_like(step)) and (
        len(step) == 1 or step.stride(0) == step[0].numel()
    )


def _same_order(a: Tensor, b: Tensor) -> bool:
    pairs = zip(a.shape, a.stride(), b.stride(), strict=True)
    return all(stride_a == stride_b or size == 1 for size, stride_a, stride_b in pairs)


def _period(parameters: Sequence[Tensor], sample: Tensor) -> int:
    """Number of neurons after which these parameters repeat."""
    if not parameters:
        return 1
    per_channel = all(x.shape[1:].numel() == 1 for x in parameters)
    last = sample.ndim == 1 or sample.stride(0) == 1
    return len(sample) if per_channel and last else sample.numel()


def _value(parameter: Tensor | None, sample: Tensor, own: int, period: int) -> Tensor | None:
    if parameter is None or parameter.numel() == 1:
        return None if parameter is None else parameter.detach().reshape(1)
    value = parameter.detach()
    if own == sample.numel():
        laid = torch.empty_like(sample, dtype=value.dtype).copy_(value)
        value = laid.as_strided((own,), (1,))
    return value.reshape(-1).repeat(period // own)


def _from_row(row: Tensor, sample: Tensor) -> Tensor:
    """A row as a tensor (*shape), or (C, 1, …) if it has one number per channel."""
    if len(row) == sample.numel():
        return row.as_strided(sample.shape, torch.empty_like(sample).stride())
    return row.reshape(-1, *(1,) * (sample.ndim - 1))
