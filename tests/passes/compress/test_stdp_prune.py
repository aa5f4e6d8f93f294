"""`stdp-prune`: what goes, what is told, what is refused; zeros that no later pass fills."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from snnc.errors import PassError, UnsupportedError
from snnc.ir import Conv, Graph, Linear, Weighted
from snnc.ir.json import from_json, to_json
from snnc.ir.parse import parse
from snnc.ir.text import to_text
from snnc.pipeline import Pipeline, parse_one
from snnc.plugins import BACKENDS, PASSES, Registry
from snnc.testing import (
    Style,
    ann_cases,
    assert_equal_runs,
    assert_pass_contract,
    build,
    default_context,
    load_program,
    quantized_cases,
    sample_inputs,
    snn_cases,
)
from snnc.transform import PassContext
from snnc_passes.compress._sparsity_search import STEPS, largest_within
from snnc_passes.compress.stdp_prune import StdpPrune

T = 4
WEIGHTLESS = """graph snn {
  %x = snn.input() {shape=(4)} : analog<4>
  %encode = snn.encode-direct(%x) : current<4 constant>
  %spikes = snn.neuron(%encode) {threshold=0.9} : spike<4>
  %readout = snn.readout(%spikes) : current<4>
  return %readout
}
"""


def context(graph: Graph, count: int = 32, **options: Any) -> PassContext:
    data = [(sample_inputs(graph, count), None)]
    return PassContext(**{"timesteps": T, "calibration": data, **options})


def pruned(graph: Graph, **options: Any) -> Any:
    return StdpPrune(**options).run(graph.clone(), context(graph))


def weights(graph: Graph) -> dict[str, np.ndarray]:
    return {n.name: graph.array(n.op.weight) for n in graph if isinstance(n.op, Weighted)}


@pytest.mark.parametrize(
    "options",
    [
        {"threshold": 0.1, "trace": "additive"},
        {"structure": "columns", "block": 3, "rule": "plain"},
        {"structure": "rows", "scope": "network"},
        {"budget": 40.0},
        {"method": "random"},
        {"method": "magnitude"},
    ],
)
def test_every_way_keeps_the_contract(options: Any) -> None:
    cases = [c for c in snn_cases() if c.name in ("residual", "grouped", "bottlenecks")]
    assert_pass_contract(StdpPrune(**options), cases=cases)


@pytest.mark.parametrize("style", [Style.SNN, Style.QUANTIZED])
@pytest.mark.parametrize("method", ["stdp", "magnitude", "random"])
def test_all_methods_remove_the_same_number(style: Style, method: Any) -> None:
    result = pruned(build("residual", style), sparsity=0.6, method=method)
    for weight in weights(result.graph).values():
        assert np.sum(weight == 0) == int(0.6 * weight.size)
    assert all(n.op.pruned for n in result.graph if isinstance(n.op, Weighted))
    total = sum(w.size for w in weights(result.graph).values())
    assert result.metrics["weights"] == total
    assert result.metrics["zeros"] == sum(np.sum(w == 0) for w in weights(result.graph).values())
    assert (result.metrics["rule_zeros"] > 0) == (method == "stdp")


PAIR = """graph snn {
  %x = snn.input() {shape=(4)} : analog<4>
  %encode = snn.encode-direct(%x) : current<4 constant>
  %first = snn.linear(%encode) {weight=@eye} : current<4>
  %spikes = snn.neuron(%first) {threshold=0.9} : spike<4>
  %second = snn.linear(%spikes) {weight=@w} : current<1>
  %fires = snn.neuron(%second) {threshold=0.9} : spike<1>
  %third = snn.linear(%fires) {weight=@last} : current<2>
  %readout = snn.readout(%third) : current<2>
  return %readout
  @eye = float32<4x4> [1.0, 0, 0, 0, 0, 1.0, 0, 0, 0, 0, 1.0, 0, 0, 0, 0, 1.0]
  @w = float32<1x4> [WEIGHTS]
  @last = float32<2x1> [1.0, -1.0]
}
"""


def pair(given: str) -> tuple[Graph, PassContext]:
    """Inputs 0 and 2 fire together, in the even samples; 1 in the odd ones; 3 never."""
    x = np.zeros((8, 4), np.float32)
    x[::2, [0, 2]] = x[1::2, 1] = 1
    return parse(PAIR.replace("WEIGHTS", given)), PassContext(timesteps=T, calibration=[(x, None)])


def test_what_fires_with_the_neuron_stays_and_what_never_fires_goes() -> None:
    graph, ctx = pair("1.0, 0.2, 0.2, 0.2")  # input 0 makes it fire; 2 goes with it, 1 does not
    result = StdpPrune(threshold=0.1, eta=1).run(graph.clone(), ctx)
    assert (result.graph.params["w"] != 0).tolist() == [[True, False, True, False]]
    by_size = StdpPrune(threshold=0.1, method="magnitude").run(graph.clone(), ctx)
    assert by_size.graph.params["w"].all()


def test_an_inhibitory_synapse_stays_where_its_input_fires_and_the_neuron_does_not() -> None:
    graph, ctx = pair("1.0, -0.2, -0.2, -0.2")
    kept = StdpPrune(threshold=0.1, eta=2).run(graph.clone(), ctx).graph.params["w"] != 0
    assert kept.tolist() == [[True, True, False, False]]
    plain = StdpPrune(threshold=0.1, eta=2, rule="plain").run(graph.clone(), ctx).graph
    assert (plain.params["w"] != 0).tolist() == [[True, False, True, False]]


def test_the_threshold_of_zero_leaves_what_the_rule_leaves() -> None:
    result = pruned(build("residual", Style.SNN), threshold=0.0, eta=1)
    assert result.metrics["zeros"] == result.metrics["rule_zeros"] > 0


def test_whole_rows_and_columns_are_freed_and_counted() -> None:
    graph = build("residual", Style.SNN)
    for structure, key in (("rows", "empty_rows"), ("columns", "empty_columns")):
        result = pruned(graph, sparsity=0.5, structure=structure)
        for name, row in result.metrics["layers"].items():
            weight = weights(result.graph)[name]
            lines = weight[0].size if structure == "rows" else len(weight)
            assert row[key] == lines // 2
            assert row["zeros"] == lines // 2 * weight.size // lines
    assert result.metrics["dead_outputs"] > 0


def test_a_budget_is_kept() -> None:
    graph = build("plain", Style.SNN)
    ctx = context(graph, 64)
    result = StdpPrune(budget=10.0, samples=64).run(graph.clone(), ctx)
    assert result.metrics["measure"] == "agreement" and result.metrics["before"] == 1
    assert 100 * (1 - result.metrics["after"]) <= 10 and result.metrics["sparsity"] > 0
    labels = [(x, np.zeros(len(x), np.int64)) for x, _ in ctx.calibration or ()]
    labelled = replace(ctx, calibration=labels)
    assert StdpPrune(budget=99.0).run(graph.clone(), labelled).metrics["measure"] == "accuracy"


@pytest.mark.parametrize("points", [5.0, 20.0, 49.0])
def test_the_search_finds_the_largest_sparsity_within_the_budget(points: float) -> None:
    class Falling:
        """Loses half a point for every point of sparsity."""

        measure, own_fraction = "agreement", 1.0

        def fractions(self, share: Any, ctx: PassContext, windows: Any) -> dict[int, float]:
            return dict.fromkeys(windows, 1 - share / 2)

    judged: Any = Falling()
    found = largest_within(judged, lambda share: share, points, PassContext())  # type: ignore[arg-type]
    assert 2 * points / 100 - 1 / STEPS < found <= 2 * points / 100
    with pytest.raises(PassError, match="loses more than 0.1 points of agreement"):
        largest_within(judged, lambda share: share, 0.1, PassContext())  # type: ignore[arg-type]


def test_pruning_twice_goes_on_from_the_zeros() -> None:
    first = pruned(build("residual", Style.SNN), sparsity=0.4).graph
    again = pruned(first, sparsity=0.7)
    for name, weight in weights(again.graph).items():
        assert np.all(weight[weights(first)[name] == 0] == 0)
        assert np.sum(weight == 0) == int(0.7 * weight.size)
    assert again.metrics["zeros_before"] == sum(np.sum(w == 0) for w in weights(first).values())


def zeros_stay(before: Graph, after: Graph) -> None:
    for node in after:
        if isinstance(node.op, Weighted) and node.name in before:
            own = before.node(node.name).op
            assert isinstance(own, Weighted) and node.op.pruned, node.name
            old, new = before.array(own.weight), after.array(node.op.weight)
            assert new.shape == old.shape and not np.any(new[old == 0]), node.name


FULL = ("residual", "saturating", "bottlenecks", "grouped-lowered", "plain-lowered", "branches")
SHORT = {"learn": {"epochs": 1, "weight_decay": 0.1}, "reduce-timesteps": {"epochs": 1}}
MERGES = {"split-sums"}
"""Passes that replace layers by several of other names."""


def cases_of(taken: Any) -> Any:
    if taken.name == "dequantize":
        return quantized_cases()[:3]
    every = snn_cases() if taken.takes == "snn" else ann_cases()
    return [case for case in every if case.name in FULL]


def marked(graph: Graph) -> Graph:
    """Half of the weights removed, at either stage."""
    rng = np.random.default_rng(0)
    twin = graph.clone()
    for node in twin.nodes:
        if isinstance(node.op, Weighted):
            array = twin.array(node.op.weight)
            gone = rng.random(array.shape) < 0.5
            twin.set_param(node.op.weight.name, np.where(gone, 0, array).astype(array.dtype))
            twin.replace_op(node.name, replace(node.op, pruned=True))
    return twin


@pytest.mark.parametrize("name", sorted(Registry(PASSES).names()))
def test_no_pass_fills_the_zeros(name: str) -> None:
    taken = Registry(PASSES).get(name)(**SHORT.get(name, {}))
    done = 0
    for case in cases_of(taken):
        graph = marked(case.graph)
        try:
            after = taken.run(graph.clone(), default_context(case)).graph
        except (PassError, UnsupportedError):
            continue
        zeros_stay(graph, after)
        done += 1
        if taken.takes == "ann":
            layers = [n for n in graph if isinstance(n.op, Weighted)]
            assert all(n.name in after or name in MERGES for n in layers), "merged"
    assert done


def test_a_dense_layer_is_written_as_before_and_a_pruned_one_reads_back() -> None:
    graph = build("plain", Style.SNN)
    assert "pruned" not in str(to_json(graph)) and "pruned" not in to_text(graph)
    assert all("pruned" not in repr(node.op) for node in graph)
    result = pruned(graph).graph
    again = from_json(to_json(result), result.params)
    assert again.fingerprint() == result.fingerprint() == parse_back(result).fingerprint()
    unmarked = result.clone()
    for node in unmarked.nodes:
        if isinstance(node.op, Conv | Linear):
            unmarked.replace_op(node.name, replace(node.op, pruned=False))
    assert unmarked.fingerprint() != result.fingerprint()


def parse_back(graph: Graph) -> Graph:
    """Through the text form, which has the values of small arrays only."""
    twin = parse(to_text(graph))
    for name, array in graph.params.items():
        twin.set_param(name, array)
    twin.meta = graph.meta
    return twin


@pytest.mark.parametrize("target", ["cpu", "crossbar", "crossbar{packing=time-multiplexed}"])
def test_backends_run_the_compressed_network(target: str) -> None:
    case = next(c for c in snn_cases() if c.name == "residual-lowered")
    passes = "threshold-balance,fold-scale,stdp-prune{structure=rows},quantize-conductance,quantize"
    ctx = default_context(case)
    graph = Pipeline.from_text(passes).run(case.graph, ctx).graph
    x = sample_inputs(graph, 4)
    backends = Registry(BACKENDS)
    ours, theirs = (
        load_program(parse_one(text, backends), graph, ctx.timesteps).run(x, record="spikes")
        for text in (target, "reference")
    )
    assert any(each.any() for each in theirs.spikes.values())
    assert_equal_runs(ours, theirs, target)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"sparsity": 0.5, "threshold": 0.1}, "one of sparsity, threshold and budget"),
        ({"sparsity": 1.0}, r"sparsity=1 is not in \[0, 1\)"),
        ({"threshold": -0.1}, "threshold=-0.1"),
        ({"budget": 101.0}, "budget=101"),
        ({"scope": "all"}, "scope=all is not one of: layer, network"),
        ({"structure": "tiles"}, "structure=tiles"),
        ({"method": "hebb"}, "method=hebb"),
        ({"rule": "own"}, "rule=own"),
        ({"trace": "last"}, "trace=last"),
        ({"block": 4}, "block=4 needs structure"),
        ({"eta": -1.0}, "eta=-1"),
        ({"mu": float("inf")}, "mu=inf"),
        ({"tau": 0.0}, "tau=0 is not positive"),
        ({"samples": 0}, "samples=0"),
    ],
)
def test_wrong_options_are_refused(options: Any, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        StdpPrune(**options)


@pytest.mark.parametrize("text", ["stdp-prune", "quantize-conductance"])
def test_a_network_without_weights_is_told(text: str, caplog: pytest.LogCaptureFixture) -> None:
    graph = parse(WEIGHTLESS)
    result = Pipeline.from_text(text).run(graph, context(graph))
    assert f"{text}: the network has no weights" in caplog.text
    assert result.graph.fingerprint() == graph.fingerprint()


def test_what_it_needs() -> None:
    assert StdpPrune().requirements() == {"calibration|train"}
    assert not StdpPrune(method="magnitude").requirements()
    assert StdpPrune(method="random", budget=1.0).requirements() == {"calibration|train"}
    with pytest.raises(PassError, match="needs calibration or training data"):
        StdpPrune().run(build("plain", Style.SNN), PassContext())
    narrow = PAIR.replace("2x1> [1.0, -1.0]", "1x1> [1.0]").replace("<2>", "<1>")
    ctx = PassContext(calibration=[(np.zeros((2, 4), np.float32), None)], timesteps=T)
    with pytest.raises(PassError, match="a budget in points is for classes"):
        StdpPrune(budget=1.0).run(parse(narrow.replace("WEIGHTS", "1.0, 1.0, 1.0, 1.0")), ctx)
