"""The example of the Python API runs, is accurate, and equals the reference."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("sklearn", reason="the digits come with scikit-learn: extra [demo]")


def test_the_python_api_example_runs(repository: Path, tmp_path: Path) -> None:
    script = repository / "examples" / "custom_pipeline.py"
    command = [sys.executable, str(script), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = re.search(r"accuracy ([\d.]+)", done.stdout)
    assert found and float(found[1]) > 0.9, done.stdout
    assert "sparsify{fraction=0.2}" in done.stdout
    assert "equal to the reference: True" in done.stdout
    assert (tmp_path / "digits.snnc").exists()
