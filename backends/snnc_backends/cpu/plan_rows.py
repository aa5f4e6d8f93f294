"""A plan as a table: the kernel of every step, its buffers, and the time that it should take."""

from __future__ import annotations

from typing import Any

from snnc.ir import Graph
from snnc_backends.cpu.kernels import Work
from snnc_backends.cpu.parts import parts
from snnc_backends.cpu.plan import Plan, Tensor
from snnc_backends.cpu.rates import ASSUMED, event_rates


def plan_rows(plan: Plan, graph: Graph, threads: int = 1) -> list[dict[str, Any]]:
    """A row for each step, in the order of execution.

    `writes` and `reads` are types and layouts of buffers, T the steps of the window; sizes are in
    bytes; `us` is the expected time of one sample in one thread, from the rates in `graph.stats` if
    it has them; `threads` are those of at most so many that share a sample that is run alone.
    """
    rates, rows = event_rates(graph), list[dict[str, Any]]()
    shared = parts(plan, plan.timesteps, threads)
    for number, step in enumerate(plan.steps):
        tensors = [plan.tensors[i] for i in step.inputs]
        known = tuple(rates.get(tensor.name, ASSUMED) for tensor in tensors)
        cost = step.kernel.cost(Work(known, plan.timesteps))
        rows.append(
            {
                "layer": plan.tensors[step.output].name,
                "kernel": step.kernel.name,
                "reads": " ".join(map(_layout, tensors)),
                "writes": _layout(plan.tensors[step.output]),
                "constants": sum(table.nbytes for table in step.kernel.arrays().values()),
                "scratch": step.kernel.scratch(),
                "us": round(cost / 1e3, 2),
                "threads": shared if step.kernel.shares and number >= plan.analog else 1,
            }
        )
    return rows


def _layout(tensor: Tensor) -> str:
    steps = () if tensor.constant else ("T",)
    return f"{tensor.dtype}[{'x'.join(map(str, (*steps, *tensor.layout)))}]"
