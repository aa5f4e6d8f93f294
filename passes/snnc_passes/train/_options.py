"""The options that all passes which learn have in common."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, ClassVar, Literal, get_args, get_type_hints

from snnc.ir import Stage
from snnc.training.surrogate import SURROGATES
from snnc.transform import Pass

Loss = Literal["cross-entropy", "mse", "ann"]
Optimizer = Literal["adam", "sgd"]
Schedule = Literal["steps", "cosine", "constant"]
Augmentation = Literal["none", "flip", "crop-flip"]
Precision = Literal["float32", "bfloat16"]


@dataclass(frozen=True, kw_only=True)
class TrainingPass(Pass):
    """A pass that trains a spiking network by backpropagation through time.

    Attributes:
        epochs: passes over the training data.
        batch: samples of a step of the optimiser, of all processes together.
        weights, threshold, leak, v_init: what learns; biases go with weights. Starting potentials
            are worth learning where the input is the same at every step (Shen et al., "Rethinking
            the Membrane Dynamics and Optimization Objectives of Spiking Neural Networks", 2024).
        loss: "cross-entropy" to class labels; "mse" to targets of the output's shape; "ann" to the
            outputs of the ANN, without labels.
        optimizer: Adam (AMSGrad), or SGD with `momentum`.
        lr: learning rate at the start.
        weight_decay: of weights; thresholds, leaks and biases do not decay.
        momentum: of optimizer=sgd.
        schedule: "steps" divides the rate by `decay` at `milestones`; "cosine" brings it to zero.
        milestones: fractions of the training.
        decay: what the rate is divided by.
        clip: the largest norm of the gradient, or none.
        dropout: probability that a neuron is silenced, at all steps of a sample alike.
        surrogate: a name of `snnc.training.SURROGATES`.
        augment: "flip", or "crop-flip": shifted by up to an eighth of its size and flipped.
        precision: "bfloat16" trains in mixed precision; judged is in float32.
        spike_cost: what the loss grows by for one spike per neuron in the window.
        tensorboard: whether logs for TensorBoard are written to the working directory.
    """

    takes: ClassVar[Stage] = Stage.SNN
    gives: ClassVar[Stage] = Stage.SNN
    needs: ClassVar[frozenset[str]] = frozenset({"train"})
    epochs: int = 10
    batch: int = 64
    weights: bool = True
    threshold: bool = True
    leak: bool = True
    v_init: bool = False
    loss: Loss = "cross-entropy"
    optimizer: Optimizer = "adam"
    lr: float = 1e-4
    weight_decay: float = 0.0
    momentum: float = 0.9
    schedule: Schedule = "steps"
    milestones: tuple[float, ...] = (0.6, 0.8, 0.9)
    decay: float = 5.0
    clip: float | None = None
    dropout: float = 0.0
    surrogate: str = "linear"
    augment: Augmentation = "none"
    precision: Precision = "float32"
    spike_cost: float = 0.0
    tensorboard: bool = False

    def __post_init__(self) -> None:
        hints = get_type_hints(TrainingPass)
        for option in ("loss", "optimizer", "schedule", "augment", "precision"):
            _one_of(option, getattr(self, option), get_args(hints[option]))
        _one_of("surrogate", self.surrogate, tuple(SURROGATES))
        for option in ("epochs", "batch", "lr", "decay"):
            _refuse_if(getattr(self, option) <= 0, self, option, "is not positive")
        for option in ("weight_decay", "spike_cost"):
            _refuse_if(getattr(self, option) < 0, self, option, "is negative")
        for option in ("momentum", "dropout"):
            _refuse_if(not 0 <= getattr(self, option) < 1, self, option, "is not in [0, 1)")
        _refuse_if(self.clip is not None and self.clip <= 0, self, "clip", "is not positive")
        if not all(0 < each < 1 for each in self.milestones):
            raise ValueError("milestones are fractions of the training, between 0 and 1")
        if not self.learned():
            raise ValueError("weights, threshold, leak, v-init are all false: nothing would learn")

    def requirements(self) -> frozenset[str]:
        """loss=ann needs the ANN, tensorboard=true a place for its logs."""
        ann = {"ann"} if self.loss == "ann" else set[str]()
        logs = {"workdir"} if self.tensorboard else set[str]()
        return self.needs | ann | logs

    def learned(self) -> tuple[str, ...]:
        """The fields of ops whose arrays learn, as `to_torch` takes them."""
        chosen = (
            (self.weights, ("weight", "bias")),
            (self.threshold, ("threshold",)),
            (self.leak, ("leak",)),
            (self.v_init, ("v_init",)),
        )
        return tuple(name for wanted, names in chosen if wanted for name in names)

    def as_numbers(self) -> dict[str, Any]:
        """The options that decide what is learnt, JSON-able, by name."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        del values["tensorboard"]
        return {name: list(v) if isinstance(v, tuple) else v for name, v in values.items()}


def _one_of(option: str, value: object, choices: tuple[object, ...]) -> None:
    if value not in choices:
        raise ValueError(f"{option}={value} is not one of: {', '.join(map(str, choices))}")


def _refuse_if(wrong: bool, each: TrainingPass, option: str, why: str) -> None:
    if wrong:
        shown = option.replace("_", "-")
        raise ValueError(f"{shown}={getattr(each, option):g} {why}")
