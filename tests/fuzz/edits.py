"""Changes of bytes, numbers and JSON documents, drawn at random."""

from __future__ import annotations

import copy
import json
from random import Random
from typing import Any

NUMBERS: tuple[Any, ...] = (
    *(0, 1, -1, 2, 3, 7, 8, 16, 127, 128, 255, 256, 4096, 30_000, 65_535, 65_536),
    *(10**6, 10**9, 2**31 - 1, 2**31, 2**32, 10**12, 2**63 - 1, 2**63, 2**64, 10**20, -(2**31)),
    *(10**400, 0.5, -0.5, 1e-300, 1e30, 1e300, -1e300, 1e-45),
)
"""Numbers that code may not expect."""

TEXTS = ("", "x", "0", "input", "i8", "i64", "f64", "none", "..", "a" * 3000, "é\n\x00", "🙈")
VALUES: tuple[Any, ...] = (*NUMBERS, *TEXTS, None, True, False, [], {}, [[]], [None], {"a": 1})
LONG_NUMBER = "9" * 400


def some(rng: Random, most: int) -> int:
    """1 to `most`, small numbers more often."""
    return min(rng.randint(1, most), rng.randint(1, most))


def flipped(rng: Random, data: bytes) -> bytes:
    """Some bytes changed, removed, inserted or repeated."""
    result = bytearray(data)
    for _ in range(some(rng, 8)):
        place = rng.randrange(len(result) + 1)
        match rng.randrange(5):
            case 0 | 1 if result:
                result[place % len(result)] = rng.randrange(256)
            case 2:
                del result[place : place + some(rng, 20)]
            case 3:
                result[place:place] = rng.randbytes(some(rng, 9))
            case _:
                result[place:place] = result[place : place + some(rng, 40)]
    return bytes(result)


def changed(rng: Random, data: bytes, start: int = 0) -> bytes:
    """Some bytes from `start` on with other values."""
    result = bytearray(data)
    for _ in range(some(rng, 6)):
        result[rng.randrange(start, len(data))] = rng.randrange(256)
    return bytes(result)


def cut(rng: Random, data: bytes) -> bytes:
    """The beginning."""
    return data[: rng.randrange(len(data) + 1)]


def edited_json(rng: Random, document: Any, changes: int = 3) -> Any:
    """A copy with some values changed, removed, repeated or exchanged."""
    made = copy.deepcopy(document)
    for _ in range(some(rng, changes)):
        places = list(_places(made))
        if places:
            _edit(rng, *rng.choice(places), others=places)
    return made


def _places(value: Any) -> Any:
    """(container, key) of every value in a document, its numbers more often than the rest."""
    keys = value.keys() if isinstance(value, dict) else range(len(value))
    for key in list(keys):
        inner = value[key]
        yield value, key
        if isinstance(inner, int | float):
            yield value, key
        if isinstance(inner, dict | list):
            yield from _places(inner)


def _edit(rng: Random, container: Any, key: Any, *, others: Any) -> None:
    if isinstance(container, list) and not 0 <= key < len(container):
        return
    if isinstance(container, dict) and key not in container:
        return
    value = container[key]
    match rng.randrange(10):
        case 0:
            del container[key]
        case 1 if isinstance(container, list):
            container.insert(key, copy.deepcopy(value))
        case 1 if isinstance(container, dict):
            container[rng.choice(TEXTS)] = copy.deepcopy(value)
        case 2 | 3:
            other, place = rng.choice(others)
            try:
                container[key] = copy.deepcopy(other[place])
            except (IndexError, KeyError):
                container[key] = rng.choice(VALUES)
        case 4 | 5 | 6 if isinstance(value, int) and not isinstance(value, bool):
            container[key] = value + rng.choice((-2, -1, 1, 2, value, 10 * value, 1 << 20))
        case 7 | 8 if isinstance(value, int | float):
            container[key] = rng.choice(NUMBERS)
        case _:
            container[key] = rng.choice(VALUES)


def json_text(rng: Random, document: Any) -> bytes:
    """The document as JSON, now and then with what only a text can have."""
    text = json.dumps(document, allow_nan=True)
    match rng.randrange(40):
        case 0:
            return flipped(rng, text.encode())
        case 1:
            digits = [i for i, each in enumerate(text) if each.isdigit()]
            if digits:
                place = rng.choice(digits)
                word = rng.choice((LONG_NUMBER, "1e999", "NaN", "-Infinity", "[" * 3000))
                return (text[:place] + word + text[place + 1 :]).encode()
        case _:
            pass
    return text.encode()
