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
DIFF = re.compile(r"<!-- test: (?P<file>\S+) -->\n```diff\n(?P<diff>.*?)```", re.DOTALL)
PART = re.compile(r"<!-- part of: (?P<file>\S+) -->\n```python\n(?P<code>.*?)```", re.DOTALL)
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
    code = dict(BLOCK.findall((repository / "docs" / "models.md").read_text()))[name := "save.py"]
    (tmp_path / name).write_text(code)
    done = subprocess.run([sys.executable, name], cwd=tmp_path, check=False, capture_output=True)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "net.snnc").exists()


@pytest.mark.parametrize("name", ["from_torch.py", "from_onnx.py"])
def test_a_model_is_brought_as_the_page_says(repository: Path, tmp_path: Path, name: str) -> None:
    code = dict(BLOCK.findall((repository / "docs" / "models.md").read_text()))[name]
    _run_in_digits(repository, tmp_path, name, code)
    assert _accuracy(tmp_path) > 0.96


def test_a_network_is_trained_as_the_page_says(repository: Path, tmp_path: Path) -> None:
    ((name, code),) = BLOCK.findall((repository / "docs" / "training.md").read_text())
    printed = _run_in_digits(repository, tmp_path, name, code)
    assert printed.count("threshold") == printed.count("spikes per neuron and step") == 3
    assert _accuracy(tmp_path) > 0.96


def test_a_loop_becomes_one_of_a_spiking_network_by_the_lines_of_the_page(
    repository: Path, tmp_path: Path
) -> None:
    ((name, diff),) = DIFF.findall((repository / "docs" / "training.md").read_text())
    lines = diff.splitlines(keepends=True)
    added = [line for line in lines if line[0] == "+"]
    assert len(added) <= 5 and not [line for line in lines if line[0] == "-"]
    before, after = ("".join(x[1:] for x in lines if x[0] in kept) for kept in (" ", " +"))
    _run_in_digits(repository, tmp_path, name, before)
    assert not (tmp_path / "digits.snnc").exists()
    _run_in_digits(repository, tmp_path, name, after)
    assert _accuracy(tmp_path) > 0.97


def _run_in_digits(repository: Path, folder: Path, name: str, code: str) -> str:
    """What the code prints when run beside the files of examples/digits."""
    (folder / name).write_text(code)
    for used in ("net.py", "weights.safetensors"):
        shutil.copy(repository / "examples" / "digits" / used, folder)
    done = subprocess.run(
        [sys.executable, name], cwd=folder, check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def _accuracy(folder: Path) -> float:
    measured = snnc.evaluate(folder / "digits.snnc", "digits#test").evaluation
    accuracy = measured.windows[-1].accuracy
    assert accuracy is not None
    return accuracy


def test_a_page_shows_examples_as_they_are(repository: Path) -> None:
    pages = (page.read_text() for page in (repository / "docs").glob("*.md"))
    shown = [part for page in pages for part in PART.findall(page)]
    assert shown
    for file, code in shown:
        assert code.strip() in (repository / file).read_text(), file


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
