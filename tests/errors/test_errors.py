"""Every refusal that a user meets, as a text: the command, what is said, and the exit code.

A case is a file `cases/KIND/NAME.txt`. Its first line is a title and its second the command; the
rest is what the command says. A new case is a file of two lines: `pytest --update-golden` adds the
rest, and writes `docs/errors.md`, which lists all of them.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from snnc.cli.main import run
from snnc.testing.golden import Golden

CASES = Path(__file__).with_name("cases")
PROMPT = "$ snnc "
KINDS = {
    "usage": ("Wrong usage", 2),
    "model": ("Models that cannot be read", 2),
    "data": ("Data that do not fit", 2),
    "artifact": ("Files that cannot be used", 2),
    "unsupported": ("Networks that cannot be compiled", 3),
    "check": ("Checks that do not hold", 1),
}
"""Per folder of cases its title and its exit code."""
LIMIT = 200
"""Characters of the first line of a message."""
INTRODUCTION = """\
# Errors

What snnc refuses, with what it says and what it advises. `tests/errors` runs every command here,
in a folder where `net.py`, the models and the data are, and compares what is said with this page.

An error is one line that begins with `error:`, `hint:` lines where there is something to do about
it, and an exit code. Nothing is written, and no traceback is shown; `--debug` shows it.
"""


@dataclass(frozen=True)
class Case:
    """A refusal.

    Attributes:
        path: of its file.
        title: what is wrong, for the page.
        command: what follows `snnc`.
        said: the error, its hints and the exit code, as lines; "" for a new case.
    """

    path: Path
    title: str
    command: str
    said: str

    @classmethod
    def read(cls, path: Path) -> Case:
        """The case in a file."""
        title, command, *said = path.read_text(encoding="utf-8").split("\n", 2)
        assert command.startswith(PROMPT), f"{path}: the second line is no command"
        return cls(path, title, command.removeprefix(PROMPT), "".join(said))

    @property
    def kind(self) -> str:
        """The folder it lies in."""
        return self.path.parent.name

    def text(self, said: str) -> str:
        """The file of the case where it says `said`."""
        return f"{self.title}\n{PROMPT}{self.command}\n{said}"


def cases() -> Iterator[Case]:
    """Every case, by kind."""
    for kind in KINDS:
        yield from map(Case.read, sorted((CASES / kind).glob("*.txt")))


def page() -> str:
    """`docs/errors.md`."""
    parts = [INTRODUCTION]
    found = list(cases())
    for kind, (title, code) in KINDS.items():
        parts.append(f"\n## {title}: exit code {code}\n")
        parts += [_entry(case) for case in found if case.kind == kind]
    return "".join(parts)


def _entry(case: Case) -> str:
    said = case.said.rpartition("exit code")[0]
    return f"\n{case.title}\n\n```text\n{PROMPT}{case.command}\n{said}```\n"


def files(folder: Path) -> dict[Path, bytes]:
    """What is in a folder, but for compiled Python."""
    found = (path for path in folder.rglob("*") if path.is_file())
    return {path: path.read_bytes() for path in found if path.suffix != ".pyc"}


@pytest.mark.parametrize("case", list(cases()), ids=lambda case: f"{case.kind}-{case.path.stem}")
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
    said = (
        found.err[found.err.index("error: ") :].replace(f"{folder}/", "").replace(str(folder), ".")
    )
    assert len(said.splitlines()[0]) <= LIMIT, "a message is a line"
    assert code == KINDS[case.kind][1]
    assert found.out == "" or case.kind == "check"
    golden = Golden(case.path, update=bool(pytestconfig.getoption("--update-golden")))
    assert case.text(f"{said}exit code {code}\n") == golden


def test_every_folder_of_cases_is_a_kind() -> None:
    assert {path.parent.name for path in CASES.rglob("*.txt")} == set(KINDS)


def test_the_page_lists_every_case(repository: Path, pytestconfig: pytest.Config) -> None:
    path = repository / "docs" / "errors.md"
    golden = Golden(path, update=bool(pytestconfig.getoption("--update-golden")))
    assert page() == golden
