"""Golden files: `assert text == golden`; `pytest --update-golden` accepts new texts.

A pytest plugin: `pytest_plugins = ["snnc.testing.golden"]` in a `conftest.py` gives the fixture
`golden`. The file lies in `golden/<test module>/<test name>.txt` under `tests/`.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest


class Golden(str):
    """The stored text; in update mode a comparison stores the other text and is true."""

    __slots__ = ("path", "update")

    path: Path
    update: bool

    def __new__(cls, path: Path, *, update: bool) -> Golden:
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        golden = super().__new__(cls, text)
        golden.path, golden.update = path, update
        return golden

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, str):
            return NotImplemented
        if self.update:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.path.write_text(other, encoding="utf-8")
            return True
        if not self.path.exists():
            pytest.fail(f"{self.path} does not exist; accept the text with --update-golden")
        return str.__eq__(self, other)

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = str.__hash__


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--update-golden`."""
    parser.addoption(
        "--update-golden",
        action="store_true",
        help="replace the golden files by the texts of this run",
    )


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Golden:
    """The golden text of this test, to compare with `==`."""
    module = request.path.relative_to(request.config.rootpath / "tests").with_suffix("")
    name = re.sub(r"[^\w.-]+", "_", request.node.name).strip("_")
    path = request.config.rootpath / "tests" / "golden" / module / f"{name}.txt"
    return Golden(path, update=bool(request.config.getoption("--update-golden")))
