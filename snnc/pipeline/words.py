"""Reader of spec texts: names, options and values, each with its position in the text."""

from __future__ import annotations

from dataclasses import dataclass

Span = tuple[int, int]
SPECIAL = frozenset("{}[],='\"\\")


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
    return bool(text) and not any(char in SPECIAL or char.isspace() for char in text)


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
        opened = self.at
        self.at += 1
        options: list[Option] = []
        self._space()
        while self._peek() != "}":
            if not self._peek():
                raise SyntaxProblem("this { is never closed", (opened, opened + 1))
            options.append(self._option())
            self._space()
        self.at += 1
        return Item(name, span, tuple(options), (span[0], self.at))

    def _option(self) -> Option:
        name, span = self._name("an option, written name=value,")
        self._expect("=", f"= after the option {name!r}")
        return Option(name, span, self._value())

    def _value(self) -> Value:
        if self._peek() == "[":
            return self._list()
        if self._peek() in ("'", '"'):
            return self._quoted()
        text, span = self._name("a value")
        return self._braces(text, span) if self._peek() == "{" else Word(text, False, span)

    def _list(self) -> Words:
        start = self.at
        self.at += 1
        items: list[Value] = []
        self._space()
        while self._peek() != "]":
            if not self._peek():
                raise SyntaxProblem("this [ is never closed", (start, start + 1))
            if self._peek() == ",":
                reason = "the values of a list are separated by spaces"
                raise SyntaxProblem(reason, (self.at, self.at + 1))
            items.append(self._value())
            self._space()
        self.at += 1
        return Words(tuple(items), (start, self.at))

    def _quoted(self) -> Word:
        start, mark = self.at, self._peek()
        chars: list[str] = []
        self.at += 1
        while self._peek() != mark:
            if self._peek() == "\\":
                self.at += 1
            if not self._peek():
                raise SyntaxProblem("this quote is never closed", (start, start + 1))
            chars.append(self._peek())
            self.at += 1
        self.at += 1
        return Word("".join(chars), True, (start, self.at))

    def _name(self, what: str) -> tuple[str, Span]:
        start = self.at
        while self._peek() and is_bare(self._peek()):
            self.at += 1
        if self.at == start:
            raise SyntaxProblem(f"{what} is expected here", (start, start + 1))
        return self.text[start : self.at], (start, self.at)

    def _expect(self, char: str, what: str) -> None:
        if self._peek() != char:
            raise SyntaxProblem(f"{what} is expected here", (self.at, self.at + 1))
        self.at += 1

    def _space(self) -> None:
        while self._peek().isspace():
            self.at += 1

    def _peek(self) -> str:
        return self.text[self.at : self.at + 1]
