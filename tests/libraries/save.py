"""Makes the checkpoints, by running the libraries. `python save.py FOLDER`."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import torch

os.environ["HF_HUB_OFFLINE"] = "1"


def _without_kernels_of_torchvision() -> None:
    """torchvision, which timm needs, may have been built for another build of torch.

    Nothing here calls its kernels; their names are enough for it to be imported.
    """
    try:
        import torchvision  # noqa: F401
    except RuntimeError:
        for name in list(sys.modules):
            if name.partition(".")[0] == "torchvision":
                del sys.modules[name]
        for name in ("nms", "qnms"):
            if not hasattr(torch.ops.torchvision, name):
                schema = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
                torch.library.define(f"torchvision::{name}", schema)


if __name__ == "__main__":
    _without_kernels_of_torchvision()
    import lightning_cases  # noqa: F401
    import other_cases  # noqa: F401
    import torch_cases  # noqa: F401
    import two_process_cases  # noqa: F401
    from cases import save_all

    sys.exit(save_all(Path(sys.argv[1])) > 0)
