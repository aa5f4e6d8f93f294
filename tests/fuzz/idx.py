"""IDX files of MNIST, compressed and not."""

from __future__ import annotations

import gzip
import os
import zlib
from pathlib import Path
from random import Random

from fuzz.edits import NUMBERS, changed, cut, flipped, some
from snnc.data import open_data

COUNT, SIDE = 6, 5


def idx(shape: tuple[int, ...], values: bytes) -> bytes:
    """A file of unsigned bytes."""
    dims = b"".join((n % 2**32).to_bytes(4, "big") for n in shape)
    return bytes((0, 0, 8, len(shape))) + dims + values


class Idx:
    """Images and labels, of which one file is changed; all samples are read."""

    name = "idx"

    def __init__(self) -> None:
        self._rows = {
            "images-idx3": ((COUNT, SIDE, SIDE), bytes(range(COUNT * SIDE * SIDE))),
            "labels-idx1": ((COUNT,), bytes(range(COUNT))),
        }

    def write(self, rng: Random, place: Path) -> Path:
        chosen = rng.choice(list(self._rows))
        target = place
        for part, (shape, values) in self._rows.items():
            suffix = rng.choice(("", ".gz"))
            stem, _, rank = part.partition("-")
            path = place / f"t10k-{stem}{rng.choice('-.')}{rank}-ubyte{suffix}"
            data = _changed(rng, shape, values) if part == chosen else idx(shape, values)
            data = gzip.compress(data, 1) if suffix else data
            if part == chosen:
                target = path
                if suffix and rng.randrange(8) == 0:
                    data = rng.choice((flipped, cut))(rng, data)
            if part == chosen and rng.randrange(300) == 0:
                os.mkfifo(path)
            else:
                path.write_bytes(data)
        return target

    def is_whole(self, path: Path) -> bool:
        if not path.is_file():
            return False
        try:
            data = path.read_bytes()
            data = gzip.decompress(data) if path.suffix == ".gz" else data
        except (OSError, EOFError, zlib.error):
            return False
        return data[:3] == b"\0\0\x08" and len(data) > 3 and len(data) >= 4 + 4 * data[3]

    def use(self, path: Path, rng: Random) -> None:
        for _ in open_data(f"mnist:{path.parent}#test", batch_size=4):
            pass


def _changed(rng: Random, shape: tuple[int, ...], values: bytes) -> bytes:
    match rng.randrange(10):
        case 0:
            return flipped(rng, idx(shape, values))
        case 1:
            return cut(rng, idx(shape, values))
        case 2:
            return rng.choice((idx(shape, changed(rng, values)), idx(shape, flipped(rng, values))))
        case 3:
            return idx((*shape, 1), values)
        case 4:  # a whole file of another size
            other = tuple(rng.choice((n, n + 1, 1)) for n in shape)
            size = 1
            for n in other:
                size *= n
            return idx(other, bytes(size))
        case 5:
            return idx(shape, values + bytes(1 << 20)) if rng.randrange(20) == 0 else idx((), b"")
        case _:
            whole = [n for n in NUMBERS if isinstance(n, int)]
            dims = list(shape)
            for _ in range(some(rng, 2)):
                dims[rng.randrange(len(dims))] = rng.choice((*whole, dims[0] - 1, 0))
            return idx(tuple(dims), values)
