"""Files that torch.export saves, and changed copies of them."""

from __future__ import annotations

import json
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

Save = Callable[..., Path]
Change = Callable[..., Path]


class Net(nn.Module):
    """A small network with a shared ReLU, a constant and two names of one tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.bn, self.relu = nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.ReLU()
        self.fc, self.last = nn.Linear(64, 6), nn.Linear(6, 6)
        self.again = self.last.weight
        self.offset = torch.linspace(-1, 1, 4).reshape(4, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.bn(self.conv(x)) + self.offset)
        x = self.relu(self.fc(x.view(x.size(0), -1)))
        return F.linear(self.last(x), self.again)


def _save(module: nn.Module, path: Path, batch: int | None = None, decompose: bool = False) -> Path:
    """`module` saved by torch.export, for one size of batch or for any."""
    example = (torch.zeros(batch or 3, 2, 6, 6),)
    shapes = None if batch else ({0: torch.export.Dim("batch")},)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.export.export(module.eval(), example, dynamic_shapes=shapes)
        torch.export.save(program.run_decompositions() if decompose else program, path)
    return path


def _changed(
    source: Path,
    documents: dict[str, Callable[[Any], None]] | None = None,
    members: dict[str, bytes] | None = None,
    compression: int = zipfile.ZIP_STORED,
) -> Path:
    """A copy whose JSON members `documents` edit in place, and with other or more members."""
    path = source.with_name("changed.pt2")
    left = dict(members or {})
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(path, "w", compression) as new:
        for info in old.infolist():
            folder, _, name = info.filename.partition("/")
            content = left.pop(name, old.read(info))
            if name in (documents or {}):
                document = json.loads(content)
                (documents or {})[name](document)
                content = json.dumps(document).encode()
            new.writestr(info.filename, content)
        for name, content in left.items():
            new.writestr(f"{folder}/{name}", content)
    return path


@pytest.fixture(scope="session")
def net() -> Net:
    """In eval mode; samples are of shape (2, 6, 6)."""
    torch.manual_seed(3)
    net = Net()
    assert net.bn.running_mean is not None
    net.bn.running_mean.normal_()
    return net.eval()


@pytest.fixture
def save() -> Save:
    """`save(module, path, batch=None, decompose=False)`."""
    return _save


@pytest.fixture
def changed() -> Change:
    """`changed(source, documents=None, members=None)`."""
    return _changed
