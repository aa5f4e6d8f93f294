"""The frontend for models written in Python with torch."""

from __future__ import annotations

import gc
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from snnc.frontends.base import Reference
from snnc.frontends.loading import check_shape, code_reference

if TYPE_CHECKING:
    from snnc.ir import Graph


class FxFrontend:
    """A torch module from your own code: `net.py:factory` or `pkg.mod:factory`.

    The factory takes no arguments and returns the module (a class or a module will do). Weights
    come from `--weights`: safetensors, or a state dict that torch saved, alone or in a checkpoint
    (`last.pt#ema` where several fit). The module is traced with
    torch.fx in eval mode, so its code runs; `--input-shape` gives the shape of one sample, and is
    needed where the module fits several.
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
        check_shape(input_shape)
        from snnc.frontends.factory import load_graph

        graph = load_graph(reference, weights, input_shape)
        gc.collect()  # what traced the module refers to itself, and keeps its weights
        return graph

    def reference(
        self, reference: str, *, weights: Path | None = None, allow: Sequence[str] = ()
    ) -> Reference:
        """The module as a function of a batch. Raises `UsageError`, `ModelError`."""
        from snnc.frontends.factory import load_module
        from snnc.frontends.inference import as_function

        return as_function(load_module(reference, weights), reference)
