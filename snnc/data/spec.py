"""The DATA grammar: `SOURCE[#train|#test][SELECTION]`, e.g. `mnist:data/mnist#test[:1000]`."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Literal

from snnc.errors import DataError

Kind = Literal[
    "digits", "mnist", "fashion-mnist", "cifar10", "npz", "npy", "images", "file", "module"
]
GRAMMAR = (
    "data is one of digits#train, mnist:DIR#train, fashion-mnist:DIR#train, cifar10:DIR#train "
    "(or #test), x.npz, x.npy, images:DIR, file.py:factory, pkg.mod:factory; "
    "then perhaps [:N], [A:B] or [@mask.npy]"
)
_FOLDERS: dict[str, Kind] = {
    "mnist": "mnist",
    "fashion-mnist": "fashion-mnist",
    "cifar10": "cifar10",
    "images": "images",
}
_SELECTION = re.compile(r"\[([^\[\]]*)\]$")
_RANGE = re.compile(r"(\d*):(\d*)")
_FACTORY = re.compile(r"[A-Za-z_][\w.]*")


@dataclass(frozen=True)
class DataSpec:
    """A parsed DATA text.

    Attributes:
        kind: the kind of source.
        path: folder or file; the module of a factory; "" for `digits`.
        factory: name of the factory, else "".
        split: "train" or "test" if the source has both, else None.
        start, stop: the selected range; `stop` None for the end.
        mask: path of a boolean or index array that replaces the range, or None.
    """

    kind: Kind
    path: str = ""
    factory: str = ""
    split: Literal["train", "test"] | None = None
    start: int = 0
    stop: int | None = None
    mask: str | None = None

    def __str__(self) -> str:
        source = f"{self.kind}:{self.path}" if self.kind in _FOLDERS else self.path or self.kind
        factory = f":{self.factory}" if self.factory else ""
        split = f"#{self.split}" if self.split else ""
        return source + factory + split + self.selection()

    def selection(self) -> str:
        """The selection as text, "" for everything."""
        if self.mask is not None:
            return f"[@{self.mask}]"
        if self.start == 0 and self.stop is None:
            return ""
        return f"[{self.start or ''}:{'' if self.stop is None else self.stop}]"


def parse(text: str) -> DataSpec:
    """Parse a DATA text. Raises `DataError` with the error and the correct form."""
    selection = _SELECTION.search(text)
    source = text[: selection.start()] if selection else text
    split: Literal["train", "test"] | None = None
    if source.endswith("#train"):
        source, split = source[:-6], "train"
    elif source.endswith("#test"):
        source, split = source[:-5], "test"
    spec = _with_split(text, _source(text, source), split)
    return _with_selection(text, spec, selection[1]) if selection else spec


def folder_of(text: str) -> str | None:
    """The folder whose files a DATA text reads; None for texts of other kinds, and wrong ones."""
    try:
        spec = parse(text)
    except DataError:
        return None
    return spec.path if spec.kind in _FOLDERS else None


def _source(text: str, source: str) -> DataSpec:
    if not source:
        raise DataError(f"data {text!r} names no source", hint=GRAMMAR)
    name, hash_mark, rest = source.partition("#")
    if name == "digits" and hash_mark:
        raise DataError(f"data {text!r}: {rest!r} is not a part of digits", hint="#train or #test")
    if source == "digits":
        return DataSpec("digits")
    name, colon, path = source.partition(":")
    if name in _FOLDERS and not path:
        raise DataError(f"data {text!r}: {name} needs its folder", hint=f"{name}:DIR")
    if colon and name in _FOLDERS:
        return DataSpec(_FOLDERS[name], path)
    if source.endswith((".npz", ".npy")):
        return DataSpec("npz" if source.endswith(".npz") else "npy", source)
    return _factory(text, source)


def _factory(text: str, source: str) -> DataSpec:
    place, colon, name = source.rpartition(":")
    if not colon or not place or not _FACTORY.fullmatch(name):
        raise DataError(f"data {text!r} is not understood", hint=GRAMMAR)
    if place.endswith(".py"):
        return DataSpec("file", place, name)
    if not _FACTORY.fullmatch(place):
        raise DataError(
            f"data {text!r}: {place!r} is neither a known kind nor a module", hint=GRAMMAR
        )
    return DataSpec("module", place, name)


def _with_split(text: str, spec: DataSpec, split: Literal["train", "test"] | None) -> DataSpec:
    has_parts = spec.kind in ("digits", "mnist", "fashion-mnist", "cifar10")
    if has_parts and split is None:
        raise DataError(
            f"data {text!r}: {spec.kind} has two parts; say which",
            hint=f"{spec}#train or {spec}#test",
        )
    if split and not has_parts:
        raise DataError(
            f"data {text!r}: only digits, mnist, fashion-mnist and cifar10 have #{split}"
        )
    return replace(spec, split=split)


def _with_selection(text: str, spec: DataSpec, selection: str) -> DataSpec:
    if selection.startswith("@") and len(selection) > 1:
        return replace(spec, mask=selection[1:])
    bounds = _RANGE.fullmatch(selection)
    if not bounds:
        raise DataError(
            f"data {text!r}: [{selection}] is not a selection", hint="[:N], [A:B] or [@mask.npy]"
        )
    start, stop = int(bounds[1] or 0), int(bounds[2]) if bounds[2] else None
    if stop is not None and stop <= start:
        raise DataError(f"data {text!r}: [{selection}] selects nothing")
    return replace(spec, start=start, stop=stop)
