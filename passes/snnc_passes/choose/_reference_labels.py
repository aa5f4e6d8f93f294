"""Reference labels for a spiking classifier, and its outputs for the same samples."""

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
    """Reference labels of the first samples of a stream.

    Attributes:
        measure: "accuracy" for labels of the data, "agreement" for predictions of the ANN.
        wanted: (N,) classes.
        reference: accuracy of the ANN; 1 for "agreement"; None without an ANN.
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
        """`right` samples as a fraction of all."""
        return right / len(self.wanted)


def reference_labels(graph: Graph, ctx: PassContext, samples: int) -> ReferenceLabels:
    """Labels of the validation data, else of the calibration data, else predictions of the ANN.

    Args:
        samples: maximum number of samples.

    Raises:
        PassError: there are no data, neither labels nor an ANN, or the outputs are no classes.
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
        predicted = None
        if ctx.ann is not None:
            predicted = _predictions(ctx.ann, ctx, first(data, len(wanted)))
        reference = None if predicted is None else float(np.mean(predicted == wanted))
        return ReferenceLabels("accuracy", wanted, reference, data)
    if ctx.ann is None:
        raise PassError(
            "the data has no labels, and there is no ANN to agree with",
            hint="add --validation DATA with labels, or start from the model",
        )
    predicted = _predictions(ctx.ann, ctx, first(data, samples))
    return ReferenceLabels("agreement", predicted, 1.0, data)


def outputs(
    graph: Graph, ctx: PassContext, labels: ReferenceLabels, timesteps: int, windows: Sequence[int]
) -> Iterator[Mapping[int, NDArray[Any]]]:
    """By window, the outputs (n, C) of one run over `timesteps` steps, chunk by chunk."""
    interpreter = FastInterpreter(graph, device=ctx.device)
    largest = max(kind.size for kind in graph.types().values())
    rows = rows_that_fit(JUDGED_VALUES, largest * timesteps)
    name, done = graph.outputs[0], 0
    with ctx.progress(f"T={timesteps}", len(labels.wanted)) as advance, torch.no_grad():
        for chunk in labels.inputs():
            for x in (chunk[i : i + rows] for i in range(0, len(chunk), rows)):
                ids = np.arange(done, done + len(x))
                run = interpreter.snn(x, timesteps, sample_ids=ids, prefixes=windows)
                yield {t: values[name].cpu().numpy() for t, values in run.prefixes.items()}
                done += len(x)
                advance(len(x))


def classes(output: NDArray[Any]) -> Classes:
    """(N,) index of the largest of (N, C)."""
    return output.argmax(axis=1)


def _judged(ctx: PassContext) -> tuple[Batches, bool]:
    """The data used for the comparison, and whether they have labels."""
    given = [data for data in (ctx.validation, ctx.calibration) if data is not None]
    if not given:
        raise PassError("needs validation or calibration data", hint="add --validation DATA")
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
    batches: list[NDArray[Any]] = []
    for y in first_labels(data, samples):
        if y is None or y.ndim != 1 or not 0 <= int(y.min()) <= int(y.max()) < size:
            raise PassError(f"labels that are not class numbers from 0 to {size - 1}")
        batches.append(y)
    return np.concatenate(batches).astype(np.intp)


def _predictions(ann: Graph, ctx: PassContext, inputs: Iterator[NDArray[np.float32]]) -> Classes:
    interpreter = FastInterpreter(ann, device=ctx.device)
    name = ann.outputs[0]
    with torch.no_grad():
        predicted = [classes(interpreter.ann(x)[name].cpu().numpy()) for x in inputs]
    return np.concatenate(predicted)
