"""Findings about the model: the statistics of its batch norms, and differences after folding."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from typing import Any

from snnc.analysis.diagnosis.measure import Measured, Networks
from snnc.analysis.diagnosis.model_check import about_constants, about_weights
from snnc.analysis.diagnosis.norms import far_norms, in_words
from snnc.analysis.diagnosis.other_model import about_origin
from snnc.analysis.diagnosis.remedies import remedy
from snnc.analysis.diagnosis.result import Cause, Finding
from snnc.analysis.diagnosis.stages import convolutions_of
from snnc.ir import BatchNorm, Conv, Graph, Linear, MaxPool, Neuron, Relu
from snnc.ir.walk import ancestors, descendants

DIFFERENT = 1e-3
"""Largest accepted relative error of the folded graph against the model; exact folding: 1e-5."""
BORDER = 10.0
"""The error is at the border only if it is larger there than inside by this factor."""
WEIGHTED = (Conv, Linear)


def model_findings(networks: Networks, measured: Measured) -> Iterator[Finding]:
    """Findings at stage `ann`; none without the model as loaded."""
    model = networks.model
    if model is None:
        return
    untrained = list(about_weights(model))
    of_another = [] if untrained else about_origin(networks.ann, networks.snn)
    about_input = [] if measured.norms else about_constants(model, measured.inputs)
    for finding in (*untrained, *of_another, *about_input):
        yield replace(finding, layer=_population(networks, model, finding.node))
    if not untrained:  # initial statistics say nothing of the data
        yield from _norm_findings(networks, model, measured)
    yield from _stage_findings(networks, model, measured)


def _norm_findings(networks: Networks, model: Graph, measured: Measured) -> Iterator[Finding]:
    for name in far_norms(model, measured.norms):
        moments = measured.norms[name]
        cause, node = _cause_of_moments(model, name)
        evidence = {**moments, "batch_norm": name}
        yield _finding(networks, model, cause, node, in_words(name, moments), evidence)


def _cause_of_moments(model: Graph, name: str) -> tuple[Cause, str]:
    """For the first batch norm the input data; for a later one a layer without batch norm."""
    before = _until(model, name, {n.name for n in model if isinstance(n.op, BatchNorm)})
    norms = [node for node in before if isinstance(model.node(node).op, BatchNorm)]
    weighted = [node for node in before if isinstance(model.node(node).op, WEIGHTED)]
    bare = [node for node in weighted if not _feeds_directly(model, node, name)]
    if bare:
        return Cause.NORM_MISSING, bare[0]
    return (Cause.NORM_STATISTICS if norms else Cause.WRONG_NORMALISATION), name


def _feeds_directly(model: Graph, source: str, name: str) -> bool:
    """Whether a path from `source` to `name` has no other layer with weights."""
    after = _until(model, name, {n.name for n in model if isinstance(n.op, WEIGHTED)})
    return source in after


def _stage_findings(networks: Networks, model: Graph, measured: Measured) -> Iterator[Finding]:
    off: dict[str, bool] = {}
    for node in model:
        inherited = any(off[source] for source in model.inputs_of(node.name))
        errors = measured.stages.get(node.name, {"error": 0.0})
        wrong = errors["error"] > DIFFERENT
        off[node.name] = wrong or (inherited and node.name not in measured.stages)
        if wrong and not inherited:
            yield _stage_finding(networks, model, node.name, measured.stages)


def _stage_finding(
    networks: Networks, model: Graph, name: str, stages: Mapping[str, Mapping[str, float]]
) -> Finding:
    errors = dict(stages[name])
    before = _until(model, name, stages.keys())
    cause, node = _cause_of_difference(networks, model, name, errors, before)
    if cause is Cause.BIAS_AT_BORDER:
        text = (
            f"After folding, {name} differs from the model by {errors['border']:.2%} where {node} "
            f"pads, and by {errors['interior']:.1e} inside: a shift was folded into a constant "
            "bias."
        )
    else:
        what = {
            Cause.NORM_MISSING: f"the batch norm {node} is not in the graph",
            Cause.POOLING_REPLACED: f"the max pool {node} was replaced by an average",
        }.get(cause, f"the parameters of {node} were changed")
        text = f"After folding, {name} differs from the model by {errors['error']:.2%}: {what}."
    return _finding(networks, model, cause, node, text, {**errors, "activation": name})


def _cause_of_difference(
    networks: Networks,
    model: Graph,
    name: str,
    errors: Mapping[str, float],
    before: Collection[str],
) -> tuple[Cause, str]:
    convs = [conv for conv in convolutions_of(model, name) if conv in before]
    if convs and errors.get("border", 0.0) > BORDER * errors.get("interior", errors["error"]):
        return Cause.BIAS_AT_BORDER, convs[-1]
    pooled = [node for node in before if _averaged(model, networks.ann, node)]
    if pooled:
        return Cause.POOLING_REPLACED, pooled[0]
    norms = [node for node in before if isinstance(model.node(node).op, BatchNorm)]
    known = {origin for node in networks.ann for origin in (node.name, *node.origins)}
    lost = [norm for norm in norms if norm not in known]
    if norms:
        return Cause.NORM_MISSING, (lost or norms)[0]
    weighted = [node for node in before if isinstance(model.node(node).op, WEIGHTED)]
    return Cause.WEIGHTS_CHANGED, (weighted or [name])[-1]


def _averaged(model: Graph, ann: Graph, name: str) -> bool:
    maximum = isinstance(model.node(name).op, MaxPool)
    return maximum and name in ann and not isinstance(ann.node(name).op, MaxPool)


def _until(model: Graph, name: str, stops: Collection[str]) -> list[str]:
    """Ancestors of `name` up to and including the nodes of `stops`, in graph order."""
    return list(ancestors(model, name, until=lambda node: node.name in stops))


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
    """The first population that depends on `node`, or `node` itself."""

    def is_population(name: str) -> bool:
        known = isinstance(model.node(name).op, Relu) and name in networks.snn
        return known and isinstance(networks.snn.node(name).op, Neuron)

    return next(filter(is_population, (node, *descendants(model, node))), node)
