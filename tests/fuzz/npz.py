"""`.npz` files: zip archives of changed arrays, whose checksums are right, and changed archives."""

from __future__ import annotations

import io
import os
import warnings
import zipfile
from pathlib import Path
from random import Random

import numpy as np

from fuzz import npy_edits
from fuzz.edits import cut, flipped
from snnc.data import open_data
from snnc.data.labels import ClassNumbers

METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
FIELDS = {b"PK\x03\x04": (6, 8, 14, 18, 22), b"PK\x01\x02": (8, 10, 16, 20, 24)}
"""Places of flags, method, CRC and sizes in the headers of a member."""
ZEROS = 1 << 27  # bytes of a bomb


class Npz:
    """Samples with labels; all are read, and labels turned into class numbers."""

    name = "npz"

    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        self._x = npy_edits.saved(rng.random((12, 1, 3, 3), np.float32))
        one_hot = np.eye(4)[np.arange(12) % 4]
        labels = (np.arange(12) % 4, np.arange(12)[:, None] % 4, one_hot, rng.random((12, 4)))
        self._y = [npy_edits.saved(each) for each in labels]
        self._bomb = archived([("x.npy", npy_edits.edited(Random(6), self._x) + bytes(ZEROS))], 8)

    def write(self, rng: Random, place: Path) -> Path:
        path = place / "x.npz"
        chance = rng.randrange(400)
        if chance == 0:
            os.mkfifo(path)
        elif chance == 1:
            path.write_bytes(self._bomb)
        else:
            path.write_bytes(self._changed(rng))
        return path

    def _changed(self, rng: Random) -> bytes:
        members = {"x.npy": self._x, "y.npy": rng.choice(self._y)}
        name = rng.choice(("x.npy", "y.npy"))
        members[name] = npy_edits.edited(rng, members[name])
        listed = list(members.items())
        if rng.randrange(20) == 0:
            listed.append(rng.choice(listed))
        if rng.randrange(20) == 0:
            listed = listed[1:]
        data = archived(listed, rng.choice(METHODS))
        match rng.randrange(12):
            case 0:
                return flipped(rng, data)
            case 1:
                return cut(rng, data)
            case 2 | 3:
                return _other_field(rng, data)
            case _:
                return data

    def is_whole(self, path: Path) -> bool:
        return is_whole_archive(path)

    def use(self, path: Path, rng: Random) -> None:
        data = open_data(str(path), batch_size=5)
        for _ in data.judged_by(ClassNumbers((4,), judged=True)):
            pass


def is_whole_archive(path: Path) -> bool:
    """Whether it is a zip whose members have the right CRC."""
    try:
        with zipfile.ZipFile(io.BytesIO(path.read_bytes() if path.is_file() else b"")) as file:
            return file.testzip() is None
    except Exception:  # zipfile raises errors of every class
        return False


def archived(members: list[tuple[str, bytes]], method: int) -> bytes:
    """A zip of these members."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of two members of one name
        for name, data in members:
            archive.writestr(name, data)
    return file.getvalue()


def _other_field(rng: Random, data: bytes) -> bytes:
    """The archive with another flag, method, CRC or size in one of its headers."""
    changed = bytearray(data)
    start = rng.choice(list(FIELDS))
    place = changed.find(start) + rng.choice(FIELDS[start])
    changed[place] = rng.choice((0, 1, 8, 12, 14, 99, 255))
    return bytes(changed)
