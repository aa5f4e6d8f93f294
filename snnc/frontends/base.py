"""Protocol of frontends, which read one kind of model into a graph."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from snnc.ir import Graph


Reference = Callable[[NDArray[np.float32]], tuple[NDArray[np.float32], ...]]
"""The model as function of a batch (N, *shape), which it keeps; one array (N, …) per output."""


class Frontend(Protocol):
    """A plugin of the group `snnc.frontends`; a class that needs no arguments.

    The fields of a dataclass are its options, given by `--frontend 'name{option=value}'`.
    `snnc frontends NAME` shows its docstring and its options.
    """

    name: ClassVar[str]

    def matches(self, reference: str) -> bool:
        """Whether this frontend reads what `reference` names, by content, not by suffix."""
        ...

    def load(
        self,
        reference: str,
        *,
        weights: Path | None,
        input_shape: tuple[int, ...] | None,
        allow: Sequence[str],
    ) -> Graph:
        """The graph: at stage `ann`, checked against the model by `check.check_same`.

        A model that spikes already arrives at stage `snn`; no recipe is run on it then.

        Raises `UsageError`, `ModelError`, `UnsupportedError`.
        """
        ...

    def reference(self, reference: str, *, weights: Path | None, allow: Sequence[str]) -> Reference:
        """The model as its own framework runs it, for `snnc eval --compare`.

        Raises `UsageError`, `ModelError`; so does the returned function.
        """
        ...
