"""Remedies for each cause; names of passes and options are in backquotes."""

from __future__ import annotations

from collections.abc import Mapping

from snnc.analysis.diagnosis.result import Cause

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
    Cause.UNEVENNESS: (
        "`calibrate` behind `threshold-balance`; `activations-to-neurons{wait=4}` (neurons wait "
        "for their input; latency grows), or `activations-to-neurons{signed=true}` where wires "
        "carry -1"
    ),
    Cause.WEIGHT_ROUNDING: "more bits: `quantize{bits=8}`, or none for real weights",
}
CALIBRATED: Mapping[Cause, str] = {
    Cause.CLIPPING: "more steps; the thresholds are already the best for this T",
    Cause.QUANTISATION: "more steps; the thresholds are already the best for this T",
    Cause.UNEVENNESS: (
        "`activations-to-neurons{signed=true}` where wires carry -1, or "
        "`activations-to-neurons{wait=4}` (neurons wait for their input; latency grows)"
    ),
}
"""Instead, where `calibrate` has run."""
DEAD_IN_ANN = (
    "the conversion loses nothing by them: prune them or train the model better; many of them can "
    "mean inputs unlike those of the training (--mean, --std)"
)

TRAIN = "or train the network for this T by `learn` (recipe diet)"


def remedy(
    cause: Cause, *, advice: str | None = None, timesteps: int = 0, calibrated: bool = False
) -> str:
    """The remedy for a cause.

    Args:
        advice: for too few timesteps, the cause that costs most at this window; for dead channels,
            any text means that they are zero in the ANN.
        timesteps: the window T; twice as long is proposed.
        calibrated: whether `calibrate` has run: it is not advised again.
    """
    known = {**REMEDIES, **(CALIBRATED if calibrated else {})}
    if cause is Cause.DEAD_CHANNELS and advice:
        return DEAD_IN_ANN
    if cause is Cause.TOO_FEW_TIMESTEPS:
        longer = (
            f"-T {2 * timesteps}, or the recipe convert{{latency={2 * timesteps}}}, which also "
            "chooses waits and the first step that is read"
        )
        at_this_window = "" if advice is None else f"; at this T: {known[Cause(advice)]}"
        return f"{longer}{at_this_window}; {TRAIN}"
    return known[cause]
