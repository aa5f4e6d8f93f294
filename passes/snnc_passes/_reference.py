"""What the outputs of a network are compared with: labels, or outputs of a reference network."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from snnc.errors import PassError
from snnc.ir import Graph, Stage
from snnc.memory import JUDGED_VALUES, rows_that_fit
from snnc.training import FastInterpreter
from snnc.transform import Batches, PassContext
from snnc_passes._samples import first, first_labels

Measure = Literal["accuracy", "agreement", "error"]
Classes = NDArray[np.intp]
"""(N,) class numbers."""
Outputs = NDArray[np.floating[Any]]
"""(N, *shape)."""


@dataclass(frozen=True)
class Reference:
    """The first N samples of a stream, and what is wanted for them.

    Attributes:
        data: the stream.
        labels: (N,) class numbers; None where the outputs of the reference network are wanted.
        outputs: (N, *shape) of the reference network; None without one.
    """

    data: Batches
    labels: Classes | None
    outputs: Outputs | None

    def __len__(self) -> int:
        return len(self._outputs() if self.labels is None else self.labels)

    @property
    def measure(self) -> Measure:
        """Accuracy on labels, agreement with predictions, or error of what is no classes."""
        if self.labels is not None:
            return "accuracy"
        shape = self._outputs().shape[1:]
        return "agreement" if len(shape) == 1 and shape[0] > 1 else "error"

    @cached_property
    def classes(self) -> Classes:
        """(N,) the labels, else the predictions of the reference network."""
        return self._outputs().argmax(1) if self.labels is None else self.labels

    @property
    def own_fraction(self) -> float | None:
        """The fraction that the reference network has right: 1 without labels; None without it."""
        return None if self.outputs is None else float(np.mean(self.right(self.outputs)))

    def right(self, outputs: Outputs, rows: slice = slice(None)) -> NDArray[np.bool_]:
        """Whether the largest of outputs (…, n, C), of the samples `rows`, is the wanted class."""
        return outputs.argmax(-1) == self.classes[rows]

    def error(self, outputs: Outputs) -> float:
        """Root mean squared difference of outputs (N, *shape) from those of the reference."""
        return float(np.sqrt(np.square(outputs - self._outputs()).mean()))

    def loss(self, outputs: Outputs) -> float:
        """The fraction of outputs (N, *shape) that are wrong; the error of what is no classes."""
        if self.measure == "error":
            return self.error(outputs)
        return 1 - float(self.right(outputs).mean())

    def runs(
        self, graph: Graph, ctx: PassContext, windows: Sequence[int]
    ) -> Iterator[tuple[slice, Mapping[int, Outputs]]]:
        """Samples and outputs of a spiking network on them, see `spiking_outputs`."""
        return spiking_outputs(graph, ctx, first(self.data, len(self)), len(self), windows)

    def fractions(self, graph: Graph, ctx: PassContext, windows: Sequence[int]) -> dict[int, float]:
        """By window, the fraction of samples that a spiking network has right."""
        right = dict.fromkeys(windows, 0)
        for rows, by_window in self.runs(graph, ctx, windows):
            for window, outputs in by_window.items():
                right[window] += int(self.right(outputs, rows).sum())
        return {window: count / len(self) for window, count in right.items()}

    def _outputs(self) -> Outputs:
        assert self.outputs is not None, "neither labels nor a reference network"
        return self.outputs


def class_count(graph: Graph, reason: str, hint: str) -> int:
    """The number of classes. Raises `PassError` for outputs that are no classes."""
    shape = graph.type_of(graph.outputs[0]).shape
    if len(shape) != 1 or shape[0] < 2:
        raise PassError(f"the output has shape {shape}; {reason}", hint=hint)
    return shape[0]


def label_kind(data: Batches) -> str | None:
    """The kind of the labels' type, "i", "u" or "f"; None without labels."""
    _, y = next(iter(data), (None, None))
    return None if y is None else y.dtype.kind


def class_labels(data: Batches, samples: int, classes: int) -> Classes | None:
    """(N,) labels of at most `samples` samples; None if they are no whole numbers, or missing.

    Raises:
        PassError: some are no class numbers.
    """
    if label_kind(data) not in ("i", "u"):
        return None
    batches: list[NDArray[Any]] = []
    for y in first_labels(data, samples):
        if y is None or y.ndim != 1 or not 0 <= int(y.min()) <= int(y.max()) < classes:
            raise PassError(f"labels that are not class numbers from 0 to {classes - 1}")
        batches.append(y)
    return np.concatenate(batches).astype(np.intp)


def network_outputs(graph: Graph, data: Batches, samples: int, ctx: PassContext) -> Outputs:
    """(N, *shape) outputs, of either stage, for at most `samples` samples."""
    name, inputs = graph.outputs[0], first(data, samples)
    if graph.stage is Stage.SNN:
        window = ctx.timesteps
        runs = spiking_outputs(graph, ctx, inputs, samples, (window,))
        return np.concatenate([by_window[window] for _, by_window in runs])
    interpreter = FastInterpreter(graph, device=ctx.device)
    with torch.no_grad():
        return np.concatenate([interpreter.ann(x)[name].cpu().numpy() for x in inputs])


def spiking_outputs(
    graph: Graph,
    ctx: PassContext,
    inputs: Iterator[NDArray[np.float32]],
    samples: int,
    windows: Sequence[int],
) -> Iterator[tuple[slice, Mapping[int, Outputs]]]:
    """Samples, and by window the outputs (n, *shape) of one run over the longest, part by part."""
    interpreter, timesteps = FastInterpreter(graph, device=ctx.device), max(windows)
    largest = max(kind.size for kind in graph.types().values())
    size = rows_that_fit(JUDGED_VALUES, largest * timesteps)
    name, done = graph.outputs[0], 0
    with ctx.progress(f"T={timesteps}", samples) as advance, torch.no_grad():
        for chunk in inputs:
            for x in (chunk[i : i + size] for i in range(0, len(chunk), size)):
                rows = slice(done, done + len(x))
                ids = np.arange(rows.start, rows.stop)
                run = interpreter.snn(x, timesteps, sample_ids=ids, prefixes=windows)
                yield rows, {t: values[name].cpu().numpy() for t, values in run.prefixes.items()}
                done = rows.stop
                advance(len(x))
