"""Integers stand for real values, and can be turned back into them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from snnc.errors import GraphError
from snnc.interp import run_snn
from snnc.ir import Encode, Graph, Neuron, Ref, Weighted, verify
from snnc.ir.dequantize import dequantize
from snnc.ir.populations import makes_events
from snnc.pipeline import Pipeline
from snnc.testing import Case, build, default_context, quantized_cases, sample_inputs, snn_cases
from snnc.testing.builder import Style

T = 6
INTEGER = [
    case
    for case in quantized_cases()
    if case.name != "branches"  # a chain of currents
    and "leak" not in case.name
    and "fire-integrate" not in case.name  # leaks round down on integers
]
REAL = [case for case in snn_cases() if "lowered" not in case.name]


def quantized(case: Case, bits: int = 8) -> tuple[Graph, Graph]:
    """A graph of real values before and after `quantize`."""
    real = Pipeline.from_text("fold-scale").run(case.graph, default_context(case)).graph
    text = f"quantize{{bits={bits}}}"
    return real, Pipeline.from_text(text).run(real, default_context(case)).graph


@pytest.mark.parametrize("case", REAL[:2], ids=lambda case: case.name)
def test_parameters_come_back_to_half_a_unit(case: Case) -> None:
    """Rule S20 of docs/semantics.md."""
    real, integer = quantized(case)
    again = dequantize(integer)
    verify(again)
    assert integer.quantized and not again.quantized and not real.quantized
    for node in real.nodes:
        op, now = node.op, again.node(node.name).op
        if isinstance(op, Neuron):
            unit = integer.array(integer.node(node.name).op.unit)
            for field, most in (("threshold", 0.5), ("v_init", 1.0)):
                before, after = real.array(getattr(op, field)), again.array(getattr(now, field))
                assert np.max(np.abs(after - before) / unit) <= most + 1e-4, (node.name, field)
        if isinstance(op, Weighted):
            value = _value_of_count(integer, node.inputs[0])
            before, after = real.array(op.weight) * value, again.array(now.weight)
            step = np.abs(before).reshape(len(before), -1).max(1) / 127
            error = np.abs(after - before).reshape(len(before), -1).max(1)
            assert np.all(error <= 0.501 * step + 1e-9), node.name


@pytest.mark.parametrize("case", REAL[:2], ids=lambda case: case.name)
def test_rounding_again_gives_the_same_integers(case: Case) -> None:
    """The input is encoded in integers already: its unit is in the weights, not to be put twice."""
    _, integer = quantized(case)
    again = Pipeline.from_text("quantize").run(dequantize(integer), default_context(case)).graph
    for node in integer.nodes:
        if isinstance(node.op, Weighted):
            before = integer.array(node.op.weight)
            after = again.array(again.node(node.name).op.weight)
            np.testing.assert_array_equal(after, before, err_msg=node.name)


def _value_of_count(integer: Graph, name: str) -> float:
    while not makes_events(node := integer.node(name)):
        (name,) = node.inputs
    code = node.op.code() if isinstance(node.op, Encode) else None
    return 1.0 if code is None else code.unit


@pytest.mark.parametrize("case", INTEGER, ids=lambda case: case.name)
def test_with_units_that_are_powers_of_two_the_spikes_are_the_same(case: Case) -> None:
    """Then no product is rounded."""
    graph = case.graph.clone()
    for node in graph.nodes:
        if isinstance(node.op, Neuron):
            graph.replace_op(node.name, replace(node.op, unit=2.0**-9))
    x = sample_inputs(graph, 4)
    names = [node.name for node in graph if isinstance(node.op, Neuron)]
    expected = run_snn(graph, x, timesteps=T, keep=names)
    found = run_snn(dequantize(graph), x, timesteps=T, keep=names)
    for name in names:
        assert expected.values[name].any() and (found.values[name] == expected.values[name]).all()
    outputs = (run.outputs["readout"].double().numpy() for run in (found, expected))
    np.testing.assert_allclose(*outputs, rtol=1e-6)


def test_the_unit_is_per_channel_where_the_scale_is() -> None:
    _, integer = quantized(REAL[0])
    units = [node.op.unit for node in integer if isinstance(node.op, Neuron)]
    assert all(isinstance(unit, Ref) for unit in units)
    assert [integer.array(unit).ndim for unit in units] == [1, 1, 1]


def test_real_values_are_refused() -> None:
    with pytest.raises(GraphError, match="holds no integers"):
        dequantize(build("plain", Style.SNN))
