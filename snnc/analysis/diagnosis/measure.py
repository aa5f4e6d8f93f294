"""One sweep over the data: the spiking network, its ANN and the model side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from snnc.analysis.diagnosis.layer_errors import Channels, LayerTally
from snnc.analysis.diagnosis.norms import NormTally, norm_tallies
from snnc.analysis.diagnosis.result import LayerError, WindowError
from snnc.analysis.diagnosis.stages import StageTally, compared_nodes, stage_tallies
from snnc.analysis.observations import prefixes
from snnc.errors import DataError
from snnc.input_range import InputTally
from snnc.ir import AnyNeuron, Graph, Maximum, Node, Signal
from snnc.ir.neuron_groups import neuron_groups
from snnc.ir.populations import spike_values
from snnc.memory import DIAGNOSED_VALUES, rows_that_fit
from snnc.transform import Batches, Progress, silent

if TYPE_CHECKING:
    from torch import Tensor

    from snnc.training import FastInterpreter

Real = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Networks:
    """The networks that are compared.

    Attributes:
        snn: the spiking graph whose currents are measured.
        ann: the graph of stage `ann` that it was made from, with the same names of nodes.
        model: the model as loaded, of stage `ann`; None to skip its checks.
        rounded: the integer network made from `snn`, or None.
    """

    snn: Graph
    ann: Graph
    model: Graph | None = None
    rounded: Graph | None = None

    def populations(self) -> list[str]:
        """The neuron nodes with an activation of the same name and shape in the ANN."""
        return [
            node.name
            for node in self.snn
            if isinstance(node.op, AnyNeuron)
            and node.name in self.ann
            and self.ann.type_of(node.name).shape == self.snn.type_of(node.name).shape
        ]


@dataclass(frozen=True)
class Measured:
    """The measurements that the rules of the diagnosis use; see `Diagnosis`."""

    samples: int
    layers: Mapping[str, LayerError]
    channels: Mapping[str, Channels]
    over_t: tuple[WindowError, ...]
    rounded: WindowError | None
    norms: Mapping[str, Mapping[str, float]]
    stages: Mapping[str, Mapping[str, float]]
    pools: Mapping[str, float]
    inputs: InputTally


def measure(
    networks: Networks,
    data: Batches,
    timesteps: int,
    *,
    seed: int = 0,
    progress: Progress = silent,
    total: int | None = None,
) -> Measured:
    """Run all of `data`, some samples at a time; memory does not grow with the data.

    Raises:
        DataError: no samples.
    """
    import torch

    sweep = _Sweep(networks, timesteps, seed)
    rows = rows_that_fit(DIAGNOSED_VALUES, timesteps * sweep.widest())
    with progress("diagnose", total) as advance, torch.no_grad():
        for x, _ in data:
            for start in range(0, len(x), rows):
                sweep.add(x[start : start + rows])
                advance(len(x[start : start + rows]))
    if not sweep.samples:
        raise DataError("the data has no samples")
    return sweep.result()


class _Sweep:
    """The interpreters of all graphs, and the tallies."""

    def __init__(self, networks: Networks, timesteps: int, seed: int) -> None:
        from snnc.training import FastInterpreter

        snn, model = networks.snn, networks.model
        self._networks, self._timesteps, self._seed = networks, timesteps, seed
        self._snn = FastInterpreter(snn)
        self._ann = FastInterpreter(networks.ann)
        self._model = None if model is None else FastInterpreter(model)
        rounded = networks.rounded
        self._integers = None if rounded is None else FastInterpreter(rounded)
        self._spike_values = spike_values(snn) if snn.quantized else {}
        groups = {group.members[0]: group for group in neuron_groups(snn)}
        copies = {name: len(group.members) for name, group in groups.items()}
        self._layers = {name: self._layer(name, copies) for name in networks.populations()}
        self._rates = {
            groups[name].total if name in groups else name: (name, copies.get(name, 1))
            for name in self._layers
        }
        self._pools = {name: [0.0, 0.0] for name in _pools_of_spikes(snn)}
        pairs = {} if model is None else compared_nodes(model, networks.ann)
        self._pairs = pairs
        self._stages: Mapping[str, StageTally] = (
            {} if model is None else stage_tallies(model, pairs)
        )
        self._norms: Mapping[str, NormTally] = {} if model is None else norm_tallies(model)
        self._windows = {t: _Window() for t in prefixes(timesteps)}
        self._rounded = _Window()
        self._inputs = InputTally()
        self.samples = 0

    def _layer(self, name: str, copies: Mapping[str, int]) -> LayerTally:
        graph = self._networks.snn
        op = graph.node(name).op
        assert isinstance(op, AnyNeuron)
        value = self._spike_values.get(name)
        shape, count = graph.type_of(name).shape, copies.get(name, 1)
        return LayerTally(graph, op, shape, self._timesteps, value, count)

    def widest(self) -> int:
        """Size of the largest tensor, for one sample and step."""
        return max(kind.size for kind in self._networks.snn.types().values())

    def add(self, x: NDArray[np.float32]) -> None:
        """Add some samples."""
        self._inputs.add(x)
        ids = np.arange(self.samples, self.samples + len(x))
        expected = self._ann.ann(x, {*self._layers, *self._pairs.values()})
        activations = {name: value.numpy() for name, value in expected.items()}
        output = self._check_model(x, activations)
        integers = self._rates_of_integers(x, ids, output)
        self._spike(x, ids, activations, output, integers)
        self.samples += len(x)

    def _check_model(self, x: NDArray[np.float32], folded: Mapping[str, Real]) -> Real:
        """Compare the folded graph with the model; returns the output of the model."""
        if self._model is None:
            return folded[self._networks.ann.outputs[0]]
        norms = self._norms

        def observe(node: Node, inputs: Sequence[Tensor], value: Tensor) -> None:
            if node.name in norms:
                norms[node.name].add(inputs[0].double().numpy())
            if node.name in self._pairs:
                self._stages[node.name].add(value.numpy(), folded[self._pairs[node.name]])

        outputs = self._model.ann(x, observe=observe)
        return outputs[self._model.graph.outputs[0]].numpy()

    def _rates_of_integers(
        self, x: NDArray[np.float32], ids: NDArray[np.int64], output: Real
    ) -> dict[str, Real]:
        rates: dict[str, Real] = {}
        if self._integers is None:
            return rates

        def observe(node: Node, inputs: Sequence[Tensor], value: Tensor) -> None:
            if node.name in self._rates:
                name, copies = self._rates[node.name]
                rates[name] = value.mean(0).float().numpy() / copies

        run = self._run(self._integers, x, ids, (), observe)
        self._rounded.add(_first(run.outputs), output)
        return rates

    def _run(
        self, interpreter: FastInterpreter, x: Any, ids: Any, windows: Sequence[int], observe: Any
    ) -> Any:
        return interpreter.snn(
            x,
            self._timesteps,
            sample_ids=ids,
            seed=self._seed,
            prefixes=windows,
            observe=observe,
        )

    def _spike(
        self,
        x: NDArray[np.float32],
        ids: NDArray[np.int64],
        expected: Mapping[str, Real],
        output: Real,
        integers: Mapping[str, Real],
    ) -> None:
        currents: dict[str, Real] = {}

        def observe(node: Node, inputs: Sequence[Tensor], value: Tensor) -> None:
            if node.name in self._layers:
                currents[node.name] = inputs[0].mean(0).float().numpy()
            if node.name in self._rates:
                name, copies = self._rates[node.name]
                rate = value.mean(0).float().numpy() / copies
                self._layers[name].add(currents.pop(name), rate, expected[name], integers.get(name))
            if node.name in self._pools:
                rates = inputs[0].mean(0, keepdim=True)
                wanted = self._snn.stateless(node.op, [rates], rates.ndim - 2)[0]
                error = value.mean(0) - wanted
                sums = self._pools[node.name]
                sums[0] += float(error.double().square().sum())
                sums[1] += float(wanted.double().square().sum())

        windows = tuple(self._windows)
        run = self._run(self._snn, x, ids, windows[:-1], observe)
        for t, window in self._windows.items():
            outputs = run.outputs if t == self._timesteps else run.prefixes[t]
            window.add(_first(outputs), output)

    def result(self) -> Measured:
        """All measurements."""
        pools = {name: float(np.sqrt(e / p)) if p else 0.0 for name, (e, p) in self._pools.items()}
        rounded = self._rounded.result(self._timesteps)
        return Measured(
            samples=self.samples,
            layers={name: tally.result(name) for name, tally in self._layers.items()},
            channels={name: tally.channels() for name, tally in self._layers.items()},
            over_t=tuple(window.result(t) for t, window in self._windows.items()),
            rounded=None if self._integers is None else rounded,
            norms={name: tally.result() for name, tally in self._norms.items()},
            stages={name: tally.result() for name, tally in self._stages.items()},
            pools=pools,
            inputs=self._inputs,
        )


@dataclass
class _Window:
    """Sums over the outputs of one window length."""

    error: float = 0.0
    power: float = 0.0
    same: int = 0
    samples: int = 0
    size: int = 1

    def add(self, output: Real, expected: Real) -> None:
        """Add a batch of outputs (N, …)."""
        actual, wanted = (np.asarray(v, np.float64).reshape(len(v), -1) for v in (output, expected))
        self.error += float(np.square(actual - wanted).sum())
        self.power += float(np.square(wanted).sum())
        self.same += int((actual.argmax(axis=1) == wanted.argmax(axis=1)).sum())
        self.samples += len(actual)
        self.size = actual.shape[1]

    def result(self, timesteps: int) -> WindowError:
        """Relative error and agreement."""
        error = float(np.sqrt(self.error / self.power)) if self.power else None
        agreement = self.same / self.samples if self.samples and self.size > 1 else None
        return WindowError(timesteps, error, agreement)


def _first(outputs: Mapping[str, Tensor]) -> Real:
    return next(iter(outputs.values())).numpy()


def _pools_of_spikes(graph: Graph) -> list[str]:
    return [
        node.name
        for node in graph
        if isinstance(node.op, Maximum)
        and graph.type_of(node.inputs[0]).signal in (Signal.SPIKE, Signal.COUNT)
    ]
