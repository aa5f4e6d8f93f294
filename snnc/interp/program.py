"""A graph run by an interpreter as a `Program`: the reference target, and a base for others."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from snnc.errors import DataError
from snnc.interp.interpreter import Interpreter, SnnValues
from snnc.ir import Graph, Signal, TensorType
from snnc.memory import REFERENCE_BYTES, rows_that_fit, run_fits
from snnc.target import Record, RunResult, checked_input, checked_window, joined

HELD = 4
"""About how many tensors of the size of the largest one an interpreter holds at a time."""


def recorded_nodes(graph: Graph) -> tuple[str, ...]:
    """The nodes whose events a run records, in graph order.

    These produce SPIKE or COUNT; ops that only move values are excluded.
    """
    events = (Signal.SPIKE, Signal.COUNT)
    types = graph.types()
    return tuple(
        node.name
        for node in graph.nodes
        if node.op.makes_events and types[node.name].signal in events
    )


class ReferenceProgram:
    """A graph run by an interpreter.

    Args:
        graph: a verified `snn` graph.
        timesteps: the artifact's window.
        interpreter: an interpreter of `graph`; None for `Interpreter` in float64.
    """

    def __init__(
        self, graph: Graph, timesteps: int, interpreter: Interpreter | None = None
    ) -> None:
        self.timesteps = timesteps
        self._graph = graph
        self._interpreter = interpreter or Interpreter(graph, torch.float64)
        self._recorded = recorded_nodes(graph)
        self._parameters = sum(array.nbytes for array in graph.params.values())

    def run(
        self,
        x: NDArray[np.float32],
        *,
        timesteps: int | None = None,
        record: Record = "none",
        sample_ids: NDArray[np.int64] | None = None,
        seed: int = 0,
        prefixes: tuple[int, ...] = (),
    ) -> RunResult:
        """Run a batch (N, *shape); see `snnc.target.Program`. Raises `DataError`."""
        steps = checked_window(timesteps, self.timesteps, record, prefixes)
        batch, ids = checked_input(x, self._graph.type_of(self._graph.input).shape, sample_ids)
        parts: list[RunResult] = []
        for rows in self._rows(len(batch), steps):
            values = self._interpreter.snn(
                batch[rows],
                steps,
                keep=() if record == "none" else self._recorded,
                sample_ids=ids[rows],
                seed=seed,
                prefixes=prefixes,
            )
            parts.append(self._result(values, record, steps))
        return parts[0] if len(parts) == 1 else _joined(parts)

    def _rows(self, samples: int, steps: int) -> Iterator[slice]:
        largest = max(kind.size for kind in self._graph.types().values())
        if not run_fits(HELD * 8 * steps * largest, self._parameters):
            raise DataError(
                f"a window of {steps} steps of this network does not fit into memory",
                hint="use a shorter window",
            )
        at_once = rows_that_fit(REFERENCE_BYTES, 8 * steps * largest)
        for start in range(0, samples, at_once):
            yield slice(start, start + at_once)

    def _result(self, values: SnnValues, record: Record, steps: int) -> RunResult:
        name = self._graph.outputs[0]
        is_integer = self._graph.type_of(name).quantized
        events = {node: _events(values, node, steps) for node in values.values}
        types = self._graph.types()
        totals = {n: np.abs(v).sum(0).astype(np.uint32) for n, v in events.items()}
        stats: dict[str, Any] = {"saturated": dict(values.saturated)}
        if values.prefixes:
            stats["prefixes"] = {t: _float32(o[name]) for t, o in values.prefixes.items()}
        spikes = {n: v.astype(event_dtype(types[n])) for n, v in events.items()}
        return RunResult(
            output=_float32(values.outputs[name]),
            readout=values.sums[name].numpy().astype(np.int64) if is_integer else None,
            counts=totals,
            spikes=spikes if record == "spikes" else {},
            stats=stats,
            timesteps=steps,
        )


def event_dtype(kind: TensorType) -> type[np.generic]:
    """The dtype of recorded events: bool for spikes, int8 for signed spikes, int32 for counts."""
    if kind.signal is Signal.COUNT:
        return np.int32
    return np.int8 if kind.signed else np.bool_


def _events(values: SnnValues, node: str, steps: int) -> NDArray[np.float64]:
    value = values.values[node]
    return value.expand(steps, *value.shape[1:]).numpy()


def _float32(tensor: torch.Tensor) -> NDArray[np.float32]:
    return tensor.numpy().astype(np.float32)


def _joined(parts: Sequence[RunResult]) -> RunResult:
    """The results of the parts of a batch as one."""
    first = parts[0]
    stats: dict[str, Any] = {
        "saturated": {
            n: sum(p.stats["saturated"][n] for p in parts) for n in first.stats["saturated"]
        }
    }
    if "prefixes" in first.stats:
        stats["prefixes"] = {
            t: np.concatenate([p.stats["prefixes"][t] for p in parts])
            for t in first.stats["prefixes"]
        }
    return replace(joined(parts), stats=stats)
