"""The golden fixture."""

from __future__ import annotations

from pathlib import Path

import pytest

from snnc.testing.golden import Golden


def test_text_is_compared_with_the_file(tmp_path: Path) -> None:
    path = tmp_path / "x.txt"
    path.write_text("as it was\n")
    assert Golden(path, update=False) == "as it was\n"
    assert Golden(path, update=False) != "as it is\n"
    assert "as it is\n" != Golden(path, update=False)


def test_updating_stores_the_text(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "x.txt"
    assert Golden(path, update=True) == "as it is\n"
    assert path.read_text() == "as it is\n"


def test_a_missing_file_fails_and_names_the_option(tmp_path: Path) -> None:
    with pytest.raises(pytest.fail.Exception, match="--update-golden"):
        assert Golden(tmp_path / "x.txt", update=False) == "text"
