"""Arguments of the torch converters: one traced operation, and the graph to add to."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from snnc.frontends.importing import Constant, ImportSite, RefusedError, Value


class TensorConstants:
    """The tensors of a model as constants, one per tensor.

    Args:
        named: the tensors that have names, by key of the state dict; of several names of one
            tensor the first is taken. What the code of the model makes has no name.
    """

    def __init__(self, named: Mapping[str, Tensor]) -> None:
        self._keys: dict[object, str] = {}
        for key, tensor in named.items():
            self._keys.setdefault(_elements(tensor), key)
        self._constants: dict[object, Constant] = {}
        self._tensors: list[Tensor] = []  # keeps them alive, so that no memory is reused

    def constant(self, tensor: Tensor) -> Constant:
        """The constant of a tensor: a read-only copy in float32, in row-major order."""
        elements = _elements(tensor)
        if elements not in self._constants:
            array = tensor.detach().cpu().float().contiguous().numpy().copy()
            array.flags.writeable = False  # so that the graph need not copy it once more
            self._constants[elements] = Constant(array, self._keys.get(elements))
            self._tensors.append(tensor)
        return self._constants[elements]


def _elements(tensor: Tensor) -> object:
    """Where the elements of a tensor lie: the same for a tensor and one that shares all of it."""
    return tensor.data_ptr() or id(tensor), tuple(tensor.shape), tensor.stride(), tensor.dtype


@dataclass(frozen=True)
class TorchSite(ImportSite):
    """One operation of the traced module.

    Attributes:
        tensors: the module's tensors as constants.
        shape: sample shape of its result; None if the result is not a tensor with a batch axis.
        shapes: sample shapes of its results if there are several.
    """

    tensors: TensorConstants
    shape: tuple[int, ...] | None
    shapes: tuple[tuple[int, ...], ...] = ()

    @property
    def result(self) -> tuple[int, ...]:
        """`shape`, of an operation whose result keeps the batch axis. Raises `RefusedError`."""
        if self.shape is None:
            raise RefusedError(
                "its result does not keep the batch as its first axis, or depends on its size",
                "keep x.size(0) as the first axis",
            )
        return self.shape

    def constant(self, value: object, what: str) -> Constant:
        """A tensor of the module. Raises `RefusedError` for what depends on the input."""
        if isinstance(value, Tensor):
            return self.tensors.constant(value)
        raise RefusedError(f"its {what} depends on the input", "use a parameter of the module")

    def optional_constant(self, value: object, what: str) -> Constant | None:
        """`constant`, but None for None."""
        return None if value is None else self.constant(value, what)


Result = Value | tuple[Value | None, ...]
"""What an operation gives; None for indices, which cannot be computed."""
Converter = Callable[..., Result]
"""Called with the site and then the arguments of the torch operation, under their torch names."""

ModuleConverter = Callable[..., Result]
"""Called with the site, the module and the arguments of its forward."""
Converters = Mapping[Any, Converter]
"""By torch function, or by name of a method of a tensor."""
ModuleConverters = Mapping[type[nn.Module], ModuleConverter]


def converters(*groups: tuple[Converter, tuple[Any, ...]]) -> Converters:
    """A table from (converter, all that it converts)."""
    return {target: convert for convert, targets in groups for target in targets}


def without_module(convert: Converter) -> ModuleConverter:
    """The converter of a module that has no options, from that of the function it calls."""
    return lambda site, module, input: convert(site, input)


def all_equal(value: Any, number: float) -> bool:
    """Whether `value`, a number or a tensor, is `number` everywhere."""
    if isinstance(value, Tensor):
        return bool((value == number).all())
    return isinstance(value, int | float) and value == number
