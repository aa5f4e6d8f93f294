"""Result of a diagnosis: errors of every layer, findings, output error over the window."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any, Literal

REPORT_VERSION = 1
"""Version of the JSON document of `diagnose`; increased when a key changes its meaning."""

Severity = Literal["fault", "note"]


class Cause(StrEnum):
    """Cause of a finding."""

    UNTRAINED = "untrained-weights"
    OTHER_MODEL = "other-model"
    INPUT_RANGE = "input-range"
    FEW_SAMPLES = "few-samples"
    BEYOND_WINDOW = "beyond-window"
    WRONG_NORMALISATION = "wrong-normalisation"
    NORM_MISSING = "batch-norm-missing"
    NORM_STATISTICS = "batch-norm-statistics"
    BIAS_AT_BORDER = "bias-at-border"
    POOLING_REPLACED = "pooling-replaced"
    WEIGHTS_CHANGED = "weights-changed"
    THRESHOLD_TOO_HIGH = "threshold-too-high"
    THRESHOLD_TOO_LOW = "threshold-too-low"
    MAXPOOL_OF_SPIKES = "maxpool-of-spikes"
    DEAD_CHANNELS = "dead-channels"
    TOO_FEW_TIMESTEPS = "too-few-timesteps"
    CLIPPING = "clipping"
    QUANTISATION = "quantisation"
    UNEVENNESS = "unevenness"
    WEIGHT_ROUNDING = "weight-rounding"


NOT_OF_A_LAYER = frozenset(
    {
        *(Cause.UNTRAINED, Cause.OTHER_MODEL, Cause.INPUT_RANGE, Cause.FEW_SAMPLES),
        *(Cause.BEYOND_WINDOW, Cause.TOO_FEW_TIMESTEPS, Cause.CLIPPING, Cause.QUANTISATION),
        *(Cause.UNEVENNESS, Cause.WEIGHT_ROUNDING),
    }
)
"""Causes that lie in the whole network, its data or its window: the layer of such a finding is
where it shows most or first, and is not at fault alone."""


@dataclass(frozen=True)
class Finding:
    """One problem at one node.

    Attributes:
        layer: the population; the node itself if no population follows it.
        node: the node to inspect: a batch norm, a convolution, a pool, or the population.
        cause: see `Cause`.
        severity: a "fault" costs accuracy; a "note" does not affect the conversion.
        evidence: the figures that led to the finding, JSON-able.
        text: description in one or two sentences.
        remedy: what to try, passes and options in backquotes.
    """

    layer: str
    node: str
    cause: Cause
    severity: Severity
    evidence: Mapping[str, Any]
    text: str
    remedy: str

    def report(self) -> dict[str, Any]:
        """JSON-able."""
        return {**asdict(self), "cause": str(self.cause), "evidence": dict(self.evidence)}


@dataclass(frozen=True)
class LayerError:
    """Figures of one population; errors are relative to the root mean square of the ANN's layer.

    With a the ANN's activation, z the mean input current of the layer over the window (plus the
    excess of the initial potential over theta/2, divided by T), o = max(z, 0), Q(z) the output of
    an ideal neuron for z, r the rate and theta the threshold:
    a - r*theta = (a - o) + (o - min(o, theta)) + (min(o, theta) - Q(z)) + (Q(z) - r*theta).

    Attributes:
        error: of r*theta against a; None where the ANN's layer is zero everywhere.
        inherited, clipping, quantisation, unevenness: of the four terms above, in that order.
        rounding: r*theta of the integer network against that of the real one; None without.
        correlation: of r*theta with a over neurons and samples; None where one is constant.
        silent: fraction of the neurons that never fired.
        saturated: fraction of neurons and samples that fired at every step.
        threshold: smallest and largest, in units of the ANN.
        channels, silent_channels, saturated_channels: how many there are, never fired, and fired
            at every step on more than half of their neurons and samples.
        dead_channels: how many are zero in the ANN on all samples.
    """

    name: str
    error: float | None
    inherited: float | None
    clipping: float | None
    quantisation: float | None
    unevenness: float | None
    rounding: float | None
    correlation: float | None
    silent: float
    saturated: float
    threshold: tuple[float, float]
    channels: int
    silent_channels: int
    saturated_channels: int
    dead_channels: int

    def report(self) -> dict[str, Any]:
        """JSON-able; fields that are None are left out."""
        row = {key: value for key, value in asdict(self).items() if value is not None}
        return {**row, "threshold": list(self.threshold)}


@dataclass(frozen=True)
class WindowError:
    """The output after the first `timesteps` steps against that of the ANN.

    Attributes:
        error: sqrt(sum (y - a)^2 / sum a^2) over outputs and samples; None if the ANN's is zero.
        agreement: fraction of samples with the same largest output; None for a single output.
    """

    timesteps: int
    error: float | None
    agreement: float | None

    def report(self) -> dict[str, Any]:
        """JSON-able; fields that are None are left out."""
        return {key: value for key, value in asdict(self).items() if value is not None}


@dataclass(frozen=True)
class Diagnosis:
    """Comparison of a spiking network with its ANN.

    Attributes:
        layers: one per population, in the order of the network.
        findings: in the order of the network; no faults for a healthy network.
        over_t: error of the output over increasing windows; the last is the full window.
        rounded: error of the integer network's output over the full window, if there is one.
        norms: per batch norm of the model, mismatch between its input and its statistics.
        stages: per activation, relative error of the graph after folding against the model.
        pools: per max pool of spikes, relative error against the maximum of the rates.
        count_pools: those of `pools` that are maxima of counts, and have no error.
    """

    timesteps: int
    samples: int
    layers: tuple[LayerError, ...]
    findings: tuple[Finding, ...]
    over_t: tuple[WindowError, ...]
    rounded: WindowError | None = None
    norms: Mapping[str, Mapping[str, float]] = field(default_factory=dict[str, Any])
    stages: Mapping[str, Mapping[str, float]] = field(default_factory=dict[str, Any])
    pools: Mapping[str, float] = field(default_factory=dict[str, float])
    count_pools: tuple[str, ...] = ()

    @property
    def faults(self) -> tuple[Finding, ...]:
        """The findings that cost accuracy."""
        return tuple(finding for finding in self.findings if finding.severity == "fault")

    @property
    def first_bad_layer(self) -> str | None:
        """The layer of the first fault that lies in a layer; None if all lie in the network."""
        own = (fault.layer for fault in self.faults if fault.cause not in NOT_OF_A_LAYER)
        return next(own, None)

    def report(self) -> dict[str, Any]:
        """JSON-able, keys as in docs/report.md."""
        report: dict[str, Any] = {
            "kind": "diagnose",
            "report_version": REPORT_VERSION,
            "timesteps": self.timesteps,
            "samples": self.samples,
            "healthy": not self.faults,
            "first_bad_layer": self.first_bad_layer,
            "findings": [each.report() for each in self.findings],
            "layer_errors": [each.report() for each in self.layers],
            "over_t": [each.report() for each in self.over_t],
            "batch_norms": {name: dict(each) for name, each in self.norms.items()},
            "folding": {name: dict(each) for name, each in self.stages.items()},
            "max_pools": dict(self.pools),
            "count_max_pools": list(self.count_pools),
        }
        return report if self.rounded is None else {**report, "rounded": self.rounded.report()}
