"""`dequantize`: from integers to real values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from snnc.errors import GraphError, PassError
from snnc.ir import Graph
from snnc.ir.dequantize import dequantize
from snnc.transform import Pass, PassContext, PassResult


@dataclass(frozen=True, kw_only=True)
class Dequantize(Pass):
    """Replace the integers of a quantised network by the real values they represent, in float64.

    Weights, biases, thresholds and initial potentials differ from those before `quantize` by the
    rounding error at most; the input stays encoded as integers. A network of integers can thus be
    trained, attacked or exported.
    """

    name: ClassVar[str] = "dequantize"
    gives_integers: ClassVar[bool | None] = False

    def run(self, graph: Graph, ctx: PassContext) -> PassResult:
        """Raises `PassError` for a graph of real values."""
        try:
            return PassResult(dequantize(graph))
        except GraphError as error:
            raise PassError(error.message, hint="dequantize is for a quantised graph") from None
