"""Runs graphs node by node: every op once, all time steps of a layer before the next layer (S8)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from snnc.errors import DataError, GraphError
from snnc.interp.count_pool import CountPool
from snnc.interp.neuron import Population
from snnc.interp.ops import Constant, Gather, evaluate, for_sample
from snnc.interp.stateful import StatefulMeaning
from snnc.ir import (
    CountMaxPool,
    Encode,
    Graph,
    Input,
    Neuron,
    Node,
    Op,
    Readout,
    Rearrange,
    Ref,
    Shape,
    Stage,
    Stateful,
    TensorType,
    TwoSidedNeuron,
)
from snnc.readout_steps import steps_read

Keep = Collection[str] | Literal["all"]
Observe = Callable[[Node, Sequence[Tensor], Tensor], None]
"""Called with a node, its inputs and its result when the node has been computed."""
STATEFUL: Mapping[type[Op], Callable[[Any, TensorType, Constant], StatefulMeaning]] = (
    MappingProxyType(
        {Neuron: Population.of, TwoSidedNeuron: Population.of, CountMaxPool: CountPool.of}
    )
)
"""Per stateful op, a function of (op, type of its result, reader of parameters)."""


@dataclass(frozen=True)
class Run:
    """The options of a run of an `snn` graph.

    Attributes:
        timesteps: the window T.
        sample_ids: (N,) identities for random encoders; None for 0..N-1.
        seed: seed of random encoders.
        saturated: filled by encoders: per node, number of input elements that were clipped.
    """

    timesteps: int
    sample_ids: NDArray[np.int64] | None = None
    seed: int = 0
    saturated: dict[str, int] = field(default_factory=dict[str, int], compare=False)

    def __post_init__(self) -> None:
        if self.timesteps < 1:
            raise DataError(f"a window of {self.timesteps} steps; it needs at least one")


@dataclass(frozen=True)
class SnnValues:
    """The results of a run of an `snn` graph.

    Attributes:
        outputs: per readout (N, …): scale * sum / T; float32 for integer graphs.
        sums: per readout (N, …), the sum of its input over the window.
        values: per kept node (T, N, *shape), or (1, N, *shape) when the same at every step.
        prefixes: per requested t, the outputs after the first t steps of the same run.
        saturated: per encoder, number of input elements that were clipped.
    """

    outputs: Mapping[str, Tensor]
    sums: Mapping[str, Tensor]
    values: Mapping[str, Tensor]
    prefixes: Mapping[int, Mapping[str, Tensor]] = field(default_factory=dict[int, Any])
    saturated: Mapping[str, int] = field(default_factory=dict[str, int])


class Interpreter:
    """Computes a graph node by node; parameters are converted to tensors once.

    Args:
        graph: any stage; later edits of its structure are not seen.
        dtype: integer graphs require float64, in which they are exact.
        device: the torch device.
        params: tensors used in place of the graph's arrays, by name (for training).

    `params` is read whenever a node is computed, so it may change between nodes.

    Raises:
        GraphError: an integer graph with another dtype than float64.
    """

    def __init__(
        self,
        graph: Graph,
        dtype: torch.dtype = torch.float64,
        device: str | torch.device = "cpu",
        params: Mapping[str, Tensor] | None = None,
    ) -> None:
        self.graph = graph
        self.dtype = dtype
        self.device = torch.device(device)
        self.params: dict[str, Tensor] = dict(params or {})
        self.types = graph.types()
        self._inputs = {node.name: graph.inputs_of(node.name) for node in graph.nodes}
        self._gathers: dict[tuple[Op, Sequence[Shape]], Gather] = {}
        integer = [n.name for n in graph.nodes if self._has_integers(n)]
        if integer and dtype != torch.float64:
            raise GraphError(f"{integer[0]} is integer; run the graph in float64, not {dtype}")

    def _has_integers(self, node: Node) -> bool:
        arrays = [self.graph.params[ref.name] for ref in node.op.refs().values()]
        return any(np.issubdtype(array.dtype, np.integer) for array in arrays)

    def nodes(self) -> tuple[Node, ...]:
        """All nodes, inputs before users."""
        return self.graph.nodes

    def constant(self, value: Ref | float) -> Tensor:
        """A parameter of an op as a tensor."""
        if not isinstance(value, Ref):
            return torch.tensor(value, dtype=self.dtype, device=self.device)
        if value.name not in self.params:
            kind = np.float64 if self.dtype == torch.float64 else None  # faster than torch
            array = np.array(self.graph.params[value.name], kind)
            self.params[value.name] = torch.from_numpy(array).to(self.device, self.dtype)
        return self.params[value.name]

    def as_input(self, x: NDArray[Any] | Tensor) -> Tensor:
        """`x` (N, *shape) as a tensor. Raises `DataError` if its shape is not that of the input."""
        tensor = x if isinstance(x, Tensor) else torch.from_numpy(np.array(x))
        expected = self.types[self.graph.input].shape
        if tuple(tensor.shape[1:]) != expected or tensor.ndim == 0:
            takes = ", ".join(["N", *map(str, expected)])
            raise DataError(f"input has shape {tuple(tensor.shape)}, the network takes ({takes})")
        return tensor.to(self.device, self.dtype)

    def apply(self, node: Node, inputs: Sequence[Tensor], run: Run | None = None) -> Tensor:
        """Result of one node.

        Args:
            node: a node of the graph; its op may be another one of the same inputs.
            inputs: (*lead, *shape) each: lead is (N,) at stage `ann`, else (T, N), or (1, N) if
                constant in time.
            run: required for stateful ops, encoders and readouts.

        Raises:
            GraphError: `run` is missing for such an op, or the op is unknown.
        """
        op = node.op
        if not isinstance(op, Encode | Stateful | Readout):
            rank = len(self.types[self._inputs[node.name][0]].shape)
            return self.stateless(op, inputs, rank)
        if run is None:
            raise GraphError(f"{node.name} ({op.mnemonic}) needs a number of time steps")
        if isinstance(op, Encode):
            return self.encode(node, op, inputs[0], run)
        if isinstance(op, Stateful):
            return self.stateful(node, inputs[0], run)
        return self._read_out(node, op, inputs[0], run.timesteps)[1]

    def stateless(self, op: Op, inputs: Sequence[Tensor], rank: int) -> Tensor:
        """Result of a stateless op; shapes as in `apply`, `rank` as in `evaluate`."""
        gather = self._gather(op, inputs, rank) if isinstance(op, Rearrange) else None
        return evaluate(op, inputs, rank, self.constant, gather)

    def _gather(self, op: Rearrange, inputs: Sequence[Tensor], rank: int) -> Gather:
        """The `Gather` of an op for the shapes of its inputs, cached."""
        shapes = tuple(tuple(x.shape[x.ndim - rank :]) for x in inputs)
        if (op, shapes) not in self._gathers:
            self._gathers[op, shapes] = Gather.of(op, shapes, self.device)
        return self._gathers[op, shapes]

    def state(self, node: Node) -> StatefulMeaning:
        """The recurrence of a stateful node with its parameters. Raises `GraphError` if unknown."""
        make = STATEFUL.get(type(node.op))
        if make is None:
            raise GraphError(f"{node.name} ({node.op.mnemonic}) is no operation with a state")
        return make(node.op, self.types[node.name], self.constant)

    def stateful(self, node: Node, x: Tensor, run: Run) -> Tensor:
        """Results (T, N, *shape) of a stateful node."""
        return self.state(node).run(x, run.timesteps)

    def encode(self, node: Node, op: Encode, x: Tensor, run: Run) -> Tensor:
        """Events (T or 1, N, *shape) for x (1, N, *shape); adds clipped elements to `run`."""
        code = op.code()
        run.saturated[node.name] = 0
        if code is None:
            return x
        batch = x[0].detach().to("cpu", torch.float32).numpy()
        encoded = code.encode(batch, run.timesteps, run.sample_ids, run.seed)
        run.saturated[node.name] = encoded.saturated
        return torch.from_numpy(encoded.values).to(self.device, self.dtype)

    def _read_out(self, node: Node, op: Readout, x: Tensor, steps: int) -> tuple[Tensor, Tensor]:
        """The sum of x that a window of `steps` reads, and the output, scale times its mean."""
        read = steps_read(op.start, steps)
        total = x[0] * len(read) if len(x) == 1 else x[read.start : read.stop].sum(0)
        kind = self.types[node.name]
        output = total * for_sample(self.constant(op.scale), kind.shape) / len(read)
        return total, output.to(torch.float32) if kind.quantized else output

    def ann(
        self, x: NDArray[Any] | Tensor, keep: Keep = (), *, observe: Observe | None = None
    ) -> dict[str, Tensor]:
        """Values (N, *shape) of the outputs and of the nodes in `keep` of an `ann` graph."""
        if self.graph.stage is not Stage.ANN:
            raise GraphError(f"the graph is at stage {self.graph.stage}, not ann")
        return self._sweep(self.as_input(x), None, keep, observe)

    def snn(
        self,
        x: NDArray[Any] | Tensor,
        timesteps: int,
        *,
        keep: Keep = (),
        sample_ids: NDArray[np.int64] | None = None,
        seed: int = 0,
        prefixes: Sequence[int] = (),
        observe: Observe | None = None,
    ) -> SnnValues:
        """Run an `snn` graph for a window of `timesteps`; see `Run` and `SnnValues`."""
        if self.graph.stage is not Stage.SNN:
            raise GraphError(f"the graph is at stage {self.graph.stage}, not snn")
        wrong = [t for t in prefixes if not 1 <= t <= timesteps]
        if wrong:
            raise DataError(f"prefix of {wrong[0]} steps outside a window of {timesteps}")
        run = Run(timesteps, sample_ids, seed)
        sums: dict[str, Tensor] = {}
        outputs: dict[str, Tensor] = {}
        early: dict[int, dict[str, Tensor]] = {t: {} for t in prefixes}

        def collect(node: Node, inputs: Sequence[Tensor], value: Tensor) -> None:
            if isinstance(node.op, Readout):
                sums[node.name], outputs[node.name] = self._read_out(
                    node, node.op, inputs[0], timesteps
                )
                for t, outputs_at in early.items():
                    outputs_at[node.name] = self._read_out(node, node.op, inputs[0], t)[1]
            if observe is not None:
                observe(node, inputs, value)

        values = self._sweep(self.as_input(x)[None], run, keep, collect)
        kept = {n: v for n, v in values.items() if n not in outputs}
        return SnnValues(outputs, sums, kept, early, run.saturated)

    def _sweep(
        self, x: Tensor, run: Run | None, keep: Keep, observe: Observe | None
    ) -> dict[str, Tensor]:
        """Compute all nodes; a value is freed after its last use unless it is kept."""
        nodes = self.nodes()
        names = {node.name for node in nodes}
        kept = names if keep == "all" else set(keep) | set(self.graph.outputs)
        if unknown := kept - names:
            raise GraphError(f"no node called {min(unknown)!r} to keep")
        uses = Counter(source for node in nodes for source in self._inputs[node.name])
        values: dict[str, Tensor] = {}
        for node in nodes:
            sources = self._inputs[node.name]
            inputs = [values[source] for source in sources]
            value = x if isinstance(node.op, Input) else self.apply(node, inputs, run)
            values[node.name] = value
            if observe is not None:
                observe(node, inputs, value)
            uses.subtract(sources)
            for source in set(sources):
                if not uses[source] and source not in kept:
                    del values[source]
        return values


def run_ann(
    graph: Graph,
    x: NDArray[Any] | Tensor,
    *,
    keep: Keep = (),
    dtype: torch.dtype = torch.float32,
) -> dict[str, Tensor]:
    """Values (N, *shape) of the outputs and of the nodes in `keep` of an `ann` graph."""
    return Interpreter(graph, dtype).ann(x, keep)


def run_snn(
    graph: Graph,
    x: NDArray[Any] | Tensor,
    *,
    timesteps: int,
    keep: Keep = (),
    sample_ids: NDArray[np.int64] | None = None,
    seed: int = 0,
    dtype: torch.dtype = torch.float64,
    prefixes: Sequence[int] = (),
) -> SnnValues:
    """Run an `snn` graph on a batch (N, *shape) for a window of `timesteps` steps."""
    return Interpreter(graph, dtype).snn(
        x,
        timesteps,
        keep=keep,
        sample_ids=sample_ids,
        seed=seed,
        prefixes=prefixes,
    )
