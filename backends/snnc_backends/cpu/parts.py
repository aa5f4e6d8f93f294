"""How many threads the run of one sample is worth."""

from __future__ import annotations

from snnc.memory import SCRATCH_BYTES
from snnc.native.barrier import can_wait
from snnc_backends.cpu.kernels import Work
from snnc_backends.cpu.kernels.base import ASSUMED
from snnc_backends.cpu.plan import Plan
from snnc_backends.cpu.shared_code import scratch_bytes

NS_PER_PART = 100_000
"""Expected time that every thread has to be worth: waking one takes 10 to 50 us, and a barrier
between two steps up to 1 us."""


def parts(plan: Plan, timesteps: int, threads: int) -> int:
    """How many of `threads` threads share a sample; 1 where that would take longer.

    The time is the one that the kernels expect of steps that can be shared, at the rates of events
    that are assumed, as a plan holds none that were measured. A sample is shared only where threads
    can sleep while they wait (`snnc.native.barrier`).
    """
    if threads == 1 or not can_wait():
        return 1
    shared = [step for step in plan.steps[plan.analog :] if step.kernel.shares]
    ns = 0.0
    for step in shared:
        rates = tuple(_rate(plan, number) for number in step.inputs)
        ns += step.kernel.cost(Work(rates, timesteps))
    fitting = SCRATCH_BYTES // max(1, scratch_bytes(plan))
    return max(1, min(threads, int(ns / NS_PER_PART), fitting))


def _rate(plan: Plan, number: int) -> float:
    """Events per element and step of a tensor."""
    events = number != plan.encoding.target and plan.tensors[number].record != "none"
    return ASSUMED if events else 1.0
