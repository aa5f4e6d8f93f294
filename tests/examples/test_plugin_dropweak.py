"""The third-party pass installs, is found by the command line, keeps the contract, and works."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from snnc.artifact import open_artifact, write
from snnc.testing import Style, build

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def site(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the plugin installed in it."""
    folder = tmp_path_factory.mktemp("site")
    plugin = repository / "examples" / "plugin_dropweak"
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index"]
    command += ["--no-build-isolation", "--target", str(folder), str(plugin)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def run(site: Path) -> Run:
    """Run a Python module with the plugin installed."""

    def call(*arguments: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "PYTHONPATH": str(site)}
        command = [sys.executable, *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)

    return call


CLI = ("-c", "import sys; from snnc.cli import main; sys.exit(main())")


@pytest.fixture
def net(tmp_path: Path) -> Path:
    path = tmp_path / "net.snnc"
    write(path, build("plain", Style.SNN))
    return path


def test_it_is_listed_with_its_distribution_and_options(run: Run) -> None:
    done = run(*CLI, "passes", "drop-weak")
    assert done.returncode == 0, done.stderr
    assert "snnc-dropweak" in done.stdout and "below" in done.stdout


def test_opt_runs_it_on_a_saved_graph(run: Run, net: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.snnc"
    done = run(*CLI, "opt", str(net), "--passes", "drop-weak{below=0.3}", "-o", str(out))
    assert done.returncode == 0, done.stderr
    before, after = open_artifact(net).graph(), open_artifact(out).graph()
    assert (after.params["conv1.weight"] == 0).sum() > 0
    assert (before.params["conv1.weight"] == 0).sum() == 0


def test_a_wrong_option_gets_a_caret_and_the_right_ones(run: Run, net: Path) -> None:
    done = run(*CLI, "opt", str(net), "--passes", "drop-weak{belwo=0.3}")
    assert done.returncode == 2
    assert "^" in done.stderr and "below" in done.stderr and "Traceback" not in done.stderr


def test_its_own_contract_test_passes(run: Run, repository: Path) -> None:
    tests = repository / "examples" / "plugin_dropweak" / "tests"
    done = run("-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", os.devnull, str(tests))
    assert done.returncode == 0, done.stdout
    assert "1 passed" in done.stdout


def test_a_broken_and_a_clashing_plugin_break_only_their_own_names(
    run: Run, site: Path, net: Path
) -> None:
    info = site / "bust-9.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: bust\nVersion: 9\n")
    entries = "broken = no_such_module:X\nfold-scale = no_such_module:Y\n"
    (info / "entry_points.txt").write_text(f"[snnc.passes]\n{entries}")
    try:
        for spec, words in (("broken", ["bust 9"]), ("fold-scale", ["bust 9", "snnc 0."])):
            done = run(*CLI, "opt", str(net), "--passes", spec)
            assert done.returncode == 2
            assert all(word in done.stderr for word in words), done.stderr
            assert "Traceback" not in done.stderr
        fine = run(*CLI, "opt", str(net), "--passes", "drop-weak", "--json")
        assert fine.returncode == 0, fine.stderr
        json.loads(fine.stdout)
        assert run(*CLI, "passes").returncode == 0
    finally:
        (info / "entry_points.txt").unlink()
        (info / "METADATA").unlink()
        info.rmdir()
