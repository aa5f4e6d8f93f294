"""CIFAR-10: the official records, and packs of raw and JPEG images."""

from __future__ import annotations

import io
from pathlib import Path
from random import Random

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fuzz import npy_edits
from fuzz.edits import NUMBERS, cut, flipped, some
from fuzz.npz import archived, is_whole_archive
from snnc.data import open_data

RECORD = 3073


class Cifar:
    """Both layouts, with one file changed; all samples are read."""

    name = "cifar"

    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        pixels = rng.integers(0, 256, (3, 32, 32), np.uint8)
        file = io.BytesIO()
        Image.fromarray(pixels.transpose(1, 2, 0)).save(file, "JPEG")
        jpeg = np.frombuffer(file.getvalue(), np.uint8)
        self._records = b"".join(bytes((n,)) + pixels.tobytes() for n in range(3))
        self._arrays: dict[str, NDArray[np.generic]] = {
            "test_exact": np.array([True, False, True, False]),
            "test_exact_images": np.stack([pixels, pixels]),
            "test_labels": np.array([3, 1, 0, 9], np.uint8),
            "test_jpeg": np.concatenate([jpeg, jpeg]),
            "test_jpeg_offsets": np.array([0, len(jpeg), 2 * len(jpeg)]),
        }

    def write(self, rng: Random, place: Path) -> Path:
        if rng.randrange(4) == 0:
            return self._write_records(rng, place)
        arrays = dict(self._arrays)
        if rng.randrange(3):
            _other_array(rng, arrays)
        members = {f"{name}.npy": npy_edits.saved(array) for name, array in arrays.items()}
        if rng.randrange(3) == 0:
            name = rng.choice(list(members))
            members[name] = npy_edits.edited(rng, members[name])
        data = archived(list(members.items()), rng.choice((0, 8)))
        match rng.randrange(12):
            case 0:
                data = flipped(rng, data)
            case 1:
                data = cut(rng, data)
            case _:
                pass
        path = place / "cifar10.npz"
        path.write_bytes(data)
        return path

    def _write_records(self, rng: Random, place: Path) -> Path:
        path = place / "test_batch.bin"
        data = bytearray(self._records)
        match rng.randrange(5):
            case 0:
                data = bytearray(cut(rng, self._records))
            case 1:
                data = bytearray(flipped(rng, self._records))
            case _:
                for _ in range(some(rng, 3)):
                    data[RECORD * rng.randrange(3)] = rng.randrange(13)
        path.write_bytes(data)
        mask = npy_edits.saved(np.array([True, False, True]))
        if rng.randrange(3) == 0:
            (place / "exact_test.npy").write_bytes(npy_edits.edited(rng, mask))
        return path

    def is_whole(self, path: Path) -> bool:
        size = path.stat().st_size
        return is_whole_archive(path) if path.suffix == ".npz" else size > 0 and size % RECORD == 0

    def use(self, path: Path, rng: Random) -> None:
        mask = "[@exact_test.npy]" if rng.randrange(3) == 0 else ""
        for _ in open_data(f"cifar10:{path.parent}#test{mask}", batch_size=3):
            pass


def _other_array(rng: Random, arrays: dict[str, NDArray[np.generic]]) -> None:
    """Change one array, and leave the others as they are."""
    name = rng.choice(list(arrays))
    array = arrays[name].copy()
    match rng.randrange(6):
        case 0:
            kind = rng.choice(("f4", "i8", "u1", "?", "U3", "u8", "c8", "M8[s]"))
            arrays[name] = array.astype(kind) if kind != "M8[s]" else np.zeros(array.shape, kind)
        case 1:
            arrays[name] = array.reshape(-1)[: rng.randrange(array.size + 1)]
        case 2:
            arrays[name] = array[None] if rng.randrange(2) else array[..., None]
        case 3:
            del arrays[name]
        case _:
            flat = array.reshape(-1)
            for _ in range(some(rng, 5)):
                value = rng.choice([n for n in NUMBERS if abs(n) < 2**62])
                value = int(value) % 256 if flat.dtype == np.uint8 else value
                flat[rng.randrange(len(flat))] = value
            arrays[name] = flat.reshape(array.shape)
