"""What the pages promise: the code of CONTRIBUTING.md runs, and every link leads somewhere."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import snnc

BLOCK = re.compile(r"<!-- test: (?P<file>\S+) -->\n```python\n(?P<code>.*?)```", re.DOTALL)
LINK = re.compile(r"\]\((?!https?:)(?P<path>[^)#]+)")


def test_the_ten_minute_pass_keeps_the_contract(repository: Path, tmp_path: Path) -> None:
    blocks = BLOCK.findall((repository / "CONTRIBUTING.md").read_text())
    assert [name for name, _ in blocks] == ["clip_weights.py", "test_clip_weights.py"]
    for name, code in blocks:
        (tmp_path / name).write_text(code)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", os.devnull]
    done = subprocess.run(
        [*command, str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
    )
    assert done.returncode == 0, done.stdout
    assert "1 passed" in done.stdout


def test_a_model_is_saved_as_the_page_says(repository: Path, tmp_path: Path) -> None:
    ((name, code),) = BLOCK.findall((repository / "docs" / "models.md").read_text())
    (tmp_path / name).write_text(code)
    done = subprocess.run([sys.executable, name], cwd=tmp_path, check=False, capture_output=True)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "net.snnc").exists()


def test_a_network_is_trained_as_the_page_says(repository: Path, tmp_path: Path) -> None:
    ((name, code),) = BLOCK.findall((repository / "docs" / "training.md").read_text())
    (tmp_path / name).write_text(code)
    for used in ("net.py", "weights.safetensors"):
        shutil.copy(repository / "examples" / "digits" / used, tmp_path)
    done = subprocess.run(
        [sys.executable, name], cwd=tmp_path, check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("threshold") == 3
    measured = snnc.evaluate(tmp_path / "digits.snnc", "digits#test").evaluation
    accuracy = measured.windows[-1].accuracy
    assert accuracy is not None and accuracy > 0.97


def test_passes_learn_as_the_page_says(repository: Path, tmp_path: Path) -> None:
    ((name, code),) = BLOCK.findall((repository / "docs" / "learning.md").read_text())
    (tmp_path / name).write_text(code)
    for used in ("net.py", "weights.safetensors"):
        shutil.copy(repository / "examples" / "digits" / used, tmp_path)
    done = subprocess.run(
        [sys.executable, name], cwd=tmp_path, check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    *epochs, last = done.stdout.splitlines()
    assert [line.partition(":")[0] for line in epochs] == [
        f"T={timesteps} epoch {epoch}" for timesteps in (2, 1) for epoch in (1, 2)
    ]
    assert float(last.removeprefix("T=1: ").removesuffix("%")) > 93


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs"])
def test_every_link_leads_somewhere(repository: Path, page: str) -> None:
    files = sorted((repository / page).glob("*.md")) if page == "docs" else [repository / page]
    assert files
    for file in files:
        for path in LINK.findall(file.read_text()):
            assert (file.parent / path).exists(), f"{file.name}: {path}"


def test_the_readme_has_a_place_for_the_results(repository: Path) -> None:
    text = (repository / "README.md").read_text()
    assert text.index("<!-- accuracy-table -->") < text.index("<!-- /accuracy-table -->")
