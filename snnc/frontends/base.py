"""What a frontend is: one kind of model file or reference, read into a graph."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Protocol

if TYPE_CHECKING:
    from snnc.ir import Graph


class Frontend(Protocol):
    """A plugin of the group `snnc.frontends`; a class without arguments.

    Its docstring is what `snnc frontends NAME` shows. One that builds a torch module may also have
    `load_module(reference, *, weights, allow)`, which gives it: `snnc eval --compare` runs that.
    """

    name: ClassVar[str]

    def matches(self, reference: str) -> bool:
        """Whether this frontend reads what `reference` names; judged by content, not suffix."""
        ...

    def load(
        self,
        reference: str,
        *,
        weights: Path | None,
        input_shape: tuple[int, ...] | None,
        allow: Sequence[str],
    ) -> Graph:
        """The graph, at stage `ann`. Raises `UsageError`, `ModelError`, `UnsupportedError`."""
        ...
