"""Rules that turn measured figures into findings: cause, place, remedy."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from snnc.analysis.diagnosis.layer_errors import Channels
from snnc.analysis.diagnosis.measure import Measured, Networks
from snnc.analysis.diagnosis.model_rules import model_findings
from snnc.analysis.diagnosis.remedies import Settings, remedy
from snnc.analysis.diagnosis.result import Cause, Finding, LayerError, WindowError

HIGH = 5.0
"""A threshold above this multiple of the ANN's largest activation is too high."""
CLIPPED = 0.6
"""A threshold that clips more than this fraction of the ANN's activation is too low."""
KNOWN_SAMPLES = 10
KNOWN_ACTIVE = 0.02
"""Channels active on fewer samples, or in a smaller fraction of their neurons, are skipped."""
POOLED = 0.1
"""Relative error above which a max pool of spikes is a fault."""
EXPECTED = 20
LOST_SPIKES = 0.01
"""Silent channels are a fault if ideal neurons would have emitted at least this many spikes there,
and this part of the spikes of the layer."""
DEAD_PART = 0.5
"""Channels that are zero in the ANN are a fault from this fraction of a layer on."""
BAD_LAYER = 0.5
"""Behind a layer of a larger relative error, silence is inherited and not a finding."""
AGREEMENT, OUTPUT = 0.95, 0.1
"""The output is bad below this agreement with the ANN, or above this relative error."""
FALLING = 1.25
"""More steps help if error at half the window / error at the full window is above this."""
LOST = 0.02
"""Loss of agreement by integers above which it is a finding."""


def findings(
    networks: Networks, measured: Measured, timesteps: int, passes: Collection[str] = ()
) -> tuple[Finding, ...]:
    """All findings, in the order of the network; none advises one of the `passes`, which ran."""
    results = [*model_findings(networks, measured), *_layer_findings(networks, measured)]
    results += _pool_findings(networks, measured)
    if not any(finding.severity == "fault" for finding in results):
        results += _window_findings(measured, Settings.of(networks.snn, timesteps, passes))
    results += _silent_in_ann(measured)
    results += _rounding_findings(measured)
    place = positions(networks)
    return tuple(sorted(results, key=lambda finding: place.get(finding.layer, len(place))))


def positions(networks: Networks) -> dict[str, int]:
    """Rank of every node in the network; one that only the model has ranks before the next."""
    order = {name: 2 * i for i, name in enumerate(networks.snn.order())}
    after = 2 * len(order)
    for name in reversed(networks.model.order() if networks.model else ()):
        after = order.get(name, after)
        order.setdefault(name, after - 1)
    return order


@dataclass(frozen=True)
class _Context:
    """A layer, its channels, and whether its silence is inherited from the layers before."""

    layer: LayerError
    channels: Channels
    inherits: bool


def _layer_findings(networks: Networks, measured: Measured) -> Iterator[Finding]:
    bad: dict[str, bool] = {}
    for node in networks.snn:
        upstream = any(bad[source] for source in networks.snn.inputs_of(node.name))
        bad[node.name] = upstream
        if node.name not in measured.layers:
            continue
        layer = measured.layers[node.name]
        context = _Context(layer, measured.channels[node.name], upstream)
        results = [*_too_high(context), *_too_low(context), *_dead(context)]
        yield from results
        faulty = any(finding.severity == "fault" for finding in results)
        bad[node.name] = upstream or faulty or (layer.error or 0.0) > BAD_LAYER


def _judged(channels: Channels) -> Any:
    known = (channels.active_samples >= KNOWN_SAMPLES) & (channels.active >= KNOWN_ACTIVE)
    return known & (channels.largest > 0)


def _too_high(context: _Context) -> Iterator[Finding]:
    layer, channels = context.layer, context.channels
    largest = channels.largest
    if channels.shared_threshold:
        largest = np.full_like(largest, largest.max())
    ratio = channels.threshold / np.where(largest > 0, largest, np.inf)
    high = (_judged(channels) | channels.shared_threshold) & (ratio > HIGH)
    if not high.any():
        return
    times = float(np.median(ratio[high]))
    yield _finding(
        layer,
        Cause.THRESHOLD_TOO_HIGH,
        f"The threshold of {_part(high, layer)} is {times:.3g} times the ANN's largest activation; "
        f"{_percent(layer.silent)} of the neurons never fire.",
        threshold_over_largest=times,
        channels=int(high.sum()),
        silent=layer.silent,
    )


def _too_low(context: _Context) -> Iterator[Finding]:
    layer, channels = context.layer, context.channels
    low = _judged(channels) & (channels.clipped > CLIPPED)
    if channels.shared_threshold and 2 * low.sum() <= len(low):
        return
    if not low.any():
        return
    ratio = channels.threshold[low] / channels.largest[low]
    times, cut = float(np.median(ratio)), float(np.median(channels.clipped[low]))
    yield _finding(
        layer,
        Cause.THRESHOLD_TOO_LOW,
        f"The threshold of {_part(low, layer)} is {times:.3g} of the ANN's largest activation and "
        f"cuts off {_percent(cut)} of it; {_percent(layer.saturated)} of the rates are at one "
        "spike per step.",
        threshold_over_largest=times,
        clipped=cut,
        channels=int(low.sum()),
        saturated=layer.saturated,
    )


def _dead(context: _Context) -> Iterator[Finding]:
    layer, channels = context.layer, context.channels
    if not context.inherits:
        silent = (channels.spikes == 0) & (channels.expected >= EXPECTED)
        expected = float(channels.expected[silent].sum())
        if silent.any() and expected >= LOST_SPIKES * channels.expected.sum():
            yield _finding(
                layer,
                Cause.DEAD_CHANNELS,
                f"{_part(silent, layer).capitalize()} never fire, though the ANN is active "
                f"there and ideal neurons would have emitted {expected:.0f} spikes.",
                channels=np.flatnonzero(silent).tolist(),
                expected_spikes=expected,
            )
    if _is_dead(layer):
        dead = channels.largest <= 0
        yield _finding(
            layer,
            Cause.DEAD_CHANNELS,
            f"{_part(dead, layer).capitalize()} are zero in the ANN itself on all samples.",
            in_ann=True,
            channels=np.flatnonzero(dead).tolist(),
        )


def _is_dead(layer: LayerError) -> bool:
    """Whether so many channels are zero in the ANN that it is a fault."""
    return layer.dead_channels >= DEAD_PART * layer.channels


def _silent_in_ann(measured: Measured) -> Iterator[Finding]:
    """One note on the channels of all layers, not at fault, that are zero in the ANN."""
    layers = [n for n in measured.layers.values() if n.dead_channels and not _is_dead(n)]
    if not layers:
        return
    dead = {n.name: np.flatnonzero(measured.channels[n.name].largest <= 0) for n in layers}
    count = sum(len(channels) for channels in dead.values())
    where = "this layer" if len(layers) == 1 else f"{len(layers)} layers"
    yield _finding(
        layers[0],
        Cause.DEAD_CHANNELS,
        f"{count} of {sum(n.channels for n in layers)} channels of {where} are zero in the ANN "
        "itself on all samples.",
        severity="note",
        in_ann=True,
        channels={name: channels.tolist() for name, channels in dead.items()},
    )


def _pool_findings(networks: Networks, measured: Measured) -> Iterator[Finding]:
    for name, error in measured.pools.items():
        if error <= POOLED:
            continue
        yield Finding(
            layer=name,
            node=name,
            cause=Cause.MAXPOOL_OF_SPIKES,
            severity="fault",
            evidence={"error": error},
            text=f"The max pool passes a spike when any of its inputs fires: that is "
            f"{_percent(error)} away from the maximum of the rates.",
            remedy=remedy(Cause.MAXPOOL_OF_SPIKES),
        )


def _window_findings(measured: Measured, settings: Settings) -> Iterator[Finding]:
    """The largest error part if the output is bad although no single layer is at fault."""
    full, timesteps = measured.over_t[-1], settings.timesteps
    if not measured.layers or not _bad(full):
        return
    half = next(w for w in measured.over_t if 2 * w.timesteps >= timesteps)
    layers = list(measured.layers.values())
    worst = max(layers, key=lambda layer: max(_parts(layer).values()))
    chosen = next((layer for layer in layers if (layer.error or 0.0) > BAD_LAYER), worst)
    parts = _parts(chosen)
    cause = max(parts, key=lambda part: parts[part])
    falling = full.error is not None and (half.error or 0.0) > FALLING * full.error
    shown = ", ".join(f"{part} {_percent(value)}" for part, value in parts.items())
    evidence = {**{str(part): value for part, value in parts.items()}, **full.report()}
    yield _finding(
        chosen,
        Cause.TOO_FEW_TIMESTEPS if falling or timesteps == 1 else cause,
        f"No layer is at fault alone: the errors add up. At T {timesteps} the output "
        f"{_output(full)}; here, relative to the ANN: {shown}.",
        settings=settings,
        **evidence,
    )


def _rounding_findings(measured: Measured) -> Iterator[Finding]:
    real, integer = measured.over_t[-1], measured.rounded
    if integer is None or not measured.layers or not _bad(integer):
        return
    if integer.agreement is not None and real.agreement is not None:
        lost = real.agreement - integer.agreement
        doubt = 3 * np.sqrt(max(lost, 0) / measured.samples)
        costly = lost > max(LOST, doubt)
    else:
        lost = (integer.error or 0.0) - (real.error or 0.0)
        costly = lost > LOST
    if not costly:
        return
    worst = max(measured.layers.values(), key=lambda layer: layer.rounding or 0.0)
    yield _finding(
        worst,
        Cause.WEIGHT_ROUNDING,
        f"Integers cost {_percent(float(lost))}: the output of the integer network "
        f"{_output(integer)}; the rates of this layer change most.",
        lost=float(lost),
        rounding=worst.rounding,
    )


def _bad(window: WindowError) -> bool:
    if window.agreement is not None:
        return window.agreement < AGREEMENT
    return (window.error or 0.0) > OUTPUT


def _output(window: WindowError) -> str:
    if window.agreement is not None:
        return f"agrees with the ANN on {_percent(window.agreement)} of the samples"
    return f"is {_percent(window.error or 0.0)} off"


def _parts(layer: LayerError) -> Mapping[Cause, float]:
    return {
        Cause.CLIPPING: layer.clipping or 0.0,
        Cause.QUANTISATION: layer.quantisation or 0.0,
        Cause.UNEVENNESS: layer.unevenness or 0.0,
    }


def _finding(
    layer: LayerError,
    cause: Cause,
    text: str,
    *,
    severity: Any = "fault",
    settings: Settings | None = None,
    in_ann: bool = False,
    **evidence: Any,
) -> Finding:
    return Finding(
        layer=layer.name,
        node=layer.name,
        cause=cause,
        severity=severity,
        evidence=evidence,
        text=text,
        remedy=remedy(cause, settings, in_ann=in_ann),
    )


def _part(chosen: Any, layer: LayerError) -> str:
    """Which channels, in words."""
    return "all channels" if chosen.all() else f"{int(chosen.sum())} of {layer.channels} channels"


def _percent(fraction: float) -> str:
    return f"{100 * fraction:.3g} %"
