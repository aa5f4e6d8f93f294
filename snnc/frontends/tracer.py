"""An fx tracer that knows the shape of every tensor, and the user's line of every operation."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from types import FrameType, FunctionType
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx, nn

from snnc.errors import Loc, ModelError
from snnc.frontends.devices import moved, moves, speaks_of_devices
from snnc.frontends.torch_operations import is_known

TORCH_DIR = os.path.dirname(torch.__file__) + os.sep
OWN_DIR = os.path.dirname(__file__) + os.sep
VALUE = "value"
"""Key of `fx.Node.meta`: what the node computes of a batch of zeros."""

_SIZES = frozenset(
    {"size", "dim", "ndimension", "numel", "nelement", "stride", "element_size",
     "is_floating_point", "is_complex", "is_contiguous", "get_device"}
)  # fmt: skip
_ATTRIBUTES = frozenset(
    {"shape", "ndim", "dtype", "device", "layout", "itemsize", "nbytes", "requires_grad",
     "is_cuda", "is_sparse", "is_quantized", "is_leaf"}
)  # fmt: skip
_FUNCTIONS = frozenset({torch.numel, torch.is_floating_point, torch.is_complex})
_LAYERS = (nn.RNNBase, nn.RNNCellBase, nn.MultiheadAttention, nn.Transformer)


class LocTracer(fx.Tracer):
    """An fx tracer whose nodes know the user's line and module, as entries of their `meta`.

    `loc` is the line; `path` the user's module whose code calls the operation; `owner` the path of
    the layer of torch that is the operation, "" for a function.

    Args:
        name: what messages call the module.
        example: a batch of zeros that is computed along, so that shapes are numbers; None to
            trace without shapes, which the code of the module then must not ask for.
    """

    def __init__(self, name: str, example: Tensor | None) -> None:
        super().__init__()
        self._name, self._example = name, example
        self._paths: list[str] = [""]
        self._computing = False

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        """Modules of torch are leaves; the user's modules are traced through."""
        inherited = isinstance(m, _LAYERS) and type(m).forward.__module__.startswith("torch.")
        return inherited or is_known(m) or super().is_leaf_module(m, module_qualified_name)

    def call_module(self, m: nn.Module, forward: Any, args: Any, kwargs: Any) -> Any:
        """Record the path of the module while it is called."""
        if self._computing:
            return forward(*args, **kwargs)
        try:
            self._paths.append(self.path_of_module(m))
        except NameError:  # the code made it on the spot: nn.ReLU()(x)
            return forward(*args, **kwargs)
        try:
            return super().call_module(m, forward, args, kwargs)
        finally:
            self._paths.pop()

    def create_proxy(
        self, kind: str, target: Any, args: Any, kwargs: Any, *more: Any, **named: Any
    ) -> Any:
        """Trace through the user's functions, also those that `torch.fx.wrap` names."""
        if kind == "call_function" and _is_users_function(target):
            return target(*args, **kwargs)
        return super().create_proxy(kind, target, args, kwargs, *more, **named)

    def getattr(self, attr: str, attr_val: Any, parameter_proxy_cache: dict[str, Any]) -> Any:
        """A parameter as a proxy, unless a layer asks for its own to compute."""
        if self._computing:
            return attr_val
        return super().getattr(attr, attr_val, parameter_proxy_cache)

    def proxy(self, node: fx.Node) -> fx.Proxy:
        """A proxy that tells its shape."""
        return _Unshaped(node, self) if self._example is None else _Shaped(node, self)

    def create_arg(self, a: Any) -> Any:
        """Numbers of numpy as numbers of Python, and types of tensors by name."""
        if isinstance(a, type(torch.FloatTensor)):
            return f"torch.{a.__name__}"
        return super().create_arg(a.item() if isinstance(a, np.number | np.bool) else a)

    def create_node(self, *args: Any, **kwargs: Any) -> fx.Node:
        """Record the line of user code that created the node, and what it computes."""
        node = super().create_node(*args, **kwargs)
        file, line = _users_line(sys._getframe(1))
        owner = str(node.target) if node.op == "call_module" else ""
        node.meta["owner"], node.meta["path"] = owner, self._paths[-1]
        node.meta["loc"] = Loc(file, line, owner or self._paths[-1] or None)
        if self._example is not None and node.op != "output":
            node.meta[VALUE] = self._computed(node, self._example)
        return node

    def _computed(self, node: fx.Node, example: Tensor) -> Any:
        """The result of a node. Raises `ModelError` with the user's line if torch refuses."""
        if node.op == "placeholder":
            first = next(iter(node.graph.nodes)) is node
            return example.clone() if first else next(iter(node.args), None)
        args = fx.map_arg(node.args, lambda source: source.meta[VALUE])
        kwargs = fx.map_arg(node.kwargs, lambda source: source.meta[VALUE])
        if node.op == "call_method" and moves(str(node.target), args[1:], kwargs):
            raise moved(self._name, node.meta["loc"])
        self._computing = True
        try:
            return _result(node, self.root, args, kwargs)
        except Exception as error:  # torch raises various exceptions for shapes that do not fit
            if speaks_of_devices(error):
                raise moved(self._name, node.meta["loc"]) from error
            shown = ",".join(map(str, example.shape[1:]))
            text = str(error).strip().splitlines()
            first_line = text[0] if text else type(error).__name__
            raise ModelError(
                f"{self._name} does not take an input of shape {shown}: {node.meta['loc']}: "
                f"{first_line}",
                hint="give the shape of one sample, without the batch: --input-shape 3,32,32",
            ) from error
        finally:
            self._computing = False


class _Unshaped(fx.Proxy):
    """A proxy of a tensor whose shape is not known."""

    def __len__(self) -> int:
        self.size()
        return super().__len__()


class _Shaped(fx.Proxy):
    """A proxy of which everything that does not depend on values is known."""

    def __getattr__(self, k: str) -> Any:
        value = self.node.meta[VALUE]
        if isinstance(value, Tensor) and k in _ATTRIBUTES | _SIZES:
            return getattr(value, k)
        return super().__getattr__(k)

    def __len__(self) -> int:
        return len(self.node.meta[VALUE])

    def __iter__(self) -> Iterator[Any]:
        value = self.node.meta[VALUE]
        if isinstance(value, tuple | list):
            return (self.__getitem__(i) for i in range(len(value)))
        return super().__iter__()

    @classmethod
    def __torch_function__(
        cls, orig_method: Any, types: Any, args: Any = None, kwargs: Any = None
    ) -> Any:
        if orig_method in _FUNCTIONS and args:
            return orig_method(args[0].node.meta[VALUE])
        return super().__torch_function__(orig_method, types, args, kwargs)


def asks_shape(traced: fx.Graph) -> bool:
    """Whether code that was traced without shapes asks for one."""
    return any(
        (node.op == "call_method" and node.target in _SIZES)
        or (node.target is getattr and node.args[1] in _ATTRIBUTES)
        or node.target in _FUNCTIONS
        for node in traced.nodes
    )


def _result(node: fx.Node, root: nn.Module, args: Any, kwargs: Any) -> Any:
    if node.op == "get_attr":
        value: Any = root
        for part in str(node.target).split("."):
            value = getattr(value, part)
        return value
    if node.op == "call_module":
        return root.get_submodule(str(node.target))(*args, **kwargs)
    if node.op == "call_method":
        return getattr(args[0], str(node.target))(*args[1:], **kwargs)
    call: Any = node.target
    return call(*args, **kwargs)


def _is_users_function(target: Any) -> bool:
    """Whether a function is written in Python, and not torch's."""
    return isinstance(target, FunctionType) and not target.__code__.co_filename.startswith(
        TORCH_DIR
    )


def _users_line(frame: FrameType | None) -> tuple[str | None, int | None]:
    while frame is not None:
        file = frame.f_code.co_filename
        if frame.f_code is fx.Tracer.trace.__code__:
            return None, None  # torch called the module itself: nn.Sequential
        if not file.startswith((TORCH_DIR, OWN_DIR)):
            return shown_path(file), frame.f_lineno
        frame = frame.f_back
    return None, None


def shown_path(file: str) -> str:
    """The path relative to the current folder if it lies below it."""
    here = os.getcwd() + os.sep
    return file.removeprefix(here)
