"""`convert`: the default recipe, conversion without training."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from snnc.transform import Pass, Recipe
from snnc_passes._input_code import AnyInputCode, DirectInput
from snnc_passes._prefixes import Prefixes, check_prefixes
from snnc_passes.calibrate.calibrate import Calibrate
from snnc_passes.choose.late_readout import LateReadout
from snnc_passes.choose.split import Split
from snnc_passes.recipes._integers import Rounding, check_integers, to_integers
from snnc_passes.recipes._layers import layers
from snnc_passes.recipes._max_pooling import MaxPooling, check_max_pooling
from snnc_passes.recipes._training import spec
from snnc_passes.threshold.initialize_potential import InitializePotential
from snnc_passes.threshold.threshold_balance import ThresholdBalance
from snnc_passes.train.tune import Tune


@dataclass(frozen=True, kw_only=True)
class Convert(Recipe):
    """Fold, replace ReLUs by neurons, and fit them to the ANN's activations for the window T.

    With `calibrate`, thresholds minimise the squared error for T, and every layer is corrected
    against the ANN (see `snnc passes calibrate`): accurate from T=16 on, small networks from T=8
    on, for this T only. Without it, thresholds are percentiles and potentials start at half of
    them: independent of T, and accurate from T=64 on.

    Attributes:
        encode: how the input becomes events, as of `activations-to-neurons`.
        bits: width of integer weights, 2..8; none keeps real values.
        rounding: of integer weights: "nearest", or "data" for the least error on calibration data.
        maxpool: "count" takes the maximum of spike counts, as the ANN does of activations;
            "average" replaces max pools by average pools; "refuse" refuses them.
        wait: steps every population integrates before it may fire; more accurate, adds as many
            steps of latency per layer. With "T-1" it has its whole input before it fires; "T" fires
            the same spikes one step later.
        latency: steps from the first input to the answer; window, waits and the readout's first
            step are chosen for it (see `snnc passes choose-schedule`), without -T. None takes -T
            as the window.
        signed: neurons that fired too often may emit -1; more accurate, needs ternary spikes.
        split: added neurons per neuron; populations that matter become groups, whose sums of binary
            spikes have more levels in few steps (see `snnc passes split`). None adds none.
        prefixes: "last" fits the network to its window, "all" also to shorter ones, so that one
            artifact answers after any number of steps (see `snnc passes calibrate`).
        calibrate: whether layers are corrected one after the other.
        tune: epochs over the calibration data in which all layers are adjusted together to the
            outputs of the ANN, by gradients; takes minutes (see `snnc passes tune`). None adjusts
            none.
        precision: floating-point type of `tune`; bfloat16 takes half the time on processors and
            GPUs that multiply it.
        percentile: of the activations, taken as threshold; only with calibrate=false.
        thresholds: "data" fits them to calibration data; "quantized" takes the ranges of a
            quantised model, and with calibrate=false needs no data.
    """

    name: ClassVar[str] = "convert"
    encode: AnyInputCode = field(default_factory=DirectInput)
    bits: int | None = None
    rounding: Rounding = "nearest"
    maxpool: MaxPooling = "count"
    wait: int | Literal["T", "T-1"] = 0
    latency: int | None = None
    signed: bool = False
    split: float | None = None
    prefixes: Prefixes = "last"
    calibrate: bool = True
    tune: int | None = None
    precision: Literal["float32", "bfloat16"] = "float32"
    percentile: float = 99.9
    thresholds: Literal["data", "quantized"] = "data"

    def __post_init__(self) -> None:
        check_integers(self.bits, self.rounding)
        check_max_pooling(self.maxpool)
        check_prefixes(self.prefixes)
        if self.prefixes == "all":
            self._check_any_time()
        if self.thresholds not in ("data", "quantized"):
            raise ValueError(f"thresholds must be data or quantized, not {self.thresholds}")
        if isinstance(self.wait, int) and self.wait < 0:
            raise ValueError(f"wait must not be negative, not {self.wait}")
        if self.latency is not None:
            self._check_latency(self.latency)
        if self.split is not None:
            self._check_split(self.split)
        self._check_tuning()
        if not 0 < self.percentile <= 100:
            raise ValueError(f"percentile must be in (0, 100], not {self.percentile}")

    def _check_split(self, budget: float) -> None:
        if self.signed:
            raise ValueError(f"split={budget} is of binary spikes: leave out signed=true")
        Split(budget=budget)

    def _check_tuning(self) -> None:
        if self.precision not in ("float32", "bfloat16"):
            raise ValueError(f"precision must be float32 or bfloat16, not {self.precision}")
        if self.tune is None and self.precision != "float32":
            raise ValueError(f"precision={self.precision} is of tuning: add tune=4")
        if self.tune is not None and self.tune < 1:
            raise ValueError(f"tune must be positive, not {self.tune}")

    def _check_any_time(self) -> None:
        if self.wait or self.latency is not None:
            raise ValueError("prefixes=all is for neurons that do not wait, with -T as the window")
        if not self.calibrate:
            raise ValueError("prefixes=all is for calibrate=true")

    def _check_latency(self, latency: int) -> None:
        if latency < 1:
            raise ValueError(f"latency must be positive, not {latency}")
        if self.wait:
            raise ValueError(f"latency={latency} chooses the waits: leave out wait={self.wait}")
        if not self.calibrate or self.thresholds != "data":
            raise ValueError(
                f"latency={latency} is for thresholds fitted to data, with calibrate=true"
            )

    def pipeline(self) -> str:
        passes = [
            *layers(self.maxpool),
            self._neurons(),
            *([] if self.latency is None else [f"choose-schedule{{latency={self.latency}}}"]),
            *(spec(kind.name, **options) for kind, options in self._fitting()),
            *self._readout(),
            "fold-scale",
            *self._tuning(),
            *(to_integers(self.bits, self.rounding)),
        ]
        return ",".join(passes)

    def _tuning(self) -> list[str]:
        """The pass that adjusts all layers together."""
        if self.tune is None:
            return []
        options: dict[str, object] = {"epochs": self.tune}
        if self.precision != "float32":
            options["precision"] = self.precision
        if self.prefixes == "all":
            options["prefixes"] = "all"
        return [spec(Tune.name, **options)]

    def _readout(self) -> list[str]:
        """The pass that chooses the first step that is read."""
        if self.prefixes == "all":
            return [spec(LateReadout.name, prefixes="all")]
        return [] if self.latency is None else [LateReadout.name]

    def fitting(self) -> tuple[Pass, ...]:
        """The passes that fit the populations of a network to the window and to data."""
        return tuple(kind(**options) for kind, options in self._fitting())

    def _fitting(self) -> list[tuple[type[Pass], dict[str, Any]]]:
        """Their classes and options."""
        return [
            (ThresholdBalance, self._balance()),
            (InitializePotential, {"fraction": 0.5}),
            *([] if self.split is None else [(Split, {"budget": self.split})]),
            *([(Calibrate, self._calibration())] if self.calibrate else []),
        ]

    def _calibration(self) -> dict[str, Any]:
        return {"prefixes": "all"} if self.prefixes == "all" else {}

    def _neurons(self) -> str:
        options = [
            *([f"encode={self.encode}"] if self.encode != DirectInput() else []),
            *(["maxpool=refuse"] if self.maxpool == "refuse" else []),
            *([f"wait={self.wait}"] if self.wait else []),
            *(["signed=true"] if self.signed else []),
        ]
        return "activations-to-neurons" + (f"{{{' '.join(options)}}}" if options else "")

    def _balance(self) -> dict[str, Any]:
        if self.thresholds == "quantized":
            return {"source": "quantized"}
        percentile = {"statistic": "percentile", "percentile": self.percentile}
        statistic = {"statistic": "mse"} if self.calibrate else percentile
        return {"source": "ann", **statistic, "granularity": "channel"}
