"""Statistics of input currents, layer after layer, with the thresholds found so far."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from snnc.errors import PassError
from snnc.interp import Interpreter, Run
from snnc.ir import Graph, Node
from snnc.transform import PassContext
from snnc_passes.activations import usable
from snnc_passes.calibration import Granularity, Rows, Statistic, chunks, in_rows


def current_statistic(
    graph: Graph,
    ctx: PassContext,
    neurons: Sequence[str],
    statistic: Statistic,
    granularity: Granularity,
) -> Mapping[str, NDArray[np.float64]]:
    """Per neuron node, the largest over the steps of a statistic of its input current.

    One sweep over the layers: all samples and all steps of a layer before the next, no layer
    computed twice. What lies between two layers waits in a temporary file, spikes as bits. The
    threshold of a neuron must be the array `<name>.threshold`; it is set as soon as it is known.
    Returns (C,) or () arrays, all positive.
    """
    if ctx.calibration is None:
        raise PassError("needs calibration data")
    interpreter = Interpreter(graph, torch.float32, ctx.device)
    found: dict[str, NDArray[np.float64]] = {}
    with TemporaryDirectory(prefix="snnc-") as folder, torch.no_grad():
        spool = _Spool(Path(folder))
        count = spool.fill(
            graph.input, (torch.from_numpy(x)[None] for x in chunks(ctx.calibration))
        )
        uses = Counter(source for node in graph.nodes for source in graph.inputs_of(node.name))
        with ctx.progress("currents", len(graph)) as advance:
            for node in graph.nodes:
                sources = graph.inputs_of(node.name)
                if node.name in neurons:
                    stream = _Currents(spool, sources[0], count, granularity)
                    high = stream.largest(statistic)
                    found[node.name] = usable(ctx, node.name, high, granularity)
                    threshold = torch.tensor(found[node.name], dtype=torch.float32)
                    interpreter.params[f"{node.name}.threshold"] = threshold.to(ctx.device)
                if sources:
                    results = _results(interpreter, node, sources, spool, count, ctx)
                    spool.fill(node.name, results)
                uses.subtract(sources)
                spool.drop(name for name in set(sources) if not uses[name])
                advance(1)
    return found


def _results(
    interpreter: Interpreter,
    node: Node,
    sources: Sequence[str],
    spool: _Spool,
    count: int,
    ctx: PassContext,
) -> Iterator[Tensor]:
    """The results of one node, chunk by chunk."""
    first = 0
    for index in range(count):
        inputs = [spool.read(source, index).to(ctx.device) for source in sources]
        size = inputs[0].shape[1]
        ids = np.arange(first, first + size)
        yield interpreter.apply(node, inputs, Run(ctx.timesteps, ids))
        first += size


@dataclass(frozen=True)
class _Currents:
    """The input current of a neuron over all chunks, (T or 1, n, *shape) each."""

    spool: _Spool
    name: str
    count: int
    granularity: Granularity

    def largest(self, statistic: Statistic) -> NDArray[np.float64]:
        """The statistic of each step, and of these the largest."""
        steps = len(self.spool.read(self.name, 0))
        return np.max([statistic.of(lambda t=t: self._step(t)) for t in range(steps)], axis=0)

    def _step(self, t: int) -> Iterable[Rows]:
        for index in range(self.count):
            yield in_rows(self.spool.read(self.name, index)[t].numpy(), self.granularity)


@dataclass(frozen=True)
class _Spool:
    """Values of nodes in files, one a chunk; spikes as bits."""

    folder: Path

    def fill(self, name: str, values: Iterable[Tensor]) -> int:
        """Store the chunks of a node; returns their number."""
        index = -1
        for index, value in enumerate(values):
            array = value.cpu().numpy()
            if array.ndim and np.isin(array, (0, 1)).all():
                packed = np.packbits(array.astype(bool))
                np.savez(self._path(name, index), bits=packed, shape=np.array(array.shape))
            else:
                np.savez(self._path(name, index), values=array)
        return index + 1

    def read(self, name: str, index: int) -> Tensor:
        """One chunk of a node."""
        with np.load(self._path(name, index)) as stored:
            if "values" in stored:
                return torch.from_numpy(stored["values"])
            shape = tuple(int(n) for n in stored["shape"])
            bits = np.unpackbits(stored["bits"], count=int(np.prod(shape)))
        return torch.from_numpy(bits.reshape(shape).astype(np.float32))

    def drop(self, names: Iterable[str]) -> None:
        """Delete the chunks of nodes nobody needs any more."""
        for name in names:
            for path in self.folder.glob(f"{self._stem(name)}-*.npz"):
                path.unlink()

    def _path(self, name: str, index: int) -> Path:
        return self.folder / f"{self._stem(name)}-{index}.npz"

    @staticmethod
    def _stem(name: str) -> str:
        return name.encode().hex()
