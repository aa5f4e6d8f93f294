"""One image file as 8-bit pixels. What 8 bits in one or three channels cannot hold is refused."""

from __future__ import annotations

import io
import warnings
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from snnc.data.reading import reading, require_file
from snnc.errors import DataError

Mode = Literal["L", "RGB"]
SUFFIXES = frozenset(
    {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".ppm", ".pgm", ".tif", ".tiff", ".webp"}
)
FORMATS = ("PNG", "JPEG", "BMP", "GIF", "PPM", "TIFF", "WEBP")
GREY = frozenset({"1", "L", "LA"})
COLOUR = frozenset({"P", "PA", "RGB", "RGBA"})
LARGEST_IMAGE = 1 << 25
"""Pixels."""
EIGHT_BITS = "save it as 8-bit grey or RGB, or give the values as float32 in an x.npz"


def mode_of(path: Path) -> Mode:
    """Grey images have 1 channel ("L"), all others 3 ("RGB"). Raises `DataError`."""
    require_file(path)
    with reading(path), _opened(path, str(path)) as image:
        return "L" if image.mode in GREY else "RGB"


def decode(file: Path | io.BytesIO, what: str, mode: Mode) -> NDArray[np.uint8]:
    """Pixels (1 or 3, H, W) of an image; `what` names it in errors.

    Raises:
        DataError: it cannot be read; it has more than 8 bits, transparent pixels, several frames
            or other colours than grey, RGB or a palette; it has colours and `mode` is "L".
    """
    if isinstance(file, Path):
        require_file(file)
    with reading(what), _opened(file, what) as image:
        _require_opaque(image, what)
        if mode == "RGB" or image.mode in GREY:
            pixels = np.asarray(image.convert(mode))
            return pixels[None] if mode == "L" else pixels.transpose(2, 0, 1)
        pixels = np.asarray(image.convert("RGB"))
        if (pixels != pixels[..., :1]).any():
            raise DataError(
                f"{what} has colours, the first image is grey", hint="bring all images to one kind"
            )
        return pixels[None, :, :, 0]


def _opened(file: Path | io.BytesIO, what: str) -> Any:
    """The image, of which only the header is read, checked to fit into 8-bit pixels."""
    pillow = _pillow()
    with warnings.catch_warnings():
        warnings.simplefilter("error", pillow.DecompressionBombWarning)
        try:
            image = pillow.open(file, formats=FORMATS)
        except (pillow.DecompressionBombWarning, pillow.DecompressionBombError):
            raise _too_large(what) from None
    with reading(what):
        try:
            _require_plain(image, what)
        except BaseException:
            image.close()
            raise
    return image


def _require_plain(image: Any, what: str) -> None:
    if image.width * image.height > LARGEST_IMAGE:
        raise _too_large(what)
    if image.mode not in GREY | COLOUR or _deep(image):
        kind = "more than 8 bits a channel" if _deep(image) else f"pixels of kind {image.mode}"
        raise DataError(f"{what} has {kind}, which would be changed", hint=EIGHT_BITS)
    if image.format != "MPO" and getattr(image, "n_frames", 1) > 1:  # MPO: a photo and previews
        raise DataError(f"{what} has {image.n_frames} frames", hint="one image per file")


def _deep(image: Any) -> bool:
    """Whether the file has more bits than Pillow gives: it reads 16-bit RGB as 8 bits."""
    if image.mode.startswith(("I", "F")):
        return True
    arguments = [each for tile in image.tile for each in np.atleast_1d(np.array(tile[3], object))]
    return any(
        ("16" in each if isinstance(each, str) else image.format == "PPM" and each > 255)
        for each in arguments
        if isinstance(each, str | int)
    )


def _require_opaque(image: Any, what: str) -> None:
    if image.mode not in ("LA", "PA", "RGBA") and "transparency" not in image.info:
        return
    if image.convert("RGBA").getchannel("A").getextrema()[0] < 255:
        raise DataError(
            f"{what} has transparent pixels, which would be changed",
            hint="draw it on a background: save it as grey or RGB",
        )


def _too_large(what: str) -> DataError:
    return DataError(f"{what} cannot be read: an image of more than {LARGEST_IMAGE} pixels")


def _pillow() -> Any:
    try:
        return import_module("PIL.Image")
    except ImportError:
        raise DataError(
            "reading image files needs Pillow, which is not installed",
            hint="pip install 'snnc[images]'",
        ) from None
