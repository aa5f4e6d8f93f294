"""Files of torch that would take long, or much memory, to read; and files that never end."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from snnc.errors import ModelError, SnncError
from snnc.frontends import load
from snnc.frontends.records import LARGEST_PICKLE
from snnc.frontends.unpickling import load_module
from snnc.frontends.weights import load_weights


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty current folder."""
    monkeypatch.chdir(tmp_path)


def layers() -> nn.Sequential:
    """(N, 8) -> (N, 5)"""
    return nn.Sequential(nn.Linear(8, 6), nn.ReLU(), nn.Linear(6, 5))


def rewritten(edit: Callable[[str, bytes], tuple[str, bytes]], method: int) -> None:
    """`evil.pt`: a saved network whose members are edited."""
    torch.save(layers(), "model.pt")
    with zipfile.ZipFile("model.pt") as old, zipfile.ZipFile("evil.pt", "w", method) as new:
        for member in old.namelist():
            name, data = edit(member, old.read(member))
            new.writestr(name, data)


def test_a_pickle_that_takes_too_long_is_not_read() -> None:
    def longer(name: str, data: bytes) -> tuple[str, bytes]:
        return name, b"\x80\x02" + b"N0" * LARGEST_PICKLE + data[2:] if "data.pkl" in name else data

    rewritten(longer, zipfile.ZIP_STORED)
    with pytest.raises(ModelError, match=f"at most {LARGEST_PICKLE} are read"):
        load_module("evil.pt", None, ())
    with pytest.raises(ModelError, match=f"at most {LARGEST_PICKLE} are read"):
        load_weights(layers(), Path("evil.pt"))


def test_members_that_expand_are_not_read() -> None:
    def zeros(name: str, data: bytes) -> tuple[str, bytes]:
        return name, bytes(1 << 22) if "/data/" in name else data

    rewritten(zeros, zipfile.ZIP_DEFLATED)
    with pytest.raises(ModelError, match="its members are larger than the file"):
        load_module("evil.pt", None, ())
    with pytest.raises(ModelError, match="its members are larger than the file"):
        load_weights(layers(), Path("evil.pt"))


def test_names_of_members_that_are_no_text() -> None:
    torch.save(layers(), "model.pt")
    data = Path("model.pt").read_bytes()
    directory = data.rindex(b"data.pkl")
    flags = data.rindex(b"PK\x01\x02", 0, directory) + 8
    utf8 = bytes([data[flags], data[flags + 1] | 8])
    changed = data[:flags] + utf8 + data[flags + 2 : directory] + b"\xff" + data[directory + 1 :]
    Path("evil.pt").write_bytes(changed)
    with pytest.raises(SnncError):
        load("evil.pt")


@pytest.mark.parametrize("read", [load, lambda file: load_weights(layers(), Path(file))])
def test_a_fifo_is_no_model_and_holds_no_weights(read: Callable[[str], Any]) -> None:
    os.mkfifo("model.pt")
    with pytest.raises(ModelError, match="not a regular file"):
        read("model.pt")
