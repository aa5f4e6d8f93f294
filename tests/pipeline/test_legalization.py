"""Legalisation: a target's own copy of a graph computes what the graph computes, or is refused."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import pytest

from snnc.analysis import SameFunction
from snnc.errors import GraphError, PluginError
from snnc.ir import Scale
from snnc.pipeline import legalized
from snnc.target import Backend
from snnc.testing import Style, build
from snnc.transform import PassContext

GRAPH = build("residual", Style.SNN)


@dataclass(frozen=True)
class Chip:
    """A target of which only the legalisation counts."""

    passes: str
    name = "chip"

    def legalize(self, graph: Any) -> str:
        return self.passes


def chip(passes: str) -> Backend:
    return cast(Backend, Chip(passes))


def test_a_rewrite_that_preserves_the_function_is_run_on_a_copy() -> None:
    before = GRAPH.fingerprint()
    found = legalized(GRAPH, chip("fold-scale"), PassContext(), SameFunction())
    assert found.pipeline == "fold-scale" and GRAPH.fingerprint() == before
    scales = [sum(isinstance(n.op, Scale) for n in each) for each in (GRAPH, found.graph)]
    assert scales[1] < scales[0]
    assert legalized(GRAPH, chip(""), PassContext()).graph.fingerprint() == before


@pytest.mark.parametrize("passes", ["quantize{bits=8}", "fold-scale,quantize"])
def test_a_pass_that_changes_values_is_refused(passes: str) -> None:
    with pytest.raises(PluginError, match="the target chip legalises with quantize") as caught:
        legalized(GRAPH, chip(passes), PassContext())
    assert "`quantizer`" in (caught.value.hint or "")


def test_a_pass_that_only_says_so_is_refused() -> None:
    with pytest.raises(GraphError, match="pass fold-scale: .*and does not: other spikes"):
        legalized(GRAPH, chip("fold-scale"), PassContext(), lambda before, after: "other spikes")
