"""A `.snnc` file that is damaged or hostile is refused in one line."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from snnc.artifact import open_artifact
from snnc.errors import ArtifactError
from snnc.ir import Graph


def members_of(data: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def zipped(members: Sequence[tuple[zipfile.ZipInfo | str, bytes]], compression: int = 0) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        for entry, data in members:
            archive.writestr(entry, data)
    return file.getvalue()


def with_manifest(valid: bytes, **changes: Any) -> bytes:
    """The valid artifact with keys of its manifest replaced, or removed by `...`."""
    members = members_of(valid)
    manifest = json.loads(members["manifest.json"]) | changes
    manifest = {key: value for key, value in manifest.items() if value is not ...}
    return zipped([*({**members, "manifest.json": json.dumps(manifest).encode()}).items()])


def with_graph(valid: bytes, edit: Callable[[dict[str, Any]], object]) -> bytes:
    """The valid artifact with a changed graph and the right checksum of it."""
    members = members_of(valid)
    graph = json.loads(members["graph.json"])
    edit(graph)
    members["graph.json"] = json.dumps(graph).encode()
    manifest = json.loads(members["manifest.json"])
    manifest["checksums"]["graph.json"] = sha256(members["graph.json"]).hexdigest()
    members["manifest.json"] = json.dumps(manifest).encode()
    return zipped([*members.items()])


def with_member(valid: bytes, name: str, **attributes: Any) -> bytes:
    """The valid artifact and one more member."""
    entry = zipfile.ZipInfo("placeholder")
    entry.filename = name
    for key, value in attributes.items():
        setattr(entry, key, value)
    return zipped([*members_of(valid).items(), (entry, b"data")])


def duplicated(valid: bytes) -> bytes:
    members = [*members_of(valid).items(), ("cpu/extra.bin", b"")]
    return zipped(members).replace(b"cpu/extra.bin", b"cpu/plan.json")


def encrypted(valid: bytes) -> bytes:
    data = bytearray(valid)
    start = data.rindex(b"PK\x01\x02")
    data[start + 8] |= 1
    return bytes(data)


def numbered(valid: bytes, number: bytes) -> bytes:
    """A file with this number in the manifest."""
    manifest = b'{"a":' + number + b"}"
    return zipped([*(members_of(valid) | {"manifest.json": manifest}).items()])


def oversize(valid: bytes, name: str) -> bytes:
    members = members_of(valid) | {name: b" " * (16 * 2**20 + 1)}
    return zipped([*members.items()])


def without(valid: bytes, name: str) -> bytes:
    return zipped([(n, data) for n, data in members_of(valid).items() if n != name])


def larger_than_the_file(valid: bytes) -> bytes:
    data = bytearray(valid)
    start = data.rindex(b"PK\x01\x02")
    data[start + 20 : start + 28] = (2**30).to_bytes(4, "little") * 2
    return bytes(data)


HOSTILE: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "empty": (lambda _: b"", "not a .snnc file"),
    "text": (lambda _: b"hello, world" * 9, "not a .snnc file"),
    "truncated by 1": (lambda v: v[:-1], "truncated"),
    "truncated to half": (lambda v: v[: len(v) // 2], "truncated"),
    "truncated to 40": (lambda v: v[:40], "truncated"),
    "trailing bytes": (lambda v: v + b"x", "truncated"),
    "parent": (lambda v: with_member(v, "../evil"), "'../evil' is not a plain relative path"),
    "parent inside": (lambda v: with_member(v, "cpu/../../evil"), "not a plain relative path"),
    "absolute": (lambda v: with_member(v, "/etc/evil"), "'/etc/evil' is not a plain"),
    "backslash": (lambda v: with_member(v, "..\\evil"), "is not a plain relative path"),
    "drive": (lambda v: with_member(v, "C:evil"), "'C:evil' is not a plain relative path"),
    "folder": (lambda v: with_member(v, "cpu/"), "'cpu/' is not a plain relative path"),
    "control": (lambda v: with_member(v, "a\x07b"), "is not a plain relative path"),
    "symlink": (
        lambda v: with_member(v, "cpu/l", external_attr=0o120777 << 16),
        "'cpu/l' is a link",
    ),
    "device": (lambda v: with_member(v, "cpu/d", external_attr=0o020666 << 16), "is not a file"),
    "compressed": (
        lambda v: zipped([*members_of(v).items()], zipfile.ZIP_DEFLATED),
        "member 'manifest.json' is compressed",
    ),
    "duplicate": (duplicated, "two members called 'cpu/plan.json'"),
    "encrypted": (encrypted, "'cpu/weights.bin' is encrypted"),
    "too many": (
        lambda v: zipped([*members_of(v).items(), *((f"f{i}", b"") for i in range(10_000))]),
        "10005 members; at most 10000",
    ),
    "oversize manifest": (
        lambda v: oversize(v, "manifest.json"),
        "manifest.json has 16777217 bytes",
    ),
    "oversize graph": (lambda v: oversize(v, "graph.json"), "graph.json has 16777217 bytes"),
    "larger than the file": (larger_than_the_file, "larger than the file"),
    "no manifest": (lambda v: without(v, "manifest.json"), "no member 'manifest.json'"),
    "no graph": (lambda v: without(v, "graph.json"), "no member 'graph.json'"),
    "no tensors": (lambda v: without(v, "tensors.safetensors"), "no member 'tensors.safetensors'"),
    "no backend file": (
        lambda v: without(v, "cpu/plan.json"),
        "member 'cpu/plan.json' is in the manifest but not in the file",
    ),
    "unlisted member": (lambda v: with_member(v, "cpu/new"), "'cpu/new' is not in the manifest"),
    "format": (lambda v: with_manifest(v, format="other"), "its format is 'other'"),
    "no format": (lambda v: with_manifest(v, format=...), "its format is None"),
    "newer major": (
        lambda v: with_manifest(v, version="3.0"),
        "version 3.0 of the format; this snnc",
    ),
    "newer major, all else new": (
        lambda v: with_manifest(v, version="10.3", checksums=..., info=...),
        "version 10.3 of the format",
    ),
    "no version": (lambda v: with_manifest(v, version=...), "no readable version"),
    "odd version": (lambda v: with_manifest(v, version="one"), "no readable version"),
    "number as version": (lambda v: with_manifest(v, version=1), "no readable version"),
    "no checksums": (lambda v: with_manifest(v, checksums=...), "no usable 'checksums'"),
    "checksums list": (lambda v: with_manifest(v, checksums=[]), "no usable 'checksums'"),
    "target number": (lambda v: with_manifest(v, target=3), "no usable 'target'"),
    "manifest no object": (
        lambda v: zipped([*(members_of(v) | {"manifest.json": b"[]"}).items()]),
        "manifest.json is not a JSON object",
    ),
    "manifest no JSON": (
        lambda v: zipped([*(members_of(v) | {"manifest.json": b"{"}).items()]),
        "manifest.json is not readable JSON",
    ),
    "manifest nested": (
        lambda v: zipped([*(members_of(v) | {"manifest.json": b"[" * 10**6}).items()]),
        "manifest.json is not readable JSON",
    ),
    "manifest NaN": (
        lambda v: zipped([*(members_of(v) | {"manifest.json": b'{"a":NaN}'}).items()]),
        "NaN is not a finite number",
    ),
    "manifest number": (
        lambda v: numbered(v, b"1" + b"0" * 400),
        "is beyond float64",
    ),
    "manifest real number": (
        lambda v: numbered(v, b"1e400"),
        "1e400 is not a finite number",
    ),
    "manifest key twice": (
        lambda v: zipped([*(members_of(v) | {"manifest.json": b'{"a":1,"a":2}'}).items()]),
        "key 'a' twice",
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_file_is_refused_when_opened(name: str, valid: bytes, tmp_path: Path) -> None:
    make, reason = HOSTILE[name]
    path = tmp_path / "a.snnc"
    path.write_bytes(make(valid))
    with pytest.raises(ArtifactError) as caught:
        open_artifact(path)
    assert reason in caught.value.message
    assert str(path) in caught.value.message
    assert "\n" not in caught.value.message
    assert caught.value.exit_code == 2


def broken_weight(graph: dict[str, Any]) -> None:
    node = next(node for node in graph["nodes"] if node["op"] == "conv")
    node["fields"]["weight"] = {"ref": "fc2.weight"}


HOSTILE_GRAPHS: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "version": (lambda v: with_graph(v, lambda g: g.update(version=3)), "the graph has format 3"),
    "op": (lambda v: with_graph(v, lambda g: g["nodes"][1].update(op="eval")), "unknown operation"),
    "rule": (lambda v: with_graph(v, lambda g: g.update(outputs=[])), "the graph has no outputs"),
    "type": (lambda v: with_graph(v, broken_weight), "for rank 2"),
    "params": (
        lambda v: with_graph(v, lambda g: g["params"].popitem()),
        "is not in both the graph",
    ),
    "checksum": (
        lambda v: zipped([*(members_of(v) | {"graph.json": b"{}"}).items()]),
        "graph.json does not match its checksum",
    ),
    "tensors": (
        lambda v: zipped([*(members_of(v) | {"tensors.safetensors": b"junk" * 9}).items()]),
        "tensors.safetensors is damaged",
    ),
}


@pytest.mark.parametrize("name", HOSTILE_GRAPHS)
def test_hostile_graph_is_refused_when_read(name: str, valid: bytes, tmp_path: Path) -> None:
    make, reason = HOSTILE_GRAPHS[name]
    path = tmp_path / "a.snnc"
    path.write_bytes(make(valid))
    artifact = open_artifact(path)
    with pytest.raises(ArtifactError) as caught:
        artifact.graph()
    assert reason in caught.value.message and str(path) in caught.value.message


def test_a_newer_minor_version_is_read(tmp_path: Path, sample: Graph, valid: bytes) -> None:
    path = tmp_path / "a.snnc"
    path.write_bytes(with_manifest(valid, version="1.7", something={"new": 1}))
    assert open_artifact(path).graph().fingerprint() == sample.fingerprint()


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


def test_a_bit_flipped_in_weights_is_found_by_read_and_check(path: Path, valid: bytes) -> None:
    data = bytearray(valid)
    data[open_artifact(path).members["cpu/weights.bin"].offset + 100] ^= 1
    path.write_bytes(data)
    artifact = open_artifact(path)
    with pytest.raises(ArtifactError, match="cpu/weights.bin is damaged"):
        artifact.read("cpu/weights.bin")
    with pytest.raises(ArtifactError, match="cpu/weights.bin is damaged"):
        artifact.check()


def test_weights_replaced_with_a_right_crc_are_found_by_check(tmp_path: Path, valid: bytes) -> None:
    path = tmp_path / "a.snnc"
    path.write_bytes(zipped([*(members_of(valid) | {"cpu/weights.bin": b"0"}).items()]))
    artifact = open_artifact(path)
    assert artifact.read("cpu/weights.bin") == b"0"
    with pytest.raises(ArtifactError, match="cpu/weights.bin does not match its checksum"):
        artifact.check()


def test_a_file_changed_after_opening_is_found(path: Path, valid: bytes) -> None:
    artifact = open_artifact(path)
    path.write_bytes(valid[: len(valid) // 2])
    with pytest.raises(ArtifactError, match="damaged"):
        artifact.read("cpu/weights.bin")
    path.unlink()
    with pytest.raises(ArtifactError, match="cannot read"):
        artifact.read("cpu/plan.json")


Check = Callable[[bytes], None]


@pytest.fixture(scope="module")
def same_or_refused(
    valid: bytes, files: Mapping[str, bytes], tmp_path_factory: pytest.TempPathFactory
) -> Check:
    """Asserts that the bytes of a file are read as those of the artifact, or refused."""
    path = tmp_path_factory.mktemp("fuzz") / "a.snnc"
    path.write_bytes(valid)
    fingerprint = open_artifact(path).graph().fingerprint()

    def check(data: bytes) -> None:
        path.write_bytes(data)
        try:
            artifact = open_artifact(path)
            artifact.check()
            graph = artifact.graph()
            found = {name: artifact.read(name) for name in files}
        except ArtifactError as error:
            assert "\n" not in error.message
            return
        assert graph.fingerprint() == fingerprint
        assert found == files

    return check


@pytest.fixture(scope="module")
def fuzzed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz") / "a.snnc"


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(flips=st.lists(st.tuples(st.integers(0), st.integers(1, 255)), min_size=1, max_size=4))
def test_flipped_bytes_are_harmless_or_refused(
    flips: list[tuple[int, int]], valid: bytes, same_or_refused: Check
) -> None:
    data = bytearray(valid)
    for place, mask in flips:
        data[place % len(data)] ^= mask
    same_or_refused(bytes(data))


@settings(max_examples=300, deadline=None)
@given(place=st.integers(0, 700), mask=st.integers(1, 255))
def test_flipped_bytes_of_the_directory_are_harmless_or_refused(
    place: int, mask: int, valid: bytes, same_or_refused: Check
) -> None:
    data = bytearray(valid)
    data[len(data) - 1 - place] ^= mask
    same_or_refused(bytes(data))


@settings(max_examples=100, deadline=None)
@given(length=st.integers(0))
@example(length=0)
def test_truncated_files_are_refused(length: int, valid: bytes, fuzzed: Path) -> None:
    fuzzed.write_bytes(valid[: length % len(valid)])
    with pytest.raises(ArtifactError):
        open_artifact(fuzzed)
