"""Shapes and constants of every traced node, observed with two batch sizes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn

from snnc.errors import ModelError

BATCHES = (2, 3)
"""Two batch sizes, both above 1, since torch broadcasts axes of length 1."""

_SIZE_METHODS = frozenset({"size", "dim", "ndimension", "numel", "nelement", "stride"})
_SIZE_ATTRIBUTES = frozenset({"shape", "ndim", "dtype", "device"})


@dataclass(frozen=True, slots=True)
class Seen:
    """The observed result of a node.

    Attributes:
        depends: it depends on the values of the input (not only on its shape).
        shape: sample shape of a tensor that depends on the input; None if the batch is not its
            first axis.
        shapes: sample shapes of a tuple of tensors that depend on the input.
        constant: the value of a node that does not depend on the input.
        varies: `constant` depends on the batch size.
    """

    depends: bool
    shape: tuple[int, ...] | None = None
    shapes: tuple[tuple[int, ...], ...] = ()
    constant: Any = None
    varies: bool = False


def observe(
    module: nn.Module, traced: fx.Graph, shape: tuple[int, ...], name: str
) -> dict[fx.Node, Seen]:
    """Run the traced operations on zeros. Raises `ModelError` if the input does not fit."""
    first, second = (_Recorder(module, traced, name, shape).record(n) for n in BATCHES)
    depends = _dependent(traced)
    return {node: _compare(first[node], second[node], depends[node]) for node in traced.nodes}


class _Recorder(fx.Interpreter):
    def __init__(
        self, module: nn.Module, traced: fx.Graph, name: str, shape: tuple[int, ...]
    ) -> None:
        # the graph is interpreted as it is: a GraphModule would write the names of members, which
        # a file may have given, into source that it runs
        super().__init__(module, garbage_collect_values=False, graph=traced)
        self.extra_traceback = False  # run_node reports the user's line
        self._name, self._shape = name, shape
        self._nodes: dict[str, fx.Node] = {node.name: node for node in traced.nodes}
        self._inputs = [node for node in traced.nodes if node.op == "placeholder"]
        self._results: dict[fx.Node, Any] = {}

    def record(self, batch: int) -> dict[fx.Node, Any]:
        """The result of every node for a batch of `batch` zero samples."""
        defaults = [n.args[0] if n.args else None for n in self._inputs[1:]]
        self.run(torch.zeros(batch, *self._shape), *defaults)
        return self._results

    def run_node(self, n: fx.Node) -> Any:
        """Run one node. Raises `ModelError` with the user's line if torch refuses."""
        original = self._nodes[n.name]
        try:
            result = super().run_node(n)
        except Exception as error:  # torch raises various exceptions for shapes that do not fit
            loc = original.meta.get("loc")
            shown = ",".join(map(str, self._shape))
            first = str(error).strip().splitlines()[0] if str(error).strip() else type(error)
            raise ModelError(
                f"{self._name} does not take an input of shape {shown}: {loc}: {first}",
                hint="give the shape of one sample, without the batch: --input-shape 3,32,32",
            ) from error
        self._results[original] = result
        return result


def _dependent(traced: fx.Graph) -> dict[fx.Node, bool]:
    depends: dict[fx.Node, bool] = {}
    inputs = [node for node in traced.nodes if node.op == "placeholder"][:1]
    for node in traced.nodes:
        asks_size = (node.op == "call_method" and node.target in _SIZE_METHODS) or (
            node.target is getattr and node.args[1] in _SIZE_ATTRIBUTES
        )
        sources = any(depends[source] for source in node.all_input_nodes)
        depends[node] = node in inputs or (sources and not asks_size)
    return depends


def _compare(first: Any, second: Any, depends: bool) -> Seen:
    if not depends:
        return Seen(False, constant=first, varies=not _same(first, second))
    if isinstance(first, Tensor) and isinstance(second, Tensor):
        return Seen(True, shape=_sample(first, second))
    if isinstance(first, tuple | list) and all(isinstance(t, Tensor) for t in first):
        shapes = [_sample(a, b) for a, b in zip(first, second, strict=False)]
        if len(first) == len(second) and None not in shapes:
            return Seen(True, shapes=tuple(s for s in shapes if s is not None))
    return Seen(True)


def _same(first: Any, second: Any) -> bool:
    if isinstance(first, Tensor) and isinstance(second, Tensor):
        return first.shape == second.shape and bool(torch.equal(first, second))
    return bool(first == second)


def _sample(first: Tensor, second: Tensor) -> tuple[int, ...] | None:
    shapes = tuple(first.shape), tuple(second.shape)
    if any(len(s) < 1 or s[0] != n for s, n in zip(shapes, BATCHES, strict=True)):
        return None
    return shapes[0][1:] if shapes[0][1:] == shapes[1][1:] else None
