"""The loss, and the measure of validation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from snnc.errors import PassError
from snnc.ir import Graph
from snnc.training import FastInterpreter
from snnc_passes.train._options import Loss

TEMPERATURE = 2.0
"""Highest temperature of the class probabilities for loss=ann, where none is given."""

Measure = Literal["accuracy", "agreement", "loss"]


@dataclass(frozen=True)
class Wanted:
    """The targets of some samples.

    Attributes:
        target: target of the loss: classes (N,), or outputs (N, *shape).
        classes: (N,) the right classes; None if outputs are no classes.
    """

    target: Tensor
    classes: Tensor | None


class Objective:
    """A loss of the network's outputs with respect to labels or the ANN's outputs.

    Args:
        loss: its name.
        graph: the network to train.
        ann: the ANN, required by "ann".
        device: the torch device.
        temperature: of class probabilities for "ann"; None for that of `fitting_temperature`.

    Raises:
        PassError: the network has several outputs, or outputs that are no classes for a loss of
            classes; there is no ANN to learn from.
    """

    def __init__(
        self,
        loss: Loss,
        graph: Graph,
        ann: Graph | None,
        device: str,
        temperature: float | None = None,
    ) -> None:
        if graph.outputs[1:]:
            raise PassError(f"the network has {len(graph.outputs)} outputs; one can be trained")
        self.loss, self.device = loss, torch.device(device)
        self.temperature = temperature
        self.shape = tuple(graph.type_of(graph.outputs[0]).shape)
        self.classes = self.shape[-1] if len(self.shape) == 1 else 1
        self.has_classes = self.classes > 1
        if loss == "cross-entropy" and not self.has_classes:
            raise PassError(
                f"the output has shape {self.shape}, not one number for each of several classes",
                hint="train it with loss=mse or loss=ann",
            )
        self._teacher: FastInterpreter | None = None
        if loss == "ann":
            if ann is None:
                raise PassError("there is no ANN to learn from", hint="start from the model")
            if ann.outputs[1:] or ann.type_of(ann.outputs[0]).shape != self.shape:
                raise PassError("the ANN has other outputs than the network")
            self._teacher = FastInterpreter(ann, device=device)

    @property
    def softened(self) -> bool:
        """Whether outputs are compared as class probabilities."""
        return self.loss == "ann" and self.has_classes

    def wanted(self, x: Tensor, y: NDArray[Any] | None, what: str) -> Wanted:
        """The targets for `x` (N, *shape); `what` names the data in errors.

        Raises:
            PassError: labels are missing, or do not fit the outputs.
        """
        labels = None
        if self.has_classes and y is not None and (y.ndim == 1 and y.dtype.kind in "iu"):
            labels = self._classes(y, what)
        if self._teacher is not None:
            with torch.no_grad():
                target = self._teacher.ann(x)[self._teacher.graph.outputs[0]]
            own = target.argmax(1) if self.has_classes else None
            return Wanted(target, own if labels is None else labels)
        if y is None:
            raise PassError(
                f"the {what} data have no labels",
                hint="give labels, or learn from the ANN with loss=ann",
            )
        if self.loss == "mse":
            return Wanted(self._targets(y, what), None)
        if labels is None:
            raise PassError(
                f"the {what} data have y of {y.dtype}{_sized(y.shape[1:])}, not one whole number "
                "per sample",
                hint="class numbers, or loss=mse for targets of the output's shape",
            )
        return Wanted(labels, labels)

    def _classes(self, y: NDArray[Any], what: str) -> Tensor:
        low, high, count = int(y.min()), int(y.max()), self.classes
        if not 0 <= low <= high < count:
            wrong = low if low < 0 else high
            raise PassError(
                f"a label of {wrong} in the {what} data; the network has the classes 0 to "
                f"{count - 1}"
            )
        return torch.from_numpy(y.astype(np.int64)).to(self.device)

    def _targets(self, y: NDArray[Any], what: str) -> Tensor:
        if y.shape[1:] != self.shape:
            raise PassError(
                f"targets of shape {y.shape[1:]} in the {what} data; the output has {self.shape}",
                hint="loss=cross-entropy takes class numbers",
            )
        return torch.from_numpy(y.astype(np.float32)).to(self.device)

    def total(self, output: Tensor, wanted: Wanted) -> Tensor:
        """The loss of a batch, summed over its samples."""
        output, target = output.float(), wanted.target
        if self.loss == "cross-entropy":
            return F.cross_entropy(output, target, reduction="sum")
        if not self.softened:
            return (output - target).square().flatten(1).mean(1).sum()
        heat = self._temperature(target)
        ours, theirs = (F.log_softmax(logits / heat, 1) for logits in (output, target))
        each = F.kl_div(ours, theirs, reduction="none", log_target=True)
        return (heat.square() * each).sum()  # gradients keep their size (Hinton 2015, section 2)

    def mean_total(self, outputs: Sequence[Tensor], wanted: Wanted) -> Tensor:
        """The mean loss of several outputs, such as those after each step of a window."""
        return torch.stack([self.total(output, wanted) for output in outputs]).mean()

    def _temperature(self, target: Tensor) -> Tensor:
        """(N, 1)."""
        if self.temperature is None:
            return fitting_temperature(target)
        return target.new_full((len(target), 1), self.temperature)

    def measure(self, labelled: bool) -> Measure:
        """The measure of validation on data with or without labels."""
        if not self.has_classes or self.loss == "mse":
            return "loss"
        return "accuracy" if labelled else "agreement"


def fitting_temperature(target: Tensor) -> Tensor:
    """(N, 1): 2, or half the standard deviation over classes of the ANN's outputs, if that is less.

    Otherwise the probabilities of an ANN with small outputs, one fitted to 0 and 1 say, would be
    nearly even, and the loss nearly 0 whatever the network gives. (Sun et al., "Logit
    Standardization in Knowledge Distillation", 2024, take temperatures from the deviation, too.)
    """
    spread = target.float().std(1, correction=0, keepdim=True) / 2
    return torch.where(spread > 0, spread, TEMPERATURE).clamp(max=TEMPERATURE)


def _sized(shape: tuple[int, ...]) -> str:
    return f" {shape}" if shape else ""
