"""Remedies for each cause; names of passes and options are in backquotes."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from snnc.analysis.diagnosis.result import Cause
from snnc.ir import AnyNeuron, Graph, Neuron
from snnc.ir.neuron_groups import neuron_groups

REMEDIES: Mapping[Cause, str] = {
    Cause.UNTRAINED: "give the trained weights by --weights FILE, or load them in the factory",
    Cause.INPUT_RANGE: (
        "give data in the units of the calibration data, or compile again with --calibration DATA "
        "of this kind"
    ),
    Cause.WRONG_NORMALISATION: (
        "give the mean and standard deviation the model was trained with by --mean and --std, in "
        "the units of the data (images are read as 0..1), and neither if the data or the model are "
        "normalised already; or calibrate on data like its own"
    ),
    Cause.NORM_MISSING: (
        "let `fold-batchnorm` run before `activations-to-neurons`, and look at the graph after "
        "each pass with --dump-ir; if the model itself lacks it, correct the model"
    ),
    Cause.NORM_STATISTICS: (
        "check that the weights belong to this model and that it was trained (and saved) with "
        "running statistics; then compile it again with `fold-batchnorm`"
    ),
    Cause.BIAS_AT_BORDER: (
        "let `fold-normalization` fold the shift: it makes a bias map that differs where the "
        "convolution pads"
    ),
    Cause.POOLING_REPLACED: (
        "the average is not the maximum: leave `replace-maxpool` out, so that spikes are counted "
        "(recipe convert{maxpool=count}); or train: the model with average pooling, or the spiking "
        "network by `learn`"
    ),
    Cause.WEIGHTS_CHANGED: (
        "find the pass that did it with --dump-ir, and leave it out or run it with milder options"
    ),
    Cause.THRESHOLD_TOO_HIGH: (
        "`threshold-balance{source=ann statistic=percentile percentile=99.9 granularity=channel}` "
        "behind `activations-to-neurons`, on calibration data like what the network will see"
    ),
    Cause.THRESHOLD_TOO_LOW: (
        "`threshold-balance{source=ann statistic=percentile percentile=99.9 granularity=channel}` "
        "behind `activations-to-neurons`; if that was used, a higher percentile"
    ),
    Cause.MAXPOOL_OF_SPIKES: (
        "let `lower-maxpool` and `activations-to-neurons` make it a maximum of counts, as the "
        "recipe convert{maxpool=count} does; or train the spiking network by `learn`"
    ),
    Cause.DEAD_CHANNELS: (
        "compare the bias and weights of these channels with the ANN's after each pass "
        "(--dump-ir); `initialize-potential{fraction=0.5}` helps weak ones"
    ),
    Cause.CLIPPING: (
        "a higher percentile: `threshold-balance{percentile=99.99}`, or "
        "`threshold-balance{statistic=mse}` for the best trade against quantisation"
    ),
    Cause.QUANTISATION: (
        "`threshold-balance{statistic=mse}`, which suits the thresholds to T, and `calibrate` "
        "behind it"
    ),
    Cause.UNEVENNESS: "`calibrate` behind `threshold-balance`",
    Cause.WEIGHT_ROUNDING: "more bits: `quantize{bits=8}`, or none for real weights",
}
ADDED = (Cause.TOO_FEW_TIMESTEPS, Cause.CLIPPING, Cause.QUANTISATION, Cause.UNEVENNESS)
"""Causes of errors that add up without a layer at fault."""
TRAINED = frozenset({"learn", "reduce-timesteps"})
"""Passes that train the spiking network."""
DEAD_IN_ANN = (
    "the conversion loses nothing by them: prune them or train the model better; many of them can "
    "mean inputs unlike those of the training (--mean, --std)"
)


@dataclass(frozen=True)
class Settings:
    """What a network was made with, so that it is not advised again.

    Attributes:
        timesteps: the window T; 0 where it does not matter.
        passes: names of the passes that ran.
        signed, waits, groups: whether a population emits -1, waits, is one of a group.
    """

    timesteps: int = 0
    passes: frozenset[str] = frozenset()
    signed: bool = False
    waits: bool = False
    groups: bool = False

    @classmethod
    def of(cls, snn: Graph, timesteps: int, passes: Collection[str]) -> Settings:
        """Those of a spiking graph."""
        ops = [node.op for node in snn if isinstance(node.op, AnyNeuron)]
        return cls(
            timesteps=timesteps,
            passes=frozenset(passes),
            signed=any(isinstance(op, Neuron) and op.signed for op in ops),
            waits=any(op.wait for op in ops),
            groups=any(neuron_groups(snn)),
        )


def remedy(cause: Cause, settings: Settings | None = None, *, in_ann: bool = False) -> str:
    """The remedy for a cause.

    Args:
        settings: of the network. Where errors add up without a layer at fault, options of the
            recipe follow that it does not have yet, those first that take least.
        in_ann: of dead channels, whether they are zero in the ANN.
    """
    if cause is Cause.DEAD_CHANNELS and in_ann:
        return DEAD_IN_ANN
    if cause not in ADDED or settings is None:
        return REMEDIES[cause]
    parts: list[str] = []
    if cause is Cause.TOO_FEW_TIMESTEPS:
        parts.append(_longer(settings))
    elif "calibrate" not in settings.passes:
        parts.append(REMEDIES[cause])
    return "; ".join([*parts, *_more_accurate(settings)])


def _longer(settings: Settings) -> str:
    """More steps."""
    if "choose-schedule" in settings.passes:
        return "a higher latency, convert{latency=N}"
    longer = f"-T {2 * settings.timesteps}"
    if settings.waits:
        return longer
    scheduled = f"convert{{latency={2 * settings.timesteps}}}"
    return f"{longer}, or {scheduled}, which chooses waits and the first step that is read for it"


def _more_accurate(settings: Settings) -> Iterator[str]:
    """What helps at the window as it is."""
    if TRAINED & settings.passes:
        yield "at this T: more epochs, or more training data"
        return
    options: list[str] = []
    if not settings.signed and not settings.groups:
        options.append("convert{split=1.5} (more neurons)")
        options.append("convert{signed=true} (spikes of -1)")
    if not settings.waits and "choose-schedule" not in settings.passes:
        options.append("convert{wait=T-1} (T - 1 more steps of latency a layer)")
    if "tune" not in settings.passes and not settings.signed:
        options.append("convert{tune=4} (minutes of training)")
    options.append("training for it, recipe few-steps")
    yield f"at this T: {', or '.join(options)}"
