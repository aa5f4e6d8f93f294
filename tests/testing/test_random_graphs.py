"""Random graphs are legal, and the CPU computes what the reference computes."""

from __future__ import annotations

import numpy as np
import pytest

from snnc.ir import Stage, verify
from snnc.ir.ops import OPS
from snnc.plugins import BACKENDS, Registry
from snnc.testing import Case, Style, assert_backend_contract, load_program, sample_inputs
from snnc.testing.random_graphs import random_graph

TIE = 1e-4  # in real arithmetic, sums of another order may decide ties differently


def test_two_hundred_seeds_are_legal_and_hold_every_spiking_op() -> None:
    seen = set[type]()
    for seed in range(200):
        graph = random_graph(seed, Style.QUANTIZED if seed % 2 else Style.SNN)
        verify(graph)
        seen |= {type(node.op) for node in graph}
    assert seen == {op for op in OPS if Stage.SNN in op.stages}


def test_random_graphs_are_not_silent() -> None:
    reference = Registry(BACKENDS).get("reference")()
    rates = []
    for seed in range(20):
        graph = random_graph(seed)
        run = load_program(reference, graph, 6).run(sample_inputs(graph, 2), record="spikes")
        rates += [np.mean(run.spikes[n.name] != 0) for n in graph if n.op.mnemonic == "neuron"]
    assert np.mean([0.01 < rate < 0.99 for rate in rates]) > 0.8


@pytest.mark.parametrize(
    "seed", [*range(100, 108), *(pytest.param(n, marks=pytest.mark.long) for n in range(108, 140))]
)
def test_integers_are_exact_on_the_cpu(seed: int) -> None:
    case = Case(f"random-{seed}", random_graph(seed))
    assert_backend_contract(Registry(BACKENDS).get("cpu")(), cases=[case], timesteps=5)


@pytest.mark.parametrize("seeds", [range(8), pytest.param(range(8, 40), marks=pytest.mark.long)])
def test_real_numbers_differ_from_the_reference_at_ties_only(seeds: range) -> None:
    cpu, reference = (Registry(BACKENDS).get(name)() for name in ("cpu", "reference"))
    different = total = 0
    for seed in seeds:
        graph = random_graph(seed, Style.SNN)
        x = sample_inputs(graph, 3, seed)
        ours = load_program(cpu, graph, 5).run(x, record="spikes")
        theirs = load_program(reference, graph, 5).run(x, record="spikes")
        for node, spikes in theirs.spikes.items():
            different += int((ours.spikes[node] != spikes).sum())
            total += spikes.size
    print(f"{different} of {total} spikes differ")
    assert different <= TIE * total
