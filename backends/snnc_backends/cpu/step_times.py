"""How long the steps of a plan take in a run, beside what the machine could do at best."""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import numpy as np
from llvmlite import ir
from numpy.typing import NDArray

from snnc.native.code import I8, I32, I64, POINTER, Machine
from snnc.native.jit import Host, Library
from snnc.step_times import StepTimes
from snnc_backends.cpu import limits
from snnc_backends.cpu.kernels import (
    DTYPES,
    Conv,
    DenseConv,
    DenseLayer,
    EventLayer,
    Kernel,
    Port,
    TileLayer,
    Windows,
)
from snnc_backends.cpu.limits import ADDS_16, ADDS_32, PRODUCTS, READ, TILES, Limits
from snnc_backends.cpu.module import kernel_functions
from snnc_backends.cpu.plan import Plan, Step
from snnc_backends.cpu.shared_code import call_step
from snnc_backends.cpu.workspace import Workspace

TIMED = "timed"
ARGUMENTS = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64, ctypes.c_void_p)
"""Buffers, weights, scratch, timesteps; and where the times go."""
TIME = 16
"""Bytes of a time: seconds and nanoseconds, i64 each (`struct timespec` of 64-bit systems)."""
Prepared = Callable[[bool], Workspace]
"""Working memory in which a sample was run; whether its buffers are all kept."""


def step_times(
    plan: Plan, weights: NDArray[np.uint8], target: Host, prepared: Prepared, runs: int
) -> StepTimes:
    """The times of the steps behind the encoding, of `runs` runs of the sample in `prepared`."""
    events = _events(plan, prepared(True))
    space, steps = prepared(False), plan.steps[plan.analog :]
    library = Library(build(plan, target.machine), (TIMED,), target, None)
    call = library.function(TIMED, *ARGUMENTS)
    times = np.empty((runs, len(steps) + 1, 2), np.int64)
    for run in times:
        arguments = (space.pointers, weights.ctypes.data, space.scratch, space.steps)
        call(*arguments, run.ctypes.data)
    machine = limits.measured(target, space.nbytes + len(weights))
    rows = [_row(plan, step, events, space.steps, machine) for step in steps]
    marks = times[..., 0] * 10**9 + times[..., 1]
    return StepTimes(rows=rows, marks=marks, limits=_shown(machine))


def build(plan: Plan, machine: Machine) -> str:
    """IR text of `void timed(buffers, weights, scratch, T, times)`.

    It calls the steps behind the encoding, and stores the time before each and behind the last.
    """
    module = ir.Module("timed")
    functions = kernel_functions(module, plan, machine)
    kind = ir.FunctionType(ir.VoidType(), [POINTER, POINTER, POINTER, I64, POINTER])
    function = ir.Function(module, kind, TIMED)
    *arguments, times = function.args
    now = ir.Function(module, ir.FunctionType(I32, [I32, POINTER]), "clock_gettime")
    b = ir.IRBuilder(function.append_basic_block("entry"))
    for number, step in enumerate((*plan.steps[plan.analog :], None)):
        place = b.gep(times, [ir.Constant(I64, number * TIME)], source_etype=I8)
        b.call(now, [ir.Constant(I32, time.CLOCK_MONOTONIC), place])
        if step is not None:
            call_step(b, step, functions[step.kernel], arguments)
    b.ret_void()
    return str(module)


def _events(plan: Plan, space: Workspace) -> dict[int, tuple[int, int]]:
    """Per tensor the nonzero elements, and the sum of magnitudes, over all of its steps."""
    found = dict[int, tuple[int, int]]()
    for step in plan.steps[plan.analog :]:
        for number in step.inputs:
            values = space.view(number)
            whole = values.dtype.kind == "i"
            total = int(np.abs(values).sum(dtype=np.int64)) if whole else 0
            found[number] = (int(np.count_nonzero(values)), total)
    return found


def _row(
    plan: Plan, step: Step, events: dict[int, tuple[int, int]], timesteps: int, machine: Limits
) -> dict[str, Any]:
    kernel, name = step.kernel, plan.tensors[step.output].name
    limit, operations = _operations(kernel, *events[step.inputs[0]], timesteps)
    ports = (*kernel.inputs(), kernel.output())
    moved = sum(_nbytes(port) * (1 if port.constant else timesteps) for port in ports)
    moved += sum(table.nbytes for table in kernel.arrays().values())
    least = {limit: operations / getattr(machine, limit), READ: moved / machine.read}
    bound = max(least, key=lambda each: least[each])
    return {
        "layer": name,
        "kernel": kernel.name,
        "operations": round(operations),
        "bytes": moved,
        "least_us": round(least[bound] / 1e3, 3),
        "bound": bound,
    }


def _nbytes(port: Port) -> int:
    return port.size * DTYPES[port.dtype].itemsize


def _operations(kernel: Kernel, nonzero: int, total: int, timesteps: int) -> tuple[str, float]:
    """Which of the limits the arithmetic of a kernel is under, and how many operations it does.

    Of layers that go by events, the additions that the given input takes, on average over its
    positions; of dense ones all products. What only moves and updates has one per element.
    """
    if not isinstance(kernel, Windows):
        port = kernel.output()
        return ADDS_32, port.size * (1 if port.constant else timesteps)
    pairs = kernel.out_height * kernel.out_width * kernel.taps * kernel.inside_share
    reached = pairs / (kernel.height * kernel.width)
    if isinstance(kernel, DenseLayer):
        return PRODUCTS, kernel.sums(timesteps) * pairs * kernel.channels * kernel.out_channels
    if isinstance(kernel, TileLayer):
        return TILES, timesteps * pairs * kernel.channels * kernel.out_channels * kernel.digits
    if isinstance(kernel, DenseConv):
        steps = 1 if kernel.constant else timesteps
        return ADDS_32, steps * pairs * kernel.channels * kernel.out_channels
    if isinstance(kernel, EventLayer):
        return ADDS_16, kernel.digits * total * reached * kernel.out_channels
    outputs = kernel.out_channels / kernel.groups if isinstance(kernel, Conv) else 1
    return ADDS_32, nonzero * reached * outputs


def _shown(machine: Limits) -> dict[str, float]:
    return {name: round(float(value), 2) for name, value in asdict(machine).items()}
