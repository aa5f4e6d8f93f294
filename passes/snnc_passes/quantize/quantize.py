"""`quantize`: from real values to integers (docs/semantics.md, S19 to S23)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

from snnc.errors import Diagnostic, PassError, UnsupportedError
from snnc.ir import Encode, Graph, Readout, Scale, Weighted
from snnc.ir.populations import groups, only_signs
from snnc.transform import Batches, Pass, PassContext, PassResult
from snnc_passes._encoder_range import ranged
from snnc_passes._largest_weight import largest_weight
from snnc_passes._scales.events import event_kinds, scale_events_into_currents
from snnc_passes._statistics import Granularity
from snnc_passes.quantize._data_rounding import DataRounding
from snnc_passes.quantize._rounding import Real, Rounding


@dataclass(frozen=True, kw_only=True)
class Quantize(Pass):
    """Round every coefficient of a population's input to an integer in units of one scale s.

    s is one number per output channel, or per population: max|weight| / (2^(bits-1) - 1), at least
    max(threshold, |bias|)/2^20. For cells with a list of levels the divisor is the integer that
    their last level stands for, so that levels are integers. Weights are signed and symmetric,
    `bits` wide; factors of a `Scale`, biases, thresholds (at least 1) and initial potentials are
    int32; all are rounded half to even. A leak becomes m/2^15. The population stores s as its
    `unit`, from which `dequantize` restores reals.

    With rounding=data the network and its rounded copy run layer by layer over at most 256
    calibration samples (8192 / T, but at least 64, if that is less). The weights of a layer are
    first corrected for the errors of its inputs by ridge regression, then rounded together, so
    that the mean over time of what its population receives stays closest (Frantar et al., "GPTQ:
    Accurate Post-Training Quantization for Generative Pre-trained Transformers", 2023; that inputs
    are those of the rounded network: Nagel et al., "Up or Down? Adaptive Rounding for
    Post-Training Quantization", 2020, section 4). Biases add the mean error, and initial potentials
    what the biases' own rounding leaves of it. s moves, by at most a third, to where thresholds are
    integers. Pruned weights stay 0. Rounded to the nearest stay weights on a few levels (see
    quantize-conductance) and convolutions of one or three dimensions.

    The input is encoded as unsigned 8-bit integers of 1/255 when the calibration data lie in
    [0, 1], else as signed integers over their range. Bounds computed from the weights
    show that no potential or partial sum exceeds 32 bits; they are in `graph.meta["quantize"]`.

    Attributes:
        bits: width of a weight in bits, 2..8.
        granularity: one s per output channel or per population.
        input_bits: width of the encoded input in bits if it is signed, 8..16.
        rounding: of weights: "nearest", or "data" for the least error on the calibration data;
            for 4 bits and fewer.
    """

    name: ClassVar[str] = "quantize"
    gives_integers: ClassVar[bool | None] = True
    bits: int = 8
    granularity: Granularity = "channel"
    input_bits: int = 8
    rounding: Literal["nearest", "data"] = "nearest"

    def __post_init__(self) -> None:
        if not 2 <= self.bits <= 8:
            raise ValueError(f"bits must be 2 to 8, not {self.bits}")
        if not 8 <= self.input_bits <= 16:
            raise ValueError(f"input-bits must be 8 to 16, not {self.input_bits}")
        if self.granularity not in ("channel", "layer"):
            raise ValueError(f"granularity must be channel or layer, not {self.granularity}")
        if self.rounding not in ("nearest", "data"):
            raise ValueError(f"rounding must be nearest or data, not {self.rounding}")

    def requirements(self) -> frozenset[str]:
        return frozenset({"calibration"})

    def run(self, graph: Graph, ctx: PassContext) -> PassResult:
        if graph.quantized:
            raise PassError("the graph is quantised already", hint="run quantize only once")
        _refuse_chains(graph)
        scale_events_into_currents(graph)
        real = graph.clone()
        units = self._round_input(graph, ctx.calibration or ())
        rounding = Rounding(
            graph, dict(graph.types()), largest_weight(self.bits, ctx.target), units
        )
        todo = groups(graph)
        scales: dict[str, Real] = {}
        for group in todo:
            scales.update(rounding.scales(group, self.granularity, self.rounding == "data"))
        if self.rounding == "data":
            self._fit(graph, real, ctx, rounding, scales)
        bounds: dict[str, dict[str, int]] = {}
        for group in todo:
            bounds.update(rounding.quantize(group, scales, ctx.timesteps))
        populations = len(bounds)
        bounds.update(rounding.counts())
        graph.prune_params()
        graph.meta["quantize"] = {
            "bits": self.bits,
            "granularity": self.granularity,
            "timesteps": ctx.timesteps,
            "bounds": bounds,
        }
        largest = max((b["rest"] + ctx.timesteps * b["step"] for b in bounds.values()), default=0)
        return PassResult(graph, metrics={"populations": populations, "largest_bound": largest})

    def _fit(
        self,
        graph: Graph,
        real: Graph,
        ctx: PassContext,
        rounding: Rounding,
        scales: Mapping[str, Real],
    ) -> None:
        """Give layers and populations the real values that `rounding` makes the chosen integers of.

        Raises:
            PassError: there are no calibration data.
        """
        if ctx.calibration is None:
            raise PassError("rounding=data needs calibration data")
        values = {
            node.name: rounding.event_value(node.name)
            for node in graph.nodes
            if isinstance(node.op, Weighted)
            and not rounding.on_levels(node.name, scales[node.name])
        }
        chosen = DataRounding(real, scales, values, rounding.q_max).rounded(ctx.calibration, ctx)
        for node in chosen.nodes:
            if node.name in scales and not isinstance(node.op, Readout):
                arrays = {field: chosen.array(ref) for field, ref in node.op.refs().items()}
                refs: dict[str, Any] = {
                    field: graph.own_param(node.name, field, array)
                    for field, array in arrays.items()
                }
                graph.replace_op(node.name, replace(node.op, **refs))

    def _round_input(self, graph: Graph, batches: Batches) -> dict[str, float]:
        """Give encoders of real values a range; the value of a count of each of them."""
        units: dict[str, float] = {}
        for node in graph.nodes:
            if isinstance(node.op, Encode) and node.op.scale is None:
                op = ranged(node.op, batches, self.input_bits)
                graph.replace_op(node.name, op)
                code = op.code()
                assert code is not None
                units[node.name] = code.unit
        return units


def _refuse_chains(graph: Graph) -> None:
    """Raise `UnsupportedError` listing every layer whose input is a current."""
    kinds = event_kinds(graph)
    chained = [
        Diagnostic(
            node.op.mnemonic,
            node.name,
            node.loc,
            f"takes the current of {source}",
            "put a ReLU between two weighted layers",
        )
        for node in graph.nodes
        if isinstance(node.op, Weighted | Scale) and not only_signs(graph, node.name)
        for source in graph.inputs_of(node.name)
        if source not in kinds
    ]
    if chained:
        title = "integer weights on currents have no bound:"
        hint = "put linear-bottlenecks before activations-to-neurons, fold-scale before quantize"
        raise UnsupportedError.listing(title, chained, hint=hint)
