"""`choose-wait`: the number of steps each population waits before it may fire."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import torch

from snnc.ir import AnyNeuron, Graph, Node
from snnc.ir.walk import longest_path
from snnc.transform import Pass, PassContext, PassResult
from snnc_passes._context import ann_and_calibration
from snnc_passes._real_values import refuse_integers
from snnc_passes._samples import first
from snnc_passes._sweep.layer_sweep import Layer
from snnc_passes._sweep.neuron_search import NeuronSearch, refuse_neurons, settings_of
from snnc_passes._sweep.paired_sweep import PairedSweep

EIGHTHS = (0, 1, 2, 4, 8)
"""Candidate waits, in eighths of the window; the last is a step less."""


@dataclass(frozen=True, kw_only=True)
class ChooseWait(Pass):
    """Set the `wait` of every population to the least that its input needs.

    With `wait=T-1` a population has its whole input before it fires, and its only errors are
    rounding and clipping. One that fires earlier can fire too often or too late if the input is
    uneven in time (Bu et al., "Optimal ANN-SNN Conversion for High-accuracy and Ultra-low-latency
    Spiking Neural Networks", 2022, section 3). Populations are visited once, in order, each with
    the spikes of those before it as input. Of 0, T/8, T/4, T/2 and T-1, the least wait is chosen
    whose squared error is at most `tolerance` above that of `wait=T-1`. Populations on a shorter
    path then wait as long as the latency of the longest path allows. Put it before calibrate, which
    corrects the rest.

    Attributes:
        tolerance: allowed excess error, as a fraction of the activation's variance.
        samples: maximum number of samples.

    Metrics: `waits`; `excess`, per population the excess error at the wait chosen on its input;
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
        """Choose waits. Raises `PassError` for integers and for neurons as in `refuse_neurons`."""
        ann, calibration = ann_and_calibration(ctx)
        refuse_integers(graph, self.name)
        refuse_neurons(graph, ann, self.name)
        _set_waits(graph, {n.name: 0 for n in graph.nodes if isinstance(n.op, AnyNeuron)})
        x = np.concatenate(list(first(calibration, self.samples)))
        sweep = PairedSweep(graph, ann, x, ctx.timesteps, ctx.device)
        waits: dict[str, int] = {}
        excess: dict[str, float] = {}
        with ctx.progress(self.name, len(graph.nodes)) as advance, torch.no_grad():
            for layer in sweep.layers():
                if isinstance(layer.node.op, AnyNeuron):
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
        """The wait of one population and its excess error; runs the population."""
        op, steps = layer.node.op, sweep.timesteps
        assert isinstance(op, AnyNeuron)
        settings = settings_of(sweep.graph, op, layer.shape[0], sweep.interpreter.device)
        current, target = sweep.kept(layer)

        def error(wait: int) -> float:
            search = NeuronSearch(replace(op, wait=wait), current, target, steps, sweep.at_once)
            return float(search.error(settings).sum()) / search.compared

        variance = float(target.var())
        longest = steps - 1
        least, wait, excess = error(longest), longest, 0.0
        for wait in sorted({min(steps * eighths // 8, longest) for eighths in EIGHTHS}):
            excess = (error(wait) - least) / variance if variance > 0 else 0.0
            if excess <= self.tolerance:
                break
        node = replace(layer.node, op=replace(op, wait=wait))
        sweep.fire_on(
            replace(layer, node=node), settings.threshold, settings.start, (current, target)
        )
        return wait, excess


def _set_waits(graph: Graph, waits: Mapping[str, int]) -> None:
    for name, wait in waits.items():
        op = graph.node(name).op
        assert isinstance(op, AnyNeuron)
        graph.replace_op(name, replace(op, wait=wait))


def _balanced(graph: Graph, waits: Mapping[str, int], timesteps: int) -> dict[str, int]:
    """Longer waits, up to T - 1, for populations that are not on a longest path."""
    result = dict(waits)
    for name in waits:
        through = _through(graph, result)
        slack = max(through.values()) - through[name]
        result[name] = max(result[name], min(timesteps - 1, result[name] + slack))
    return result


def _through(graph: Graph, waits: Mapping[str, int]) -> dict[str, int]:
    """Per node, the sum of waits on the longest path through it."""

    def wait(node: Node) -> int:
        return waits.get(node.name, 0)

    until, after = longest_path(graph, wait), longest_path(graph, wait, backwards=True)
    return {name: until[name] + after[name] - waits.get(name, 0) for name in until}
