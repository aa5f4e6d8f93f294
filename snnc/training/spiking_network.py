"""A spiking graph as a trainable torch module, and back."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from snnc.errors import UsageError
from snnc.interp import CountPool, Population, Run
from snnc.ir import AnyNeuron, Encode, Graph, Node, Stage, Weighted
from snnc.training.even_spikes import check_even, even_spikes
from snnc.training.fast_interpreter import FastInterpreter
from snnc.training.parameters import (
    LEARNED,
    at_most,
    check,
    numbers,
    reference,
    register,
    roles,
    updated,
    with_arrays,
)
from snnc.training.surrogate import AnySurrogate, find_surrogate
from snnc.training.synapses import Synapses

FLOOR = 1e-3
"""Lower bound of thresholds in `constrain`, relative to the smallest initial one of the layer."""


class SpikingNetwork(nn.Module):
    """A real-valued graph of stage `snn` whose arrays are parameters; `to_torch` makes one.

    Every parameter has the name of its array in the graph (`layer1.0.conv1.weight`); a threshold or
    leak that is a number in the graph is named `NODE.threshold`, `NODE.leak`. Zeros of a layer that
    is `pruned` stay zero, however the parameters are trained.

    Attributes:
        source: a copy of the graph it was made from; read-only.
        timesteps: the window T; may be changed between calls.
        surrogate: the gradient of a spike; may be changed between calls.
        dropout: per neuron node, the probability that one of its neurons is silenced in training;
            may be changed between calls.
        even: whether populations fire evenly over the window, see `even_spikes`: the network is
            then an ANN with quantised activations, at the cost of one step.
        synapses: what is made of the weights of pruned layers in every call, by name of the array
            with "/" for ".".
    """

    def __init__(
        self,
        graph: Graph,
        timesteps: int,
        *,
        surrogate: str | AnySurrogate = "linear",
        learn: Collection[str] = LEARNED,
        dropout: float | Mapping[str, float] = 0.0,
        even: bool = False,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        super().__init__()
        if even:
            check_even(graph, learn)
        self.even = even
        self.source = graph.clone()
        self.timesteps = Run(timesteps).timesteps
        self.surrogate = find_surrogate(surrogate)
        self.dropout = _probabilities(graph, dropout)
        self._graph = with_arrays(graph, learn)
        self._random = any(isinstance(n.op, Encode) and n.op.code_class.random for n in graph)
        self._recorded: list[dict[str, Tensor]] = []
        self._paths: dict[str, str] = {}
        self.synapses = nn.ModuleDict()
        for node in self._graph:
            if isinstance(node.op, Weighted) and node.op.pruned:
                array = np.array(self._graph.params[node.op.weight.name])
                self.restrict(node.op.weight.name, Synapses(torch.from_numpy(array) != 0))
        for name, fields in roles(self._graph).items():
            value = torch.from_numpy(np.array(self._graph.params[name])).to(dtype)
            learns = not fields.isdisjoint(learn)
            self._paths[name] = register(self, name, nn.Parameter(value, requires_grad=learns))

    def forward(
        self,
        x: Tensor,
        *,
        sample_ids: NDArray[np.int64] | None = None,
        seed: int | None = None,
        prefixes: Sequence[int] = (),
    ) -> Any:
        """Outputs of the network: scale * (sum of a readout's input over the window) / T.

        Args:
            x: (N, *shape).
            sample_ids: (N,) identities for a random encoder; None for 0..N-1.
            seed: of a random encoder. None: 0 in evaluation mode; in training mode drawn from
                torch's generator at every call.
            prefixes: numbers of steps, 1..T, after each of which the outputs are wanted.

        Returns:
            (N, …); a dict by output name if there are several outputs. With `prefixes` a list of
            them, one for each.
        """
        if seed is None:
            seed = int(torch.randint(2**31, ())) if self.training and self._random else 0
        values = self._interpreter().snn(
            self._laid(x),
            self.timesteps,
            sample_ids=sample_ids,
            seed=seed,
            prefixes=prefixes,
        )
        if prefixes:
            return [self._outputs(values.prefixes[steps]) for steps in prefixes]
        return self._outputs(values.outputs)

    def _outputs(self, values: Mapping[str, Tensor]) -> Any:
        outputs = {name: values[name] for name in self._graph.outputs}
        return outputs if len(outputs) > 1 else next(iter(outputs.values()))

    def _laid(self, x: Tensor) -> Tensor:
        """`x` in the memory format of the weights; with one channel, torch cannot infer it."""
        last = torch.channels_last
        if x.ndim != 4 or not any(
            p.ndim == 4 and p.is_contiguous(memory_format=last) and not p.is_contiguous()
            for p in self.parameters()
        ):
            return x
        return torch.empty_like(x, memory_format=last).copy_(x)

    def _interpreter(self) -> FastInterpreter:
        params = {name: self.effective(name) for name in self._paths}
        dropout = self.dropout if self.training else {}
        return _Watched(self._graph, params, self.surrogate, dropout, self.even, self._recorded)

    @contextmanager
    def record(self) -> Iterator[dict[str, Tensor]]:
        """Collect the spikes of the last call: neuron node -> (T, N, *shape), before dropout.

        They are differentiable; see `snnc.training.spike_cost`. Even ones are spikes per step.
        """
        spikes: dict[str, Tensor] = {}
        self._recorded.append(spikes)
        try:
            yield spikes
        finally:
            self._recorded[:] = [record for record in self._recorded if record is not spikes]

    @property
    def thresholds(self) -> Mapping[str, nn.Parameter]:
        """The threshold of every neuron node: 0-d, (C,) or of the sample's shape."""
        return {node.name: self.parameter(op.threshold) for node, op in self._neurons()}

    @property
    def leaks(self) -> Mapping[str, nn.Parameter]:
        """The leak of every neuron node: 0-d, (C,) or of the sample's shape."""
        return {node.name: self.parameter(op.leak) for node, op in self._neurons()}

    def _neurons(self) -> Iterator[tuple[Node, AnyNeuron]]:
        for node in self._graph.nodes:
            if isinstance(node.op, AnyNeuron):
                yield node, node.op

    def parameter(self, array: Any) -> nn.Parameter:
        """The parameter of an array, by name or `Ref`. Raises `UsageError` if there is none."""
        name = array if isinstance(array, str) else reference(array)
        if name not in self._paths:
            raise UsageError(f"the network has no parameter for an array called {name!r}")
        return self.get_parameter(self._paths[name])

    def restrict(self, array: str, synapses: Synapses) -> None:
        """Compute with `synapses` of the weight called `array` from now on."""
        self.synapses[array.replace(".", "/")] = synapses

    def restriction(self, array: str) -> Synapses | None:
        """What is made of the weight called `array`; None if it is taken as it is."""
        key = array.replace(".", "/")
        if key not in self.synapses:
            return None
        found = self.synapses[key]
        assert isinstance(found, Synapses)
        return found

    def effective(self, array: str) -> Tensor:
        """The values that the network computes with: the parameter, masked and snapped."""
        value, synapses = self.parameter(array), self.restriction(array)
        return value if synapses is None else synapses(value)

    @torch.no_grad()
    def constrain(self, *_: object) -> None:
        """Clamp thresholds to positive values and leaks to 0..1; call after every optimiser step.

        The lower bound of a layer's thresholds is 1/1000 of its smallest initial one; the upper one
        is that of a bounded activation (ReLU6), if it is one.
        """
        for _node, op in self._neurons():
            threshold = self.parameter(op.threshold)
            threshold.clamp_(min=FLOOR * float(np.min(self._graph.array(op.threshold))))
            if op.upper is not None:
                threshold.copy_(at_most(threshold, self._graph.array(op.upper)))
            self.parameter(op.leak).clamp_(0, 1)

    def extra_repr(self) -> str:
        """The window and the surrogate."""
        return f"timesteps={self.timesteps}, surrogate={self.surrogate}"


class _Watched(FastInterpreter):
    """An interpreter with dropout (one mask for all steps) that records spikes, even ones or real.

    Where spikes are even, all values are those of one step.
    """

    def __init__(
        self,
        graph: Graph,
        params: Mapping[str, Tensor],
        surrogate: AnySurrogate,
        dropout: Mapping[str, float],
        even: bool,
        recorded: Sequence[dict[str, Tensor]],
    ) -> None:
        parameter = next(iter(params.values()), torch.empty(0))
        super().__init__(graph, parameter.dtype, parameter.device, params, surrogate=surrogate)
        self._dropout, self._even, self._recorded = dropout, even, recorded

    def stateful(self, node: Node, x: Tensor, run: Run) -> Tensor:
        """See `Interpreter.stateful`."""
        state = self.state(node) if self._even else None
        if isinstance(state, Population):
            return even_spikes(state, x, run.timesteps)
        if isinstance(state, CountPool):
            return replace(state, constant=True).run(x, 1)
        return super().stateful(node, x, run)

    def apply(self, node: Node, inputs: Sequence[Tensor], run: Run | None = None) -> Tensor:
        value = super().apply(node, inputs, run)
        if not isinstance(node.op, AnyNeuron):
            return value
        steps = len(value) if run is None or not self._even else run.timesteps
        for spikes in self._recorded:
            spikes[node.name] = value.expand(steps, *value.shape[1:])
        probability = self._dropout.get(node.name, 0.0)
        if not probability:
            return value
        return value * F.dropout(torch.ones_like(value[0]), probability)


def _probabilities(graph: Graph, dropout: float | Mapping[str, float]) -> Mapping[str, float]:
    neurons = [node.name for node in graph.nodes if isinstance(node.op, AnyNeuron)]
    by_node = dropout if isinstance(dropout, Mapping) else dict.fromkeys(neurons, dropout)
    for name, probability in by_node.items():
        if name not in neurons:
            raise UsageError(
                f"dropout behind {name!r}, which is no neuron node",
                hint=f"of {', '.join(neurons)}",
            )
        if not 0 <= probability < 1:
            raise UsageError(f"a dropout of {probability:g} behind {name}; it must lie in 0..1")
    return by_node


def to_torch(
    graph: Graph,
    timesteps: int | None = None,
    *,
    surrogate: str | AnySurrogate = "linear",
    learn: Collection[str] = LEARNED,
    dropout: float | Mapping[str, float] = 0.0,
    even: bool = False,
    dtype: torch.dtype = torch.float32,
) -> SpikingNetwork:
    """A spiking graph as a differentiable `nn.Module`, trained by backpropagation through time.

    All steps of a stateless layer are computed as one batch, values that are constant in time once,
    and a population is one autograd function (snnc/training/scan.py). The spikes are those of the
    graph. The gradient treats the spike in the reset as a constant.

    Args:
        graph: of stage `snn`, before `quantize`.
        timesteps: the window T; None for the window stored in the graph.
        surrogate: a name of `snnc.training.SURROGATES`, or an object with `gradient(z)`.
        learn: fields of ops that are trained, out of weight, bias, threshold, leak, v_init, factor
            (of a `Scale`) and scale (of a `Readout`). Others do not require a gradient.
        dropout: probability for all populations, or by neuron node; one mask for all steps.
        even: see `SpikingNetwork`.
        dtype: of parameters and state.

    Raises:
        UsageError: the graph is not of stage `snn` or holds integers, or an option is wrong.
    """
    if graph.stage is not Stage.SNN:
        raise UsageError(
            f"a graph of stage {graph.stage} has no spikes to train",
            hint="convert it first, for example with the recipe convert",
        )
    window = graph.meta.get("timesteps") if timesteps is None else timesteps
    if window is None:
        raise UsageError("the graph has no stored window T", hint="give timesteps=")
    return SpikingNetwork(
        graph, window, surrogate=surrogate, learn=learn, dropout=dropout, even=even, dtype=dtype
    )


def from_torch(network: SpikingNetwork) -> Graph:
    """The graph `network` was made from, with its current parameters and window.

    Arrays keep their names and dtypes; numbers are numbers again. Unchanged parameters are returned
    bit for bit.

    Raises:
        UsageError: `network` was not made by `to_torch`.
        ModelError: a parameter is not finite, a threshold not positive, or a leak outside 0..1.
    """
    if not isinstance(network, SpikingNetwork):
        raise UsageError(
            f"{type(network).__name__} is not a network made by to_torch",
            hint="of a DistributedDataParallel give its .module",
        )
    graph = network.source.clone()
    arrays = roles(graph)
    for name, fields in roles(network._graph).items():
        value = updated(network._graph.params[name], network.effective(name))
        if value is None:
            continue
        check(name, value, fields)
        if name in arrays:
            graph.set_param(name, value)
    _write_numbers(network, graph)
    graph.meta["timesteps"] = network.timesteps
    return graph


def _write_numbers(network: SpikingNetwork, graph: Graph) -> None:
    for node in network.source.nodes:
        now = network._graph.node(node.name).op.refs()
        for field in numbers(node, now.keys()):
            name = now[field].name
            value = updated(network._graph.params[name], network.parameter(name))
            if value is not None:
                op = graph.node(node.name).op
                graph.replace_op(node.name, replace(op, **{field: float(value)}))
