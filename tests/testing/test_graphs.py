"""The graphs of the testing kit are legal and repeatable, and cover every op."""

from __future__ import annotations

import numpy as np
import pytest

from snnc.ir import Stage, verify
from snnc.ir.ops import OPS
from snnc.plugins import BACKENDS, Registry
from snnc.testing import (
    Case,
    ann_cases,
    load_program,
    quantized_cases,
    sample_inputs,
    snn_cases,
)

CASES = (*ann_cases(), *snn_cases(), *quantized_cases())


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.graph.stage}-{case.name}")
def test_every_case_is_legal(case: Case) -> None:
    verify(case.graph)
    assert len(sample_inputs(case.graph, 3)) == 3


def test_every_op_is_in_some_case() -> None:
    assert {type(node.op) for case in CASES for node in case.graph} == set(OPS)


def test_the_same_seed_gives_the_same_graphs() -> None:
    for make in (ann_cases, snn_cases, quantized_cases):
        first, second, another_seed = make(1), make(1), make(2)
        prints = [case.graph.fingerprint() for case in first]
        assert prints == [case.graph.fingerprint() for case in second]
        assert prints != [case.graph.fingerprint() for case in another_seed]


def test_parameters_of_quantised_graphs_are_integers() -> None:
    for case in quantized_cases():
        types = case.graph.types()
        assert all(types[node.name].quantized for node in case.graph if node.op.mnemonic != "input")


def test_a_spiking_case_brings_the_ann_of_the_same_names() -> None:
    for case in snn_cases():
        assert case.ann is not None and case.ann.stage is Stage.ANN
        for neuron, activation in (("neuron", "relu"), ("two-sided-neuron", "identity")):
            neurons = {node.name for node in case.graph if node.op.mnemonic == neuron}
            assert neurons == {n.name for n in case.ann if n.op.mnemonic == activation}
        lowered = case.name.endswith("-lowered")
        shared = [name for name in case.ann.params if lowered or name.endswith("weight")]
        assert shared
        for name in shared:
            np.testing.assert_array_equal(case.ann.params[name], case.graph.params[name])


def test_every_population_fires_sometimes_and_never_always() -> None:
    reference = Registry(BACKENDS).get("reference")()
    for case in (*snn_cases(), *quantized_cases()):
        program = load_program(reference, case.graph, 8)
        run = program.run(sample_inputs(case.graph, 8), record="spikes")
        for node in case.graph:
            if node.op.mnemonic == "neuron" and not case.name.endswith("-lowered"):
                rate = float((run.spikes[node.name] != 0).mean())
                assert 0.02 < rate < 0.9, f"{case.name}: {node.name} fires at {rate}"
