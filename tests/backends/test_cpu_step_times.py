"""The times of the steps of a CPU plan, and the limits of the machine."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from snnc.errors import DataError
from snnc.native.cache import open_cache
from snnc.native.jit import LEVELS, host
from snnc.testing import quantized_cases
from snnc_backends.cpu.kernels import PLAIN, Conv
from snnc_backends.cpu.limits import measured
from snnc_backends.cpu.lower import lower
from snnc_backends.cpu.program import CpuProgram, load
from snnc_backends.cpu.step_times import build


@pytest.fixture(scope="module")
def program() -> CpuProgram:
    plan, weights = lower(next(iter(quantized_cases())).graph, 4)
    return load(plan.to_json(), weights, 1, open_cache())


def test_times_follow_each_other(program: CpuProgram) -> None:
    shape = program.plan.tensors[0].shape
    x = np.random.default_rng(0).random((2, *shape), np.float32)
    before = program.run(x).output
    found = program.step_times(x, runs=3)
    steps = program.plan.steps[program.plan.analog :]
    assert found.marks.shape == (3, len(steps) + 1)
    assert (np.diff(found.marks.ravel()) >= 0).all()
    assert [row["kernel"] for row in found.rows] == [step.kernel.name for step in steps]
    assert all(row["operations"] >= 0 and row["bytes"] > 0 for row in found.rows)
    np.testing.assert_array_equal(program.run(x).output, before)


def test_more_steps_are_more_operations(program: CpuProgram) -> None:
    x = np.ones((1, *program.plan.tensors[0].shape), np.float32)
    few, many = (program.step_times(x, timesteps=t, runs=1).rows for t in (1, 4))
    assert sum(r["operations"] for r in many) > sum(r["operations"] for r in few)
    assert sum(r["bytes"] for r in many) > sum(r["bytes"] for r in few)


def test_a_layer_that_goes_by_events_adds_for_each(small: Any) -> None:
    plan, weights = lower(small(), 4, PLAIN)
    program = load(plan.to_json(), weights, 1, open_cache())
    x = np.zeros((1, *plan.tensors[0].shape), np.float32)
    (silent, loud) = (program.step_times(each, runs=1).rows[0] for each in (x, x + 1))
    conv = next(step.kernel for step in plan.steps if isinstance(step.kernel, Conv))
    inside = conv.inside_share * conv.taps * conv.out_height * conv.out_width
    assert (silent["kernel"], silent["operations"]) == ("conv", 0)
    assert loud["operations"] == round(inside * conv.channels * conv.out_channels)


def test_a_wrong_input_is_refused(program: CpuProgram) -> None:
    with pytest.raises(DataError):
        program.step_times(np.zeros((1, 1), np.float32))
    with pytest.raises(DataError):
        x = np.zeros((1, *program.plan.tensors[0].shape), np.float32)
        program.step_times(x, timesteps=program.plan.longest + 1)


def test_only_the_timed_variant_reads_the_clock(program: CpuProgram) -> None:
    from snnc_backends.cpu.module import build as build_plan

    machine = host().machine
    timed = build(program.plan, machine)
    steps = len(program.plan.steps) - program.plan.analog
    assert timed.count('call i32 @"clock_gettime"') == steps + 1
    assert "clock_gettime" not in build_plan(program.plan, machine)


def test_limits_are_those_of_the_instructions() -> None:
    """Wider vectors add more at a time, and small memory is read faster than large memory."""
    found = measured(host(), 1 << 14)
    assert found.adds_16_bits > found.adds_32_bits > 1
    assert found.products_8_bits > 1 and found.memory >= 1 << 14
    assert found.read > measured(host(), 1 << 26).read
    levels = [measured(host(level), 1 << 12) for level in list(LEVELS)[:2] if _has(level)]
    assert levels[-1].adds_32_bits >= levels[0].adds_32_bits


def _has(level: str) -> bool:
    try:
        host(level)
    except ValueError:
        return False
    return True
