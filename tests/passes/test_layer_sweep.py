"""A network run layer by layer gives what it gives as a whole."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import torch

from snnc.errors import PassError
from snnc.ir import AnyNeuron, EncodeDirect, Graph, Input, Stage, Stateful
from snnc.ir.op import Params, Types
from snnc.ir.types import TensorType
from snnc.testing.graphs import Case, sample_inputs, snn_cases
from snnc.training import FastInterpreter
from snnc_passes._sweep.layer_sweep import LayerSweep

T = 5


@pytest.mark.parametrize("case", snn_cases(), ids=str)
def test_every_layer_sees_what_it_sees_in_the_whole_network(case: Case) -> None:
    graph, x = case.graph, sample_inputs(case.graph, 70)
    sweep = LayerSweep(graph, x, T)
    wanted = FastInterpreter(graph).snn(x, T, keep="all").values
    with torch.no_grad():
        for layer in sweep.layers():
            steps = sweep.steps(layer)
            found = torch.cat([sweep.value(layer.source, rows) for rows in sweep.rows], 1)
            expected = wanted[layer.source]
            size = max(1.0, float(expected.abs().max()))
            torch.testing.assert_close(found, expected, rtol=0, atol=1e-5 * size)
            last = sweep.value(layer.source, sweep.rows[0], slice(steps - 1, steps))
            torch.testing.assert_close(last[0], expected[-1, :64], rtol=0, atol=1e-5 * size)
            if isinstance(layer.node.op, AnyNeuron):
                start, threshold = (
                    torch.from_numpy(np.array(graph.array(value), np.float32))
                    for value in (layer.node.op.v_init, layer.node.op.threshold)
                )
                parts = ((rows, expected[:, rows]) for rows in sweep.rows)
                sweep.fire(layer, threshold, start, parts)
                again = sweep.value(layer.node.name, slice(0, 70))
                assert torch.equal(again, wanted[layer.node.name]), layer.node.name


def test_steps_of_a_pool_one_by_one_and_out_of_order() -> None:
    """Rule S25 of docs/semantics.md: counts go on from the last step, or start anew."""
    (case,) = (case for case in snn_cases() if case.name == "pooled")
    x = sample_inputs(case.graph, 20)
    wanted = FastInterpreter(case.graph).snn(x, T, keep=["pool2"]).values["pool2"]
    sweep = LayerSweep(case.graph, x, T)
    with torch.no_grad():
        for layer in sweep.layers():
            if isinstance(layer.node.op, AnyNeuron):
                threshold, start = (
                    torch.from_numpy(np.array(case.graph.array(value), np.float32))
                    for value in (layer.node.op.threshold, layer.node.op.v_init)
                )
                currents = ((rows, sweep.value(layer.source, rows)) for rows in sweep.rows)
                sweep.fire(layer, threshold, start, currents)
                continue
            for t in (0, 1, 2, 3, 4, 1, 3):
                step = sweep.value("pool2", slice(0, 20), slice(t, t + 1))
                assert torch.equal(step[0], wanted[t]), t


@dataclass(frozen=True, kw_only=True)
class Filter(Stateful):
    """A state the sweep knows nothing of."""

    mnemonic = "filter-test"

    def infer(self, inputs: Types, params: Params) -> TensorType:
        return inputs[0]


def test_another_op_with_a_state_is_refused() -> None:
    graph = Graph(Stage.SNN)
    graph.add("x", Input(shape=(3,)))
    graph.add("enc", EncodeDirect(), ["x"])
    graph.add("low", Filter(), ["enc"])
    graph.outputs = ("low",)
    with pytest.raises(PassError, match=r"low \(filter-test\).* has a state"):
        LayerSweep(graph, np.zeros((2, 3), np.float32), T)
