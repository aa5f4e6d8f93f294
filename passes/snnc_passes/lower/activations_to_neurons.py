"""Replace activations by spiking neurons: stage `ann` to stage `snn`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import prod
from typing import Literal

import numpy as np

from snnc.errors import PassError
from snnc.ir import (
    AvgPool,
    BatchNorm,
    CountMaxPool,
    Graph,
    Identity,
    Maximum,
    Neuron,
    Op,
    Readout,
    Relu,
    Scale,
    Stage,
    TwoSidedNeuron,
    Weighted,
)
from snnc.transform import Pass, PassContext, PassResult
from snnc_passes._analog import before_encode, never_negative
from snnc_passes._input_code import AnyInputCode, DirectInput
from snnc_passes._max_pools import feeds, fires, max_pools_to_count
from snnc_passes._scales.events import scale_events_into_currents
from snnc_passes._scales.scale_propagation import ScalePropagation, sink_past_maxima
from snnc_passes._scales.thresholds import param, set_thresholds

LOWER_FIRST = {BatchNorm: "fold-batchnorm", AvgPool: "lower-avgpool"}


@dataclass(frozen=True, kw_only=True)
class ActivationsToNeurons(Pass):
    """Replace every ReLU by a population of integrate-and-fire neurons with threshold 1.

    The bound of a bounded one (ReLU6) is kept as the `upper` of its population, and is its
    threshold if it is below 1 (S26). A quantised ReLU becomes a neuron whose threshold is its
    bound, with half of it as starting potential, which later passes do not fit (S27).

    A linear activation (`Identity`, put in by linear-bottlenecks) becomes a population of two-sided
    neurons that round, of which only `leak` and `wait` are options (S29).

    The rate of a neuron approximates its ReLU, clipped at one spike per step (Cao, Chen, Khosla
    2015; Rueckauer et al. 2017, section 2.1). The input gets an encoder `<input>.encode`, every
    output a Readout. A ReLU whose input cannot be negative is removed. Identity shortcuts become
    `Scale(1)` from spikes to currents. A max pool of activations becomes a CountMaxPool: its count
    is the largest count of its inputs at every step. Pools of the input stay before the encoder.

    All options except `encode` and `maxpool` are fields of `snnc.ir.Neuron`, the same for all
    populations. Rates match the ReLU only with the defaults, no leak and reset by subtraction.

    Attributes:
        encode: "direct" gives the input itself at every step, with `bits` rounded first;
            "poisson" spikes at random with probability |input| / the largest |input| of the
            calibration data, times `rate`; "latency" spikes once, the earlier the larger the
            input. `bits` are those of the rounded input; `signed=false` silences negative inputs.
        leak: the factor of the potential per step, in [0, 1].
        reset: subtract the threshold from the potential of a neuron that fired, or set it to zero.
        order: integrate, then fire; or fire on the potential of the step before.
        wait: steps a population integrates before it may fire; adds to the latency. "T-1" is all of
            the window but its last step, in which it may fire: the population then quantises its
            total input to T + 1 levels. "T" gives the same spikes one step later (in the order
            "fire-integrate", "T" is what "T-1" is here).
        signed: a neuron that has fired too often may emit -1; needs a target with ternary spikes.
        maxpool: "count" takes the maximum of counts; "refuse" refuses max pools of activations, for
            targets without counters.

    Metrics: `populations`, `neurons`, `dropped` (ReLUs without effect), `max_pools`.
    """

    name = "activations-to-neurons"
    takes = Stage.ANN
    gives = Stage.SNN
    encode: AnyInputCode = field(default_factory=DirectInput)
    leak: float = 1.0
    reset: Literal["subtract", "zero"] = "subtract"
    order: Literal["integrate-fire", "fire-integrate"] = "integrate-fire"
    wait: int | Literal["T", "T-1"] = 0
    signed: bool = False
    maxpool: Literal["count", "refuse"] = "count"

    def __post_init__(self) -> None:
        if not 0 <= self.leak <= 1:
            raise ValueError(f"leak must be in [0, 1], not {self.leak}")
        if isinstance(self.wait, int) and self.wait < 0:
            raise ValueError(f"wait must not be negative, not {self.wait}")
        if self.signed and self.reset == "zero":
            raise ValueError("signed spikes need reset=subtract")
        if self.maxpool not in ("count", "refuse"):
            raise ValueError(f"maxpool={self.maxpool} is not one of: count, refuse")

    def requirements(self) -> frozenset[str]:
        """An input that is rounded needs calibration data."""
        return self.needs | ({"calibration"} if self.encode.needs_data else frozenset())

    def run(self, graph: Graph, ctx: PassContext) -> PassResult:
        """Convert. Raises `UnsupportedError` listing every max pool that cannot be converted."""
        _refuse(graph)
        dropped = _drop_idle_relus(graph, (Maximum, Weighted) if ctx.integers else (Maximum,))
        pools = max_pools_to_count(graph, refuse=self.maxpool == "refuse")
        shapes = {name: kind.shape for name, kind in graph.types().items()}
        first = before_encode(graph)[-1]
        self._encode(graph, first, ctx)
        relus = {node.name: node.op for node in graph.nodes if isinstance(node.op, Relu)}
        linear = [node.name for node in graph.nodes if isinstance(node.op, Identity)]
        for name in relus:
            graph.replace_op(name, self._neuron(ctx.timesteps))
        for name in linear:
            wait = self._wait(ctx.timesteps)
            op = TwoSidedNeuron(threshold=1.0, leak=self.leak, wait=wait, rounds=True)
            graph.replace_op(name, op)
        for pool, windows in pools.items():
            graph.replace_op(pool, CountMaxPool(windows=windows))
        graph.stage = Stage.SNN
        graph.meta["timesteps"] = ctx.timesteps
        _add_readouts(graph)
        for node in graph.nodes:
            shapes.setdefault(node.name, shapes[node.inputs[0]] if node.inputs else ())
        sink_past_maxima(graph, ScalePropagation(graph, shapes))
        scale_events_into_currents(graph)
        _set_bounds(graph, relus)
        scale_events_into_currents(graph)  # bounds make currents of one-sided spikes alone
        metrics = {
            "populations": len(relus) + len(linear),
            "neurons": sum(prod(shapes[name]) for name in (*relus, *linear)),
            "dropped": dropped,
            "max_pools": len(pools),
        }
        return PassResult(graph, metrics=metrics)

    def _encode(self, graph: Graph, first: str, ctx: PassContext) -> None:
        """Add an encoder after `first`, and a Scale by the value of an event that is not 1."""
        name = graph.fresh(f"{graph.input}.encode")
        data = ctx.calibration
        if data is None and self.encode.needs_data:
            raise PassError(f"encode={self.encode} needs data", hint="add --calibration DATA")
        op = self.encode.encoder(data or ())
        graph.insert_after(first, name, op)
        value = self.encode.value(op, ctx.timesteps, data or ())
        if value != 1:
            graph.insert_after(name, graph.fresh(f"{name}.value"), Scale(factor=value))

    def _neuron(self, timesteps: int) -> Neuron:
        return Neuron(
            threshold=1.0,
            leak=self.leak,
            reset=self.reset,
            order=self.order,
            wait=self._wait(timesteps),
            signed=self.signed,
        )

    def _wait(self, timesteps: int) -> int:
        if isinstance(self.wait, int):
            return self.wait
        return timesteps if self.wait == "T" else timesteps - 1


def _refuse(graph: Graph) -> None:
    for node in graph.nodes:
        remedy = LOWER_FIRST.get(type(node.op))
        if remedy is not None:
            raise PassError(
                f"{node.name} ({node.op.mnemonic}) at {node.loc} has no spiking form",
                hint=f"put {remedy} before activations-to-neurons",
            )


def _drop_idle_relus(graph: Graph, take_spikes: tuple[type[Op], ...]) -> int:
    """Remove ReLUs whose input cannot be negative; returns their number.

    One of a sum is kept where it leads to what takes spikes and no currents.
    """
    positive = never_negative(graph)
    dropped = 0
    for node in graph.nodes:
        if not isinstance(node.op, Relu) or node.op.upper is not None:
            continue
        source = graph.inputs_of(node.name)[0]
        kept = feeds(graph, node.name, take_spikes) and not fires(graph, source)
        if source in positive and not kept:
            graph.bypass(node.name)
            dropped += 1
    return dropped


def _set_bounds(graph: Graph, relus: Mapping[str, Relu]) -> None:
    """Give the populations of bounded and quantised ReLUs their bounds, thresholds and starts."""
    bounds = {
        name: np.asarray(graph.array(op.upper), np.float64)
        for name, op in relus.items()
        if op.upper is not None
    }
    if not bounds:
        return
    thresholds = {name: np.ones(()) for name in relus}
    for name, upper in bounds.items():
        thresholds[name] = upper if relus[name].levels else np.minimum(upper, 1.0)
    set_thresholds(graph, thresholds)
    for name, upper in bounds.items():
        op = graph.node(name).op
        assert isinstance(op, Neuron)
        op = replace(op, upper=relus[name].upper, fixed=relus[name].levels is not None)
        if op.fixed:
            op = replace(op, v_init=param(graph, name, "v_init", upper / 2))
        graph.replace_op(name, op)


def _add_readouts(graph: Graph) -> None:
    """Add a Readout after every output."""
    alone = len(graph.outputs) == 1
    readouts: list[str] = []
    for output in graph.outputs:
        name = graph.fresh("readout" if alone else f"{output}.readout")
        readouts.append(graph.add(name, Readout(), [output], loc=graph.node(output).loc))
    graph.outputs = tuple(readouts)
