"""`learn`: train weights, thresholds and leaks of a spiking network."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, ClassVar

from snnc.ir import Graph
from snnc.transform import PassContext, PassResult
from snnc_passes._real_values import refuse_integers
from snnc_passes.compress.quantize_conductance import QuantizeConductance
from snnc_passes.compress.stdp_prune import StdpPrune
from snnc_passes.train._compression import Compression
from snnc_passes.train._options import TrainingPass
from snnc_passes.train._session import Session


@dataclass(frozen=True, kw_only=True)
class Learn(TrainingPass):
    """Train the network for the window T by backpropagation through time.

    Weights, biases, thresholds and leaks learn together, by surrogate gradients (Rathi & Roy,
    "DIET-SNN: Direct Input Encoding With Leakage and Threshold Optimization in Deep Spiking Neural
    Networks", 2020); with threshold=false leak=false surrogate=stdb it is spike-timing dependent
    backpropagation (Rathi et al., "Enabling Deep Spiking Neural Networks with Hybrid Conversion and
    Spike Timing Dependent Backpropagation", 2020). After every step thresholds are clamped above
    zero and leaks to 0..1. The loss is computed from the readout, a mean over the window, so its
    scale does not depend on T.

    Validation data choose the epoch that is kept, by accuracy if they have labels; the untrained
    network is a candidate too. Without validation data the last epoch is kept. All random numbers
    come from the seed. With a working directory the state is saved after every epoch, every minute
    and at Ctrl-C; a run that was interrupted and resumed has the same result bit for bit on a CPU.

    With `prune` or `snap` the network is compressed while it learns (Rathi, Panda & Roy, "STDP
    Based Pruning of Connections and Weight Quantization in Spiking Neural Networks for
    Energy-Efficient Recognition", 2018): at the start of every `prune_every`-th epoch. In between
    the network computes with the snapped weights, and the gradient moves shadow weights
    (straight-through), so that steps smaller than a level are not lost. The sparsity rises to its
    target. Only epochs behind the last change are candidates. In networks that are pruned already
    zeros stay, too.

    Attributes:
        prune: the pass `stdp-prune` with its options, or none.
        snap: the pass `quantize-conductance` with its options, or none.
        prune_every: epochs from one time to the next.

    Metrics: `epochs`, a row for each: loss, validation, spikes per neuron in the window, seconds;
    `chosen`, the epoch kept, 0 for the network before training; `thresholds` and `leaks`, per
    population the smallest, mean and largest; `seconds_per_epoch`, `precision`, `timesteps`.
    """

    name: ClassVar[str] = "learn"
    prune: StdpPrune | None = None
    snap: QuantizeConductance | None = None
    prune_every: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.prune_every < 1:
            raise ValueError(f"prune-every={self.prune_every} is not positive")
        if self.prune_every > 1 and not (self.prune or self.snap):
            raise ValueError(f"prune-every={self.prune_every} without prune or snap has no effect")
        if (self.prune or self.snap) and not self.weights:
            raise ValueError("weights=false: with prune or snap the weights learn")
        if self.snap is not None and self.target_errors:
            raise ValueError("target-errors=true with snap: snapping would remove the errors")

    def requirements(self) -> frozenset[str]:
        """Also what `prune` and `snap` need."""
        inner = (each.requirements() for each in (self.prune, self.snap) if each is not None)
        return super().requirements().union(*inner)

    def as_numbers(self) -> dict[str, Any]:
        """The options of compression only where there is any."""
        values = super().as_numbers()
        for option in ("prune", "snap"):
            if values[option] is not None:
                values[option] = asdict(values[option])
        plain = self.prune is None and self.snap is None
        dropped = {"prune", "snap", "prune_every"} if plain else set[str]()
        return {name: value for name, value in values.items() if name not in dropped}

    def run(self, graph: Graph, ctx: PassContext) -> PassResult:
        """Train. Raises `PassError` if data, network or checkpoint do not fit."""
        refuse_integers(graph, self.name)
        session = Session(self, ctx)
        trained = session.stage(graph, ctx.timesteps, self._compression(session))
        metrics = {"chosen": trained.chosen, **session.metrics(trained.graph, [trained])}
        return PassResult(trained.graph, metrics=metrics)

    def _compression(self, session: Session) -> Compression | None:
        if self.prune is None and self.snap is None:
            return None
        epochs = session.options.epochs
        seed = (session.seed, session.ctx.timesteps)
        return Compression(self.prune, self.snap, self.prune_every, epochs, seed)
