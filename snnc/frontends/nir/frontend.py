"""The frontend for NIR files."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from snnc.errors import ModelError, UsageError
from snnc.frontends.base import Reference
from snnc.frontends.loading import check_shape, is_hdf5

if TYPE_CHECKING:
    from snnc.ir import Graph


@dataclass(frozen=True, kw_only=True)
class NirFrontend:
    """A spiking network of snnTorch, Norse, SpikingJelly or sinabs, as a NIR file: `net.nir`.

    It spikes already, so no recipe is run. The file says neither how long a step is nor how neurons
    are reset, and each library reads its numbers in its own way. What is not told here is taken
    from the metadata of the file, else from the dialect. Needs `pip install 'snnc[nir]'`.

    dialect: whose equations are meant; the standard's own if neither this nor the file says it.
    dt: length of a step in the unit of the time constants (sinabs counts steps, and needs none).
    reset: a spike subtracts the threshold, or sets the potential to v_reset.
    """

    name: ClassVar[str] = "nir"
    dialect: Literal["spec", "snntorch", "norse", "spikingjelly", "sinabs"] | None = None
    dt: float | None = None
    reset: Literal["zero", "subtract"] | None = None

    def __post_init__(self) -> None:
        if self.dt is not None and not 0 < self.dt < math.inf:
            raise ValueError(f"dt={self.dt:g} is not a positive length of time")

    def matches(self, reference: str) -> bool:
        """True for a file of HDF5, the format of NIR files."""
        return is_hdf5(reference)

    def load(
        self,
        reference: str,
        *,
        weights: Path | None = None,
        input_shape: tuple[int, ...] | None = None,
        allow: Sequence[str] = (),
    ) -> Graph:
        """The graph, at stage `snn`. Raises `UsageError`, `ModelError`, `UnsupportedError`."""
        check_shape(input_shape)
        if weights is not None:
            raise UsageError(f"{reference} holds its weights", hint="leave --weights out")
        if importlib.util.find_spec("nir") is None:
            raise ModelError(
                f"{reference} is an HDF5 file, and the package nir, which reads it, is not "
                "installed",
                hint="pip install 'snnc[nir]'",
            )
        from snnc.frontends.nir.convention import convention_of
        from snnc.frontends.nir.reading import read
        from snnc.frontends.nir.walk import import_graph

        model = read(reference)
        how = convention_of(
            reference, model.metadata, dialect=self.dialect, dt=self.dt, reset=self.reset
        )
        return import_graph(model, how, input_shape)

    def reference(
        self, reference: str, *, weights: Path | None = None, allow: Sequence[str] = ()
    ) -> Reference:
        """Raises `ModelError`: a spiking network is not compared with an ANN."""
        raise ModelError(
            f"{reference} is a spiking network, not an ANN to compare with",
            hint="compare with the network it was converted from: --compare net.py:factory",
        )
