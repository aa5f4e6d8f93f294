"""Inference of the sample shape from the module, where it is unique."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.utils._python_dispatch import TorchDispatchMode

from snnc.errors import UnknownShapeError
from snnc.frontends.inference import inference
from snnc.frontends.tracer import asks_shape
from snnc.frontends.tracing import trace_as_far

LOG = logging.getLogger("snnc.frontends")
LIMIT = 256
"""Largest side of an image, or length of a sequence, that is tried."""

_BATCH = 2
_WINDOWS = {"aten.convolution": 3, "aten.max_pool2d_with_indices": 2, "aten.avg_pool2d": 2}
"""Index of the stride argument of strided operations; without one, a pool's is its kernel."""


@dataclass(frozen=True, slots=True)
class _First:
    """The first layer with weights: its input's features or channels, and its spatial rank."""

    channels: int
    rank: int


def infer_shape(module: nn.Module, name: str) -> tuple[int, ...]:
    """The sample shape, channels first, that `module` takes.

    A linear layer at the front gives the number of features. A convolution gives the channels; the
    module is then run with every square size up to `LIMIT`, and those that fit its first linear
    layer remain. If several fit (pooling drops remainders), the size is taken at which every
    stride divides the size of its input.

    Args:
        module: not modified; it is run on meta tensors, which have shapes but no values.
        name: what messages call it.

    Raises:
        UnknownShapeError: no shape fits, or more than one; names the flag to add.
        UnsupportedError: the module cannot be traced.
    """
    with inference(module) as prepared, torch.no_grad():
        traced, failure = trace_as_far(prepared, name, None)
        asks = asks_shape(traced)
        first = _first_layer(prepared, traced)
        if failure is not None and not asks and first is None:
            raise failure
        if first is None and failure is not None:
            raise UnknownShapeError(
                f"{name}: its code asks for the shape of its input; give --input-shape"
            )
        if first is None:
            raise UnknownShapeError(
                f"{name}: no layer tells the shape of its input; give --input-shape"
            )
        probe, find = _Probe(prepared), _size if first.rank else _features
        try:
            return find(probe, first, name)
        except UnknownShapeError:
            if failure is None or asks:
                raise
            raise failure from failure.__cause__


def _features(probe: _Probe, first: _First, name: str) -> tuple[int, ...]:
    shape = (first.channels,)
    if probe.remainders(shape) is None:
        raise UnknownShapeError(
            f"{name} does not take {first.channels} features as they are; give --input-shape"
        )
    return _logged(shape, name, "the features of the first layer")


def _logged(shape: tuple[int, ...], name: str, why: str) -> tuple[int, ...]:
    shown = ",".join(map(str, shape))
    LOG.warning("%s: input shape %s inferred, %s (--input-shape gives another)", name, shown, why)
    return shape


def _size(probe: _Probe, first: _First, name: str) -> tuple[int, ...]:
    fitting: list[tuple[int, ...]] = []
    even: list[tuple[int, ...]] = []
    for size in range(1, LIMIT + 1):
        shape = (first.channels, *(size,) * first.rank)
        remainders = probe.remainders(shape)
        if remainders is None and fitting:
            break  # the features only grow with the size
        if remainders is not None:
            fitting.append(shape)
            even += [] if remainders else [shape]
        if len(even) > 1:
            break
    if len(fitting) != 1 and len(even) != 1:
        raise _undecided(even or fitting, first, name)
    if len(fitting) == 1:
        return _logged(fitting[0], name, "the only one that fits")
    sizes = f"{fitting[0][-1]} to {fitting[-1][-1]}"
    return _logged(even[0], name, f"sizes {sizes} fit, pooling drops no pixel of this one")


def _undecided(shapes: list[tuple[int, ...]], first: _First, name: str) -> UnknownShapeError:
    sizes = (first.channels, *(None,) * first.rank)
    if not shapes:
        text = f"{name}: no square input of up to {LIMIT} fits; give --input-shape"
        return UnknownShapeError(text, sizes)
    shown = " and ".join(",".join(map(str, shape)) for shape in shapes[:2])
    text = f"{name} takes inputs of several sizes, e.g. {shown}; give --input-shape"
    return UnknownShapeError(text, sizes)


def _first_layer(module: nn.Module, traced: fx.Graph) -> _First | None:
    """The first layer with weights that depends on the input."""
    reached: set[fx.Node] = set()
    for node in traced.nodes:
        if node.op == "placeholder" and not reached:
            reached.add(node)
        elif reached.intersection(node.all_input_nodes):
            reached.add(node)
            first = _layer(module, node)
            if first is not None:
                return first
    return None


def _layer(module: nn.Module, node: fx.Node) -> _First | None:
    if node.op == "call_module":
        layer: Any = module.get_submodule(str(node.target))
        weight, groups = getattr(layer, "weight", None), getattr(layer, "groups", 1)
        weighted = isinstance(layer, nn.Linear | nn.Conv1d | nn.Conv2d | nn.Conv3d)
        return _of_weight(weight, groups) if weighted else None
    if node.op != "call_function" or len(node.args) < 2:
        return None
    called = getattr(node.target, "__name__", "")
    source = node.args[1]
    if called not in ("linear", "conv1d", "conv2d") or not isinstance(source, fx.Node):
        return None
    if source.op != "get_attr":
        return None
    owner, _, attribute = str(source.target).rpartition(".")
    groups = node.kwargs.get("groups", node.args[6] if len(node.args) > 6 else 1)
    return _of_weight(getattr(module.get_submodule(owner), attribute), groups)


def _of_weight(weight: Any, groups: Any) -> _First | None:
    if not isinstance(weight, Tensor) or weight.ndim < 2 or not isinstance(groups, int):
        return None
    return _First(int(weight.shape[1]) * groups, weight.ndim - 2)


class _Probe:
    """Runs a module on meta tensors: shapes without values."""

    def __init__(self, module: nn.Module) -> None:
        self._module = module
        self._state = {name: tensor.to("meta") for name, tensor in _tensors(module)}

    def remainders(self, shape: tuple[int, ...]) -> bool | None:
        """Whether a stride leaves a remainder; None if the module does not run on `shape`."""
        x = torch.zeros(_BATCH, *shape, device="meta")
        try:
            result = self._run(x)
        except Exception:  # torch raises various exceptions for shapes that do not fit
            return None
        outputs = result if isinstance(result, tuple | list) else [result]
        if not all(isinstance(y, Tensor) and y.ndim and len(y) == _BATCH for y in outputs):
            return None
        with _Strides() as strides:
            self._run(x)
        return strides.remainder

    def _run(self, x: Tensor) -> Any:
        with torch.device("meta"):  # for the tensors that the code makes
            return torch.func.functional_call(self._module, self._state, (x,))


class _Strides(TorchDispatchMode):
    """Records whether the stride of any operation leaves a remainder."""

    def __init__(self) -> None:
        super().__init__()
        self.remainder = False

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        place = _WINDOWS.get(str(func.overloadpacket))
        if place is not None:
            stride = args[place] if len(args) > place and args[place] else args[1]
            sizes = args[0].shape[-len(stride) :]
            self.remainder |= any(n % s for n, s in zip(sizes, stride, strict=True))
        return func(*args, **(kwargs or {}))


def _tensors(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    yield from module.named_parameters(remove_duplicate=False)
    yield from module.named_buffers(remove_duplicate=False)
