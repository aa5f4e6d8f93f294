"""`stdp-prune`: remove the synapses whose events do not go together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, get_args

import numpy as np

from snnc.early_exit import EARLY_EXIT
from snnc.errors import PassError
from snnc.ir import Graph, Weighted
from snnc.transform import Batches, Pass, PassContext, PassResult
from snnc_passes._option_checks import one_of, refuse_if
from snnc_passes._samples import first
from snnc_passes.compress._choice import Kept, Real, Scope, Structure, Units, above, strongest
from snnc_passes.compress._correlation import Correlation, correlate, mean_correlations
from snnc_passes.compress._sparsity_search import (
    fraction_right,
    largest_within,
    reference_before,
)
from snnc_passes.compress._strengths import after_stdp, magnitudes, weight_arrays
from snnc_passes.compress._traces import Trace

Method = Literal["stdp", "magnitude", "random"]
Rule = Literal["signed", "plain"]
DEFAULT_SPARSITY = 0.75


@dataclass(frozen=True, kw_only=True)
class StdpPrune(Pass):
    """Remove synapses by the STDP correlation of real spikes; zeros that stay zero.

    Of the papers: the power-law weight-dependent rule, on each postsynaptic spike
    dw = eta (x_pre - offset) (w_max - w)^mu with the trace x_pre = exp(-(t_post - t_pre) / tau)
    (Diehl & Cook, "Unsupervised learning of digit recognition using spike-timing-dependent
    plasticity", 2015, section 2.3); removing synapses of weak correlation, here all below a
    threshold (Rathi, Panda & Roy, "STDP Based Pruning of Connections and Weight Quantization in
    Spiking Neural Networks for Energy-Efficient Recognition", 2018, abstract; its constants are not
    in public text: offset, mu and tau are those of the rule's other users).

    Of our own, for networks that were not trained by STDP and have weights of either sign: w is
    |w|, w_max the largest of the layer; eta applies to the mean over a neuron's spikes, so that the
    amount of data does not matter; tau is in time steps; the rule is applied to the network as it
    is, and decides who stays, not the values. With rule=signed a negative weight is judged at
    the steps in which the neuron is silent, since an inhibitory synapse matters where its input
    fires and the neuron does not (of two-sided neurons: fires with the other sign); rule=plain
    judges all weights at spikes. Weights of a convolution are judged by all its positions. An
    analog input is its own trace, a count is relative to the largest, a readout fires for its
    largest output. A layer whose current enters no population is judged by its magnitudes.

    What is removed is zero, and the layer is marked `pruned`: no later pass fills the zeros.

    Attributes:
        sparsity: fraction of the weights that are zero afterwards, with those that were so before;
            0.75 where none of the three is given.
        threshold: everything that is not stronger goes: strength is |w| / w_max after the rule.
        budget: points of accuracy on the calibration data that may be lost (without labels: of
            agreement with the network before); the largest sparsity within it is searched for.
        scope: whether the sparsity is that of every layer or of the network.
        structure: what goes as a whole: "rows", inputs of a matrix, which a crossbar need not
            place; "columns", outputs.
        block: weights of a row or column that go together; 0 for all of them.
        method: "magnitude" and "random" are controls.
        rule: see above.
        eta: the update by the rule, for a mean over the spikes of a neuron.
        offset: trace at which the update is zero.
        mu: exponent of the dependence on the weight.
        tau: time constant of the trace in steps.
        trace: "nearest" remembers the last spike, "additive" all of them.
        samples: of the calibration data (without: of the training data) that are run.

    Metrics: `weights`, `zeros_before`, `zeros`; `rule_zeros`, weights that the rule alone makes
    zero; `dead_outputs` without any weight; `sparsity`; per layer `layers`: weights, zeros, and
    rows and columns without a weight; with a budget `measure`, `before`, `after`.
    """

    name: ClassVar[str] = "stdp-prune"
    sparsity: float | None = None
    threshold: float | None = None
    budget: float | None = None
    scope: Scope = "layer"
    structure: Structure = "none"
    block: int = 0
    method: Method = "stdp"
    rule: Rule = "signed"
    eta: float = 0.05
    offset: float = 0.4
    mu: float = 0.2
    tau: float = 20.0
    trace: Trace = "nearest"
    samples: int = 256

    def __post_init__(self) -> None:
        given = {n: getattr(self, n) for n in ("sparsity", "threshold", "budget")}
        if len([n for n, value in given.items() if value is not None]) > 1:
            raise ValueError("give one of sparsity, threshold and budget")
        for option in ("sparsity", "threshold"):
            value = given[option]
            refuse_if(value is not None and not 0 <= value < 1, self, option, "is not in [0, 1)")
        wrong = self.budget is not None and not 0 <= self.budget <= 100
        refuse_if(wrong, self, "budget", "is not in 0..100 points")
        choices = {"scope": Scope, "structure": Structure, "method": Method, "rule": Rule}
        for option, kind in {**choices, "trace": Trace}.items():
            one_of(self, option, get_args(kind))
        wrong = self.block < 0 or (self.block > 0 and self.structure == "none")
        refuse_if(wrong, self, "block", "needs structure=rows or columns, and 0 or more")
        for option in ("eta", "mu", "offset"):
            wrong = not 0 <= getattr(self, option) < float("inf")
            refuse_if(wrong, self, option, "is negative or infinite")
        refuse_if(not 0 < self.tau < float("inf"), self, "tau", "is not positive")
        refuse_if(self.samples < 1, self, "samples", "is not positive")

    def requirements(self) -> frozenset[str]:
        """Data, where spikes or a budget decide."""
        runs = self.method == "stdp" or self.budget is not None
        return frozenset({"calibration|train"}) if runs else frozenset()

    def run(self, graph: Graph, ctx: PassContext) -> PassResult:
        """Prune. Raises `PassError` if data are missing, or nothing is within the budget."""
        weights = weight_arrays(graph)
        if not weights:
            ctx.log.warning("%s: the network has no weights; nothing is removed", self.name)
            none = dict.fromkeys(("weights", "zeros_before", "rule_zeros"), 0)
            return PassResult(graph, metrics={**none, **figures(graph)})
        strengths = self._strengths(graph, weights, ctx)
        own = {name: int(np.sum((s <= 0) & (weights[name] != 0))) for name, s in strengths.items()}
        ordered = {name: self._ordered(s, weights[name]) for name, s in strengths.items()}
        units = self._units(graph, weights)
        metrics: dict[str, Any] = {
            "weights": sum(w.size for w in weights.values()),
            "zeros_before": sum(int(np.sum(w == 0)) for w in weights.values()),
            "rule_zeros": sum(own.values()) if self.method == "stdp" else 0,
        }
        if self.threshold is not None:
            kept = above(ordered, units, self.threshold)
        else:
            sparsity = DEFAULT_SPARSITY if self.sparsity is None else self.sparsity
            if self.budget is not None:
                reference = reference_before(graph, _data(ctx), self.samples, ctx)

                def pruned(share: float) -> Graph:
                    return _pruned(graph, strongest(ordered, units, share, self.scope))

                sparsity = largest_within(reference, pruned, self.budget, ctx)
                after = fraction_right(reference, pruned(sparsity), ctx)
                before, measure = reference.own_fraction, reference.measure
                metrics |= {"measure": measure, "before": before, "after": after}
            kept = strongest(ordered, units, sparsity, self.scope)
        result = _pruned(graph, kept)
        return PassResult(result, metrics={**metrics, **figures(result)})

    def _strengths(
        self, graph: Graph, weights: Mapping[str, Real], ctx: PassContext
    ) -> dict[str, Real]:
        if self.method == "magnitude":
            return magnitudes(weights)
        if self.method == "random":
            return {name: ctx.rng.random(w.shape) for name, w in weights.items()}
        correlation = Correlation(graph, ctx.timesteps, self.tau, self.trace, ctx.device)
        with ctx.progress(self.name, self.samples) as advance:
            for count in correlate(correlation, first(_data(ctx), self.samples)):
                advance(count)
        signed = self.rule == "signed"
        means = mean_correlations(correlation.sums, weights, self.offset, signed)
        return after_stdp(weights, means, self.eta, self.mu)

    def _ordered(self, strengths: Real, weight: Real) -> Real:
        """Strengths in which what is zero already goes first, and counts for nothing in a unit."""
        if self.structure == "none":
            return np.where(weight == 0, -np.inf, strengths)
        return np.where(weight == 0, 0.0, np.maximum(strengths, 0.0))

    def _units(self, graph: Graph, weights: Mapping[str, Real]) -> dict[str, Units]:
        matrices = {n.op.weight.name: n.op.matrices for n in graph if isinstance(n.op, Weighted)}
        return {
            name: Units.made(w.shape, matrices[name], self.structure, self.block)
            for name, w in weights.items()
        }


def _data(ctx: PassContext) -> Batches:
    data = ctx.train if ctx.calibration is None else ctx.calibration
    if data is None:
        raise PassError("needs calibration or training data", hint="add --calibration DATA")
    return data


def _pruned(graph: Graph, kept: Kept) -> Graph:
    """A copy in which the weights that are not kept are zero, and every layer is marked."""
    result = graph.clone()
    for name, stays in kept.items():
        array = graph.params[name]
        result.set_param(name, np.where(stays, array, 0).astype(array.dtype))
    for node in result.nodes:
        if isinstance(node.op, Weighted):
            result.replace_op(node.name, replace(node.op, pruned=True))
    result.meta.pop(EARLY_EXIT, None)  # it was calibrated for the network before
    return result


def figures(graph: Graph) -> dict[str, Any]:
    """Zeros of a network, in all and per layer, and what a crossbar need not place."""
    layers: dict[str, dict[str, int]] = {}
    dead = 0
    for node in graph.nodes:
        if not isinstance(node.op, Weighted):
            continue
        weight = graph.array(node.op.weight)
        used = (weight != 0).reshape(node.op.matrices, -1, weight[0].size)
        layers[node.name] = {
            "weights": int(weight.size),
            "zeros": int(weight.size - used.sum()),
            "empty_rows": int(np.sum(~used.any(1))),
            "empty_columns": int(np.sum(~used.any(2))),
        }
        dead += layers[node.name]["empty_columns"]
    zeros, total = (sum(row[key] for row in layers.values()) for key in ("zeros", "weights"))
    return {
        "zeros": zeros,
        "sparsity": zeros / max(total, 1),
        "dead_outputs": dead,
        "layers": layers,
    }
