"""Small NIR files, made with the `nir` package."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import nir
import pytest

Chain = Callable[..., Path]


@pytest.fixture
def chain(tmp_path: Path) -> Chain:
    """Write nodes one after the other, named `n0`, `n1`, …, with more edges and metadata."""

    def chain(
        *nodes: Any, more: Any = (), extra: Any = None, path: Path | None = None, **metadata: Any
    ) -> Path:
        names = [f"n{i}" for i in range(len(nodes))]
        edges = [*pairwise(names), *more]
        named = {**dict(zip(names, nodes, strict=True)), **(extra or {})}
        path = tmp_path / "net.nir" if path is None else path
        nir.write(path, nir.NIRGraph(named, edges, metadata=metadata, type_check=False))
        return path

    return chain
