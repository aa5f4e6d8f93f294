"""Changes of safetensors files: a length, a header in JSON, and the bytes of all tensors."""

from __future__ import annotations

import json
from random import Random
from typing import Any

from fuzz.edits import changed, edited_json, flipped, json_text

DTYPES = ("F64", "F32", "F16", "BF16", "I64", "I32", "I16", "I8", "U8", "BOOL", "F8_E4M3", "X")


def parts(data: bytes) -> tuple[dict[str, Any], bytes]:
    """Header and tensors of a whole file."""
    length = int.from_bytes(data[:8], "little")
    return json.loads(data[8 : 8 + length]), data[8 + length :]


def joined(header: bytes, tensors: bytes) -> bytes:
    """A file of these parts."""
    return len(header).to_bytes(8, "little") + header + tensors


def is_whole(data: bytes) -> bool:
    """Whether the length is right and the header a JSON object."""
    length = int.from_bytes(data[:8], "little")
    if length > len(data) - 8:
        return False
    try:
        return isinstance(json.loads(data[8 : 8 + length]), dict)
    except (ValueError, RecursionError):
        return False


def edited(rng: Random, data: bytes) -> bytes:
    """The file with changes in one of its parts."""
    header, tensors = parts(data)
    match rng.randrange(12):
        case 0:
            return flipped(rng, data[: 8 + rng.randrange(64)]) + data[72:]
        case 1 | 2 | 3:
            return joined(json.dumps(header).encode(), rng.choice((changed, flipped))(rng, tensors))
        case 4 | 5:
            _retyped(rng, header)
        case 6 | 7:
            _renamed(rng, header)
        case 8:
            _reshaped(rng, header)
        case 9:
            return joined(json.dumps(header).encode(), tensors + rng.randbytes(8))
        case _:
            header = edited_json(rng, header)
    return joined(json_text(rng, header), tensors)


def _entry(rng: Random, header: dict[str, Any]) -> dict[str, Any]:
    """What the header says of a tensor; one more change may have made something else of it."""
    found = [each for each in header.values() if isinstance(each, dict)]
    return rng.choice(found) if found else {}


def _retyped(rng: Random, header: dict[str, Any]) -> None:
    entry = _entry(rng, header)
    if "dtype" in entry:
        entry["dtype"] = rng.choice(DTYPES)


def _renamed(rng: Random, header: dict[str, Any]) -> None:
    if not header:
        return
    old, other = rng.choice(list(header)), rng.choice(list(header))
    header[rng.choice((f"module.{old}", "", old.upper(), f"a.{other}"))] = header.pop(old)


def _reshaped(rng: Random, header: dict[str, Any]) -> None:
    entry = _entry(rng, header)
    shape = entry.get("shape")
    shape = [n for n in shape if isinstance(n, int)] if isinstance(shape, list) else []
    choices = ([1, *shape], [*shape, 1], shape[::-1], [sum(shape)], [0, *shape], [])
    entry["shape"] = rng.choice(choices)
