"""A file of models in Python."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

NET = """
    import torch
    from torch import nn

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.a = nn.Linear(4, 3)
            self.bn = nn.BatchNorm1d(3)
        def forward(self, x):
            return self.bn(self.a(x)).relu()

    def build():
        torch.manual_seed(0)
        return Net()

    class Family:
        small = build

    ready = build()
    number = 3
    def options(width): return Net()
    def wrong(): return 7
    def fails(): raise RuntimeError("no such layer")
    def leaves(): raise SystemExit(3)
    def gelu(): return nn.Sequential(nn.Linear(4, 3), nn.GELU())
"""


@pytest.fixture
def net(tmp_path: Path) -> Path:
    path = tmp_path / "net.py"
    path.write_text(textwrap.dedent(NET))
    return path
