"""The check of passes that preserve the function: what it lets pass, and what it finds."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace

import numpy as np
import pytest

from snnc.analysis import SameFunction
from snnc.analysis.energy import multiplications
from snnc.errors import GraphError
from snnc.ir import BatchNorm, Graph, Linear, Neuron, Readout, Stage
from snnc.ir.parse import parse
from snnc.pipeline import Pipeline
from snnc.testing import Case, Style, ann_cases, build, quantized_cases, snn_cases
from snnc.transform import Pass, PassContext, PassResult
from snnc_passes.fold.fold_batchnorm import FoldBatchnorm
from snnc_passes.fold.fold_normalization import FoldNormalization
from snnc_passes.fold.fold_scale import FoldScale
from snnc_passes.lower.drop_state import DropState
from snnc_passes.lower.lower_avgpool import LowerAvgpool

SAME = SameFunction()


@dataclass(frozen=True, kw_only=True)
class ForgetBatchnorm(Pass):
    """Folds batch norm wrongly: it takes it away."""

    name = "forget-batchnorm"
    takes = gives = Stage.ANN
    preserves_function = True

    def run(self, graph: Graph, ctx: PassContext) -> PassResult:
        for node in graph:
            if isinstance(node.op, BatchNorm):
                graph.bypass(node.name)
        graph.prune_params()
        return PassResult(graph)


def with_neurons(graph: Graph, **fields: object) -> Graph:
    twin = graph.clone()
    for node in twin:
        if isinstance(node.op, Neuron):
            twin.replace_op(node.name, replace(node.op, **fields))  # type: ignore[arg-type]
    return twin


def with_last_weight(graph: Graph, factor: float) -> Graph:
    """The weights of the last linear layer, behind all spikes, times a factor."""
    twin = graph.clone()
    last = [node.op for node in twin if isinstance(node.op, Linear)][-1]
    weight = twin.array(last.weight)
    twin.set_param(last.weight.name, (weight * factor).astype(weight.dtype))
    return twin


@pytest.mark.parametrize("case", ann_cases(), ids=lambda case: case.name)
def test_right_passes_of_anns_pass(case: Case) -> None:
    passes = [FoldBatchnorm(), FoldNormalization(), LowerAvgpool()]
    result = Pipeline(passes).run(case.graph, PassContext(), same=SAME)
    assert SAME(case.graph, result.graph) is None


@pytest.mark.parametrize("case", snn_cases(), ids=lambda case: case.name)
def test_right_passes_of_spiking_networks_pass(case: Case) -> None:
    graph = case.graph.clone()
    graph.meta["timesteps"] = 1
    Pipeline([FoldScale(), DropState()]).run(graph, PassContext(timesteps=1), same=SAME)


def test_a_wrong_pass_is_named_with_the_reason() -> None:
    passes = [FoldNormalization(), ForgetBatchnorm(), LowerAvgpool()]
    with pytest.raises(GraphError) as caught:
        Pipeline(passes).run(build("plain", Style.ANN), PassContext(), same=SAME)
    start = "pass forget-batchnorm: declares that it preserves the function, and does not: output 0"
    assert caught.value.message.startswith(start)
    assert "--passes 'forget-batchnorm,lower-avgpool'" in (caught.value.hint or "")


def test_only_passes_that_declare_it_and_changed_something_are_checked() -> None:
    asked: list[str] = []

    def same(before: Graph, after: Graph) -> str | None:
        asked.append("asked")
        return None

    @dataclass(frozen=True, kw_only=True)
    class Careless(ForgetBatchnorm):
        name = "careless"
        preserves_function = False

    passes = [Careless(), FoldBatchnorm(), LowerAvgpool()]
    Pipeline(passes).run(build("plain", Style.ANN), PassContext(), same=same)
    assert asked == ["asked"]


@pytest.mark.parametrize("style", [Style.SNN, Style.QUANTIZED])
def test_other_spikes_are_found(style: Style) -> None:
    graph = build("residual", style)
    reason = SAME(graph, with_neurons(graph, reset="zero"))
    assert reason is not None and "of the spikes of act" in reason
    wrong = with_last_weight(graph, 2 if style is Style.SNN else 0)
    assert (SAME(graph, wrong) or "").startswith("output 0 differs by")


def test_one_spike_of_an_integer_graph_is_too_many() -> None:
    real, whole = build("plain", Style.SNN), build("plain", Style.QUANTIZED)
    assert SAME(real, with_last_weight(real, 1 + 1e-5)) is None
    readout = next(node for node in whole if isinstance(node.op, Readout))
    other = whole.clone()
    scale = np.asarray(whole.array(readout.op.scale), np.float64)  # type: ignore[union-attr]
    other.replace_op(readout.name, Readout(scale=other.set_param("other", scale * (1 + 1e-5))))
    assert (SAME(whole, other) or "").startswith("output 0 differs")


@pytest.mark.parametrize("case", quantized_cases(), ids=lambda case: case.name)
def test_random_encoders_draw_the_same(case: Case) -> None:
    assert SAME(case.graph, case.graph.clone()) is None


TIES = """
graph snn {
  %input = snn.input() {shape=(4, 8, 8)}
  %input.encode = snn.encode-direct(%input)
  %first = snn.neuron(%input.encode) {threshold=0.583203, v_init=0.2916015}
  %value = snn.scale(%first) {factor=@value}
  %slope = snn.scale(%value) {factor=-0.2}
  %second = snn.two-sided-neuron(%slope) {threshold=@threshold}
  %current = snn.scale(%second) {factor=1.0}
  %readout = snn.readout(%current)
  return %readout
  @value = float32<4> [0.583203, 0.21771723, 0.36323914, 0.25811097]
  @threshold = float32<4> [0.116640605, 0.043543447, 0.07264783, 0.051622193]
}
"""


def test_thresholds_that_are_multiples_of_what_a_spike_adds_pass() -> None:
    graph = parse(TIES)
    result = Pipeline([FoldScale()]).run(graph, PassContext(timesteps=4), same=SAME)
    assert result.graph.node("second").inputs == ("slope",)
    assert result.graph.node("slope").inputs == ("first",)
    changed = with_neurons(result.graph, threshold=0.6)
    assert "of the spikes of first differ" in (SAME(graph, changed) or "")


def test_other_inputs_and_outputs_are_told() -> None:
    plain, residual = build("plain", Style.ANN), build("residual", Style.ANN)
    assert SAME(plain, residual) == "the input has shape (2, 8, 8) instead of (2, 6, 6)"
    fewer = plain.clone()
    fewer.outputs = ("fc1",)
    assert SAME(plain, fewer) == "output 0 has another shape"


def test_a_large_network_is_left_alone_and_that_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    graph = build("plain", Style.ANN)
    wrong = with_last_weight(graph, 2)
    least = 2 * 2 * multiplications(graph)
    assert SameFunction(budget=least)(graph, wrong) is not None
    with caplog.at_level(logging.INFO, "snnc"):
        assert SameFunction(budget=least - 1)(graph, wrong) is None
    assert "not compared with the graph before" in caplog.text
