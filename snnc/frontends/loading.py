"""Choice of the frontend for a model reference, by content, not by suffix. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from snnc.errors import ModelError, PluginError, UsageError
from snnc.frontends.base import Frontend
from snnc.frontends.file_kinds import (
    BY_FACTORY,
    EXPORTED,
    KINDS,
    LATER,
    ONNX,
    RESAVE,
    WEIGHTS,
    FileKind,
    first_bytes,
    members,
)
from snnc.plugins import FRONTENDS, Registry

_SHAPE = "the shape of one sample, channels first: --input-shape 3,32,32"


@dataclass(frozen=True, slots=True)
class CodeReference:
    """`source:name`: a Python file or an importable module, and a factory in it."""

    source: str
    name: str

    @property
    def is_file(self) -> bool:
        """True when `source` is a path rather than the name of a module."""
        return self.source.endswith(".py") or "/" in self.source


_STATE_DICT = FileKind("a state dict", lambda head, names: False, WEIGHTS, BY_FACTORY)
_OLD = FileKind(
    "a pickle that is not in torch's zip format",
    lambda head, names: False,
    "is not loaded: it may run code",
    "save it again with torch.save of torch 1.6 or newer, or " + RESAVE,
)
_PICKLED = FileKind("a pickled module", lambda head, names: False, LATER, RESAVE)


def is_pickled_module(reference: str) -> bool:
    """True for a zip that torch saved and that holds more than tensors. Runs no code of it."""
    path = Path(reference)
    return path.is_file() and sniff(path) is _PICKLED


def is_onnx_model(reference: str) -> bool:
    """True for a file that begins as an ONNX model does."""
    path = Path(reference)
    return path.is_file() and sniff(path) is ONNX


def is_exported_program(reference: str) -> bool:
    """True for an archive that `torch.export.save` wrote."""
    path = Path(reference)
    return path.is_file() and sniff(path) is EXPORTED


def code_reference(reference: str) -> CodeReference | None:
    """`reference` as `source:name`, or None if it names a file."""
    source, colon, name = reference.rpartition(":")
    attribute = all(part.isidentifier() for part in name.split("."))
    if not colon or not source or not attribute or Path(reference).exists():
        return None
    return CodeReference(source, name)


def find_frontend(reference: str, registry: Registry | None = None) -> Frontend:
    """The installed frontend that reads `reference`.

    Raises:
        UsageError: the reference is neither code nor a file, or several frontends read it.
        ModelError: no installed frontend reads the file; names its kind and a remedy.
        PluginError: none reads it, and an installed frontend cannot be loaded.
    """
    registry = Registry(FRONTENDS) if registry is None else registry
    broken: list[PluginError] = []
    matching: dict[str, Frontend] = {}
    for name in registry.names():
        try:
            frontend: Any = registry.get(name)()
        except PluginError as error:
            broken.append(error)
            continue
        if frontend.matches(reference):
            matching[name] = frontend
    if len(matching) > 1:
        raise UsageError(f"{reference} is read by several frontends: {', '.join(matching)}")
    if matching:
        return next(iter(matching.values()))
    if broken:
        raise broken[0]
    raise explain(reference)


def explain(reference: str) -> UsageError | ModelError:
    """The error for a `reference` that no frontend reads, with a remedy."""
    path = Path(reference)
    if code_reference(reference) is not None:
        return UsageError(
            f"no installed frontend reads {reference}", hint="`snnc frontends` lists them"
        )
    if not path.exists():
        return UsageError(
            f"{reference}: no such file", hint="name code (net.py:factory) or a model file"
        )
    if path.is_dir():
        return UsageError(f"{reference} is a folder", hint="name code in it: net.py:factory")
    if path.suffix == ".py":
        return UsageError(f"{reference} names no factory", hint=f"for example {reference}:build")
    kind = sniff(path)
    if kind is None:
        return ModelError(
            f"{reference} is not a model snnc knows",
            hint="a model is code (net.py:factory), a file of torch.save, or a .snnc file",
        )
    return ModelError(
        f"{reference} is {kind.noun}, which {kind.reason}", hint=kind.hint.format(file=reference)
    )


def check_shape(shape: tuple[int, ...] | None) -> None:
    """Raise `UsageError` unless `shape` is None or the shape of a sample."""
    if shape is not None and (not shape or min(shape) < 1):
        shown = ",".join(map(str, shape))
        raise UsageError(f"--input-shape {shown} is not a shape", hint=_SHAPE)


def sniff(path: Path) -> FileKind | None:
    """The kind of file, by its content; None if unknown. Raises `ModelError` if unreadable."""
    head = first_bytes(path)
    names = members(path, head)
    script = any(name.endswith("constants.pkl") for name in names)
    if any(name.endswith("data.pkl") for name in names) and not script:
        return _saved(path)
    if head[:1] == b"\x80":
        return _old_pickle(path)
    return next((kind for kind in KINDS if kind.matches(head, names)), None)


def _saved(path: Path) -> FileKind:
    """A zip that torch saved: weights, or objects with their classes."""
    from snnc.frontends.records import named_classes

    return _PICKLED if named_classes(path) else _STATE_DICT


def _old_pickle(path: Path) -> FileKind:
    """A pickle that is not a zip: a state dict saved by torch before 1.6, or another object."""
    from snnc.frontends.checkpoints import read_weights

    try:
        read_weights(path)
    except ModelError:
        return _OLD
    return _STATE_DICT
