"""What messages show of files."""

from __future__ import annotations

import pytest

from snnc.errors import LONGEST_REASON, SnncError, one_line


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ("a\x1b[2Jb", "a\\x1b[2Jb"),
        ("a\rb\x00\x7f\x9b", "a\\rb\\x00\\x7f\\x9b"),
        ("half \ud800", "half \\ud800"),
        ("lists:\n  Größe ±3 …\n  日本", "lists:\n  Größe ±3 …\n  日本"),
    ],
)
def test_control_characters_are_shown_and_not_obeyed(message: str, shown: str) -> None:
    error = SnncError(message, hint=message)
    assert error.message == error.hint == str(error) == shown
    error.message.encode()


def test_what_a_library_says_is_one_short_line() -> None:
    assert one_line(ValueError("a\n  b\x1c c")) == "a b c"
    assert one_line(KeyError()) == "KeyError"
    assert one_line(ValueError("x" * 999)) == "x" * LONGEST_REASON
