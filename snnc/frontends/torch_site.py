"""What a converter of torch is given: one traced operation, and the graph to add to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor, nn

from snnc.frontends.importing import Constant, ImportSite, RefusedError, Value


class TensorConstants:
    """The tensors of a module as constants, one each, named by their state-dict keys.

    Tensors made by the module's code have no name.
    """

    def __init__(self, module: nn.Module) -> None:
        self._keys: dict[int, str] = {}
        for key, tensor in module.named_parameters(remove_duplicate=False):
            self._keys.setdefault(id(tensor), key)
        for key, tensor in module.named_buffers(remove_duplicate=False):
            self._keys.setdefault(id(tensor), key)
        self._found: dict[int, Constant] = {}
        self._kept: list[Tensor] = []  # so that an id is never used again

    def constant(self, tensor: Tensor) -> Constant:
        """The constant of a tensor: a float32 copy, in row-major order."""
        if id(tensor) not in self._found:
            array = tensor.detach().cpu().float().contiguous().numpy().copy()
            self._found[id(tensor)] = Constant(array, self._keys.get(id(tensor)))
            self._kept.append(tensor)
        return self._found[id(tensor)]


@dataclass(frozen=True)
class TorchSite(ImportSite):
    """One operation of the traced module.

    Attributes:
        tensors: the module's tensors as constants.
        shape: sample shape of its result; None when the result is no tensor with a batch axis.
        shapes: sample shapes of its results when there are several.
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
        """The same; None stays None."""
        return None if value is None else self.constant(value, what)


Result = Value | tuple[Value, ...]
Converter = Callable[..., Result]
"""Called with the site and then the arguments of the torch operation, under their torch names."""
