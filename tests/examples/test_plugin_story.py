"""The page docs/plugins.md, executed in a virtual environment of its own: it promises no more."""

from __future__ import annotations

import os
import re
import subprocess
import sysconfig
import venv
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from snnc.artifact import open_artifact

pytest.importorskip("sklearn", reason="the digits come with scikit-learn: extra [demo]")

BLOCK = re.compile(
    r"```console\n(?P<console>.*?)```|<!-- edit: (?P<file>\S+) -->\n```diff\n(?P<diff>.*?)```",
    re.DOTALL,
)
ANYTHING = "…"
OFFLINE = {"PIP_NO_INDEX": "1", "PIP_NO_DEPS": "1", "PIP_NO_BUILD_ISOLATION": "0"}
"""As the flags of pip; the last is a switch that pip reads the other way round."""


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, str]:
    """A virtual environment that sees all that is installed here and takes what is new."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, symlinks=True, with_pip=False)
    python = folder / "bin" / "python"
    (site,) = folder.glob("lib/python*/site-packages")
    here = sysconfig.get_path("purelib")
    (site / "running.pth").write_text(f"import site; site.addsitedir({here!r})\n")
    for name, module, call in (
        ("snnc", "snnc.cli", "main()"),
        ("pip", "pip._internal.cli.main", "sys.exit(main())"),
    ):
        script = folder / "bin" / name
        script.write_text(f"#!{python}\nimport sys\nfrom {module} import main\n\n{call}\n")
        script.chmod(0o755)
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    path = f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}"
    return {**clean, **OFFLINE, "PATH": path, "VIRTUAL_ENV": str(folder)}


@pytest.fixture(scope="module")
def story(
    repository: Path, tmp_path_factory: pytest.TempPathFactory, environment: Mapping[str, str]
) -> Path:
    """The folder in which the page was executed, from its first block to its last."""
    place = tmp_path_factory.mktemp("story")
    (place / "examples").symlink_to(repository / "examples")
    for block in BLOCK.finditer((repository / "docs" / "plugins.md").read_text()):
        if block["file"]:
            _edit(place / block["file"], block["diff"])
        else:
            _execute(block["console"], place, environment)
    return place


def _edit(file: Path, diff: str) -> None:
    """Apply a diff of one hunk without line numbers."""
    lines = diff.splitlines(keepends=True)
    old, new = ("".join(line[1:] for line in lines if line[0] != sign) for sign in "+-")
    text = file.read_text()
    assert text.count(old) == 1, f"{file.name} does not hold what the page says:\n{old}"
    file.write_text(text.replace(old, new))


def _execute(console: str, place: Path, environment: Mapping[str, str]) -> None:
    """Run each command of a block and hold what it prints against the lines below it."""
    for part in re.split(r"^\$ ", console, flags=re.MULTILINE)[1:]:
        command, expected = _command(part)
        done = subprocess.run(
            command,
            shell=True,
            cwd=place,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert re.fullmatch(expected, done.stdout.strip(), re.DOTALL), f"{command}\n{done.stdout}"
        assert (done.returncode != 0) == ("error: " in done.stdout), f"{command}\n{done.stdout}"


def _command(part: str) -> tuple[str, str]:
    """A command with its continued lines, and a pattern of its output; `…` is anything."""
    lines = part.splitlines()
    last = next(i for i, line in enumerate(lines) if not line.endswith("\\"))
    command = "\n".join(lines[: last + 1])
    shown = "\n".join(lines[last + 1 :])
    return command, ".*".join(re.escape(piece) for piece in shown.split(ANYTHING))


def test_the_page_holds_the_story(repository: Path) -> None:
    text = (repository / "docs" / "plugins.md").read_text()
    found = [
        line for block in BLOCK.finditer(text) for line in (block["console"] or "").splitlines()
    ]
    commands = [line[2:] for line in found if line.startswith("$ ")]
    for start in (
        *("snnc new pass drop-weak", "pip install", "snnc passes drop-weak", "python -m pytest"),
        *("snnc opt", "snnc new backend my-chip", "snnc targets", "snnc compile", "snnc verify"),
    ):
        assert any(command.startswith(start) for command in commands), start
    assert sum(bool(block["file"]) for block in BLOCK.finditer(text)) == 1


def test_the_edited_pass_drops_what_it_says(story: Path) -> None:
    before, after = (open_artifact(story / name).graph() for name in ("net.snnc", "out.snnc"))
    dropped = 0
    for name in ("conv1.weight", "conv2.weight", "fc1.weight", "fc2.weight"):
        weight = before.params[name]
        weak = np.abs(weight) < 0.3 * np.abs(weight.astype(np.float64)).max()
        np.testing.assert_array_equal(after.params[name] == 0, weak | (weight == 0))
        dropped += int(weak.sum())
    assert dropped > 1000


def test_the_artifact_of_the_new_target_names_both_plugins(story: Path) -> None:
    manifest = open_artifact(story / "chip.snnc").manifest
    assert manifest["target"] == "my-chip{neurons=4096}"
    assert {"snnc-drop-weak", "snnc-my-chip"} <= set(manifest["distributions"])


def test_nothing_was_installed_here(story: Path) -> None:
    assert not list(Path(sysconfig.get_path("purelib")).glob("snnc_drop_weak*"))
