"""Checkpoints of training: one file per stage, replaced atomically."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from snnc.errors import PassError
from snnc.jsontext import strict
from snnc.new_file import new_file

SUFFIX = ".safetensors"


@dataclass(frozen=True)
class Saved:
    """The contents of a checkpoint: tensors by name, and JSON-able numbers."""

    tensors: Mapping[str, Tensor]
    numbers: Mapping[str, Any]


@dataclass
class Checkpoints:
    """The checkpoints of one pass, in a folder of its own.

    A run that does not resume removes the checkpoints of an earlier run, after its own first
    checkpoint has been written.

    Attributes:
        folder: created when the first checkpoint is written.
        resume: whether training resumes from existing checkpoints.
    """

    folder: Path
    resume: bool
    _cleared: bool = field(default=False, init=False)

    def left(self) -> bool:
        """Whether there are checkpoints of an earlier run."""
        return any(self.folder.glob(f"*{SUFFIX}"))

    def path(self, stage: str) -> Path:
        """The file of a stage."""
        return self.folder / f"{stage}{SUFFIX}"

    def read(self, stage: str, identity: Mapping[str, Any]) -> Saved | None:
        """The checkpoint of a stage; None if there is none, or the run does not resume.

        Raises:
            PassError: it cannot be read, or its identity is another.
        """
        path = self.path(stage)
        if not self.resume or not path.exists():
            return None
        again = "leave out --resume to start from the beginning, or give another --workdir"
        try:
            with safe_open(path, framework="pt") as file:
                numbers = strict((file.metadata() or {})["numbers"])
                names = file.keys()
                tensors = {name: file.get_tensor(name) for name in names}
            theirs = numbers["identity"]
        except (OSError, SafetensorError, KeyError, ValueError, RecursionError) as error:
            raise PassError(f"the checkpoint {path} cannot be read: {error}", hint=again) from None
        ours = json.loads(json.dumps(identity))  # as it would be read: lists, no tuples
        if differing := _differences(theirs, ours):
            raise PassError(
                f"the checkpoint {path} is of another run, which differs in {', '.join(differing)}",
                hint=again,
            )
        return Saved(tensors, numbers)

    def write(self, stage: str, identity: Mapping[str, Any], saved: Saved) -> None:
        """Replace the checkpoint of a stage. Raises `PassError` if it cannot be written."""
        path = self.path(stage)
        numbers = json.dumps({**saved.numbers, "identity": identity}, allow_nan=False)
        tensors = {
            name: value.detach().to("cpu", copy=True, memory_format=torch.contiguous_format)
            for name, value in saved.tensors.items()
        }
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with new_file(path) as new:
                save_file(tensors, new, {"numbers": numbers})
        except (OSError, SafetensorError) as error:
            raise PassError(
                f"cannot write the checkpoint {path}: {error}", hint="another --workdir"
            ) from None
        self._clear(path)

    def _clear(self, kept: Path) -> None:
        if not self.resume and not self._cleared:
            for old in self.folder.glob(f"*{SUFFIX}"):
                if old != kept:
                    old.unlink(missing_ok=True)
        self._cleared = True


def _differences(theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> list[str]:
    """The names of values that differ between two identities; options by their own names."""
    names: list[str] = []
    for name in sorted({*theirs, *ours}):
        a, b = theirs.get(name), ours.get(name)
        if isinstance(a, Mapping) and isinstance(b, Mapping):
            names += _differences(a, b)
        elif a != b:
            names.append(name.replace("_", "-"))
    return names
