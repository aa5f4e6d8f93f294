"""Parser of the text form of graphs: `to_text(parse(to_text(graph))) == to_text(graph)`."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from math import prod
from typing import Any, TypeVar, cast

import numpy as np

from snnc.errors import ArtifactError, GraphError
from snnc.ir.graph import DTYPES, Array, Graph
from snnc.ir.json import MNEMONICS, decode_op, stage_of
from snnc.ir.types import Shape, regular_windows

MALFORMED = (ValueError, TypeError, IndexError, OverflowError)
T = TypeVar("T")
TOKEN = re.compile(r'\s*("(?:[^"\\]|\\.)*"|[%@]|[A-Za-z0-9_.\-+/]+|[^\s])')
"""A quoted string, the mark of a node or an array, a word or number, or one other character."""


def parse(text: str, *, arrays: Mapping[str, Array] | None = None, seed: int = 0) -> Graph:
    """Parse text in the form of `to_text`. The caller verifies the graph.

    Of the types after `:` only the number of pooling windows is used. The text does not contain
    locations and origins.

    Args:
        text: as `to_text` writes it.
        arrays: arrays by name, which replace those of the text.
        seed: of the random values of arrays for which the text gives only a range.

    Raises:
        GraphError: naming the line that cannot be read.
    """
    lines = [(number, line.strip()) for number, line in enumerate(text.splitlines(), 1)]
    lines = [(number, line) for number, line in lines if line]
    if len(lines) < 2 or lines[-1][1] != "}":
        raise GraphError("the text of a graph begins with `graph STAGE {` and ends with `}`")
    reader = _Reader(arrays or {}, seed)
    # arrays before nodes, whose shapes depend on them
    rest = sorted(lines[1:-1], key=lambda pair: not pair[1].startswith("@"))
    for number, line in (lines[0], *rest):
        try:
            reader.read(line)
        except (ArtifactError, GraphError, *MALFORMED) as error:
            raise GraphError(f"line {number}, {line!r}: {error}") from None
    return reader.graph


class _Reader:
    def __init__(self, arrays: Mapping[str, Array], seed: int) -> None:
        self.graph = Graph()
        self.arrays = arrays
        self.rng = np.random.default_rng(seed)

    def read(self, line: str) -> None:
        words = _Words(line)
        kinds: dict[str, Callable[[_Words], None]] = {
            "graph": self._stage,
            "meta": self._meta,
            "stats": self._stats,
            "return": self._outputs,
            "%": self._node,
            "@": self._array,
        }
        first = words.next()
        if first not in kinds:
            raise ValueError(f"{first!r} begins no line of a graph")
        kinds[first](words)

    def _stage(self, words: _Words) -> None:
        stage = words.next()
        words.expect("{")
        self.graph.stage = stage_of(stage)

    def _meta(self, words: _Words) -> None:
        key = words.name()
        words.expect("=")
        self.graph.meta[key] = json.loads(words.rest())

    def _stats(self, words: _Words) -> None:
        name = words.marked("%")
        words.expect("=")
        self.graph.stats[name] = json.loads(words.rest())

    def _outputs(self, words: _Words) -> None:
        self.graph.outputs = words.list_of(lambda: words.marked("%"))

    def _node(self, words: _Words) -> None:
        name = words.name()
        words.expect("=")
        stage, _, mnemonic = words.next().partition(".")
        if stage != self.graph.stage or mnemonic not in MNEMONICS:
            raise ValueError(f"no operation {mnemonic!r} at stage {stage!r}")
        words.expect("(")
        inputs = words.list_of(lambda: words.marked("%"))
        words.expect(")")
        fields = self._fields(words) if words.peek() == "{" else {}
        kind = MNEMONICS[mnemonic]
        if "kernel" in fields:
            sizes, counts = self.graph.type_of(inputs[0]).shape, self._result(words)
            fields["windows"] = _windows(fields, sizes[1:], counts[1:])
        self.graph.add(name, decode_op(kind, fields, name), inputs)

    def _result(self, words: _Words) -> Shape:
        """The shape in `: spike<4x4 …>`, which says how many windows there are."""
        words.expect(":")
        words.next()
        words.expect("<")
        return _shape(words.next())

    def _fields(self, words: _Words) -> dict[str, Any]:
        words.expect("{")
        fields = dict(words.list_of(lambda: _field(words)))
        words.expect("}")
        return fields

    def _array(self, words: _Words) -> None:
        name = words.name()
        words.expect("=")
        dtype = words.next()
        words.expect("<")
        shape = words.next()
        words.expect(">")
        if dtype not in DTYPES:
            raise ValueError(f"unknown dtype {dtype!r}")
        array = _values(words.rest(), np.dtype(dtype), _shape(shape), self.rng)
        given = self.arrays.get(name, array)
        if (given.dtype, given.shape) != (array.dtype, array.shape):
            raise ValueError(f"the array given is {given.dtype} of shape {given.shape}")
        self.graph.set_param(name, given)


class _Words:
    """The words of one line, read from left to right."""

    def __init__(self, line: str) -> None:
        self.line, self.at = line, 0

    def peek(self) -> str:
        match = TOKEN.match(self.line, self.at)
        return match[1] if match else ""

    def next(self) -> str:
        match = TOKEN.match(self.line, self.at)
        if match is None:
            raise ValueError("the line ends too early")
        self.at = match.end()
        return match[1]

    def expect(self, word: str) -> None:
        actual = self.next()
        if actual != word:
            raise ValueError(f"{actual!r} instead of {word!r}")

    def rest(self) -> str:
        return self.line[self.at :].strip()

    def name(self) -> str:
        word = self.next()
        return cast(str, json.loads(word)) if word.startswith('"') else word

    def marked(self, mark: str) -> str:
        self.expect(mark)
        return self.name()

    def list_of(self, item: Callable[[], T]) -> tuple[T, ...]:
        """Comma-separated items, up to a closing bracket or the end of the line."""
        items: list[T] = []
        while self.peek() not in ("", ")", "}"):
            items.append(item())
            if self.peek() != ",":
                break
            self.expect(",")
        return tuple(items)


def _field(words: _Words) -> tuple[str, Any]:
    name = words.next()
    words.expect("=")
    return name, _value(words)


def _value(words: _Words) -> Any:
    """A field value in its JSON form, from `@name`, `(a, b)`, `(a)*n`, a number or a word."""
    word = words.next()
    if word == "@":
        return {"ref": words.name()}
    if word == "(":
        items = list(words.list_of(lambda: _value(words)))
        words.expect(")")
        if words.peek() != "*":
            return items
        words.expect("*")
        return items * int(words.next())
    return _plain(word)


def _plain(word: str) -> Any:
    constants = {"None": None, "True": True, "False": False}
    if word in constants:
        return constants[word]
    for kind in (int, float):
        try:
            return kind(word)
        except ValueError:
            continue
    return word


def _windows(fields: dict[str, Any], sizes: Shape, counts: Shape) -> Any:
    """`kernel`, `stride` and `padding`, taken from `fields`, as windows clipped to the input."""
    kernel, stride = fields.pop("kernel"), fields.pop("stride")
    padding = fields.pop("padding", [0] * len(kernel))
    axes = zip(sizes, counts, kernel, stride, padding, strict=True)
    return [list(map(list, regular_windows(*axis))) for axis in axes]


def _shape(word: str) -> Shape:
    return () if word == "scalar" else tuple(int(size) for size in word.split("x"))


def _values(text: str, dtype: np.dtype[Any], shape: Shape, rng: np.random.Generator) -> Array:
    """An array from `[a, b, c]` (all values), `a` (constant) or `low..high` (random, both ends)."""
    if text.startswith("["):
        items = [_plain(item.strip()) for item in text.strip("[]").split(",")]
        return np.array(items, dtype).reshape(shape)
    if prod(shape) == 0:
        return np.zeros(shape, dtype)
    low, _, high = text.partition("..")
    if not high:
        return np.full(shape, _plain(low), dtype)
    ends = np.array([_plain(low), _plain(high)], dtype)
    if dtype.kind == "f":
        values = rng.uniform(float(ends[0]), float(ends[1]), prod(shape)).astype(dtype)
    else:
        values = rng.integers(ends[0], ends[1], prod(shape), dtype=dtype, endpoint=True)
    values[[0, -1]] = ends
    return np.clip(values, ends[0], ends[1]).reshape(shape)
