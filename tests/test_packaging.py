"""What is installed is what pyproject.toml says, and what is built holds everything."""

from __future__ import annotations

import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import distribution, entry_points
from pathlib import Path
from typing import Any

import pytest

import snnc
import snnc_passes


@pytest.fixture(scope="module")
def project(repository: Path) -> dict[str, Any]:
    return tomllib.loads((repository / "pyproject.toml").read_text())["project"]


def test_the_installed_entry_points_are_those_of_pyproject(project: dict[str, Any]) -> None:
    declared = {
        (group, name, value)
        for group, entries in project["entry-points"].items()
        for name, value in entries.items()
    }
    installed = {
        (entry.group, entry.name, entry.value)
        for entry in distribution("snnc").entry_points
        if entry.group.startswith("snnc.")
    }
    assert installed == declared, "the installed metadata is stale: run `pip install -e .` again"


def test_every_entry_point_is_named_as_its_module(project: dict[str, Any]) -> None:
    for group in ("snnc.passes", "snnc.recipes"):
        for name, value in project["entry-points"][group].items():
            module, _, cls = value.partition(":")
            assert module.rsplit(".", 1)[1] == name.replace("-", "_")
            assert cls == "".join(word.capitalize() for word in name.split("-"))


def test_the_wheel_holds_the_three_packages(repository: Path, tmp_path: Path) -> None:
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=repository, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("snnc-*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    for package, folder in (
        ("snnc", "."),
        ("snnc_passes", "passes"),
        ("snnc_backends", "backends"),
    ):
        sources = (repository / folder / package).rglob("*.py")
        expected = {str(path.relative_to(repository / folder)) for path in sources}
        assert expected <= names
        assert f"{package}/py.typed" in names
    assert not [name for name in names if name.startswith(("tests/", "examples/", "passes/"))]


def test_a_file_without_underscore_is_a_plugin() -> None:
    """In `snnc_passes`, NAME.py is a pass or recipe; _NAME.py and what is in _NAME/ are helpers."""
    home = Path(snnc_passes.__file__).parent
    paths = (path.relative_to(home) for path in home.rglob("*.py"))
    files = {
        path.with_suffix("").as_posix()
        for path in paths
        if not any(part.startswith("_") for part in path.parts)
    }
    plugins = [*entry_points(group="snnc.passes"), *entry_points(group="snnc.recipes")]
    ours = [e.module for e in plugins if e.module.startswith("snnc_passes.")]
    assert files == {m.removeprefix("snnc_passes.").replace(".", "/") for m in ours}


def test_the_package_knows_its_version(project: dict[str, Any]) -> None:
    assert snnc.__version__ == project["version"]
