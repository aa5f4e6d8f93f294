"""Folders of images, one folder per class, and what was found in them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from snnc.data.arrays import DIVIDED, Array
from snnc.data.image_file import SUFFIXES, Mode, decode, mode_of
from snnc.data.reading import reading
from snnc.errors import DataError

LISTED = 12
"""Names that a line of the log lists."""


@dataclass(frozen=True)
class FolderImages:
    """Image files, one folder per class; classes are numbered in the order of folder names.

    Attributes:
        files: (N) paths.
        labels: (N,) int64.
        mode: what pixels are read as.
        sample_shape: of the first image.
        class_names: names of the folders.
        notes: what was found, for the log.
    """

    files: Sequence[Path] = field(repr=False)
    labels: Array
    mode: Mode
    sample_shape: tuple[int, ...]
    class_names: tuple[str, ...]
    notes: tuple[str, ...]
    masks: Mapping[str, Array] = field(default_factory=dict[str, Array])
    labelled: bool = True

    def __len__(self) -> int:
        return len(self.files)

    @property
    def classes(self) -> int | None:
        """Number of classes."""
        return len(self.class_names)

    def take(self, rows: NDArray[np.int64]) -> tuple[Array, Array]:
        """Images and labels of these rows. Raises `DataError` for one of another size or kind."""
        images = [decode(self.files[row], str(self.files[row]), self.mode) for row in rows]
        for row, image in zip(rows, images, strict=True):
            if image.shape != self.sample_shape:
                raise DataError(
                    f"{self.files[row]} has shape {image.shape}, the first image "
                    f"{self.sample_shape}",
                    hint="bring all images to one size",
                )
        return np.stack(images), self.labels[rows]


def open_folder(folder: Path) -> FolderImages:
    """`DIR/class/image.png`, classes and files in order of their names.

    Hidden folders and folders without images are no classes; the notes name them.

    Raises:
        DataError: no folder, no images, or a first image that cannot be read as it is.
    """
    if not folder.is_dir():
        raise DataError(f"images: there is no folder {folder}")
    with reading(folder):
        inside_folder = sorted(folder.iterdir())
        places = [path for path in inside_folder if path.is_dir()]
        found = {place: sorted(place.iterdir()) for place in places if not _hidden(place)}
    images = {
        place: files for place, inside in found.items() if (files := list(filter(_image, inside)))
    }
    if not images:
        raise DataError(f"images: no images in folders of {folder}", hint="DIR/class/image.png")
    skipped = [path for path in inside_folder if not path.is_dir()]
    skipped += [path for place in images for path in found[place] if not _image(path)]
    files = [path for inside in images.values() for path in inside]
    mode = mode_of(files[0])
    return FolderImages(
        files,
        np.repeat(np.arange(len(images), dtype=np.int64), [len(each) for each in images.values()]),
        mode,
        decode(files[0], str(files[0]), mode).shape,
        tuple(place.name for place in images),
        (DIVIDED, *_inventory(places, images, skipped)),
    )


def _hidden(path: Path) -> bool:
    return path.name.startswith(".") or path.name == "__MACOSX"


def _image(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES and not _hidden(path) and not path.is_dir()


def _inventory(
    places: Sequence[Path], images: Mapping[Path, Sequence[Path]], skipped: Sequence[Path]
) -> list[str]:
    counts = [f"{place.name} {len(files)}" for place, files in images.items()]
    noun = "class" if len(counts) == 1 else "classes"
    lines = [f"images in {len(counts)} {noun}: {_listed(counts)}"]
    if others := [place.name for place in places if place not in images]:
        lines.append(f"hidden, or without images, and so no classes: {_listed(others)}")
    if skipped:
        kinds = Counter("folders" if p.is_dir() else p.suffix.lower() or p.name for p in skipped)
        names = [f"{kind} {count}" for kind, count in sorted(kinds.items())]
        lines.append(f"skipped: {_listed(names)}")
    return lines


def _listed(names: Sequence[str]) -> str:
    more = f", and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return ", ".join(names[:LISTED]) + more
