"""The protocol of targets that tell whether they round real values as the reference does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from snnc.ir import Graph


@runtime_checkable
class TellsExactness(Protocol):
    """A backend that computes graphs of real values with other roundings than `reference`."""

    def may_differ(self, graph: Graph) -> str:
        """Why spikes of this `snn` graph may differ from those of `reference`; "" if none does."""
        ...
