"""The frontend for modules saved whole: `torch.save(model, "model.pt")`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from snnc.frontends.base import Reference
from snnc.frontends.loading import check_shape, is_pickled_module

if TYPE_CHECKING:
    from snnc.ir import Graph


class PickledFrontend:
    """A file that `torch.save(model, path)` wrote: `model.pt`.

    The file is read as data and the module built afresh from listed classes: torch's own layers,
    and those of yours that `--allow m.Net` names; they are imported from the current folder or from
    what is installed. Nothing else the file names is imported, built or run. Allow what you trust:
    the code of those classes runs.
    `--input-shape` gives the shape of one sample, and is needed where the module fits several.
    """

    name: ClassVar[str] = "pickled"

    def matches(self, reference: str) -> bool:
        """True for a file torch saved that holds more than tensors."""
        return is_pickled_module(reference)

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
        from snnc.frontends.unpickling import load_graph

        return load_graph(reference, weights, input_shape, allow)

    def reference(
        self, reference: str, *, weights: Path | None = None, allow: Sequence[str] = ()
    ) -> Reference:
        """The module as a function of a batch. Raises `UsageError`, `ModelError`."""
        from snnc.frontends.inference import as_function
        from snnc.frontends.unpickling import load_module

        return as_function(load_module(reference, weights, allow), reference)
