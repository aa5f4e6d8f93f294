"""The `.snnc` file: reproducible, atomic, and refused in one line when anything is wrong."""

from __future__ import annotations

import io
import json
import os
import signal
import stat
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from snnc.artifact import ArtifactContent, is_artifact, open_artifact, write, write_content
from snnc.artifact.layout import VERSION
from snnc.errors import ArtifactError
from snnc.ir import Graph
from snnc.testing.builder import Style
from snnc.testing.graphs import build, quantized_cases, snn_cases

FILES = {"cpu/plan.json": b'{"kernels":[]}', "cpu/weights.bin": bytes(range(256)) * 3}


def sample() -> Graph:
    graph = build("plain", Style.QUANTIZED)
    graph.meta["timesteps"] = 8
    return graph


@cache
def sample_fingerprint() -> str:
    """Of `sample()`."""
    return sample().fingerprint()


@cache
def valid() -> bytes:
    """The bytes of a valid artifact."""
    return written(sample(), files=FILES, target="cpu{threads=2}")


def written(graph: Graph, **options: Any) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.snnc"
        write(path, graph, **options)
        return path.read_bytes()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "net.snnc"
    path.write_bytes(valid())
    return path


# -- what is written is read ---------------------------------------------------------------


@pytest.mark.parametrize("case", [*snn_cases(), *quantized_cases()], ids=lambda case: case.name)
def test_round_trip(case: Any, tmp_path: Path) -> None:
    write(tmp_path / "a.snnc", case.graph)
    back = open_artifact(tmp_path / "a.snnc").graph()
    assert back.fingerprint() == case.graph.fingerprint()
    assert all(not array.flags.writeable for array in back.params.values())


def test_manifest_and_members(path: Path) -> None:
    artifact = open_artifact(path)
    names = ("manifest.json", "graph.json", "tensors.safetensors", *sorted(FILES))
    assert artifact.names() == names
    manifest = artifact.manifest
    assert (manifest["format"], manifest["version"]) == ("snnc", VERSION)
    assert manifest["target"] == "cpu{threads=2}"
    assert manifest["timesteps"] == 8
    assert manifest["input_shape"] == [2, 6, 6]
    assert set(manifest["checksums"]) == set(names[1:])
    for name, data in FILES.items():
        assert artifact.read(name) == data
        assert manifest["checksums"][name] == sha256(data).hexdigest()
    artifact.check()
    with pytest.raises(TypeError):
        manifest["target"] = None  # type: ignore[index]


def test_what_is_in_memory_is_what_is_written(tmp_path: Path) -> None:
    content = ArtifactContent(
        network=sample(), target="cpu{threads=2}", files=FILES, info={"loss": (0.1,)}
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


def test_info_pipeline_and_distributions_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "a.snnc"
    info = {"calibrated": True, "loss": [0.1, 1e-30]}
    write(path, sample(), pipeline="a,b{c=1}", info=info, distributions={"plug": "1.2"})
    manifest = open_artifact(path).manifest
    assert manifest["info"] == info
    assert manifest["pipeline"] == "a,b{c=1}"
    assert manifest["distributions"] == {"plug": "1.2"}
    assert manifest["target"] is None


def test_the_same_content_gives_the_same_bytes() -> None:
    shuffled = dict(reversed(FILES.items()))
    assert written(sample().clone(), files=shuffled, target="cpu{threads=2}") == valid()


def test_an_artifact_is_a_plain_zip_stored_uncompressed(path: Path) -> None:
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        for entry in archive.infolist():
            assert entry.compress_type == zipfile.ZIP_STORED
            assert entry.date_time == (1980, 1, 1, 0, 0, 0)
            assert stat.S_IMODE(entry.external_attr >> 16) == 0o644


def test_arrays_of_members_are_aligned_and_their_own(path: Path) -> None:
    artifact = open_artifact(path)
    for name, data in FILES.items():
        assert artifact.members[name].offset % 64 == 0
        read = artifact.array(name)
        assert read.tobytes() == data
        assert read.ctypes.data % 64 == 0
        with path.open("r+b") as file:  # another process may change or shorten the file
            file.truncate(artifact.members[name].offset)
        assert read.tobytes() == data
        with pytest.raises(ArtifactError, match="is damaged"):
            artifact.array(name)
        path.write_bytes(valid())


def test_an_empty_member(tmp_path: Path) -> None:
    write(tmp_path / "a.snnc", sample(), files={"x/empty": b""})
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
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[list[str]] = []

    def interrupted(self: zipfile.ZipFile, entry: object, data: bytes) -> None:
        seen.append(sorted(os.listdir(path.parent)))
        raise KeyboardInterrupt

    monkeypatch.setattr(zipfile.ZipFile, "writestr", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write(path, sample())
    assert seen == [[f".net.snnc.tmp-{os.getpid()}", "net.snnc"]]
    assert os.listdir(path.parent) == ["net.snnc"]
    assert path.read_bytes() == valid()


def test_a_killed_write_leaves_the_old_file(path: Path) -> None:
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
    assert path.read_bytes() == valid()
    left = [name for name in os.listdir(path.parent) if name != "net.snnc"]
    assert left == [f".net.snnc.tmp-{process.pid}"]


def test_a_failed_replace_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "out.snnc").mkdir()
    with pytest.raises(ArtifactError, match="cannot write .*out.snnc: "):
        write(tmp_path / "out.snnc", sample())
    assert os.listdir(tmp_path) == ["out.snnc"]


def test_a_missing_folder_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="No such file or directory"):
        write(tmp_path / "gone" / "out.snnc", sample())


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
    tmp_path: Path, options: dict[str, Any], reason: str
) -> None:
    with pytest.raises(ArtifactError) as caught:
        write(tmp_path / "a.snnc", sample(), **options)
    assert reason in caught.value.message
    assert os.listdir(tmp_path) == []


def test_stats_that_json_cannot_hold_are_refused(tmp_path: Path) -> None:
    graph = sample()
    graph.stats[graph.outputs[0]] = {"rate": np.zeros(3)}
    with pytest.raises(ArtifactError, match="the graph cannot be written as JSON"):
        write(tmp_path / "a.snnc", graph)


# -- damaged and hostile files -------------------------------------------------------------


def members_of(data: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def zipped(members: list[tuple[zipfile.ZipInfo | str, bytes]], compression: int = 0) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        for entry, data in members:
            archive.writestr(entry, data)
    return file.getvalue()


def with_manifest(**changes: Any) -> bytes:
    """The valid artifact with keys of its manifest replaced, or removed by `...`."""
    members = members_of(valid())
    manifest = json.loads(members["manifest.json"]) | changes
    manifest = {key: value for key, value in manifest.items() if value is not ...}
    return zipped([*({**members, "manifest.json": json.dumps(manifest).encode()}).items()])


def with_graph(edit: Callable[[dict[str, Any]], object]) -> bytes:
    """The valid artifact with a changed graph and the right checksum of it."""
    members = members_of(valid())
    graph = json.loads(members["graph.json"])
    edit(graph)
    members["graph.json"] = json.dumps(graph).encode()
    manifest = json.loads(members["manifest.json"])
    manifest["checksums"]["graph.json"] = sha256(members["graph.json"]).hexdigest()
    members["manifest.json"] = json.dumps(manifest).encode()
    return zipped([*members.items()])


def with_member(name: str, **attributes: Any) -> bytes:
    """The valid artifact and one more member."""
    entry = zipfile.ZipInfo("placeholder")
    entry.filename = name
    for key, value in attributes.items():
        setattr(entry, key, value)
    return zipped([*members_of(valid()).items(), (entry, b"data")])


def duplicated() -> bytes:
    members = [*members_of(valid()).items(), ("cpu/extra.bin", b"")]
    return zipped(members).replace(b"cpu/extra.bin", b"cpu/plan.json")


def encrypted() -> bytes:
    data = bytearray(valid())
    start = data.rindex(b"PK\x01\x02")
    data[start + 8] |= 1
    return bytes(data)


def numbered(number: bytes) -> bytes:
    """A file with this number in the manifest."""
    manifest = b'{"a":' + number + b"}"
    return zipped([*(members_of(valid()) | {"manifest.json": manifest}).items()])


def oversize(name: str) -> bytes:
    members = members_of(valid()) | {name: b" " * (16 * 2**20 + 1)}
    return zipped([*members.items()])


def without(name: str) -> bytes:
    return zipped([(n, data) for n, data in members_of(valid()).items() if n != name])


def larger_than_the_file() -> bytes:
    data = bytearray(valid())
    start = data.rindex(b"PK\x01\x02")
    data[start + 20 : start + 28] = (2**30).to_bytes(4, "little") * 2
    return bytes(data)


HOSTILE: dict[str, tuple[Callable[[], bytes], str]] = {
    "empty": (lambda: b"", "not a .snnc file"),
    "text": (lambda: b"hello, world" * 9, "not a .snnc file"),
    "truncated by 1": (lambda: valid()[:-1], "truncated"),
    "truncated to half": (lambda: valid()[: len(valid()) // 2], "truncated"),
    "truncated to 40": (lambda: valid()[:40], "truncated"),
    "trailing bytes": (lambda: valid() + b"x", "truncated"),
    "parent": (lambda: with_member("../evil"), "'../evil' is not a plain relative path"),
    "parent inside": (lambda: with_member("cpu/../../evil"), "not a plain relative path"),
    "absolute": (lambda: with_member("/etc/evil"), "'/etc/evil' is not a plain"),
    "backslash": (lambda: with_member("..\\evil"), "is not a plain relative path"),
    "drive": (lambda: with_member("C:evil"), "'C:evil' is not a plain relative path"),
    "folder": (lambda: with_member("cpu/"), "'cpu/' is not a plain relative path"),
    "control": (lambda: with_member("a\x07b"), "is not a plain relative path"),
    "symlink": (lambda: with_member("cpu/l", external_attr=0o120777 << 16), "'cpu/l' is a link"),
    "device": (lambda: with_member("cpu/d", external_attr=0o020666 << 16), "is not a file"),
    "compressed": (
        lambda: zipped([*members_of(valid()).items()], zipfile.ZIP_DEFLATED),
        "member 'manifest.json' is compressed",
    ),
    "duplicate": (duplicated, "two members called 'cpu/plan.json'"),
    "encrypted": (encrypted, "'cpu/weights.bin' is encrypted"),
    "too many": (
        lambda: zipped([*members_of(valid()).items(), *((f"f{i}", b"") for i in range(10_000))]),
        "10005 members; at most 10000",
    ),
    "oversize manifest": (lambda: oversize("manifest.json"), "manifest.json has 16777217 bytes"),
    "oversize graph": (lambda: oversize("graph.json"), "graph.json has 16777217 bytes"),
    "larger than the file": (larger_than_the_file, "larger than the file"),
    "no manifest": (lambda: without("manifest.json"), "no member 'manifest.json'"),
    "no graph": (lambda: without("graph.json"), "no member 'graph.json'"),
    "no tensors": (lambda: without("tensors.safetensors"), "no member 'tensors.safetensors'"),
    "no backend file": (
        lambda: without("cpu/plan.json"),
        "member 'cpu/plan.json' is in the manifest but not in the file",
    ),
    "unlisted member": (lambda: with_member("cpu/new"), "'cpu/new' is not in the manifest"),
    "format": (lambda: with_manifest(format="other"), "its format is 'other'"),
    "no format": (lambda: with_manifest(format=...), "its format is None"),
    "newer major": (lambda: with_manifest(version="3.0"), "version 3.0 of the format; this snnc"),
    "newer major, all else new": (
        lambda: with_manifest(version="10.3", checksums=..., info=...),
        "version 10.3 of the format",
    ),
    "no version": (lambda: with_manifest(version=...), "no readable version"),
    "odd version": (lambda: with_manifest(version="one"), "no readable version"),
    "number as version": (lambda: with_manifest(version=1), "no readable version"),
    "no checksums": (lambda: with_manifest(checksums=...), "no usable 'checksums'"),
    "checksums list": (lambda: with_manifest(checksums=[]), "no usable 'checksums'"),
    "target number": (lambda: with_manifest(target=3), "no usable 'target'"),
    "manifest no object": (
        lambda: zipped([*(members_of(valid()) | {"manifest.json": b"[]"}).items()]),
        "manifest.json is not a JSON object",
    ),
    "manifest no JSON": (
        lambda: zipped([*(members_of(valid()) | {"manifest.json": b"{"}).items()]),
        "manifest.json is not readable JSON",
    ),
    "manifest nested": (
        lambda: zipped([*(members_of(valid()) | {"manifest.json": b"[" * 10**6}).items()]),
        "manifest.json is not readable JSON",
    ),
    "manifest NaN": (
        lambda: zipped([*(members_of(valid()) | {"manifest.json": b'{"a":NaN}'}).items()]),
        "NaN is not a finite number",
    ),
    "manifest number": (
        lambda: numbered(b"1" + b"0" * 400),
        "is beyond float64",
    ),
    "manifest real number": (
        lambda: numbered(b"1e400"),
        "1e400 is not a finite number",
    ),
    "manifest key twice": (
        lambda: zipped([*(members_of(valid()) | {"manifest.json": b'{"a":1,"a":2}'}).items()]),
        "key 'a' twice",
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_file_is_refused_when_opened(name: str, tmp_path: Path) -> None:
    make, reason = HOSTILE[name]
    path = tmp_path / "a.snnc"
    path.write_bytes(make())
    with pytest.raises(ArtifactError) as caught:
        open_artifact(path)
    assert reason in caught.value.message
    assert str(path) in caught.value.message
    assert "\n" not in caught.value.message
    assert caught.value.exit_code == 2


def broken_weight(graph: dict[str, Any]) -> None:
    node = next(node for node in graph["nodes"] if node["op"] == "conv")
    node["fields"]["weight"] = {"ref": "fc2.weight"}


HOSTILE_GRAPHS: dict[str, tuple[Callable[[], bytes], str]] = {
    "version": (lambda: with_graph(lambda g: g.update(version=3)), "the graph has format 3"),
    "op": (lambda: with_graph(lambda g: g["nodes"][1].update(op="eval")), "unknown operation"),
    "rule": (lambda: with_graph(lambda g: g.update(outputs=[])), "the graph has no outputs"),
    "type": (lambda: with_graph(broken_weight), "for rank 2"),
    "params": (lambda: with_graph(lambda g: g["params"].popitem()), "is not in both the graph"),
    "checksum": (
        lambda: zipped([*(members_of(valid()) | {"graph.json": b"{}"}).items()]),
        "graph.json does not match its checksum",
    ),
    "tensors": (
        lambda: zipped([*(members_of(valid()) | {"tensors.safetensors": b"junk" * 9}).items()]),
        "tensors.safetensors is damaged",
    ),
}


@pytest.mark.parametrize("name", HOSTILE_GRAPHS)
def test_hostile_graph_is_refused_when_read(name: str, tmp_path: Path) -> None:
    make, reason = HOSTILE_GRAPHS[name]
    path = tmp_path / "a.snnc"
    path.write_bytes(make())
    artifact = open_artifact(path)
    with pytest.raises(ArtifactError) as caught:
        artifact.graph()
    assert reason in caught.value.message and str(path) in caught.value.message


def test_a_newer_minor_version_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.snnc"
    path.write_bytes(with_manifest(version="1.7", something={"new": 1}))
    assert open_artifact(path).graph().fingerprint() == sample().fingerprint()


def test_a_missing_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="cannot read .*gone.snnc: No such file"):
        open_artifact(tmp_path / "gone.snnc")
    with pytest.raises(ArtifactError, match="cannot read .*: Is a directory"):
        open_artifact(tmp_path)


def test_a_member_that_is_not_there(path: Path) -> None:
    artifact = open_artifact(path)
    for access in (artifact.read, artifact.array):
        with pytest.raises(ArtifactError, match="has no member 'cpu/none'"):
            access("cpu/none")


def test_a_bit_flipped_in_weights_is_found_by_read_and_check(path: Path) -> None:
    data = bytearray(valid())
    data[open_artifact(path).members["cpu/weights.bin"].offset + 100] ^= 1
    path.write_bytes(data)
    artifact = open_artifact(path)
    with pytest.raises(ArtifactError, match="cpu/weights.bin is damaged"):
        artifact.read("cpu/weights.bin")
    with pytest.raises(ArtifactError, match="cpu/weights.bin is damaged"):
        artifact.check()


def test_weights_replaced_with_a_right_crc_are_found_by_check(tmp_path: Path) -> None:
    path = tmp_path / "a.snnc"
    path.write_bytes(zipped([*(members_of(valid()) | {"cpu/weights.bin": b"0"}).items()]))
    artifact = open_artifact(path)
    assert artifact.read("cpu/weights.bin") == b"0"
    with pytest.raises(ArtifactError, match="cpu/weights.bin does not match its checksum"):
        artifact.check()


def test_a_file_changed_after_opening_is_found(path: Path) -> None:
    artifact = open_artifact(path)
    path.write_bytes(valid()[: len(valid()) // 2])
    with pytest.raises(ArtifactError, match="damaged"):
        artifact.read("cpu/weights.bin")
    path.unlink()
    with pytest.raises(ArtifactError, match="cannot read"):
        artifact.read("cpu/plan.json")


def assert_same_or_refused(data: bytes, path: Path) -> None:
    path.write_bytes(data)
    try:
        artifact = open_artifact(path)
        artifact.check()
        graph = artifact.graph()
        found = {name: artifact.read(name) for name in FILES}
    except ArtifactError as error:
        assert "\n" not in error.message
        return
    assert graph.fingerprint() == sample_fingerprint()
    assert found == FILES


@pytest.fixture(scope="module")
def fuzzed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    yield tmp_path_factory.mktemp("fuzz") / "a.snnc"


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(flips=st.lists(st.tuples(st.integers(0), st.integers(1, 255)), min_size=1, max_size=4))
def test_flipped_bytes_are_harmless_or_refused(flips: list[tuple[int, int]], fuzzed: Path) -> None:
    data = bytearray(valid())
    for place, mask in flips:
        data[place % len(data)] ^= mask
    assert_same_or_refused(bytes(data), fuzzed)


@settings(max_examples=300, deadline=None)
@given(place=st.integers(0, 700), mask=st.integers(1, 255))
def test_flipped_bytes_of_the_directory_are_harmless_or_refused(
    place: int, mask: int, fuzzed: Path
) -> None:
    data = bytearray(valid())
    data[len(data) - 1 - place] ^= mask
    assert_same_or_refused(bytes(data), fuzzed)


@settings(max_examples=100, deadline=None)
@given(length=st.integers(0))
@example(length=0)
def test_truncated_files_are_refused(length: int, fuzzed: Path) -> None:
    fuzzed.write_bytes(valid()[: length % len(valid())])
    with pytest.raises(ArtifactError):
        open_artifact(fuzzed)
