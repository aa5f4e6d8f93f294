"""What a model as loaded and some of its data tell before anything is converted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import exp
from typing import TYPE_CHECKING, Any

import numpy as np

from snnc.analysis.diagnosis.initial_weights import is_untrained
from snnc.analysis.diagnosis.input_scale import odd_scale, scale_in_words
from snnc.analysis.diagnosis.norms import NormTally, far_norms, first_norms, in_words, up_to
from snnc.analysis.diagnosis.remedies import remedy
from snnc.analysis.diagnosis.result import Cause, Finding
from snnc.input_range import InputRange, InputTally, leaves
from snnc.ir import BatchNorm, Graph, Weighted
from snnc.memory import DIAGNOSED_VALUES, rows_that_fit
from snnc.transform import Batches

if TYPE_CHECKING:
    from snnc.ir import Node

FEWEST = 32
"""Samples of calibration data from which their number is not remarked on."""
SAMPLES = 256
"""Samples compared with batch norms; evenly spaced where the number of all is known."""


@dataclass(frozen=True)
class ModelCheck:
    """Findings about a model and its data, the range of the data, and the number of samples.

    Without samples the range is None.
    """

    findings: tuple[Finding, ...]
    inputs: InputRange | None = None
    samples: int = 0


def check_model(model: Graph, data: Batches | None, total: int | None = None) -> ModelCheck:
    """Untrained weights, and data that are not normalised as those of the training.

    Args:
        model: of stage `ann`, as loaded.
        data: like what the network will see; None to look at the weights only.
        total: number of samples, if known.
    """
    found = list(about_weights(model))
    if data is None:
        return ModelCheck(tuple(found))
    names = [] if found else first_norms(model)  # initial statistics say nothing of the data
    inputs, norms = _moments(model, names, data, total)
    if not inputs.samples:
        return ModelCheck(tuple(found))
    found += about_norms(model, norms) if norms else about_constants(model, inputs)
    return ModelCheck(tuple(found), inputs.range(), inputs.samples)


def about_weights(model: Graph) -> Iterator[Finding]:
    """One finding if the model was never trained."""
    if is_untrained(model):
        layer = next(node.name for node in model if isinstance(node.op, Weighted))
        text = "The weights are those of an initialisation: the model is not trained."
        yield _finding(Cause.UNTRAINED, layer, text, {})


def about_count(samples: int, layer: str) -> Iterator[Finding]:
    """One finding if there are calibration data, but too few of them to fit a network to."""
    if 0 < samples < FEWEST:
        count = "1 sample" if samples == 1 else f"{samples} samples"
        text = f"The network is fitted to {count} of calibration data; a few hundred are usual."
        yield _finding(Cause.FEW_SAMPLES, layer, text, {"samples": samples})


def about_norms(model: Graph, norms: Mapping[str, Mapping[str, float]]) -> Iterator[Finding]:
    """One finding for the first batch norm whose input is not that of the training, if any.

    Args:
        norms: results of `NormTally` of batch norms with no other in front.
    """
    for name in far_norms(model, norms)[:1]:
        evidence = {**norms[name], "batch_norm": name}
        yield _finding(Cause.WRONG_NORMALISATION, name, in_words(name, norms[name]), evidence)


def about_constants(model: Graph, data: InputTally) -> Iterator[Finding]:
    """One finding if mean and deviation cannot be those of the data; for models without norms."""
    figures = odd_scale(model, data)
    if figures:
        text = scale_in_words(figures)
        yield _finding(Cause.WRONG_NORMALISATION, model.input, text, figures)


def about_range(calibrated: InputRange, seen: InputTally, layer: str) -> Iterator[Finding]:
    """One finding if the data that were `seen` are not like the calibration data."""
    figures = leaves(calibrated, seen)
    if figures:
        factor = exp(figures["spread"])
        text = (
            f"The inputs are {seen.range()}, those of the calibration were {calibrated}: they vary "
            f"{factor:.3g} times as much, and the thresholds do not fit them."
        )
        yield _finding(Cause.INPUT_RANGE, layer, text, figures)


def _finding(cause: Cause, node: str, text: str, evidence: Mapping[str, Any]) -> Finding:
    return Finding(node, node, cause, "fault", evidence, text, remedy(cause))


def _moments(
    model: Graph, names: list[str], data: Batches, total: int | None
) -> tuple[InputTally, dict[str, dict[str, float]]]:
    """Moments of all inputs, and of the input of the norms `names` for `SAMPLES` of them."""
    inputs = InputTally()
    norms = _Norms(model, names) if names else None
    step = 1 if total is None else max(1, total // SAMPLES)
    for x, _ in data:
        chosen = x[-inputs.samples % step :: step]
        if norms is not None and norms.samples < SAMPLES and len(chosen):
            norms.add(chosen)
        inputs.add(x)
    return inputs, {} if norms is None or not norms.samples else norms.result()


class _Norms:
    """The tallies of some batch norms, and the part of the model that computes their inputs."""

    def __init__(self, model: Graph, names: list[str]) -> None:
        from snnc.training import FastInterpreter

        part = up_to(model, names)
        self._rows = rows_that_fit(DIAGNOSED_VALUES, max(t.size for t in part.types().values()))
        self._interpreter = FastInterpreter(part)
        ops = {name: part.node(name).op for name in names}
        self._tallies = {
            name: NormTally(part, op) for name, op in ops.items() if isinstance(op, BatchNorm)
        }
        self.samples = 0

    def add(self, x: Any) -> None:
        """Add samples (N, *shape)."""
        import torch

        def observe(node: Node, inputs: Any, value: Any) -> None:
            if node.name in self._tallies:
                self._tallies[node.name].add(inputs[0].double().numpy())

        with torch.no_grad():
            for start in range(0, len(x), self._rows):
                part = np.ascontiguousarray(x[start : start + self._rows])
                self._interpreter.ann(part, observe=observe)
        self.samples += len(x)

    def result(self) -> dict[str, dict[str, float]]:
        """Per batch norm, the result of its `NormTally`."""
        return {name: tally.result() for name, tally in self._tallies.items()}
