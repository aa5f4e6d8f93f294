"""Frontends are plugins: which one reads a model, and what happens where none or several do."""

from __future__ import annotations

import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from snnc.errors import PluginError, UsageError
from snnc.frontends import load
from snnc.frontends.fx import FxFrontend
from snnc.frontends.loading import code_reference, find_frontend
from snnc.plugins import FRONTENDS, Registry


class Other:
    """Reads files that begin with OTHER."""

    name = "other"

    def matches(self, reference: str) -> bool:
        return Path(reference).exists() and Path(reference).read_bytes()[:5] == b"OTHER"

    def load(self, reference: str, **options: object) -> object:
        return reference, options


class Greedy(FxFrontend):
    """Takes everything."""

    name = "greedy"

    def matches(self, reference: str) -> bool:
        return True


def registry(**entries: str) -> Registry:
    return Registry(FRONTENDS, [EntryPoint(n, v, FRONTENDS) for n, v in entries.items()])


@pytest.fixture
def other_plugin(monkeypatch: pytest.MonkeyPatch) -> str:
    module = type(sys)("frontend_test_plugin")
    module.Other, module.Greedy = Other, Greedy  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return module.__name__


FX = "snnc.frontends.fx:FxFrontend"


def test_the_installed_frontend_is_found() -> None:
    assert isinstance(find_frontend("net.py:build"), FxFrontend)


def test_another_frontend_takes_its_files(tmp_path: Path, other_plugin: str) -> None:
    path = tmp_path / "x.other"
    path.write_bytes(b"OTHER file")
    got = load(str(path), registry=registry(fx=FX, other=f"{other_plugin}:Other"), allow=["a"])
    assert got == (str(path), {"weights": None, "input_shape": None, "allow": ("a",)})


def test_two_that_claim_a_model_are_named(other_plugin: str) -> None:
    both = registry(fx=FX, greedy=f"{other_plugin}:Greedy")
    with pytest.raises(UsageError, match="several frontends: fx, greedy"):
        load("net.py:build", registry=both)


def test_a_broken_frontend_breaks_only_what_nobody_else_reads(net: Path) -> None:
    plugins = registry(fx=FX, broken="no_such_distribution:Thing")
    assert len(load(f"{net}:build", input_shape=(4,), registry=plugins)) == 4
    with pytest.raises(PluginError, match="broken"):
        load(str(net), registry=plugins)


def test_without_a_frontend_for_code() -> None:
    with pytest.raises(UsageError, match="no installed frontend reads"):
        load("net.py:build", registry=registry())


def test_references() -> None:
    assert code_reference("net.pt") is None
    assert code_reference(":build") is None
    assert code_reference("C:/models/net.pt") is None
    found = code_reference("a/b.py:Net.small")
    assert found is not None and found.is_file
    assert (found.source, found.name) == ("a/b.py", "Net.small")
    package = code_reference("pkg.mod:build")
    assert package is not None and not package.is_file
