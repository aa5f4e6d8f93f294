"""The pass contract accepts a correct pass and detects every fault."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import pytest

from snnc.errors import GraphError, PassError
from snnc.ir import Conv, Graph, Ref, Stage
from snnc.testing import assert_pass_contract
from snnc.transform import Pass, PassContext, PassResult

Fault = Literal["none", "random", "in-place", "crash", "invalid", "refuses"]


@dataclass(frozen=True, kw_only=True)
class Halve(Pass):
    """Halve the weights of every convolution, with the fault that is set."""

    name = "halve"
    takes = Stage.ANN
    gives = Stage.ANN
    fault: Fault = "none"

    def run(self, graph: Graph, ctx: PassContext) -> PassResult:
        if self.fault == "refuses":
            raise PassError("not this one")
        if self.fault == "crash":
            raise ZeroDivisionError("oops")
        for node in graph:
            if isinstance(node.op, Conv):
                self.halve(graph, node.name, node.op)
        return PassResult(graph)

    def halve(self, graph: Graph, name: str, op: Conv) -> None:
        weight = graph.params[op.weight.name]
        if self.fault == "in-place":
            weight.setflags(write=True)
            weight *= 0.5
            return
        factor = np.random.default_rng().random() if self.fault == "random" else 0.5
        if self.fault == "invalid":
            graph.replace_op(name, replace(op, weight=Ref("nowhere")))
            return
        graph.set_param(op.weight.name, weight * np.float32(factor))


def test_a_correct_pass_is_accepted() -> None:
    assert_pass_contract(Halve())


@pytest.mark.parametrize(
    ("fault", "error", "message"),
    [
        ("random", AssertionError, "different graphs for one seed"),
        ("in-place", (AssertionError, ValueError), "changes the graph|cannot set WRITEABLE|cannot"),
        ("crash", ZeroDivisionError, "oops"),
        ("invalid", GraphError, "nowhere"),
        ("refuses", AssertionError, "refuses every graph"),
    ],
)
def test_every_fault_is_detected(
    fault: Fault, error: type[Exception] | tuple[type[Exception], ...], message: str
) -> None:
    with pytest.raises(error, match=message):
        assert_pass_contract(Halve(fault=fault))
