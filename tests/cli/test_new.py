"""`snnc new`: what is written, what is refused, and that nothing half made stays."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import pytest

from snnc.scaffold import KINDS, new_plugin

NAMES = ["drop-weak", "a", "x-2", "with-several-dashes-here"]
"""Up to 24 letters no line of the templates grows past the limit of the formatter."""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_pass_is_written_and_the_next_commands_are_told(snnc: Any, here: Path) -> None:
    done = snnc("new", "pass", "drop-weak")
    assert done.code == 0, done.err
    folder = here / "snnc-drop-weak"
    files = sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())
    assert files == [
        "README.md",
        "pyproject.toml",
        "snnc_drop_weak/__init__.py",
        "snnc_drop_weak/drop_weak.py",
        "snnc_drop_weak/py.typed",
        "tests/test_drop_weak.py",
    ]
    assert [f"  {file}" for file in files] == done.out.splitlines()[1:7]
    assert done.out.splitlines()[7:] == [
        "next:",
        "  pip install -e './snnc-drop-weak[dev]'",
        "  python -m pytest snnc-drop-weak",
        "  snnc passes drop-weak",
    ]
    assert os.listdir(here) == ["snnc-drop-weak"]
    assert not [path for path in folder.rglob("*") if path.is_file() and "$" in path.read_text()]


@pytest.mark.parametrize(
    ("kind", "group", "value"),
    [
        ("pass", "snnc.passes", "snnc_my_own.my_own:MyOwn"),
        ("backend", "snnc.backends", "snnc_my_own.my_own:MyOwnBackend"),
        ("device", "snnc.devices", "snnc_my_own.my_own:MyOwn"),
        ("exporter", "snnc.exporters", "snnc_my_own.my_own:MyOwnExporter"),
    ],
)
def test_the_project_declares_its_entry_point(
    here: Path, kind: str, group: str, value: str
) -> None:
    folder, _ = new_plugin(kind, "my-own", here / "deep")
    assert folder == here / "deep"
    project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    assert project["name"] == "snnc-my-own" and project["dependencies"] == ["snnc"]
    assert project["entry-points"] == {group: {"my-own": value}}


def test_json_tells_the_same(snnc: Any, here: Path) -> None:
    done = snnc("new", "backend", "my-chip", "-o", "sub dir", "--json")
    assert done.code == 0, done.err
    told = json.loads(done.out)
    assert told["kind"] == "new" and told["plugin"] == "backend" and told["name"] == "my-chip"
    assert told["folder"] == str(here / "sub dir")
    assert all((here / "sub dir" / file).is_file() for file in told["files"])
    assert told["next"][0] == "pip install -e './sub dir[dev]'"
    assert told["next"][2] == "snnc targets my-chip"


@pytest.mark.parametrize("kind", list(KINDS))
def test_the_next_command_installs_all_that_the_tests_import(
    snnc: Any, here: Path, kind: str
) -> None:
    """And pytest, which runs them; the README says the same."""
    done = snnc("new", kind, "my-own")
    folder = here / "snnc-my-own"
    project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    needed = {"pytest"}
    for file in folder.rglob("*.py"):
        needed |= set(re.findall(r"^(?:import|from) (\w+)", file.read_text(), re.MULTILINE))
    brought = {"numpy", "snnc", "snnc_backends", "snnc_my_own", *sys.stdlib_module_names}
    assert needed - brought == set(project["optional-dependencies"]["dev"])
    assert "pip install -e './snnc-my-own[dev]'" in done.out
    assert "pip install -e '.[dev]'" in (folder / "README.md").read_text()


@pytest.mark.parametrize("kind", list(KINDS))
def test_what_is_written_is_tidy(here: Path, kind: str) -> None:
    for name in NAMES:
        new_plugin(kind, name, here / name)
        for command in (["check", "--no-cache"], ["format", "--check", "--no-cache"]):
            done = subprocess.run(
                [sys.executable, "-m", "ruff", *command, "."],
                cwd=here / name,
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("kind", ["device", "exporter"])
def test_what_is_written_passes_its_own_tests(here: Path, kind: str) -> None:
    """Passes and backends are installed and tested by the page that tells of them."""
    folder, _ = new_plugin(kind, "my-own")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(here / folder)},
    )
    assert done.returncode == 0, done.stdout
    assert f"{3 if kind == 'device' else 2} passed" in done.stdout


@pytest.mark.parametrize(
    ("kind", "name", "words"),
    [
        ("recipe", "x", ("cannot make a 'recipe'", "pass, backend, device, exporter")),
        ("pass", "Drop_Weak", ("'Drop_Weak' is no name of a pass", "drop-weak")),
        ("pass", "-drop", ("No such option",)),
        ("pass", "drop-", ("is no name of a pass",)),
        ("pass", "../up", ("is no name of a pass",)),
        ("pass", "8bit", ("is no name of a pass", "a letter first")),
        ("pass", "a" * 65, ("is no name of a pass",)),
        ("pass", "lambda", ("'lambda' is a keyword of Python", "lambda-pass")),
        ("pass", "none", ("'None' is a keyword of Python",)),
        ("pass", "graph", ("would make a second Graph", "graph-pass")),
        ("pass", "fold-scale", ("a pass 'fold-scale' is installed, from snnc 0.",)),
        ("backend", "cpu", ("a backend 'cpu' is installed",)),
        ("device", "ideal", ("a device 'ideal' is installed, from snnc 0.",)),
        ("device", "device-facts", ("would make a second DeviceFacts", "device-facts-device")),
        ("exporter", "text", ("an exporter 'text' is installed",)),
        ("pass", "passes", ("a package snnc_passes is installed",)),
    ],
)
def test_a_name_that_cannot_be_used_is_refused_in_one_line(
    snnc: Any, here: Path, kind: str, name: str, words: tuple[str, ...]
) -> None:
    done = snnc("new", kind, name)
    assert done.code == 2 and done.out == ""
    assert done.err.startswith("error: ") and len(done.err.splitlines()) <= 2
    assert all(word in done.err for word in words), done.err
    assert os.listdir(here) == []


def test_what_is_there_is_never_overwritten(snnc: Any, here: Path) -> None:
    (here / "snnc-drop-weak").mkdir()
    (here / "dangling").symlink_to("nowhere")
    for options in ((), ("-o", "dangling")):
        done = snnc("new", "pass", "drop-weak", *options)
        assert done.code == 2
        assert "is there already" in done.err and "another -o DIR" in done.err
    assert os.listdir(here / "snnc-drop-weak") == []


def test_a_failure_leaves_nothing(snnc: Any, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done = snnc("new", "pass", "drop-weak", "-o", "no/such/parent")
    assert done.code == 2 and "cannot make no/such/parent: No such file" in done.err

    write = Path.write_text

    def full(path: Path, text: str, **options: Any) -> int:
        if path.name == "pyproject.toml":
            raise OSError(28, "No space left on device")
        return write(path, text, **options)

    monkeypatch.setattr(Path, "write_text", full)
    done = snnc("new", "pass", "drop-weak")
    assert done.code == 2 and "No space left on device" in done.err
    assert os.listdir(here) == []


def test_nothing_heavy_is_imported(here: Path) -> None:
    code = (
        "import sys; from snnc.cli.main import run; assert run(['new', 'pass', 'light']) == 0;"
        "sys.exit(bool({'torch', 'llvmlite', 'networkx', 'numpy'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=here, check=False).returncode == 0


def test_wheel_and_sdist_hold_the_templates(repository: Path, tmp_path: Path) -> None:
    build = [sys.executable, "-m", "hatchling", "build", "-d", str(tmp_path)]
    subprocess.run(build, cwd=repository, check=True, capture_output=True)
    (wheel,), (sdist,) = tmp_path.glob("snnc-*.whl"), tmp_path.glob("snnc-*.tar.gz")
    expected = {
        str(path.relative_to(repository))
        for path in (repository / "snnc" / "scaffold").rglob("*.tmpl")
    }
    assert len(expected) == 24
    assert expected <= set(zipfile.ZipFile(wheel).namelist())
    with tarfile.open(sdist) as archive:
        assert expected <= {name.partition("/")[2] for name in archive.getnames()}


def test_a_backend_runs_what_it_has_legalised(here: Path) -> None:
    folder, _ = new_plugin("backend", "my-own")
    module = folder / "snnc_my_own" / "my_own.py"
    text = module.read_text()
    assert text.count('return ""') == 1
    module.write_text(text.replace('return ""', 'return "fold-scale"'))
    code = """
from snnc.testing import Style, assert_backend_contract, assert_equal_runs, build, load_program
from snnc.testing import sample_inputs
from snnc_backends.reference import ReferenceBackend
from snnc_my_own.my_own import MyOwnBackend
graph = build("residual", Style.SNN)
x = sample_inputs(graph, 3)
found, expected = (
    load_program(each(), graph, 4).run(x, record="spikes")
    for each in (MyOwnBackend, ReferenceBackend)
)
assert_equal_runs(found, expected, "residual")
assert_backend_contract(MyOwnBackend())
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(here / folder)},
    )
    assert done.returncode == 0, done.stderr
