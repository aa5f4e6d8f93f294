"""Shapes and constants of every traced node, observed with two batch sizes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, fx, nn

from snnc.errors import Diagnostic, Loc, UnsupportedError
from snnc.frontends.tracer import VALUE

BATCHES = (2, 3)
"""Two batch sizes, both above 1, since torch broadcasts axes of length 1."""

_ATEN = torch.ops.aten
_OF_SHAPE_ALONE = frozenset(
    {torch.zeros_like, torch.ones_like, torch.full_like, _ATEN.zeros_like.default,
     _ATEN.ones_like.default, _ATEN.full_like.default, _ATEN.new_zeros.default,
     _ATEN.new_ones.default, _ATEN.new_full.default, _ATEN.sym_size.int}
)  # fmt: skip
_METHODS_OF_SHAPE_ALONE = frozenset({"new_zeros", "new_ones", "new_full", "new_tensor"})


@dataclass(frozen=True, slots=True)
class BatchSize:
    """A number that depends on the batch size; only shapes may use it."""

    value: Any

    def __str__(self) -> str:
        return "(the size of the batch)"


@dataclass(frozen=True, slots=True)
class Seen:
    """The observed result of a node.

    Attributes:
        depends: it depends on the values of the input (not only on its shape).
        shape: sample shape of a tensor that depends on the input; None if the batch is not its
            first axis.
        shapes: sample shapes of a tuple of tensors that depend on the input.
        constant: the value of a node that does not depend on the input; of a tensor that repeats
            one sample over the batch, that sample as a batch of one.
        varies: `constant` depends on the batch size.
        args, kwargs: arguments of the node, with `BatchSize` where the batch size changes them.
    """

    depends: bool
    shape: tuple[int, ...] | None = None
    shapes: tuple[tuple[int, ...], ...] = ()
    constant: Any = None
    varies: bool = False
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True)
class Traced:
    """The operations of a model.

    Attributes:
        graph: as torch.fx traces them. An operation of `call_module` is a part of `module`.
        seen: what every node of `graph` gives.
        tensors: the parameters and buffers, by key of the state dict.
    """

    graph: fx.Graph
    seen: dict[fx.Node, Seen]
    tensors: dict[str, Tensor]
    module: nn.Module = field(default_factory=nn.Module)


def named_tensors(module: nn.Module) -> dict[str, Tensor]:
    """The parameters and buffers of a module under all of their names."""
    parameters = module.named_parameters(remove_duplicate=False)
    return dict([*parameters, *module.named_buffers(remove_duplicate=False)])


def observe(
    first: fx.Graph, second: fx.Graph, name: str, batches: tuple[int, int] = BATCHES
) -> dict[fx.Node, Seen]:
    """What the nodes of `first` give, traced with two batch sizes.

    Raises `UnsupportedError` if the operations differ, as the code then asks for the batch size.
    """
    depends = dependent(first)
    seen: dict[fx.Node, Seen] = {}
    nodes, others = list(first.nodes), list(second.nodes)
    for node, other in zip(nodes, others, strict=False):
        if (node.op, str(node.target)) != (other.op, str(other.target)):
            raise _depends_on_batch(node, name)
        args, kwargs = _common(node.args, other.args), _common(node.kwargs, other.kwargs)
        values = node.meta.get(VALUE), other.meta.get(VALUE)
        seen[node] = _compare(*values, batches, depends[node], args, kwargs)
    if len(nodes) != len(others):
        raise _depends_on_batch(min(nodes, others, key=len)[-1], name)
    return seen


def _depends_on_batch(node: fx.Node, name: str) -> UnsupportedError:
    loc = node.meta.get("loc") or Loc()
    reason = "its operations depend on the size of the batch"
    remedy = "treat every sample alike, however many there are"
    return UnsupportedError(
        f"{name} cannot be traced\n  {loc}: {reason}",
        hint=remedy,
        problems=[Diagnostic("forward", name, loc, reason, remedy)],
    )


def dependent(traced: fx.Graph) -> dict[fx.Node, bool]:
    """Per node: whether its result depends on the values of the input."""
    depends: dict[fx.Node, bool] = {}
    inputs = [node for node in traced.nodes if node.op == "placeholder"][:1]
    for node in traced.nodes:
        of_shape = node.target in _OF_SHAPE_ALONE or (
            node.op == "call_method" and node.target in _METHODS_OF_SHAPE_ALONE
        )
        sources = any(depends[source] for source in node.all_input_nodes)
        depends[node] = node in inputs or (sources and not of_shape)
    return depends


def _common(first: Any, second: Any) -> Any:
    """An argument of both traces; a number that differs as `BatchSize`."""
    if isinstance(first, fx.Node):
        return first
    if isinstance(first, tuple | list):
        if len(first) != len(second):
            return BatchSize(first)
        both = zip(first, second, strict=True)
        return type(first)([_common(a, b) for a, b in both])
    if isinstance(first, dict):
        return {key: _common(value, second.get(key)) for key, value in first.items()}
    if isinstance(first, slice):
        parts = ((getattr(s, part) for s in (first, second)) for part in ("start", "stop", "step"))
        return slice(*(_common(*pair) for pair in parts))
    return first if first is second or first == second else BatchSize(first)


def _compare(
    first: Any,
    second: Any,
    batches: tuple[int, int],
    depends: bool,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> Seen:
    if not depends:
        constant, varies = _constant(first, second, batches)
        return Seen(False, constant=constant, varies=varies, args=args, kwargs=kwargs)
    shape, shapes = None, ()
    if isinstance(first, Tensor) and isinstance(second, Tensor):
        shape = _sample(first, second, batches)
    elif isinstance(first, tuple | list) and all(isinstance(t, Tensor) for t in first):
        found = [_sample(a, b, batches) for a, b in zip(first, second, strict=False)]
        if len(first) == len(second) and None not in found:
            shapes = tuple(s for s in found if s is not None)
    return Seen(True, shape=shape, shapes=shapes, args=args, kwargs=kwargs)


def _constant(first: Any, second: Any, batches: tuple[int, int]) -> tuple[Any, bool]:
    """A constant, and whether it depends on the batch size."""
    if not (isinstance(first, Tensor) and isinstance(second, Tensor)):
        return first, not bool(first == second)
    if first.shape == second.shape:
        return first, not torch.equal(first, second)
    repeats = _sample(first, second, batches) is not None and torch.equal(
        second, first[:1].expand(second.shape)
    )
    return (first[:1], False) if repeats else (first, True)


def _sample(first: Tensor, second: Tensor, batches: tuple[int, int]) -> tuple[int, ...] | None:
    shapes = tuple(first.shape), tuple(second.shape)
    if any(len(s) < 1 or s[0] != n for s, n in zip(shapes, batches, strict=True)):
        return None
    return shapes[0][1:] if shapes[0][1:] == shapes[1][1:] else None
