"""Changes of `.npy` files: magic, version, length, a header in Python, and an array."""

from __future__ import annotations

import ast
import io
from random import Random
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fuzz.edits import NUMBERS, cut, flipped, some

MAGIC = b"\x93NUMPY"
DESCRIPTIONS: tuple[Any, ...] = (
    *("<f4", "<f8", ">f4", "<f2", "|u1", "<i8", "|b1", "<c8", "|O", "<U5", "|S3", "<M8[s]", "|V4"),
    *([("a", "<f4")], [("a", "<f4", (10**9,))], "<f4,<f4", "f999", "", None, 3, "<U999999999"),
)


def saved(array: NDArray[Any]) -> bytes:
    """The file of an array."""
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def edited(rng: Random, data: bytes) -> bytes:
    """The file with changes in one of its parts."""
    length = int.from_bytes(data[8:10], "little")
    header, values = data[10 : 10 + length], data[10 + length :]
    match rng.randrange(12):
        case 0:
            return flipped(rng, data[: 10 + length]) + values
        case 1:
            return with_header(flipped(rng, header), values)
        case 2:
            return cut(rng, data)
        case 3 | 4:
            return with_header(header, flipped(rng, values))
        case 5:
            version = rng.choice(((1, 0), (2, 0), (3, 0), (4, 0), (0, 0), (255, 255)))
            return with_header(header, values, version=version, length=rng.choice((None, 2**31)))
        case 6:
            return with_header(rng.choice((b"(" * 5000, b"{" * 99, b"[" * 9000)), values)
        case _:
            return with_header(_edited_header(rng, header), values)


def with_header(
    header: bytes, values: bytes, *, version: tuple[int, int] = (1, 0), length: int | None = None
) -> bytes:
    """A file of these parts, whose header is as long as it says, or `length`."""
    wide = 2 if version == (1, 0) else 4
    size = min(len(header) if length is None else length, 256**wide - 1)
    return MAGIC + bytes(version) + size.to_bytes(wide, "little") + header + values


def _edited_header(rng: Random, header: bytes) -> bytes:
    facts = ast.literal_eval(header.decode())
    for _ in range(some(rng, 3)):
        shape = facts.get("shape")
        shape = list(shape) if isinstance(shape, tuple) else []
        match rng.randrange(8):
            case 0:
                facts["descr"] = rng.choice(DESCRIPTIONS)
            case 1:
                facts["fortran_order"] = rng.choice((True, False, None, 1, "x"))
            case 2 if shape:
                del shape[rng.randrange(len(shape))]
            case 3:
                shape.insert(rng.randint(0, len(shape)), rng.choice((0, 1, 1, 2)))
            case 4:
                facts[rng.choice(("extra", "shape", "descr"))] = rng.choice((1, "x", [], None))
                continue
            case 5:
                facts.pop(rng.choice(list(facts)), None)
                continue
            case _ if shape:
                shape[rng.randrange(len(shape))] = rng.choice((*NUMBERS, 1 + len(shape), -1, "x"))
            case _:
                shape = [1] * some(rng, 70)
        facts["shape"] = tuple(shape)
    return f"{facts}\n".encode()


def is_whole(data: bytes) -> bool:
    """Whether magic and version are known and the header is as long as it says."""
    if not data.startswith(MAGIC) or tuple(data[6:8]) not in ((1, 0), (2, 0), (3, 0)):
        return False
    wide = 2 if data[6] == 1 else 4
    return 8 + wide + int.from_bytes(data[8 : 8 + wide], "little") <= len(data)
