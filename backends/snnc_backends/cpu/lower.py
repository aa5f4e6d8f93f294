"""From a graph to a plan: kernels of the least expected time, weights in their layout."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from snnc import ir
from snnc.errors import GraphError
from snnc.ir.integer_bounds import magnitudes
from snnc_backends.cpu.kernels import KERNELS, Concat, Gather, Kernel, Match, Work
from snnc_backends.cpu.layout import channels_last, moved_positions
from snnc_backends.cpu.number_types import LARGEST
from snnc_backends.cpu.plan import Encoding, Output, Plan, Step, Tensor, Tiled
from snnc_backends.cpu.rates import event_rates
from snnc_backends.cpu.site import Network, Site
from snnc_backends.cpu.storage import ANALOG, Blob, record_of, storage

Kinds = Sequence[type[Kernel]]


def lower(graph: ir.Graph, timesteps: int, kinds: Kinds | None = None) -> tuple[Plan, bytes]:
    """The plan of an `snn` graph and the content of `weights.bin`.

    Args:
        kinds: the kernels that may be used; all for None.

    Raises:
        GraphError: the graph has no encoder.
    """
    lowering = _Lowering(graph, timesteps, tuple(KERNELS.values()) if kinds is None else kinds)
    matches = lowering.matches()
    hidden = {name for match in matches.values() for name in match.absorbed}
    for node in graph.nodes:
        if node.name not in hidden:
            lowering.add(node, matches.get(node.name))
    plan, blob = lowering.plan(), lowering.blob
    del lowering, matches  # weights in all their forms, which are no more needed
    return plan, blob.content()


class _Lowering:
    def __init__(self, graph: ir.Graph, timesteps: int, kinds: Kinds) -> None:
        self.graph, self.timesteps, self.kinds = graph, timesteps, kinds
        self.network = Network(
            graph, graph.types(), magnitudes(graph), event_rates(graph), timesteps
        )
        self.blob = Blob()
        self.tensors: list[Tensor] = []
        self.numbers: dict[str, int] = {}
        self.steps: list[Step] = []
        self.analog = 0
        self.longest = LARGEST
        self.encoding: Encoding | None = None
        self.outputs: list[Output] = []
        self.tiled: dict[str, Match] = {}

    def matches(self) -> dict[str, Match]:
        """Per node that has a kernel the one of least time; it may absorb nodes before it.

        What a processor with tiles takes instead goes to `tiled`.
        """
        chosen: dict[str, Match] = {}
        costs: dict[str, float] = {}
        for node in self.graph.nodes:
            every = list(self._found(Site(self.network, node)))
            found = [match for match in every if not match.kernel.tiled]
            if not found:
                continue
            least = min(
                found, key=lambda m: self._cost(m) - sum(costs[name] for name in m.absorbed)
            )
            chosen[node.name], costs[node.name] = least, self._cost(least)
            for match in every:
                same = (match.inputs, match.absorbed) == (least.inputs, least.absorbed)
                if match.kernel.tiled and same and self._cost(match) < self._cost(least, True):
                    self.tiled[node.name] = match
        return chosen

    def _found(self, site: Site) -> list[Match]:
        if not site.kind or (site.kind == "rearrange" and self._is_view(site)):
            return []
        return [match for kind in self.kinds if (match := kind.match(site)) is not None]

    def _cost(self, match: Match, tiles: bool = False) -> float:
        rates = tuple(self.network.rates[name] for name in match.inputs)
        return match.kernel.cost(Work(rates, self.timesteps, tiles))

    def plan(self) -> Plan:
        """The finished plan. Raises `GraphError` for a graph without an encoder."""
        if self.encoding is None:
            raise GraphError("the graph has no encode behind its input")
        first = self.graph.outputs[0]
        self._add_tiled()
        outputs = sorted(self.outputs, key=lambda output: output.name != first)
        return Plan(
            timesteps=self.timesteps,
            longest=self.longest,
            analog=self.analog,
            tensors=tuple(self.tensors),
            steps=tuple(self.steps),
            encoding=self.encoding,
            outputs=tuple(outputs),
        )

    def add(self, node: ir.Node, match: Match | None) -> None:
        """Lower one node."""
        site = Site(self.network, node)
        if match is not None:
            self._step(match, self._tensor(site))
        elif isinstance(node.op, ir.Readout):
            self._readout(node.op, site)
        elif isinstance(node.op, ir.Rearrange):
            self._rearrange(node.op, site)
        elif isinstance(node.op, ir.Encode):
            op, source, number = node.op, self.numbers[site.sources[0]], self._tensor(site)
            self.encoding = Encoding(op.code_class.name, op.scale, op.lo, op.hi, source, number)
        else:
            self._tensor(site)

    def _stored(self, match: Match) -> dict[str, int]:
        """The offsets of the arrays of a kernel, which are stored."""
        tables = match.kernel.arrays()
        return {name: self.blob.add(match.array(name), tables[name].dtype) for name in tables}

    def _add_tiled(self) -> None:
        """Add what a processor with tiles takes; its weights follow each other in the file."""
        for number, step in enumerate(self.steps):
            match = self.tiled.get(self.tensors[step.output].name)
            if match is not None:
                tiled = Tiled(match.kernel, self._stored(match))
                self.steps[number] = replace(step, tiled=tiled)

    def _step(self, match: Match, number: int) -> None:
        offsets = self._stored(match)
        inputs = tuple(self.numbers[name] for name in match.inputs)
        step = Step(match.kernel, inputs, number, offsets)
        self.longest = min(self.longest, match.longest)
        if self.tensors[number].dtype == ANALOG:
            self.steps.insert(self.analog, step)
            self.analog += 1
        else:
            self.steps.append(step)

    def _tensor(self, site: Site) -> int:
        return self._tensor_of(site.name, site.result, record_of(site.node.op, site.result))

    def _tensor_of(self, name: str, kind: ir.TensorType, record: str = "none") -> int:
        constant = kind.signal is ir.Signal.ANALOG or kind.constant_in_time
        self.tensors.append(Tensor(name, kind.shape, storage(kind), constant, record))
        self.numbers[name] = len(self.tensors) - 1
        return self.numbers[name]

    def _readout(self, op: ir.Readout, site: Site) -> None:
        if site.name not in self.graph.outputs:
            return
        scale = np.asarray(self.graph.array(op.scale), np.float64)
        shape = site.result.shape
        scale = channels_last(scale) if scale.shape == shape else scale
        offset, source = self.blob.add(scale, "f64"), self.numbers[site.sources[0]]
        quantized = site.result.quantized
        self.outputs.append(Output(site.name, source, offset, scale.size, quantized, op.start))

    def _rearrange(self, op: ir.Rearrange, site: Site) -> None:
        """Nothing for a view; several inputs are concatenated first, then gathered."""
        if self._is_view(site):
            self.numbers[site.name] = self.numbers[site.sources[0]]
            return
        size, constant = sum(x.size for x in site.inputs), site.constant
        name = self.graph.fresh(f"{site.name}.inputs")
        number = self._tensor_of(name, replace(site.result, shape=(size,)))
        lengths = tuple(x.size for x in site.inputs)
        steady = tuple(x.constant_in_time for x in site.inputs)
        joined = Concat(
            sources=site.source_dtypes, dtype=site.dtype, outer=1, lengths=lengths, constant=steady
        )
        self._step(Match(joined, {}, site.sources), number)
        kernel = Gather(
            dtype=site.dtype, source_size=size, size=site.result.size, constant=constant
        )
        arrays = {"positions": moved_positions(op, [x.shape for x in site.inputs])}
        self._step(Match(kernel, arrays, (name,)), self._tensor(site))

    def _is_view(self, site: Site) -> bool:
        """Whether the result can share its input's buffer; the source of a readout cannot."""
        users = (self.graph.node(user).op for user, _ in site.node.users)
        if (
            len(site.inputs) != 1
            or site.result.signal is ir.Signal.ANALOG
            or any(isinstance(user, ir.Readout) for user in users)
        ):
            return False
        (x,) = site.inputs
        return np.array_equal(moved_positions(site.op, [x.shape]), np.arange(x.size))
