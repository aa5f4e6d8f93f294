"""`compress-stdp`: convert, then prune and snap while the network learns."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from snnc.transform import Recipe
from snnc_passes._input_code import AnyInputCode, DirectInput
from snnc_passes.compress.quantize_conductance import QuantizeConductance
from snnc_passes.compress.stdp_prune import StdpPrune
from snnc_passes.recipes._integers import to_integers
from snnc_passes.recipes._max_pooling import MaxPooling
from snnc_passes.recipes._training import spec
from snnc_passes.recipes.convert import Convert


@dataclass(frozen=True, kw_only=True)
class CompressStdp(Recipe):
    """Convert, remove synapses by STDP and snap weights to few levels at intervals of training.

    Rathi, Panda & Roy, "STDP Based Pruning of Connections and Weight Quantization in Spiking Neural
    Networks for Energy-Efficient Recognition", 2018, for networks converted from a trained ANN,
    which are trained to agree with it (no labels). Needs training data; without validation data the
    last epoch is kept.

    Attributes:
        sparsity: fraction of the weights that are removed.
        levels: of the weights that stay, for either sign: a number, a list, "target" for those of
            its cells, or none.
        structure: what is removed as a whole; "rows" frees lines of a crossbar.
        method: "magnitude" and "random" are controls.
        eta: weight of the rule beside the magnitude, see `stdp-prune`.
        epochs: of training.
        prune_every: epochs from one pruning to the next.
        lr, batch, augment: of training.
        encode, wait, maxpool: as of `convert`.
        bits: width of integer weights, 2..8; none keeps real values.
    """

    name: ClassVar[str] = "compress-stdp"
    sparsity: float = 0.75
    levels: int | tuple[float, ...] | Literal["target"] | None = 4
    structure: Literal["none", "rows", "columns"] = "none"
    method: Literal["stdp", "magnitude", "random"] = "stdp"
    eta: float = 0.05
    epochs: int = 10
    prune_every: int = 2
    lr: float = 2e-4
    batch: int = 32
    augment: Literal["none", "flip", "crop-flip"] = "none"
    encode: AnyInputCode = field(default_factory=DirectInput)
    wait: int | Literal["T", "T-1"] = 0
    maxpool: MaxPooling = "count"
    bits: int | None = 8

    def __post_init__(self) -> None:
        StdpPrune(**self._prune())
        if self.levels is not None:
            QuantizeConductance(levels=self.levels)
        Convert(bits=self.bits, wait=self.wait, maxpool=self.maxpool)

    def pipeline(self) -> str:
        convert = Convert(encode=self.encode, wait=self.wait, maxpool=self.maxpool).pipeline()
        learn = spec(
            "learn",
            epochs=self.epochs,
            lr=self.lr,
            batch=self.batch,
            augment=self.augment,
            loss="ann",
            schedule="constant",  # what the last pruning takes is learnt again at the full rate
            v_init=True,
            surrogate="triangle",
            prune=spec("stdp-prune", **self._prune()),
            snap=None if self.levels is None else self._snap(),
            prune_every=self.prune_every,
        )
        return ",".join([convert, learn, *to_integers(self.bits, "nearest")])  # levels stay levels

    def _prune(self) -> dict[str, Any]:
        options = ("sparsity", "structure", "method", "eta")
        return {name: getattr(self, name) for name in options}

    def _snap(self) -> str:
        levels = self.levels
        if isinstance(levels, tuple):
            return spec("quantize-conductance", levels=f"[{' '.join(map(str, levels))}]")
        return spec("quantize-conductance", levels=levels)
