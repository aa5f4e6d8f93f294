"""Every rule of docs/semantics.md is kept by code that cites it, and by a test that does."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

SHIPPED = ("snnc", "passes", "backends")
RANGE = re.compile(r"\bS(\d+)(?: to S(\d+))?\b")


def rules(repository: Path) -> list[int]:
    text = (repository / "docs" / "semantics.md").read_text(encoding="utf-8")
    return [int(number) for number in re.findall(r"\*\*S(\d+)\*\*", text)]


def cited(text: str) -> Iterator[int]:
    """Rules a text cites, ranges such as `S9 to S12` written out."""
    for first, last in RANGE.findall(text):
        yield from range(int(first), int(last or first) + 1)


def citations(root: Path) -> set[int]:
    files = (path for path in root.rglob("*.py") if path != Path(__file__))
    return {number for path in files for number in cited(path.read_text(encoding="utf-8"))}


def test_rules_are_numbered_in_order(repository: Path) -> None:
    found = rules(repository)
    assert found == list(range(1, len(found) + 1))


def test_code_cites_every_rule(repository: Path) -> None:
    found = set[int]().union(*(citations(repository / folder) for folder in SHIPPED))
    assert sorted(set(rules(repository)) - found) == []


def test_a_test_cites_every_rule(repository: Path) -> None:
    assert sorted(set(rules(repository)) - citations(repository / "tests")) == []


def test_no_rule_is_cited_that_is_not_there(repository: Path) -> None:
    known = set(rules(repository))
    for folder in (*SHIPPED, "tests"):
        assert sorted(citations(repository / folder) - known) == [], folder


@pytest.mark.parametrize(
    ("text", "numbers"), [("as S9 to S11 say", [9, 10, 11]), ("(S2), MS3", [2]), ("S", [])]
)
def test_citations_are_found(text: str, numbers: list[int]) -> None:
    assert list(cited(text)) == numbers
