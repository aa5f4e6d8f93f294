"""Reader of spec texts: names, options and values, each with its position in the text."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")
Span = tuple[int, int]
BARE = re.compile(r"""[^\s{}\[\],='"\\]+""")
QUOTED = re.compile(r"""(['"])((?:\\.|(?!\1)[^\\])*)\1""", re.DOTALL)
OPTION = re.compile(BARE.pattern + "=")
ESCAPED = re.compile(r"\\(.)", re.DOTALL)


class SyntaxProblem(ValueError):
    """A text does not follow the grammar; `span` says where."""

    def __init__(self, reason: str, span: Span) -> None:
        super().__init__(reason)
        self.reason = reason
        self.span = span


@dataclass(frozen=True, slots=True)
class Word:
    """A single value as written, quotes removed."""

    text: str
    quoted: bool
    span: Span


@dataclass(frozen=True, slots=True)
class Words:
    """A list `[a b]`."""

    items: tuple[Value, ...]
    span: Span


@dataclass(frozen=True, slots=True)
class Option:
    """`name=value`."""

    name: str
    name_span: Span
    value: Value


@dataclass(frozen=True, slots=True)
class Item:
    """`name{options}`; `span` covers all of it."""

    name: str
    name_span: Span
    options: tuple[Option, ...]
    span: Span


Value = Word | Words | Item
"""The right side of an option's `=`."""


def is_bare(text: str) -> bool:
    """Whether `text` needs no quotes."""
    return BARE.fullmatch(text) is not None


def quote(text: str) -> str:
    """`text` in single quotes, `'` and the backslash escaped."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def read_items(text: str) -> list[Item]:
    """Read `name{…},name{…}`. Raises `SyntaxProblem`."""
    return _Reader(text).items()


class _Reader:
    """A cursor over one text."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0

    def items(self) -> list[Item]:
        self._space()
        if not self._peek():
            return []
        items = [self._item()]
        while self._peek():
            if option := OPTION.match(self.text, self.at):
                reason = f"options stand in braces: {items[-1].name}{{{option[0]}...}}"
                raise SyntaxProblem(reason, option.span())
            self._expect(",", "a comma between two specs")
            items.append(self._item())
        return items

    def _item(self) -> Item:
        self._space()
        name, span = self._name("a name")
        self._space()
        if self._peek() != "{":
            return Item(name, span, (), span)
        item = self._braces(name, span)
        self._space()
        return item

    def _braces(self, name: str, span: Span) -> Item:
        options = self._enclosed("}", self._option)
        return Item(name, span, options, (span[0], self.at))

    def _enclosed(self, close: str, read: Callable[[], T]) -> tuple[T, ...]:
        """What `read` reads, again and again from the bracket at the cursor up to `close`."""
        start, bracket = self.at, self._peek()
        self.at += 1
        items: list[T] = []
        self._space()
        while self._peek() != close:
            if not self._peek():
                raise SyntaxProblem(f"this {bracket} is never closed", (start, start + 1))
            items.append(read())
            self._space()
        self.at += 1
        return tuple(items)

    def _option(self) -> Option:
        if self._peek() == ",":
            reason = "options are separated by spaces, not by commas"
            raise SyntaxProblem(reason, (self.at, self.at + 1))
        name, span = self._name("an option, written name=value,")
        self._expect("=", f"= after the option {name!r}")
        return Option(name, span, self._value())

    def _value(self) -> Value:
        if self._peek() == "[":
            start = self.at
            return Words(self._enclosed("]", self._element), (start, self.at))
        if self._peek() in ("'", '"'):
            return self._quoted()
        text, span = self._name("a value")
        return self._braces(text, span) if self._peek() == "{" else Word(text, False, span)

    def _element(self) -> Value:
        if self._peek() == ",":
            reason = "the values of a list are separated by spaces"
            raise SyntaxProblem(reason, (self.at, self.at + 1))
        return self._value()

    def _quoted(self) -> Word:
        match = QUOTED.match(self.text, self.at)
        if match is None:
            raise SyntaxProblem("this quote is never closed", (self.at, self.at + 1))
        self.at = match.end()
        return Word(ESCAPED.sub(r"\1", match[2]), True, match.span())

    def _name(self, what: str) -> tuple[str, Span]:
        match = BARE.match(self.text, self.at)
        if match is None:
            raise SyntaxProblem(f"{what} is expected here", (self.at, self.at + 1))
        self.at = match.end()
        return match[0], match.span()

    def _expect(self, char: str, what: str) -> None:
        if self._peek() != char:
            raise SyntaxProblem(f"{what} is expected here", (self.at, self.at + 1))
        self.at += 1

    def _space(self) -> None:
        rest = self.text[self.at :]
        self.at += len(rest) - len(rest.lstrip())

    def _peek(self) -> str:
        return self.text[self.at : self.at + 1]
