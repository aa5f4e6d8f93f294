"""Import of torchvision without its compiled kernels.

torchvision from the package index is built for the torch of the package index; beside another
build of torch (for CPUs alone) its kernels cannot be loaded. Neither training libraries nor
networks that classify images call them: that their names exist is enough.
"""

from __future__ import annotations

import sys

import torch


def import_torchvision() -> None:
    """Import torchvision, so that later imports of it succeed."""
    try:
        import torchvision
    except RuntimeError:  # operator torchvision::nms does not exist
        for name in list(sys.modules):
            if name.partition(".")[0] == "torchvision":
                del sys.modules[name]
        for name in ("nms", "qnms"):
            if not hasattr(torch.ops.torchvision, name):
                schema = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
                torch.library.define(f"torchvision::{name}", schema)
        import torchvision  # noqa: F401
