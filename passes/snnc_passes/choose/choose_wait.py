"""`choose-wait`: how long every population should wait before it may fire."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import torch

from snnc.errors import PassError
from snnc.ir import Graph, Neuron, Node
from snnc.ir.walk import longest_path
from snnc.transform import Pass, PassContext, PassResult
from snnc_passes._layer_sweep import Layer
from snnc_passes._neuron_search import NeuronSearch, refuse_neurons, settings_of
from snnc_passes._paired_sweep import PairedSweep
from snnc_passes._real_values import refuse_integers
from snnc_passes._samples import first

EIGHTHS = (0, 1, 2, 4, 8)
"""Waits that are tried, in eighths of the window."""


@dataclass(frozen=True, kw_only=True)
class ChooseWait(Pass):
    """Let every population wait no longer than the unevenness of its own input asks for.

    A population that waits for its whole window, `wait=T`, rounds the total of its input and
    nothing else. One that fires earlier can fire too often or too late where the input is uneven
    (Bu et al., "Optimal ANN-SNN Conversion for High-accuracy and Ultra-low-latency Spiking Neural
    Networks", 2022, section 3). Populations are visited once, in order, each on the spikes of those
    before it; of 0, 1/8, 1/4, 1/2 and all of T it takes the least wait whose squared error is at
    most `tolerance` above that of `wait=T`. What lies on a shorter path then waits as long as the
    longer one allows, for no latency. Put it in front of calibrate, which corrects what is left.

    Attributes:
        tolerance: error that is allowed on top, as a fraction of the activation's variance.
        samples: at most so many samples are run.

    Metrics: `waits`; `excess`, per population the error on top at the wait that was chosen for it;
    `latency_timesteps`; `samples`.
    """

    name: ClassVar[str] = "choose-wait"
    needs: ClassVar[frozenset[str]] = frozenset({"calibration", "ann"})
    tolerance: float = 0.01
    samples: int = 128

    def __post_init__(self) -> None:
        if self.tolerance < 0:
            raise ValueError(f"tolerance={self.tolerance} is negative")
        if self.samples < 1:
            raise ValueError(f"samples={self.samples} is not positive")

    def run(self, graph: Graph, ctx: PassContext) -> PassResult:
        """Choose. Raises `PassError` for neurons that leak, reset to zero, or have no ANN."""
        if ctx.ann is None or ctx.calibration is None:
            raise PassError("needs the network before activations-to-neurons, and calibration data")
        refuse_integers(graph, self.name)
        refuse_neurons(graph, ctx.ann, self.name)
        _set_waits(graph, {n.name: 0 for n in graph.nodes if isinstance(n.op, Neuron)})
        x = np.concatenate(list(first(ctx.calibration, self.samples)))
        sweep = PairedSweep(graph, ctx.ann, x, ctx.timesteps, ctx.device)
        waits: dict[str, int] = {}
        excess: dict[str, float] = {}
        with ctx.progress(self.name, len(graph.nodes)) as advance, torch.no_grad():
            for layer in sweep.layers():
                if isinstance(layer.node.op, Neuron):
                    name = layer.node.name
                    waits[name], excess[name] = self._choose(sweep, layer)
                advance(1)
        waits = _balanced(graph, waits, ctx.timesteps)
        _set_waits(graph, waits)
        metrics = {
            "waits": waits,
            "excess": excess,
            "latency_timesteps": ctx.timesteps + max(_through(graph, waits).values(), default=0),
            "samples": len(x),
        }
        return PassResult(graph, metrics=metrics)

    def _choose(self, sweep: PairedSweep, layer: Layer) -> tuple[int, float]:
        """The wait of one population and the error it adds; lets the population fire."""
        op, steps = layer.node.op, sweep.timesteps
        assert isinstance(op, Neuron)
        settings = settings_of(sweep.graph, op, layer.shape[0], sweep.interpreter.device)
        current, target = sweep.kept(layer)

        def error(wait: int) -> float:
            search = NeuronSearch(replace(op, wait=wait), current, target, steps, sweep.at_once)
            return float(search.error(settings).sum()) / (search.few * target[0].numel())

        variance = float(target.var())
        least, wait, found = error(steps), steps, 0.0
        for wait in sorted({steps * eighths // 8 for eighths in EIGHTHS}):
            found = (error(wait) - least) / variance if variance > 0 else 0.0
            if found <= self.tolerance:
                break
        node = replace(layer.node, op=replace(op, wait=wait))
        sweep.fire_on(
            replace(layer, node=node), settings.threshold, settings.start, (current, target)
        )
        return wait, found


def _set_waits(graph: Graph, waits: Mapping[str, int]) -> None:
    for name, wait in waits.items():
        op = graph.node(name).op
        assert isinstance(op, Neuron)
        graph.replace_op(name, replace(op, wait=wait))


def _balanced(graph: Graph, waits: Mapping[str, int], timesteps: int) -> dict[str, int]:
    """Longer waits, up to T, for what is on no longest path."""
    result = dict(waits)
    for name in waits:
        through = _through(graph, result)
        slack = max(through.values()) - through[name]
        result[name] = max(result[name], min(timesteps, result[name] + slack))
    return result


def _through(graph: Graph, waits: Mapping[str, int]) -> dict[str, int]:
    """Per node, the waits on the longest path through it."""

    def wait(node: Node) -> int:
        return waits.get(node.name, 0)

    until, after = longest_path(graph, wait), longest_path(graph, wait, backwards=True)
    return {name: until[name] + after[name] - waits.get(name, 0) for name in until}
