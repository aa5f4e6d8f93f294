"""The `.snnc` file as it is written: reproducible, whole or not at all, read back."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from snnc.artifact import ArtifactContent, is_artifact, open_artifact, write, write_content
from snnc.artifact.layout import VERSION
from snnc.errors import ArtifactError
from snnc.ir import Graph
from snnc.testing.graphs import quantized_cases, snn_cases

# -- what is written is read ---------------------------------------------------------------


@pytest.mark.parametrize("case", [*snn_cases(), *quantized_cases()], ids=lambda case: case.name)
def test_round_trip(case: Any, tmp_path: Path) -> None:
    write(tmp_path / "a.snnc", case.graph)
    back = open_artifact(tmp_path / "a.snnc").graph()
    assert back.fingerprint() == case.graph.fingerprint()
    assert all(not array.flags.writeable for array in back.params.values())


def test_manifest_and_members(path: Path, files: Mapping[str, bytes]) -> None:
    artifact = open_artifact(path)
    names = ("manifest.json", "graph.json", "tensors.safetensors", *sorted(files))
    assert artifact.names() == names
    manifest = artifact.manifest
    assert (manifest["format"], manifest["version"]) == ("snnc", VERSION)
    assert manifest["target"] == "cpu{threads=2}"
    assert manifest["timesteps"] == 8
    assert manifest["input_shape"] == [2, 6, 6]
    assert set(manifest["checksums"]) == set(names[1:])
    for name, data in files.items():
        assert artifact.read(name) == data
        assert manifest["checksums"][name] == sha256(data).hexdigest()
    artifact.check()
    with pytest.raises(TypeError):
        manifest["target"] = None  # type: ignore[index]


def test_what_is_in_memory_is_what_is_written(
    tmp_path: Path, sample: Graph, files: Mapping[str, bytes]
) -> None:
    content = ArtifactContent(
        network=sample, target="cpu{threads=2}", files=files, info={"loss": (0.1,)}
    )
    write_content(tmp_path / "a.snnc", content)
    back = open_artifact(tmp_path / "a.snnc")
    assert dict(content.manifest) == dict(back.manifest)
    for name in back.names():
        assert content.read(name) == back.read(name)
    assert content.graph().fingerprint() == back.graph().fingerprint()
    assert content.graph() is not content.network
    with pytest.raises(ArtifactError, match="no member 'cpu/none'"):
        content.read("cpu/none")


def test_info_pipeline_and_distributions_are_kept(tmp_path: Path, sample: Graph) -> None:
    path = tmp_path / "a.snnc"
    info = {"calibrated": True, "loss": [0.1, 1e-30]}
    write(path, sample, pipeline="a,b{c=1}", info=info, distributions={"plug": "1.2"})
    manifest = open_artifact(path).manifest
    assert manifest["info"] == info
    assert manifest["pipeline"] == "a,b{c=1}"
    assert manifest["distributions"] == {"plug": "1.2"}
    assert manifest["target"] is None


def test_the_same_content_gives_the_same_bytes(
    tmp_path: Path, sample: Graph, valid: bytes, files: Mapping[str, bytes]
) -> None:
    shuffled = dict(reversed([*files.items()]))
    write(tmp_path / "a.snnc", sample.clone(), files=shuffled, target="cpu{threads=2}")
    assert (tmp_path / "a.snnc").read_bytes() == valid


def test_an_artifact_is_a_plain_zip_stored_uncompressed(path: Path) -> None:
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        for entry in archive.infolist():
            assert entry.compress_type == zipfile.ZIP_STORED
            assert entry.date_time == (1980, 1, 1, 0, 0, 0)
            assert stat.S_IMODE(entry.external_attr >> 16) == 0o644


def test_arrays_of_members_are_aligned_and_their_own(
    path: Path, valid: bytes, files: Mapping[str, bytes]
) -> None:
    artifact = open_artifact(path)
    for name, data in files.items():
        assert artifact.members[name].offset % 64 == 0
        read = artifact.array(name)
        assert read.tobytes() == data
        assert read.ctypes.data % 64 == 0
        with path.open("r+b") as file:  # another process may change or shorten the file
            file.truncate(artifact.members[name].offset)
        assert read.tobytes() == data
        with pytest.raises(ArtifactError, match="is damaged"):
            artifact.array(name)
        path.write_bytes(valid)


def test_an_empty_member(tmp_path: Path, sample: Graph) -> None:
    write(tmp_path / "a.snnc", sample, files={"x/empty": b""})
    artifact = open_artifact(tmp_path / "a.snnc")
    assert artifact.read("x/empty") == b"" and artifact.array("x/empty").size == 0


def test_reading_the_manifest_imports_neither_torch_nor_networkx(path: Path) -> None:
    code = (
        "import sys; from snnc.artifact import open_artifact\n"
        f"a = open_artifact({str(path)!r}); a.check(); a.read('cpu/plan.json')\n"
        "print([m for m in ('torch', 'networkx') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_is_artifact(path: Path, tmp_path: Path) -> None:
    assert is_artifact(path)
    other = tmp_path / "other.zip"
    with zipfile.ZipFile(other, "w") as archive:
        archive.writestr("data.pkl", b"")
    assert not is_artifact(other)
    assert not is_artifact(tmp_path / "missing")
    assert not is_artifact(tmp_path)


# -- writing is all or nothing -------------------------------------------------------------


def test_an_interrupted_write_leaves_the_old_file(
    path: Path, monkeypatch: pytest.MonkeyPatch, sample: Graph, valid: bytes
) -> None:
    seen: list[list[str]] = []

    def interrupted(self: zipfile.ZipFile, entry: object, data: bytes) -> None:
        seen.append(sorted(os.listdir(path.parent)))
        raise KeyboardInterrupt

    monkeypatch.setattr(zipfile.ZipFile, "writestr", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write(path, sample)
    assert seen == [[f".net.snnc.tmp-{os.getpid()}", "net.snnc"]]
    assert os.listdir(path.parent) == ["net.snnc"]
    assert path.read_bytes() == valid


def test_a_killed_write_leaves_the_old_file(path: Path, valid: bytes) -> None:
    """The writer is killed while the temporary file is half-written."""
    code = (
        "import sys, time, zipfile; from snnc.artifact import write\n"
        "from snnc.testing.graphs import build; from snnc.testing.builder import Style\n"
        "real = zipfile.ZipFile.writestr\n"
        "def slow(self, entry, data):\n"
        "    real(self, entry, data); self.fp.flush(); print('half', flush=True); time.sleep(60)\n"
        "zipfile.ZipFile.writestr = slow\n"
        f"write({str(path)!r}, build('plain', Style.ANN))"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"half\n"
        process.send_signal(signal.SIGKILL)
    assert path.read_bytes() == valid
    left = [name for name in os.listdir(path.parent) if name != "net.snnc"]
    assert left == [f".net.snnc.tmp-{process.pid}"]


def test_a_failed_replace_leaves_nothing(tmp_path: Path, sample: Graph) -> None:
    (tmp_path / "out.snnc").mkdir()
    with pytest.raises(ArtifactError, match="cannot write .*out.snnc: "):
        write(tmp_path / "out.snnc", sample)
    assert os.listdir(tmp_path) == ["out.snnc"]


def test_a_missing_folder_is_one_line(tmp_path: Path, sample: Graph) -> None:
    with pytest.raises(ArtifactError, match="No such file or directory"):
        write(tmp_path / "gone" / "out.snnc", sample)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"files": {"graph.json": b""}}, "may not write a member called 'graph.json'"),
        ({"files": {"../x": b""}}, "'../x' is not a plain relative path"),
        ({"files": {"/x": b""}}, "not a plain relative path"),
        ({"files": {"a.json": b" " * (16 * 2**20 + 1)}}, "a.json has 16777217 bytes"),
        ({"files": {f"f{i}": b"" for i in range(10_000)}}, "at most 10000 members"),
        ({"info": {"x": float("nan")}}, "info cannot be written as JSON"),
        ({"info": {"x": np.float32(1)}}, "info cannot be written as JSON"),
    ],
)
def test_what_cannot_be_stored_is_refused(
    tmp_path: Path, options: dict[str, Any], reason: str, sample: Graph
) -> None:
    with pytest.raises(ArtifactError) as caught:
        write(tmp_path / "a.snnc", sample, **options)
    assert reason in caught.value.message
    assert os.listdir(tmp_path) == []


def test_stats_that_json_cannot_hold_are_refused(tmp_path: Path, sample: Graph) -> None:
    graph = sample
    graph.stats[graph.outputs[0]] = {"rate": np.zeros(3)}
    with pytest.raises(ArtifactError, match="the graph cannot be written as JSON"):
        write(tmp_path / "a.snnc", graph)
