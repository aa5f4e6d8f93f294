"""What a pass needs of its context."""

from __future__ import annotations

from snnc.errors import PassError
from snnc.ir import Graph
from snnc.transform import Batches, PassContext


def ann_and_calibration(ctx: PassContext) -> tuple[Graph, Batches]:
    """The last graph of stage `ann` and the calibration data. Raises `PassError` without both."""
    if ctx.ann is None or ctx.calibration is None:
        raise PassError("needs the network before activations-to-neurons, and calibration data")
    return ctx.ann, ctx.calibration
