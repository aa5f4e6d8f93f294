"""Folders of images, of which one file is changed."""

from __future__ import annotations

import io
import os
import zlib
from pathlib import Path
from random import Random

import numpy as np
from PIL import Image

from fuzz.edits import changed, cut, flipped, some
from snnc.data import open_data

FORMATS = {
    "PNG": ".png",
    "JPEG": ".jpg",
    "BMP": ".bmp",
    "GIF": ".gif",
    "PPM": ".ppm",
    "TIFF": ".tif",
    "WEBP": ".webp",
}
SIDES = (0, 1, 2, 6, 7, 255, 256, 5000, 30_000, 65_535, 2**31 - 1, 2**32 - 1)
CHUNKS = (b"tRNS", b"PLTE", b"iCCP", b"zTXt", b"gAMA", b"acTL", b"eXIf", b"IEND")


class ImageFolders:
    """Two classes of two images of one size, one of them changed; all are read."""

    name = "images"

    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        pixels = rng.integers(0, 256, (6, 7, 3), np.uint8)
        image = Image.fromarray(pixels)
        modes = {"RGB": image, "L": image.convert("L"), "P": image.convert("P")}
        modes["RGBA"], modes["1"] = image.convert("RGBA"), image.convert("1")
        self._images = [
            (suffix, _encoded(each, name))
            for name, suffix in FORMATS.items()
            for mode, each in modes.items()
            if mode in ("RGB", "L") or name == "PNG"
        ]
        self._plain = [(".png", _encoded(modes[mode], "PNG")) for mode in ("RGB", "L")]

    def write(self, rng: Random, place: Path) -> Path:
        suffix, plain = rng.choice(self._plain)
        for number in range(3):
            folder = place / f"class{number // 2}"
            folder.mkdir(exist_ok=True)
            (folder / f"b{number}{suffix}").write_bytes(plain)
        suffix, data = rng.choice(self._images)
        path = place / "class0" / f"{rng.choice('az')}{suffix}"
        match rng.randrange(100):
            case 0:
                os.mkfifo(path)
            case 1:
                path.mkdir()
            case 2:
                path.symlink_to(rng.choice(("/dev/zero", "nowhere", ".", path.name)))
            case _:
                path.write_bytes(_changed(rng, data))
        return path

    def is_whole(self, path: Path) -> bool:
        """Whether Pillow knows the kind of image by its first bytes and header."""
        if not path.is_file():
            return False
        try:
            with Image.open(path) as image:
                return image.width > 0
        except Exception:  # Pillow raises errors of every class
            return False

    def use(self, path: Path, rng: Random) -> None:
        for _ in open_data(f"images:{path.parent.parent}", batch_size=3):
            pass


def _encoded(image: Image.Image, name: str) -> bytes:
    file = io.BytesIO()
    image.save(file, name)
    return file.getvalue()


def _changed(rng: Random, data: bytes) -> bytes:
    if data.startswith(b"\x89PNG"):
        return _changed_png(rng, data)
    match rng.randrange(8):
        case 0:
            return cut(rng, data)
        case 1:
            return flipped(rng, data)
        case _:  # a few bytes, most of them behind the header
            return changed(rng, data, rng.choice((4, 10, len(data) // 2)))


def _changed_png(rng: Random, data: bytes) -> bytes:
    """A PNG whose chunks are changed and have the right CRC."""
    chunks = _chunks(data)
    match rng.randrange(12):
        case 0:
            return flipped(rng, data)
        case 1:
            return cut(rng, data)
        case 2:
            chunks.insert(rng.randrange(1, len(chunks)), rng.choice(chunks))
        case 3:
            del chunks[rng.randrange(len(chunks))]
        case 4 | 5:
            text = b"a\0\0" + zlib.compress(bytes(1 << 20))
            body = rng.choice((rng.randbytes(some(rng, 40)), text))
            chunks.insert(rng.randrange(1, len(chunks)), (rng.choice(CHUNKS), body))
        case 6:
            chunks[-2] = (b"IDAT", zlib.compress(bytes(rng.choice((0, 1, 100, 1 << 22))), 1))
        case 7 | 8:
            place = rng.randrange(len(chunks))
            chunks[place] = (chunks[place][0], flipped(rng, chunks[place][1]))
        case _:
            chunks[0] = (b"IHDR", _header(rng, chunks[0][1]))
    return data[:8] + b"".join(_chunk(kind, body) for kind, body in chunks)


def _header(rng: Random, header: bytes) -> bytes:
    sides = [header[:4], header[4:8]]
    for place in rng.sample((0, 1), rng.choice((0, 1, 1, 2))):
        sides[place] = rng.choice(SIDES).to_bytes(4, "big")
    rest = bytearray(header[8:])
    if rng.randrange(2):
        rest[rng.randrange(5)] = rng.choice((0, 1, 2, 3, 4, 6, 8, 16, 255))
    return b"".join(sides) + bytes(rest)


def _chunks(data: bytes) -> list[tuple[bytes, bytes]]:
    found, place = list[tuple[bytes, bytes]](), 8
    while place < len(data):
        size = int.from_bytes(data[place : place + 4], "big")
        found.append((data[place + 4 : place + 8], data[place + 8 : place + 8 + size]))
        place += 12 + size
    return found


def _chunk(kind: bytes, body: bytes) -> bytes:
    return len(body).to_bytes(4, "big") + kind + body + zlib.crc32(kind + body).to_bytes(4, "big")
