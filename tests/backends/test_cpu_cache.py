"""The cache of compiled objects: private, checked, and optional."""

from __future__ import annotations

import logging
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from snnc.interp.program import ReferenceProgram
from snnc.ir import Graph
from snnc.native.cache import ObjectCache, open_cache
from snnc.native.jit import host
from snnc.testing import quantized_cases
from snnc_backends.cpu.identity import identity
from snnc_backends.cpu.lower import lower
from snnc_backends.cpu.module import build as build_plan
from snnc_backends.cpu.program import CpuProgram, load

X = np.random.default_rng(0).random((2, 2, 5, 5), dtype=np.float32)


def program(graph: Graph, timesteps: int, cache: ObjectCache | None = None) -> CpuProgram:
    """The CPU program of a graph; compiled again without a cache."""
    plan, weights = lower(graph, timesteps)
    return load(plan.to_json(), weights, 1, cache)


def test_the_second_load_compiles_nothing(small, tmp_path: Path) -> None:
    cache = open_cache(tmp_path / "objects")
    first, second = program(small(), 4, cache=cache), program(small(), 4, cache=cache)
    assert (first.compiled, second.compiled) == (True, False)
    np.testing.assert_array_equal(first.run(X).output, second.run(X).output)
    assert len(list((tmp_path / "objects").iterdir())) == 1
    assert (tmp_path / "objects").stat().st_mode & 0o777 == 0o700


def test_other_weights_take_the_same_object_other_shapes_another(small, tmp_path: Path) -> None:
    cache = open_cache(tmp_path / "objects")
    program(small(), 4, cache=cache)
    graph = small()
    graph.set_param("w", np.ones((3, 2, 3, 3), np.int8))
    plan, weights = lower(graph, 4)
    assert not load(replace(plan, timesteps=9).to_json(), weights, 1, cache).compiled
    graph.set_param("w", np.ones((3, 2, 3, 3), np.int32) * 1000)
    assert program(graph, 4, cache=cache).compiled


@pytest.mark.parametrize("damage", ["cut", "flip", "empty"])
def test_a_damaged_object_is_compiled_again(small, tmp_path: Path, damage: str) -> None:
    cache = open_cache(tmp_path / "objects")
    program(small(), 4, cache=cache)
    (path,) = (tmp_path / "objects").iterdir()
    good = path.read_bytes()
    flipped = bytes([*good[:100], good[100] ^ 1, *good[101:]])
    path.write_bytes({"cut": good[:-9], "flip": flipped, "empty": b""}[damage])
    loaded = program(small(), 4, cache=cache)
    assert loaded.compiled
    np.testing.assert_array_equal(
        loaded.run(X).readout, ReferenceProgram(small(), 4).run(X).readout
    )
    assert path.read_bytes() == good
    assert not program(small(), 4, cache=cache).compiled


def test_a_folder_that_cannot_be_made_means_one_warning(
    small, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    with caplog.at_level(logging.WARNING, "snnc"):
        cache = open_cache(tmp_path / "file" / "objects")
    assert cache is None
    assert [r.levelname for r in caplog.records] == ["WARNING"]
    assert "no cache of compiled kernels" in caplog.text
    assert program(small(), 4, cache=cache).compiled


def test_a_read_only_folder_means_one_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)  # root may write anywhere
    with caplog.at_level(logging.WARNING, "snnc"):
        assert open_cache(tmp_path / "objects") is None
    assert len(caplog.records) == 1 and "read-only" in caplog.text


def test_a_folder_others_may_enter_is_not_used(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "objects"
    folder.mkdir(mode=0o700)
    folder.chmod(0o755)
    assert open_cache(folder) is None
    assert "chmod 700" in caplog.text
    (tmp_path / "link").symlink_to(tmp_path)
    assert open_cache(tmp_path / "link") is None


def test_a_folder_of_somebody_else_is_not_used(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = os.getuid() + 1
    monkeypatch.setattr(os, "getuid", lambda: user)
    assert open_cache(tmp_path / "objects") is None
    assert "another user" in caplog.text


def test_links_and_full_disks(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = ObjectCache(tmp_path)
    cache.put("a", b"object")
    assert cache.get("a") == b"object"
    (tmp_path / "b.o").symlink_to(tmp_path / "a.o")
    assert cache.get("b") is None

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    cache.put("c", b"object")
    assert "No space left" in caplog.text
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.o", "b.o"]


def test_no_home_means_one_warning(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nowhere() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", nowhere)
    assert open_cache() is None
    assert len(caplog.records) == 1


def test_a_stored_object_is_found_without_making_its_code(
    small, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = open_cache(tmp_path / "objects")
    before = program(small(), 4, cache=cache).run(X).output

    def build(*_: object) -> str:
        raise AssertionError("code was made")

    monkeypatch.setattr("snnc_backends.cpu.program.build", build)
    np.testing.assert_array_equal(program(small(), 4, cache=cache).run(X).output, before)
    with pytest.raises(AssertionError, match="code was made"):
        program(small(), 4)


def test_plans_of_one_identity_have_the_same_code() -> None:
    machine, texts = host().machine, dict[bytes, str]()
    plans = [lower(case.graph, 4)[0] for case in quantized_cases()]
    for plan in [*plans, *(replace(plan, timesteps=9) for plan in plans)]:
        own = identity(plan)
        assert own is not None
        text = build_plan(plan, machine)
        assert texts.setdefault(own, text) == text
    assert len(texts) == len(plans)
