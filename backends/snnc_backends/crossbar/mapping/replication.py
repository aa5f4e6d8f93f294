"""Copies of layers, so that a pipeline of layers is as fast as the tiles of a chip allow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Stage:
    """A layer of the pipeline.

    Attributes:
        layer: its node.
        windows: output positions; copies share them evenly.
        reads: reads of a tile for one window in an inference: phases times steps.
        tiles: of one copy.
    """

    layer: str
    windows: int
    reads: int
    tiles: int

    def copies(self, period: int) -> int:
        """Fewest copies of which none is read more than `period` times in an inference."""
        return -(-self.windows // (period // self.reads))

    def period(self, copies: int) -> int:
        """Reads of a tile of the busiest copy in an inference."""
        return -(-self.windows // copies) * self.reads


def balanced(stages: Sequence[Stage], budget: int) -> Mapping[str, int]:
    """Copies of every layer that give the shortest period within a budget of tiles.

    The period is the reads of the busiest tile in an inference. The tiles that a period needs do
    not grow with it, so bisection finds the smallest one that fits: the optimum.

    Args:
        budget: at least the tiles of one copy of every layer.
    """

    def tiles(period: int) -> int:
        return sum(stage.copies(period) * stage.tiles for stage in stages)

    low = max((stage.reads for stage in stages), default=1)
    high = max((stage.period(1) for stage in stages), default=1)
    while low < high:
        middle = (low + high) // 2
        if tiles(middle) <= budget:
            high = middle
        else:
            low = middle + 1
    return {stage.layer: stage.copies(high) for stage in stages}
