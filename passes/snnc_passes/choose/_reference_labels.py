"""What the answers of a spiking classifier are held against, and its answers themselves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from snnc.errors import PassError
from snnc.ir import Graph
from snnc.memory import JUDGED_VALUES, rows_that_fit
from snnc.training import FastInterpreter
from snnc.transform import Batches, PassContext
from snnc_passes._samples import first, first_labels

Measure = Literal["accuracy", "agreement"]
Classes = NDArray[np.intp]


@dataclass(frozen=True)
class ReferenceLabels:
    """Right answers for the first samples of a stream.

    Attributes:
        measure: "accuracy" where they are labels, "agreement" where they are the ANN's answers.
        wanted: (N,) classes.
        reference: fraction of them that the ANN gives; 1 for an agreement; None without an ANN.
        data: the stream.
    """

    measure: Measure
    wanted: Classes
    reference: float | None
    data: Batches

    def inputs(self) -> Iterator[NDArray[np.float32]]:
        """The N samples, in chunks."""
        return first(self.data, len(self.wanted))

    def fraction(self, right: int) -> float:
        """Of all samples."""
        return right / len(self.wanted)


def reference_labels(graph: Graph, ctx: PassContext, samples: int) -> ReferenceLabels:
    """Labels of the validation data, else of the calibration data, else the ANN's answers.

    Args:
        samples: at most so many are used.

    Raises:
        PassError: no data; the outputs are no classes; neither labels nor an ANN.
    """
    shape = graph.type_of(graph.outputs[0]).shape
    if len(shape) != 1 or shape[0] < 2:
        raise PassError(
            f"the output has shape {shape}; only one number for each of several classes has a "
            "largest one",
            hint="for other outputs choose -T by the error that snnc eval reports",
        )
    data, labelled = _judged(ctx)
    if labelled:
        wanted = _labels(data, samples, shape[0])
        theirs = None if ctx.ann is None else _answers(ctx.ann, ctx, first(data, len(wanted)))
        reference = None if theirs is None else float(np.mean(theirs == wanted))
        return ReferenceLabels("accuracy", wanted, reference, data)
    if ctx.ann is None:
        raise PassError(
            "the data has no labels, and there is no ANN to agree with",
            hint="add --validation DATA with labels, or start from the model",
        )
    return ReferenceLabels("agreement", _answers(ctx.ann, ctx, first(data, samples)), 1.0, data)


def outputs(
    graph: Graph, ctx: PassContext, held: ReferenceLabels, timesteps: int, windows: Sequence[int]
) -> Iterator[Mapping[int, NDArray[Any]]]:
    """Per window, the outputs (n, C) of one run over `timesteps`, chunk by chunk, with progress."""
    interpreter = FastInterpreter(graph, device=ctx.device)
    largest = max(kind.size for kind in graph.types().values())
    rows = rows_that_fit(JUDGED_VALUES, largest * timesteps)
    name, done = graph.outputs[0], 0
    with ctx.progress(f"T={timesteps}", len(held.wanted)) as advance, torch.no_grad():
        for chunk in held.inputs():
            for x in (chunk[i : i + rows] for i in range(0, len(chunk), rows)):
                ids = np.arange(done, done + len(x))
                run = interpreter.snn(x, timesteps, sample_ids=ids, prefixes=windows)
                yield {t: found[name].cpu().numpy() for t, found in run.prefixes.items()}
                done += len(x)
                advance(len(x))


def classes(output: NDArray[Any]) -> Classes:
    """(N,) the largest of (N, C)."""
    return output.argmax(axis=1)


def _judged(ctx: PassContext) -> tuple[Batches, bool]:
    """The data to judge by, and whether it has labels."""
    given = [data for data in (ctx.validation, ctx.calibration) if data is not None]
    if not given:
        raise PassError("needs data to judge by", hint="add --validation DATA")
    labelled = next((data for data in given if _kind(data) in ("i", "u")), None)
    if labelled is not None:
        return labelled, True
    if _kind(given[0]) == "f":
        raise PassError("the labels are real numbers; a budget in points is for classes")
    return given[0], False


def _kind(data: Batches) -> str | None:
    _, y = next(iter(data), (None, None))
    return None if y is None else y.dtype.kind


def _labels(data: Batches, samples: int, size: int) -> Classes:
    held: list[NDArray[Any]] = []
    for y in first_labels(data, samples):
        if y is None or y.ndim != 1 or not 0 <= int(y.min()) <= int(y.max()) < size:
            raise PassError(f"labels that are not class numbers from 0 to {size - 1}")
        held.append(y)
    return np.concatenate(held).astype(np.intp)


def _answers(ann: Graph, ctx: PassContext, inputs: Iterator[NDArray[np.float32]]) -> Classes:
    interpreter = FastInterpreter(ann, device=ctx.device)
    name = ann.outputs[0]
    with torch.no_grad():
        found = [classes(interpreter.ann(x)[name].cpu().numpy()) for x in inputs]
    return np.concatenate(found)
