"""Damaged and hostile NIR files: one line, nothing read from other files, nothing written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import nir
import numpy as np
import pytest

from snnc.errors import ModelError
from snnc.frontends import load
from snnc.frontends.nir import hdf5


@pytest.fixture
def path(chain: Any) -> Path:
    """A file of one linear layer, which is read."""
    weight = np.arange(6.0).reshape(2, 3)
    made = chain(nir.Input(np.array([3])), nir.Linear(weight), nir.Output(np.array([2])))
    assert len(load(str(made))) == 4
    return made


def refused(path: Path, words: str) -> None:
    before = {each: each.stat().st_mtime_ns for each in path.parent.rglob("*")}
    content = path.read_bytes()
    with pytest.raises(ModelError, match=words) as error:
        load(str(path))
    assert "\n" not in error.value.message and error.value.exit_code == 2
    assert path.read_bytes() == content
    assert {each: each.stat().st_mtime_ns for each in path.parent.rglob("*")} == before


def test_cut_files(path: Path) -> None:
    whole = path.read_bytes()
    for size in (8, 100, 600, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:size])
        refused(path, "damaged")


def test_flipped_bytes_are_one_line_or_read(path: Path) -> None:
    whole, rng = path.read_bytes(), np.random.default_rng(0)
    for at in rng.integers(8, len(whole), 150):
        damaged = bytearray(whole)
        damaged[at] ^= int(rng.integers(1, 256))
        path.write_bytes(bytes(damaged))
        try:
            load(str(path))
        except ModelError as error:
            assert "\n" not in error.message


def replaced(path: Path, make: Any) -> Path:
    """`path` with another weight, made by `make(group)`."""
    with h5py.File(path, "a") as file:
        group = file["node/nodes/n1"]
        del group["weight"]
        make(group)
    return path


def test_links_to_other_files_are_not_followed(path: Path) -> None:
    secret = path.with_name("secret.h5")
    with h5py.File(secret, "w") as file:
        file["weight"] = np.ones((2, 3))
    link = h5py.ExternalLink(str(secret), "/weight")
    refused(replaced(path, lambda group: group.__setitem__("weight", link)), "by a link")


def test_the_graph_itself_behind_a_link(path: Path) -> None:
    twin = path.with_name("twin.nir")
    with h5py.File(twin, "w") as file:
        file["node"] = h5py.ExternalLink(str(path), "/node")
    refused(twin, "by a link")


def test_soft_links_are_not_followed(path: Path) -> None:
    link = h5py.SoftLink("/node/nodes/n1/type")
    refused(replaced(path, lambda group: group.__setitem__("weight", link)), "by a link")


def test_arrays_kept_in_other_files_are_not_read(path: Path) -> None:
    secret = path.with_name("secret.bin")
    secret.write_bytes(np.ones((2, 3)).tobytes())
    stored = [(str(secret), 0, 48)]
    refused(
        replaced(path, lambda group: group.create_dataset("weight", (2, 3), "f8", external=stored)),
        "in another file",
    )


def test_virtual_arrays_are_not_read(path: Path) -> None:
    secret = path.with_name("secret.h5")
    with h5py.File(secret, "w") as file:
        file["weight"] = np.ones((2, 3))
    layout = h5py.VirtualLayout((2, 3), "f8")
    layout[:] = h5py.VirtualSource(str(secret), "weight", (2, 3))
    refused(
        replaced(path, lambda group: group.create_virtual_dataset("weight", layout)),
        "in another file",
    )


def test_arrays_far_larger_than_the_file(path: Path) -> None:
    shape = (1 << 16, 1 << 16)
    refused(
        replaced(path, lambda group: group.create_dataset("weight", shape, "f8", chunks=(64, 64))),
        "far larger than the file",
    )


def test_one_long_text_many_times(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hdf5, "SMALL", 1 << 16)
    monkeypatch.setattr(hdf5, "RATIO", 0)
    kind, texts = h5py.string_dtype(), np.array(["x" * 999] * 500, object)
    refused(
        replaced(path, lambda group: group.create_dataset("weight", data=texts, dtype=kind)),
        "far larger than the file",
    )


def test_filters_that_are_plugins(path: Path) -> None:
    def make(group: Any) -> None:
        settings = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        settings.set_chunk((2, 3))
        settings.set_filter(32015, h5py.h5z.FLAG_OPTIONAL, ())  # zstd, loaded from a folder
        space = h5py.h5s.create_simple((2, 3))
        h5py.h5d.create(group.id, b"weight", h5py.h5t.NATIVE_DOUBLE, space, settings)

    refused(replaced(path, make), "a filter other than")


def test_a_group_inside_itself(path: Path) -> None:
    refused(replaced(path, lambda group: group.__setitem__("weight", group.file["node"])), "places")


def test_too_many_groups(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hdf5, "OBJECTS", 5)
    refused(path, "more groups and arrays")


def test_references_are_neither_numbers_nor_text(path: Path) -> None:
    def make(group: Any) -> None:
        group.create_dataset("weight", (2, 3), h5py.ref_dtype)

    refused(replaced(path, make), "neither numbers nor text")


@pytest.mark.parametrize(
    ("weight", "words"),
    [
        (np.full((2, 3), np.nan), "NaN"),
        (np.ones((2, 4)), "4 features"),
        (np.ones(3), "n1 is no Linear"),
    ],
)
def test_arrays_that_do_not_fit(path: Path, weight: Any, words: str) -> None:
    refused(replaced(path, lambda group: group.__setitem__("weight", weight)), words)


def test_a_file_of_keras(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["model_weights"] = np.ones(3)
    refused(path, "holds no NIR graph")


@pytest.mark.parametrize("key", ["type", "weight"])
def test_fields_that_are_missing(path: Path, key: str) -> None:
    with h5py.File(path, "a") as file:
        del file[f"node/nodes/n1/{key}"]
    refused(path, "n1 is")


def test_edges_that_lead_nowhere(chain: Any) -> None:
    ends = (nir.Input(np.array([3])), nir.Output(np.array([3])))
    made = chain(*ends)
    with h5py.File(made, "a") as file:
        del file["node/edges"]
        file["node/edges"] = np.array([["n0", "n9"]], dtype=h5py.string_dtype())
    refused(made, "no node of it")
    with h5py.File(made, "a") as file:
        del file["node/edges"]
        file["node/edges"] = np.array([["n0", "n1"]] * 2, dtype=h5py.string_dtype())
    refused(made, "same edge twice")
