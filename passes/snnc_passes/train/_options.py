"""The options shared by all passes that train."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any, ClassVar, Literal, get_args, get_type_hints

from snnc.ir import Stage
from snnc.training.surrogate import SURROGATES
from snnc.transform import Pass
from snnc_passes._option_checks import one_of, refuse_if
from snnc_passes._prefixes import Prefixes, check_prefixes
from snnc_passes.train._adversary import Pgd

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
        batch: samples per optimiser step, of all processes together.
        weights, threshold, leak, v_init: which parameters are trained; weights include biases.
            Training starting potentials helps for inputs that are constant in time (Shen et al.,
            "Rethinking the Membrane Dynamics and Optimization Objectives of Spiking Neural
            Networks", 2024).
        loss: "cross-entropy" to class labels; "mse" to targets of the output's shape; "ann" to the
            outputs of the ANN, without labels.
        temperature: of the class probabilities compared by loss=ann (Hinton, Vinyals & Dean,
            "Distilling the Knowledge in a Neural Network", 2015, section 2); the loss is times its
            square. None for 2, or less where outputs of the ANN differ little between classes.
        optimizer: Adam (AMSGrad), or SGD with `momentum`.
        lr: initial learning rate.
        weight_decay: weight decay of weights; thresholds, leaks and biases do not decay.
        momentum: momentum of optimizer=sgd.
        schedule: "steps" divides the rate by `decay` at `milestones`; "cosine" anneals it to zero.
        milestones: fractions of the training, for schedule=steps.
        decay: divisor of the rate at each milestone.
        clip: largest norm of the gradient, or none.
        dropout: probability that a neuron is silenced, at all steps of a sample.
        surrogate: a name of `snnc.training.SURROGATES`.
        even_spikes: every population fires as often as its mean current says, evenly over the
            window: the network learns, and is validated, as an ANN whose activations have T + 1
            levels, at the cost of one step (Bu et al., "Optimal ANN-SNN Conversion for
            High-accuracy and Ultra-low-latency Spiking Neural Networks", 2022). Needs leak=false;
            `surrogate` has no effect.
        prefixes: "all" learns the outputs after every step of the window alike, so that one network
            serves for any T up to it. Loss and validation are the mean over all of them. "last"
            learns the whole window alone. Needs populations that do not wait.
        augment: "flip", or "crop-flip", which also shifts images by up to 1/8 of their size.
        mixup: a, for inputs that are mixed in pairs, c to 1 - c, with c from Beta(a, a) for every
            batch (Zhang et al., "mixup: Beyond Empirical Risk Minimization", 2018); the ANN answers
            the mixture (needs loss=ann). None mixes nothing.
        precision: "bfloat16" trains in mixed precision; validation is in float32.
        spike_cost: weight in the loss of the number of spikes per neuron in the window.
        target_errors: in every step, weights have the errors of the target's cells, drawn anew:
            the network learns to bear them (Joshi et al., "Accurate deep neural network inference
            using computational phase-change memory", 2020). Validation is without them.
        adversarial: the attack that makes the inputs that are learnt, from those of the data, at
            every step, e.g. `pgd{eps=0.1 steps=3}`; none for the data themselves. Validation data
            are attacked, too.
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
    temperature: float | None = None
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
    even_spikes: bool = False
    prefixes: Prefixes = "last"
    augment: Augmentation = "none"
    mixup: float | None = None
    precision: Precision = "float32"
    spike_cost: float = 0.0
    target_errors: bool = False
    adversarial: Pgd | None = None
    tensorboard: bool = False

    def __post_init__(self) -> None:
        hints = get_type_hints(TrainingPass)
        for option in ("loss", "optimizer", "schedule", "augment", "precision"):
            one_of(self, option, get_args(hints[option]))
        one_of(self, "surrogate", tuple(SURROGATES))
        check_prefixes(self.prefixes)
        for option in ("epochs", "batch", "lr", "decay"):
            refuse_if(getattr(self, option) <= 0, self, option, "is not positive")
        for option in ("weight_decay", "spike_cost"):
            refuse_if(getattr(self, option) < 0, self, option, "is negative")
        for option in ("momentum", "dropout"):
            refuse_if(not 0 <= getattr(self, option) < 1, self, option, "is not in [0, 1)")
        for option in ("clip", "temperature", "mixup"):
            value = getattr(self, option)
            refuse_if(value is not None and value <= 0, self, option, "is not positive")
        for option in ("temperature", "mixup"):
            alone = self.loss != "ann" and getattr(self, option) is not None
            refuse_if(alone, self, option, "needs loss=ann")
        if not all(0 < fraction < 1 for fraction in self.milestones):
            raise ValueError("milestones are fractions of the training, between 0 and 1")
        if self.even_spikes and self.prefixes == "all":
            raise ValueError("even-spikes=true computes no single steps, which prefixes=all needs")
        if self.even_spikes and self.leak:
            raise ValueError("even-spikes=true: leaks do not learn; add leak=false")
        if not self.learned():
            raise ValueError("weights, threshold, leak, v-init are all false: nothing would learn")

    def requirements(self) -> frozenset[str]:
        """loss=ann also needs the ANN, tensorboard a working directory, target-errors a target."""
        ann = {"ann"} if self.loss == "ann" else set[str]()
        logs = {"workdir"} if self.tensorboard else set[str]()
        target = {"target"} if self.target_errors else set[str]()
        return self.needs | ann | logs | target

    def learned(self) -> tuple[str, ...]:
        """The fields of ops that are trained, as `to_torch` takes them."""
        chosen = (
            (self.weights, ("weight", "bias")),
            (self.threshold, ("threshold",)),
            (self.leak, ("leak",)),
            (self.v_init, ("v_init",)),
        )
        return tuple(name for wanted, names in chosen if wanted for name in names)

    def as_numbers(self) -> dict[str, Any]:
        """The options that affect the result, by name, JSON-able."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        del values["tensorboard"]
        for option in ("even_spikes", "temperature", "mixup"):
            if not values[option]:
                del values[option]
        if self.prefixes == "last":
            del values["prefixes"]
        adversarial = values.pop("adversarial")
        if adversarial is not None:
            values["adversarial"] = {"name": adversarial.name, **asdict(adversarial)}
        return {name: list(v) if isinstance(v, tuple) else v for name, v in values.items()}
