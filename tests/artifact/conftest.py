"""One artifact, of a network of integers for a target with files of its own."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from snnc.artifact import write
from snnc.ir import Graph
from snnc.testing.builder import Style
from snnc.testing.graphs import build


@pytest.fixture
def sample() -> Graph:
    """The network."""
    return _sample()


@pytest.fixture(scope="session")
def files() -> Mapping[str, bytes]:
    """Of the target, by name."""
    return {"cpu/plan.json": b'{"kernels":[]}', "cpu/weights.bin": bytes(range(256)) * 3}


@pytest.fixture(scope="session")
def valid(files: Mapping[str, bytes], tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The bytes of the artifact."""
    path = tmp_path_factory.mktemp("valid") / "a.snnc"
    write(path, _sample(), files=files, target="cpu{threads=2}")
    return path.read_bytes()


@pytest.fixture
def path(valid: bytes, tmp_path: Path) -> Path:
    """The artifact, as `net.snnc`."""
    path = tmp_path / "net.snnc"
    path.write_bytes(valid)
    return path


def _sample() -> Graph:
    graph = build("plain", Style.QUANTIZED)
    graph.meta["timesteps"] = 8
    return graph
