"""What `make demo` runs: a pickled digits network, on two targets, to a report to look at."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from snnc.cli.main import run

pytest.importorskip("sklearn", reason="the digits come with scikit-learn: extra [demo]")


@pytest.fixture
def commands(repository: Path, tmp_path: Path) -> list[list[str]]:
    """The command lines of the target `demo`, programs without their folder."""
    plan = subprocess.run(
        ["make", "-n", "-o", ".venv/.demo", "demo", "BIN=BIN", f"DEMO_OUT={tmp_path}"],
        cwd=repository,
        capture_output=True,
        text=True,
        check=True,
    )
    lines = plan.stdout.replace("\\\n", " ").splitlines()
    return [shlex.split(line.removeprefix("BIN/")) for line in lines if line.startswith("BIN/")]


def test_the_demo_compiles_verifies_and_measures_two_targets(
    repository: Path,
    tmp_path: Path,
    commands: list[list[str]],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(repository)
    (program, *pickled), *rest = commands
    assert program == "python"
    subprocess.run([sys.executable, *pickled], check=True)
    assert (tmp_path / "model.pt").exists()

    found: list[dict[str, Any]] = []
    verbs = [arguments[1] for arguments in rest]
    assert verbs == ["compile", "verify", "compile", "verify", "eval", "eval"]
    for arguments in rest[:-1]:
        assert run([*arguments[1:], "--json"]) == 0, capsys.readouterr().err
        found.append(json.loads(capsys.readouterr().out))
    assert [found[i]["target"] for i in (0, 2)] == ["cpu", "crossbar"]
    assert all(found[i]["quantized"] and found[i]["equal"] for i in (1, 3))
    assert found[4]["accuracy"] > 0.98

    assert run(rest[-1][1:]) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    report = Path(last.removeprefix("report: "))
    assert last.startswith("report: ") and report.is_absolute() and report.is_file()
    figures = json.loads((report.parent / "report.json").read_text())
    assert [window["timesteps"] for window in figures["sweep"]] == [1, 2, 4, 8, 16]
    assert figures["accuracy"] == found[4]["accuracy"]  # the crossbar's, and the CPU's
    assert figures["ann_accuracy"] > 0.99 and figures["agreement"] > 0.99
