"""What a frontend is: one kind of model file or reference, read into a graph."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from snnc.ir import Graph


Reference = Callable[[NDArray[np.float32]], tuple[NDArray[np.float32], ...]]
"""A model itself: a batch (N, *shape) in, one array (N, …) per output out; `x` is kept."""


class Frontend(Protocol):
    """A plugin of the group `snnc.frontends`; a class without arguments.

    Its docstring is what `snnc frontends NAME` shows.
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
        """The graph, at stage `ann`. Raises `UsageError`, `ModelError`, `UnsupportedError`.

        It is compared with the model: `snnc.frontends.check.check_same`.
        """
        ...

    def reference(self, reference: str, *, weights: Path | None, allow: Sequence[str]) -> Reference:
        """The model as its own framework runs it, which `snnc eval --compare` compares with.

        Raises `UsageError`, `ModelError`; so does the function it gives.
        """
        ...
