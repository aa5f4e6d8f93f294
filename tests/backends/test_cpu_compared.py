"""An artifact whose graph was compared with its plan before is loaded without its graph."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import snnc
from snnc.artifact import ArtifactFile, open_artifact, write
from snnc.errors import ArtifactError
from snnc.transform import PassContext
from snnc_backends.cpu import CpuBackend

X = np.random.default_rng(0).random((2, 2, 5, 5), dtype=np.float32)
PLAN = "cpu/plan.json"


@pytest.fixture
def compiled(small, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An artifact, and a home folder without a cache."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    graph, path = small(), tmp_path / "net.snnc"
    graph.meta["timesteps"] = 4
    files = CpuBackend().lower(graph, PassContext(timesteps=4))
    write(path, graph, target="cpu{threads=1}", files=files)
    return path


@pytest.fixture
def graphs_read(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files whose graphs were read."""
    read, own = list[Path](), ArtifactFile.graph

    def graph(artifact: ArtifactFile) -> Any:
        read.append(artifact.path)
        return own(artifact)

    monkeypatch.setattr(ArtifactFile, "graph", graph)
    return read


def changed(path: Path, name: str, edit: Callable[[bytes], bytes]) -> Path:
    """A copy with one member edited, and right checksums."""
    with zipfile.ZipFile(path) as archive:
        members = {each: archive.read(each) for each in archive.namelist()}
    members[name] = edit(members[name])
    manifest = json.loads(members["manifest.json"])
    manifest["checksums"][name] = sha256(members[name]).hexdigest()
    members["manifest.json"] = json.dumps(manifest).encode()
    with zipfile.ZipFile(path.with_name("changed.snnc"), "w") as archive:
        for each, data in members.items():
            archive.writestr(each, data)
    return path.with_name("changed.snnc")


def edited(edit: Callable[[dict[str, Any]], object]) -> Callable[[bytes], bytes]:
    def apply(data: bytes) -> bytes:
        document = json.loads(data)
        edit(document)
        return json.dumps(document).encode()

    return apply


def test_the_graph_is_read_once(compiled: Path, graphs_read: list[Path]) -> None:
    first, second = snnc.load(compiled), snnc.load(compiled)
    assert graphs_read == [compiled]
    np.testing.assert_array_equal(first.run(X).output, second.run(X).output)


def test_another_plan_is_compared_and_refused(compiled: Path) -> None:
    snnc.load(compiled)
    with pytest.raises(ArtifactError, match="records other populations"):
        snnc.load(changed(compiled, PLAN, edited(lambda plan: plan["tensors"][2].update(name="o"))))
    with pytest.raises(ArtifactError, match="claims a longer window"):
        snnc.load(changed(compiled, PLAN, edited(lambda plan: plan.update(longest=2**31 - 1))))


def test_another_graph_is_compared_and_refused(compiled: Path, graphs_read: list[Path]) -> None:
    snnc.load(compiled)
    name = "tensors.safetensors"
    larger = changed(compiled, name, lambda data: data[:-162] + b"\x7f" * 162)
    for _ in range(2):  # what did not fit is not remembered
        with pytest.raises(ArtifactError, match="claims a longer window"):
            snnc.load(larger)
    assert graphs_read == [compiled, larger, larger]
    with pytest.raises(ArtifactError, match="tensors.safetensors is damaged"):
        snnc.load(changed(compiled, name, lambda data: data[:-1]))
    with pytest.raises(ArtifactError, match="unknown operation"):
        renamed = edited(lambda graph: graph["nodes"][2].update(op="konv"))
        snnc.load(changed(compiled, "graph.json", renamed))


def test_without_a_cache_the_graph_is_always_read(
    compiled: Path, graphs_read: list[Path], monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    monkeypatch.setenv("HOME", "/proc")
    for _ in range(2):
        snnc.load(compiled)
    assert graphs_read == [compiled, compiled]
    assert len(caplog.records) == 2  # one warning a load


def test_the_digest_of_a_member(compiled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    artifact = open_artifact(compiled)
    monkeypatch.setattr("snnc.artifact.container._PIECE", 100)
    for name in artifact.names():
        assert artifact.digest(name) == sha256(artifact.read(name)).digest()
    compiled.write_bytes(compiled.read_bytes()[:-600])
    with pytest.raises(ArtifactError, match="damaged"):
        artifact.digest(artifact.names()[-1])


def test_the_second_start_imports_no_graph(compiled: Path) -> None:
    """Nor what other kernels, passes and the writer of artifacts are made of."""
    snnc.load(compiled)
    code = (
        f"import snnc, sys; snnc.load({str(compiled)!r}); unused = {{'torch', 'networkx',"
        "'safetensors', 'snnc.ir', 'snnc.options', 'snnc.transform', 'snnc.pipeline.manager',"
        "'snnc.artifact.writer', 'snnc.artifact.tensors', 'snnc_backends.cpu.kernels.depthwise'}"
        "& set(sys.modules); assert not unused, unused"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
