"""The interpreter in float32 with gradients, used by calibration and training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from snnc.interp import CountPool, Interpreter, Population, Run, evaluate
from snnc.interp.ops import meaning_of
from snnc.ir import Encode, Graph, Node, Op
from snnc.training.count_pool import count_maxima
from snnc.training.encoder_gradient import with_gradient
from snnc.training.fast_ops import FAST, WITH_LEADING_AXES
from snnc.training.scan import scan
from snnc.training.surrogate import AnySurrogate


class FastInterpreter(Interpreter):
    """Computes what `Interpreter` does, up to the rounding of float32 sums, and faster.

    Ops use torch's own layers where they exist; a population is one scan, compiled to machine code
    where supported. Gradients pass through encoders and, with a surrogate, through spikes. In
    float64, ops without state are computed exactly as by `Interpreter`.

    Args:
        graph: any stage; later edits of its structure are not seen.
        dtype: None for float32, or for float64 if the graph holds integers.
        device, params: see `Interpreter`.
        surrogate: surrogate gradient of a spike; None for spikes without gradient.
    """

    def __init__(
        self,
        graph: Graph,
        dtype: torch.dtype | None = None,
        device: str | torch.device = "cpu",
        params: Mapping[str, Tensor] | None = None,
        *,
        surrogate: AnySurrogate | None = None,
    ) -> None:
        own = torch.float64 if graph.quantized else torch.float32
        super().__init__(graph, dtype or own, device, params)
        self.surrogate = surrogate

    def stateless(self, op: Op, inputs: Sequence[Tensor], rank: int) -> Tensor:
        """See `Interpreter.stateless`."""
        if inputs[0].dtype == torch.float64:
            return super().stateless(op, inputs, rank)
        if type(op) in WITH_LEADING_AXES:
            return WITH_LEADING_AXES[type(op)](op, inputs, rank)
        fast = meaning_of(op, FAST)
        if fast is None:
            return super().stateless(op, inputs, rank)
        return evaluate(op, inputs, rank, self.constant, fast)

    def stateful(self, node: Node, x: Tensor, run: Run) -> Tensor:
        """See `Interpreter.stateful`; with a surrogate, spikes are differentiable."""
        state = self.state(node)
        if isinstance(state, CountPool) and not state.constant:
            return count_maxima(state.op.windows, x)
        if not isinstance(state, Population):
            return super().stateful(node, x, run)
        return scan(state, x, run.timesteps, self.surrogate_of(node))

    def surrogate_of(self, node: Node) -> AnySurrogate | None:
        """The surrogate gradient of a population's spikes."""
        return self.surrogate

    def encode(self, node: Node, op: Encode, x: Tensor, run: Run) -> Tensor:
        """See `Interpreter.encode`; with a gradient, see `with_gradient`."""
        value = super().encode(node, op, x, run)
        code = op.code()
        return value if code is None or not x.requires_grad else with_gradient(code, x, value)
