"""Folders of images: what is a class, and which images are refused because they would change."""

from __future__ import annotations

import io
import os
import struct
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from snnc.data import open_data
from snnc.errors import DataError

PIL = pytest.importorskip("PIL.Image")
RAMP = np.arange(64).reshape(8, 8) / 63
GREY = (RAMP * 255).round().astype(np.uint8)
COLOUR = np.stack([GREY, GREY.T, GREY[::-1]], -1)


def refused(folder: Path) -> DataError:
    """The error of opening and reading a folder of images."""
    with pytest.raises(DataError) as caught:
        list(open_data(f"images:{folder}"))
    assert "\n" not in caught.value.message
    return caught.value


def put(path: Path, pixels: Any, mode: str | None = None, **options: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = PIL.fromarray(pixels)
    (image if mode is None else image.convert(mode)).save(path, **options)
    return path


# -- classes -------------------------------------------------------------------------------


@pytest.fixture
def animals(tmp_path: Path) -> Path:
    for name in ("cat", "dog", "owl"):
        put(tmp_path / name / "0.png", GREY)
    return tmp_path


@pytest.mark.parametrize("name", [".ipynb_checkpoints", "__MACOSX", ".cache", "bat"])
@pytest.mark.parametrize("filled", [True, False])
def test_hidden_and_empty_folders_are_no_classes(animals: Path, name: str, filled: bool) -> None:
    (animals / name).mkdir()
    (animals / name / "notes.txt").touch()
    if filled and name != "bat":
        put(animals / name / "0.png", GREY)
    data = open_data(f"images:{animals}")
    ((_, y),) = data
    assert y is not None and y.tolist() == [0, 1, 2]
    assert f"hidden, or without images, and so no classes: {name}" in data.notes


def test_inventory(animals: Path) -> None:
    put(animals / "dog" / "1.png", GREY)
    put(animals / "dog" / "._1.png", GREY)
    put(animals / "dog" / "more" / "2.png", GREY)
    for name in ("dog/a.txt", "dog/b.txt", "README"):
        (animals / name).touch()
    data = open_data(f"images:{animals}")
    assert len(data) == 4
    assert data.notes[1:] == (
        "images in 3 classes: cat 1, dog 2, owl 1",
        "skipped: .png 1, .txt 2, README 1, folders 1",
    )


def test_many_classes_are_one_line(tmp_path: Path) -> None:
    for number in range(20):
        put(tmp_path / f"{number:02}" / "0.png", GREY)
    line = open_data(f"images:{tmp_path}").notes[1]
    assert line.startswith("images in 20 classes: 00 1, 01 1,") and line.endswith(", and 8 more")


# -- values --------------------------------------------------------------------------------


def palette(colours: int, **options: Any) -> Callable[[Path], object]:
    return lambda path: PIL.fromarray(COLOUR).quantize(colours).save(path, **options)


def deep_rgb(path: Path) -> None:
    """A PNG of 16 bits a channel, which Pillow opens as 8 bits."""
    rows = b"".join(b"\0" + bytes(8 * 6) for _ in range(8))
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", 8, 8, 16, 2, 0, 0, 0))]
    write_png(path, [*chunks, (b"IDAT", zlib.compress(rows)), (b"IEND", b"")])


def write_png(path: Path, chunks: list[tuple[bytes, bytes]]) -> None:
    data = b"\x89PNG\r\n\x1a\n"
    for kind, body in chunks:
        data += struct.pack(">I", len(body)) + kind + body
        data += struct.pack(">I", zlib.crc32(kind + body))
    path.write_bytes(data)


def huge(side: int) -> Callable[[Path], None]:
    """A small file that announces an image of side x side pixels."""
    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    body = zlib.compress(bytes(1 << 20))
    return lambda path: write_png(path, [(b"IHDR", header), (b"IDAT", body), (b"IEND", b"")])


def long_text(path: Path) -> None:
    body = b"a\0\0" + zlib.compress(bytes(1 << 26))
    header = struct.pack(">IIBBBBB", 8, 8, 8, 0, 0, 0, 0)
    write_png(path, [(b"IHDR", header), (b"zTXt", body)])


def frames(path: Path) -> None:
    images = [PIL.fromarray(each) for each in (GREY, GREY[::-1])]
    images[0].save(path, append_images=images[1:], save_all=True)


REFUSED: dict[str, tuple[str, Callable[[Path], object], str]] = {
    "16-bit grey": ("png", lambda p: put(p, (RAMP * 65535).astype(np.uint16)), "more than 8 bits"),
    "16-bit grey TIFF": ("tif", lambda p: put(p, (RAMP * 65535).astype(np.uint16)), "8 bits"),
    "16-bit grey PGM": ("pgm", lambda p: put(p, (RAMP * 65535).astype(np.uint16)), "8 bits"),
    "16-bit RGB": ("png", deep_rgb, "more than 8 bits"),
    "16-bit RGB PPM": (
        "ppm",
        lambda p: p.write_bytes(b"P6 8 8 65535\n" + bytes(8 * 8 * 6)),
        "more than 8 bits",
    ),
    "32-bit integers": ("tif", lambda p: put(p, GREY.astype(np.int32)), "more than 8 bits"),
    "float": ("tif", lambda p: put(p, RAMP.astype(np.float32)), "more than 8 bits"),
    "CMYK": ("jpg", lambda p: put(p, COLOUR, "CMYK"), "pixels of kind CMYK"),
    "transparent": (
        "png",
        lambda p: put(p, np.concatenate([COLOUR, GREY[..., None]], -1)),
        "transparent pixels",
    ),
    "transparent palette": ("png", palette(16, transparency=3), "transparent pixels"),
    "frames": ("tif", frames, "has 2 frames"),
    "bomb": ("png", huge(1 << 15), "more than 33554432 pixels"),
    "bomb Pillow warns of": ("png", huge(10_000), "more than 33554432 pixels"),
    "bomb Pillow takes": ("png", huge(6_000), "more than 33554432 pixels"),
    "truncated": ("png", huge(2_000), "cannot be read"),
    "long text": ("png", long_text, "cannot be read"),
    "empty": ("png", lambda p: p.write_bytes(b""), "cannot be read"),
    "script": ("png", lambda p: p.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n"), "cannot be read"),
    "FIFO": ("png", os.mkfifo, "not a regular file"),
}


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize("first", [True, False])
def test_what_would_change_is_refused(name: str, first: bool, tmp_path: Path) -> None:
    suffix, make, reason = REFUSED[name]
    (tmp_path / "a").mkdir()
    if not first:
        put(tmp_path / "a" / "0.png", COLOUR)
    path = tmp_path / "a" / f"x.{suffix}"
    make(path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        error = refused(tmp_path)
    assert reason in error.message and str(path) in error.message


def test_colours_after_a_grey_image_are_refused(tmp_path: Path) -> None:
    put(tmp_path / "a" / "0.png", GREY)
    put(tmp_path / "a" / "1.png", COLOUR)
    assert "1.png has colours, the first image is grey" in refused(tmp_path).message


def test_what_keeps_its_values_is_read(tmp_path: Path) -> None:
    opaque = np.full((8, 8, 1), 255, np.uint8)
    put(tmp_path / "grey" / "0.png", GREY)
    put(tmp_path / "grey" / "1.png", GREY, "RGB")
    put(tmp_path / "colour" / "0.png", COLOUR)
    put(tmp_path / "colour" / "1.png", np.concatenate([COLOUR, opaque], -1))
    put(tmp_path / "colour" / "2.gif", GREY)
    palette(64)(tmp_path / "colour" / "3.png")
    x, y = next(iter(open_data(f"images:{tmp_path}")))
    assert y is not None and y.tolist() == [0] * 4 + [1] * 2
    assert np.array_equal(x[1] * 255, COLOUR.transpose(2, 0, 1))
    assert np.array_equal(x[4] * 255, np.stack([GREY] * 3))
    stored = io.BytesIO()
    PIL.fromarray(COLOUR).quantize(64).convert("RGB").save(stored, "PPM")
    assert np.array_equal((x[3] * 255).round(), np.asarray(PIL.open(stored)).transpose(2, 0, 1))
    for path in (tmp_path / "colour").iterdir():
        path.unlink()
    x, _ = next(iter(open_data(f"images:{tmp_path}")))
    assert x.shape == (2, 1, 8, 8) and np.array_equal(x[0], x[1])


def test_one_bit_is_black_and_white(tmp_path: Path) -> None:
    put(tmp_path / "a" / "0.png", GREY > 99)
    x, _ = next(iter(open_data(f"images:{tmp_path}")))
    assert np.array_equal(x[0, 0], GREY > 99)
