"""Makes the checkpoints, by running the libraries. `python save.py FOLDER`."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from without_kernels import import_torchvision

os.environ["HF_HUB_OFFLINE"] = "1"


if __name__ == "__main__":
    import_torchvision()
    import lightning_cases  # noqa: F401
    import other_cases  # noqa: F401
    import torch_cases  # noqa: F401
    import two_process_cases  # noqa: F401
    from cases import save_all

    sys.exit(save_all(Path(sys.argv[1]).resolve()) > 0)
