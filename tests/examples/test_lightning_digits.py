"""The Lightning example: thresholds and leaks learn in it, layers are logged, the page shows it."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

pytest.importorskip("sklearn", reason="the digits come with scikit-learn: extra [demo]")
if find_spec("pytorch_lightning") is None:
    pytest.skip("pytorch-lightning is not installed: extra [dev]", allow_module_level=True)


def test_the_lightning_example_runs(repository: Path, tmp_path: Path) -> None:
    script = repository / "examples" / "lightning_digits.py"
    command = [sys.executable, str(script), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    logged = {n: float(v) for n, v in re.findall(r"^(\S+) +([\d.]+)$", done.stdout, re.MULTILINE)}
    nodes, names = ("relu", "relu_1", "relu_2"), ("rate", "silent", "threshold", "leak")
    assert {f"{node}/{name}" for node in nodes for name in names} < set(logged)
    assert logged["accuracy"] > 0.98
    leaks = [logged[f"{node}/leak"] for node in nodes]
    assert max(leaks) <= 1 and min(leaks) < 0.99
    found = re.search(r"^test accuracy ([\d.]+)$", done.stdout, re.MULTILINE)
    assert found and float(found[1]) > 0.97, done.stdout
    assert (tmp_path / "digits.snnc").exists()
