"""Every refusal that a user meets, as a text: the command, what is said, and the exit code.

A case is a file `cases/KIND/NAME.txt`. Its first line is a title and its second the command, or a
Python expression after `>>>`; the rest is what is said. A new case is a file of two lines:
`pytest --update-golden` adds the rest, and writes `docs/errors.md`, which lists all of them.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

import snnc
from snnc.cli.main import run
from snnc.testing.golden import Golden

CASES = Path(__file__).with_name("cases")
SHELL, PYTHON = "$ snnc ", ">>> "
KINDS = {
    "usage": ("Wrong usage", 2),
    "model": ("Models that cannot be read", 2),
    "data": ("Data that do not fit", 2),
    "artifact": ("Files that cannot be used", 2),
    "unsupported": ("Networks that cannot be compiled", 3),
    "check": ("Checks that do not hold", 1),
}
"""Per folder of cases of the command line its title and its exit code."""
FROM_PYTHON = "python"
"""The folder of cases that are met from Python only."""
LIMIT = 200
"""Characters of the first line of a message."""
INTRODUCTION = """\
# Errors

What snnc refuses, with what it says and what it advises. `tests/errors` runs every command here,
in a folder where `net.py`, the models and the data are, and compares what is said with this page.

An error is one line that begins with `error:`, `hint:` lines where there is something to do about
it, and an exit code. Nothing is written, and no traceback is shown; `--debug` shows it.
"""
ABOUT_PYTHON = """
## From Python only

Every refusal is an exception that derives from `snnc.SnncError`, with `message` and `hint`; those
of the command line are met from Python, too. Here `program` is a loaded artifact, `x` a batch that
it takes, and `net` a network in torch.
"""


@dataclass(frozen=True)
class Case:
    """A refusal.

    Attributes:
        path: of its file.
        title: what is wrong, for the page.
        prompt: `SHELL` or `PYTHON`.
        command: what follows the prompt.
        said: the error, its hints and the exit code, as lines; "" for a new case.
    """

    path: Path
    title: str
    prompt: str
    command: str
    said: str

    @classmethod
    def read(cls, path: Path) -> Case:
        """The case in a file."""
        title, command, *said = path.read_text(encoding="utf-8").split("\n", 2)
        prompt = PYTHON if path.parent.name == FROM_PYTHON else SHELL
        assert command.startswith(prompt), f"{path}: the second line is no command"
        return cls(path, title, prompt, command.removeprefix(prompt), "".join(said))

    @property
    def kind(self) -> str:
        """The folder it lies in."""
        return self.path.parent.name

    def text(self, said: str) -> str:
        """The file of the case where it says `said`."""
        return f"{self.title}\n{self.prompt}{self.command}\n{said}"


def cases() -> Iterator[Case]:
    """Every case, by kind."""
    for kind in (*KINDS, FROM_PYTHON):
        yield from map(Case.read, sorted((CASES / kind).glob("*.txt")))


def page() -> str:
    """`docs/errors.md`."""
    parts = [INTRODUCTION]
    found = list(cases())
    for kind, (title, code) in KINDS.items():
        parts.append(f"\n## {title}: exit code {code}\n")
        parts += [_entry(case) for case in found if case.kind == kind]
    parts += [ABOUT_PYTHON, *(_entry(case) for case in found if case.kind == FROM_PYTHON)]
    return "".join(parts)


def _entry(case: Case) -> str:
    said = case.said.rpartition("exit code")[0] if case.prompt == SHELL else case.said
    return f"\n{case.title}\n\n```text\n{case.prompt}{case.command}\n{said}```\n"


def files(folder: Path) -> dict[Path, bytes]:
    """What is in a folder, but for compiled Python."""
    found = (path for path in folder.rglob("*") if path.is_file())
    return {path: path.read_bytes() for path in found if path.suffix != ".pyc"}


def of_kinds(*kinds: str) -> pytest.MarkDecorator:
    """The cases of these folders, for a test."""
    found = [case for case in cases() if case.kind in kinds]
    ids = [f"{case.kind}-{case.path.stem}" for case in found]
    return pytest.mark.parametrize("case", found, ids=ids)


def unplaced(said: str, folder: Path) -> str:
    """`said` without the folder in which it was said."""
    return said.replace(f"{folder}/", "").replace(str(folder), ".")


@of_kinds(*KINDS)
def test_refusal(
    case: Case,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    pytestconfig: pytest.Config,
) -> None:
    monkeypatch.chdir(folder)
    before = files(folder)
    code = run(shlex.split(case.command))
    found = capsys.readouterr()
    assert files(folder) == before, "a refused command writes nothing"
    assert "Traceback" not in found.err and found.err.count("error: ") == 1, found.err
    said = unplaced(found.err[found.err.index("error: ") :], folder)
    assert len(said.splitlines()[0]) <= LIMIT, "a message is a line"
    assert code == KINDS[case.kind][1]
    assert found.out == "" or case.kind == "check"
    golden = Golden(case.path, update=bool(pytestconfig.getoption("--update-golden")))
    assert case.text(f"{said}exit code {code}\n") == golden


@of_kinds(FROM_PYTHON)
def test_refusal_from_python(
    case: Case, folder: Path, monkeypatch: pytest.MonkeyPatch, pytestconfig: pytest.Config
) -> None:
    monkeypatch.chdir(folder)
    torch.manual_seed(0)
    program = snnc.load("net.snnc")
    before = files(folder)
    names = {
        "snnc": snnc,
        "np": np,
        "torch": torch,
        "program": program,
        "x": inputs(),
        "net": net(),
    }
    with pytest.raises(snnc.SnncError) as refused:
        eval(case.command, names)
    assert files(folder) == before, "what is refused writes nothing"
    error = refused.value
    lines = [f"{type(error).__module__}.{type(error).__name__}: {error.message}"]
    lines += [] if error.hint is None else [f"hint: {line}" for line in error.hint.splitlines()]
    assert len(lines[0].splitlines()[0]) <= LIMIT, "a message is a line"
    golden = Golden(case.path, update=bool(pytestconfig.getoption("--update-golden")))
    assert case.text(unplaced("\n".join(lines), folder) + "\n") == golden


def inputs() -> NDArray[np.float32]:
    """Three samples that the program takes."""
    return np.random.default_rng(0).random((3, 2, 6, 6), dtype=np.float32)


def net() -> nn.Module:
    """A network that can be compiled, of the shape of `inputs`."""
    return nn.Sequential(nn.Conv2d(2, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(48, 5)).eval()


def test_every_folder_of_cases_is_a_kind() -> None:
    assert {path.parent.name for path in CASES.rglob("*.txt")} == {*KINDS, FROM_PYTHON}


def test_the_page_lists_every_case(repository: Path, pytestconfig: pytest.Config) -> None:
    path = repository / "docs" / "errors.md"
    golden = Golden(path, update=bool(pytestconfig.getoption("--update-golden")))
    assert page() == golden
