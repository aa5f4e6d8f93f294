"""Reads what a training script saved: state dicts, and where in the file they are."""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from snnc.errors import ModelError, one_line
from snnc.frontends.allowed import refused_names
from snnc.frontends.file_kinds import kind_without_weights
from snnc.frontends.records import (
    entries,
    is_mapping,
    is_module,
    kind_of,
    named_classes,
    plain_tensor,
    read_records,
)
from snnc.frontends.weight_files import folder_error, is_index, read_shards
from snnc.special_file import is_special

_DEEPEST = 5  # levels of dicts within dicts in which a state dict is looked for
_SHOWN = 5
_HEAD = 16  # bytes read to tell formats apart
SAVE = "save them with torch.save(model.state_dict(), path), or as safetensors"
_SHARDED = (
    "torch.distributed.tensor.DTensor",
    "torch.distributed._shard.sharded_tensor.api.ShardedTensor",
)
_GATHER = (
    "save get_model_state_dict(model, options=StateDictOptions(full_state_dict=True)) of "
    "torch.distributed.checkpoint.state_dict"
)


def read_weights(path: Path) -> dict[Any, Any]:
    """What the file holds: tensors by name, perhaps wrapped. Raises `ModelError`.

    An index of several files is read with them. What is neither a tensor nor a container of tensors
    is a record, and was not built.
    """
    if path.is_dir():
        raise folder_error(path)
    return read_shards(path, _read_file) if is_index(_head(path)) else _read_file(path)


def _read_file(path: Path) -> dict[Any, Any]:
    head = _head(path)
    kind = kind_without_weights(path)
    if kind is not None:
        raise ModelError(f"weights {path} is {kind.noun}, not a state dict", hint=SAVE)
    found: Any = _read_torch(path) if head[:2] == b"PK" or head[:1] == b"\x80" else _read_safe(path)
    if is_mapping(found):
        return found
    if is_module(found):
        raise ModelError(
            f"weights {path} holds a whole module ({kind_of(found)}), not a state dict",
            hint=f"give the file as the model: snnc compile {path}; or {SAVE}",
        )
    raise ModelError(f"weights {path} holds a {kind_of(found)}, not a state dict", hint=SAVE)


def _head(path: Path) -> bytes:
    if is_special(path):
        raise ModelError(f"weights {path} cannot be read: it is not a regular file")
    try:
        with path.open("rb") as file:
            return file.read(_HEAD)
    except OSError as error:
        raise ModelError(f"weights {path} cannot be read: {error.strerror}") from None


def _read_safe(path: Path) -> Mapping[str, Any]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        raise ModelError(
            f"weights {path} is no whole safetensors file, and none that torch saved "
            f"({one_line(error)})",
            hint=SAVE,
        ) from None


def _read_torch(path: Path) -> Any:
    names = named_classes(path)
    refused = refused_names(names)
    for name in _SHARDED:
        if name in refused:
            raise ModelError(
                f"weights {path} holds parts of tensors ({name}), not whole ones", hint=_GATHER
            )
    what = f"holds more than tensors: {', '.join(refused[:_SHOWN])}"
    try:
        if not refused:
            return read_records(path)
    except pickle.UnpicklingError:
        what = f"holds more than tensors: {', '.join(names[:_SHOWN])}" if names else "is damaged"
    except Exception as error:  # whatever torch raises for a damaged file
        what = f"cannot be read ({one_line(error)})"
    raise ModelError(f"weights {path} {what}", hint=SAVE)


def state_dicts(found: dict[Any, Any]) -> dict[str, dict[str, Tensor]]:
    """Every state dict in a file, by where it is: `""` for the file itself, `state_dict.model`."""
    return {where: tensors for where, tensors in _walk(found, "", 0, set()) if tensors}


def _walk(
    found: Any, where: str, depth: int, seen: set[int]
) -> Iterator[tuple[str, dict[str, Tensor]]]:
    if not is_mapping(found) or depth > _DEEPEST or id(found) in seen:
        return
    seen.add(id(found))  # one that lies under many keys is looked at once
    tensors: dict[str, Tensor] = {}
    for key, value in entries(found):
        tensor = plain_tensor(value)
        if tensor is not None and type(key) is str:
            tensors[key] = tensor
    yield where, tensors
    for key, value in entries(found):
        if type(key) is int or (type(key) is str and key.isprintable()):
            yield from _walk(value, f"{where}.{key}" if where else str(key), depth + 1, seen)


def holds_tensors(found: Any) -> bool:
    """Whether there is any state dict in what a file holds."""
    return is_mapping(found) and bool(state_dicts(found))


def no_state_dict(found: dict[Any, Any], path: Path) -> ModelError:
    """Why there is no state dict in a file that holds a mapping."""
    held = entries(found)
    modules = [str(key) for key, value in held if is_module(value)]
    if modules:
        return ModelError(
            f"weights {path} holds a module under {modules[0]!r}, not its state dict",
            hint=f"give {path} as the model, without --weights; or {SAVE}",
        )
    what = f"its key {held[0][0]!r} holds no tensor" if held else "it is empty"
    return ModelError(f"weights {path} is no state dict: {what}", hint=SAVE)
