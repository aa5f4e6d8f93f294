"""The registry: names without imports, errors that name the distribution."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from snnc.errors import PluginError, UsageError
from snnc.plugins import BACKENDS, FRONTENDS, PASSES, RECIPES, Owner, Registry

PACKAGE = """\
class Good:
    name = "good"

class Renamed:
    name = "other"
"""


def install(folder: Path, distribution: str, entries: dict[str, str]) -> None:
    """Put a fake distribution with `entries` (name -> value) of group `snnc.passes` in `folder`."""
    info = folder / f"{distribution}-1.2.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.2\n")
    lines = "".join(f"{name} = {value}\n" for name, value in entries.items())
    (info / "entry_points.txt").write_text(f"[{PASSES}]\n{lines}")


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "registry_fixture.py").write_text(PACKAGE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "registry_fixture", raising=False)
    return tmp_path


def test_a_name_is_found_and_loaded_only_when_asked_for(site: Path) -> None:
    install(site, "acme", {"good": "registry_fixture:Good"})
    registry = Registry(PASSES)
    assert "good" in registry and "good" in registry.names()
    assert registry.owner("good") == Owner("acme", "1.2")
    assert "registry_fixture" not in sys.modules
    assert registry.get("good").name == "good"


def test_names_are_sorted(site: Path) -> None:
    install(site, "acme", {"zz": "registry_fixture:Good", "aa": "registry_fixture:Good"})
    names = Registry(PASSES).names()
    assert names == sorted(names)


def test_an_unknown_name_lists_the_right_ones_and_the_closest(site: Path) -> None:
    install(site, "acme", {"good": "registry_fixture:Good", "better": "registry_fixture:Good"})
    with pytest.raises(UsageError, match="unknown pass 'goood'") as caught:
        Registry(PASSES).get("goood")
    assert caught.value.hint is not None
    assert "did you mean 'good'?" in caught.value.hint and "better" in caught.value.hint


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("registry_fixture:Missing", "AttributeError"),
        ("registry_no_such_module:X", "ModuleNotFoundError: No module named"),
        ("registry_broken:X", "RuntimeError: boom"),
    ],
)
def test_a_broken_plugin_breaks_only_its_own_name(site: Path, value: str, reason: str) -> None:
    (site / "registry_broken.py").write_text("raise RuntimeError('boom')\n")
    install(site, "acme", {"good": "registry_fixture:Good"})
    install(site, "bust", {"bad": value})
    registry = Registry(PASSES)
    with pytest.raises(PluginError, match=f"pass 'bad' of bust 1.2 cannot be loaded.*{reason}"):
        registry.get("bad")
    assert registry.get("good").name == "good"
    assert registry.problems() == []


def test_a_plugin_must_bear_the_name_of_its_entry_point(site: Path) -> None:
    install(site, "acme", {"good": "registry_fixture:Renamed"})
    with pytest.raises(PluginError, match="'good' of acme 1.2 calls itself 'other'"):
        Registry(PASSES).get("good")


def test_two_distributions_with_one_name_are_both_named_when_it_is_used(site: Path) -> None:
    install(site, "acme", {"good": "registry_fixture:Good", "fine": "registry_fixture:Good"})
    install(site, "zeta", {"good": "registry_fixture:Good"})
    registry = Registry(PASSES)
    for use in (registry.get, registry.owner):
        with pytest.raises(PluginError, match=r"'good' is claimed by acme 1\.2 .* and zeta 1\.2"):
            use("good")
    assert [problem for problem in registry.problems() if "'good'" in problem]
    assert registry.owner("fine") == Owner("acme", "1.2")


def test_an_empty_group_says_so() -> None:
    with pytest.raises(UsageError) as caught:
        Registry("snnc.nothing").get("x")
    assert caught.value.hint is not None and "snnc.nothing" in caught.value.hint


@pytest.mark.parametrize("group", [PASSES, RECIPES, BACKENDS, FRONTENDS])
def test_the_built_in_plugins_come_through_entry_points(group: str) -> None:
    registry = Registry(group)
    ours = [name for name in registry.names() if registry.owner(name).distribution == "snnc"]
    assert ours
    for name in ours:
        assert registry.get(name) is not None


def test_listing_imports_neither_torch_nor_llvmlite() -> None:
    code = (
        "import sys; from snnc.plugins import Registry; Registry('snnc.passes').names();"
        "print([m for m in ('torch', 'llvmlite', 'numpy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_half_installed_distribution_is_refused_in_one_line(site: Path) -> None:
    for distribution in ("acme", "bolt"):
        install(site, distribution, {"good": "registry_fixture:Good"})
    (site / "bolt-1.2.dist-info" / "METADATA").write_text("")
    with pytest.raises(PluginError, match="is claimed by .*unknown distribution"):
        Registry(PASSES).get("good")
