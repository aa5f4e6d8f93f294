"""What `make demo` runs: the digits network from its weights to a verified, measured artifact."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("sklearn", reason="the digits come with scikit-learn: extra [demo]")


@pytest.fixture(scope="module")
def commands(repository: Path) -> list[list[str]]:
    """The `snnc` command lines of the target `demo`, without the output folder."""
    plan = subprocess.run(
        ["make", "-n", "demo", "DEMO_OUT=OUT"],
        cwd=repository,
        capture_output=True,
        text=True,
        check=True,
    )
    lines = plan.stdout.replace("\\\n", " ").splitlines()
    return [shlex.split(line)[1:] for line in lines if "/snnc " in line]


def test_the_demo_compiles_verifies_and_measures(
    repository: Path, tmp_path: Path, commands: list[list[str]]
) -> None:
    assert [arguments[0] for arguments in commands] == ["compile", "verify", "eval"]
    results = []
    for arguments in commands:
        local = [argument.replace("OUT/", f"{tmp_path}/") for argument in arguments]
        code = "import sys; from snnc.cli import main; sys.exit(main())"
        done = subprocess.run(
            [sys.executable, "-c", code, *local, "--json"],
            cwd=repository,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        results.append(json.loads(done.stdout))
    assert results[2]["accuracy"] > 0.95
    assert results[2]["ann_accuracy"] > 0.99
