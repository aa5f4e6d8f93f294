"""The frontend for models written in Python with torch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from snnc.errors import UsageError
from snnc.frontends.loading import code_reference

if TYPE_CHECKING:
    from snnc.ir import Graph

_EXAMPLE = "the shape of one sample, channels first: --input-shape 3,32,32"


class FxFrontend:
    """A torch module from your own code: `net.py:factory` or `pkg.mod:factory`.

    The factory takes no arguments and returns the module (a class or a module will do). Weights
    come from `--weights`: safetensors, or a state dict that torch saved. The module is traced with
    torch.fx in eval mode, so its code runs; `--input-shape` gives the shape of one sample.
    """

    name: ClassVar[str] = "fx"

    def matches(self, reference: str) -> bool:
        """True for `something:name`."""
        return code_reference(reference) is not None

    def load(
        self,
        reference: str,
        *,
        weights: Path | None = None,
        input_shape: tuple[int, ...] | None = None,
        allow: Sequence[str] = (),
    ) -> Graph:
        """The graph of the module. Raises `UsageError`, `ModelError`, `UnsupportedError`."""
        if input_shape is None:
            raise UsageError(
                f"{reference} does not tell its input; give --input-shape", hint=_EXAMPLE
            )
        if not input_shape or min(input_shape) < 1:
            shown = ",".join(map(str, input_shape))
            raise UsageError(f"--input-shape {shown} is not a shape", hint=_EXAMPLE)
        from snnc.frontends.factory import load_graph

        return load_graph(reference, weights, input_shape)
