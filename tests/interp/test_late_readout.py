"""Readouts that start at a later step of their window (S15), on every target."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from snnc.errors import GraphError
from snnc.interp import Interpreter
from snnc.ir import Graph, Readout, verify
from snnc.ir.json import from_json, to_json
from snnc.ir.text import to_text
from snnc.plugins import BACKENDS, Registry
from snnc.testing.backends import load_program
from snnc.testing.graphs import quantized_cases, sample_inputs

STEPS, START = 7, 3


def late(graph: Graph, start: int) -> Graph:
    """A copy whose readout starts at `start`."""
    twin = graph.clone()
    op = twin.node(twin.outputs[0]).op
    assert isinstance(op, Readout)
    twin.replace_op(twin.outputs[0], replace(op, start=start))
    return twin


@pytest.fixture(scope="module")
def network() -> Graph:
    """A small network of integers."""
    return quantized_cases()[0].graph


def test_the_sum_is_over_the_steps_from_start_on(network: Graph) -> None:
    x = sample_inputs(network, 4)
    name = network.outputs[0]
    whole = Interpreter(network).snn(x, STEPS, prefixes=(START,))
    begin = Interpreter(network).snn(x, START)
    read = Interpreter(late(network, START)).snn(x, STEPS)
    rest = whole.sums[name] - begin.sums[name]
    assert rest.abs().sum() > 0
    assert (read.sums[name] == rest).all()
    known = whole.sums[name] != 0
    scale = whole.outputs[name].double() * STEPS / whole.sums[name].double()
    mean = read.outputs[name].double() * (STEPS - START)
    assert np.allclose(mean[known], (rest * scale)[known], rtol=1e-5)


@pytest.mark.parametrize("target", ["reference", "cpu", "crossbar"])
def test_prefixes_up_to_the_start_read_all_of_their_steps(target: str, network: Graph) -> None:
    x = sample_inputs(network, 4)
    backend = Registry(BACKENDS).get(target)()
    windows = tuple(range(1, STEPS))
    plain = load_program(backend, network, STEPS).run(x, prefixes=windows)
    program = load_program(backend, late(network, START), STEPS)
    run = program.run(x, prefixes=windows)
    for t in range(1, START + 1):
        assert np.array_equal(run.stats["prefixes"][t], plain.stats["prefixes"][t])
    whole = (plain.output * np.float32(STEPS)).astype(np.float64)
    first = plain.stats["prefixes"][START].astype(np.float64) * START
    assert np.allclose(run.output, (whole - first) / (STEPS - START), atol=1e-5)
    alone = program.run(x, timesteps=START + 1)
    assert np.array_equal(alone.output, run.stats["prefixes"][START + 1])


def test_the_start_is_in_text_and_json_only_where_it_is_not_0(network: Graph) -> None:
    assert "start" not in to_text(network)
    assert all("start" not in node["fields"] for node in to_json(network)["nodes"])
    twin = late(network, START)
    assert f"start={START}" in to_text(twin)
    again = from_json(to_json(twin), twin.params)
    assert again.fingerprint() == twin.fingerprint() != network.fingerprint()


@pytest.mark.parametrize("start", [-1, 1 << 14])
def test_a_start_outside_any_window_is_refused(network: Graph, start: int) -> None:
    with pytest.raises(GraphError, match="reads from step"):
        verify(late(network, start))
