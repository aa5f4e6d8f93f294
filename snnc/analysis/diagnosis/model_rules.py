"""Findings on the model's side: its batch norms, and what folding made of it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from snnc.analysis.diagnosis.measure import Measured, Networks
from snnc.analysis.diagnosis.norms import far_norms
from snnc.analysis.diagnosis.remedies import remedy
from snnc.analysis.diagnosis.result import Cause, Finding
from snnc.analysis.diagnosis.stages import convolutions_of
from snnc.ir import BatchNorm, Conv, Graph, Linear, MaxPool, Neuron, Relu

FAR = 0.5
"""Mismatch of a batch norm's input with its statistics, in standard deviations."""
DIFFERENT = 1e-3
"""Relative error of the folded graph against the model; folding is exact to 1e-5."""
BORDER = 10.0
"""How many times more the border is off than the inside where only the border is wrong."""
WEIGHTED = (Conv, Linear)


def model_findings(networks: Networks, measured: Measured) -> Iterator[Finding]:
    """What is wrong before anything spikes; nothing without the model as loaded."""
    if networks.model is not None:
        yield from _norm_findings(networks, networks.model, measured)
        yield from _stage_findings(networks, networks.model, measured)


def _norm_findings(networks: Networks, model: Graph, measured: Measured) -> Iterator[Finding]:
    for name in far_norms(model, measured.norms, FAR):
        found = measured.norms[name]
        cause, node = _cause_of_moments(model, name)
        text = (
            f"What enters the batch norm {name} is {found['shift']:.3g} standard deviations off "
            f"the mean it was trained on, its spread {_times(found['spread'])}."
        )
        yield _finding(networks, model, cause, node, text, {**found, "batch_norm": name})


def _times(spread: float) -> str:
    return f"off by a factor of {2.718281828**spread:.3g}"


def _cause_of_moments(model: Graph, name: str) -> tuple[Cause, str]:
    """Of the first batch norm: the input. Of a later one: what lacks a batch norm in front."""
    before = _until(model, name, {n.name for n in model if isinstance(n.op, BatchNorm)})
    norms = [each for each in before if isinstance(model.node(each).op, BatchNorm)]
    weighted = [each for each in before if isinstance(model.node(each).op, WEIGHTED)]
    bare = [each for each in weighted if not _feeds_straight(model, each, name)]
    if bare:
        return Cause.NORM_MISSING, bare[0]
    return (Cause.NORM_STATISTICS if norms else Cause.WRONG_NORMALISATION), name


def _feeds_straight(model: Graph, source: str, name: str) -> bool:
    """Whether `source` is the last layer with weights on every way from it to `name`."""
    after = _until(model, name, {n.name for n in model if isinstance(n.op, WEIGHTED)})
    return source in after


def _stage_findings(networks: Networks, model: Graph, measured: Measured) -> Iterator[Finding]:
    off: dict[str, bool] = {}
    for each in model:
        inherited = any(off[source] for source in model.inputs_of(each.name))
        found = measured.stages.get(each.name, {"error": 0.0})
        wrong = found["error"] > DIFFERENT
        off[each.name] = wrong or (inherited and each.name not in measured.stages)
        if wrong and not inherited:
            yield _stage_finding(networks, model, each.name, measured.stages)


def _stage_finding(
    networks: Networks, model: Graph, name: str, stages: Mapping[str, Mapping[str, float]]
) -> Finding:
    found = dict(stages[name])
    before = _until(model, name, stages.keys())
    cause, node = _cause_of_difference(networks, model, name, found, before)
    if cause is Cause.BIAS_AT_BORDER:
        text = (
            f"After folding, {name} differs from the model by {found['border']:.2%} where {node} "
            f"pads, and by {found['interior']:.1e} inside: a shift was folded into a constant bias."
        )
    else:
        what = {
            Cause.NORM_MISSING: f"the batch norm {node} is not in the graph",
            Cause.POOLING_REPLACED: f"the max pool {node} was replaced by an average",
        }.get(cause, f"the parameters of {node} were changed")
        text = f"After folding, {name} differs from the model by {found['error']:.2%}: {what}."
    return _finding(networks, model, cause, node, text, {**found, "activation": name})


def _cause_of_difference(
    networks: Networks,
    model: Graph,
    name: str,
    found: Mapping[str, float],
    before: Collection[str],
) -> tuple[Cause, str]:
    convs = [each for each in convolutions_of(model, name) if each in before]
    if convs and found.get("border", 0.0) > BORDER * found.get("interior", found["error"]):
        return Cause.BIAS_AT_BORDER, convs[-1]
    pooled = [each for each in before if _averaged(model, networks.ann, each)]
    if pooled:
        return Cause.POOLING_REPLACED, pooled[0]
    norms = [each for each in before if isinstance(model.node(each).op, BatchNorm)]
    known = {each for node in networks.ann for each in (node.name, *node.origins)}
    lost = [each for each in norms if each not in known]
    if norms:
        return Cause.NORM_MISSING, (lost or norms)[0]
    weighted = [each for each in before if isinstance(model.node(each).op, WEIGHTED)]
    return Cause.WEIGHTS_CHANGED, (weighted or [name])[-1]


def _averaged(model: Graph, ann: Graph, name: str) -> bool:
    maximum = isinstance(model.node(name).op, MaxPool)
    return maximum and name in ann and not isinstance(ann.node(name).op, MaxPool)


def _until(model: Graph, name: str, stops: Collection[str]) -> list[str]:
    """Everything in front of `name`, back to and with the nodes of `stops`; in order."""
    met: set[str] = set()
    ways = list(model.inputs_of(name))
    while ways:
        each = ways.pop()
        if each not in met:
            met.add(each)
            ways += () if each in stops else model.inputs_of(each)
    return [each for each in model.order() if each in met]


def _finding(
    networks: Networks,
    model: Graph,
    cause: Cause,
    node: str,
    text: str,
    evidence: Mapping[str, Any],
) -> Finding:
    layer = _population(networks, model, node)
    return Finding(layer, node, cause, "fault", evidence, text, remedy(cause))


def _population(networks: Networks, model: Graph, node: str) -> str:
    """The first population behind `node`, or itself."""
    reached = {node}
    for each in model:
        if reached & set(model.inputs_of(each.name)):
            reached.add(each.name)
        if each.name not in reached or not isinstance(each.op, Relu):
            continue
        if each.name in networks.snn and isinstance(networks.snn.node(each.name).op, Neuron):
            return each.name
    return node
