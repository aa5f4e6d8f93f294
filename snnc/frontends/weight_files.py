"""Weights that lie in several files: an index that names them, or a folder that holds them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from snnc.errors import ModelError
from snnc.frontends.records import entries
from snnc.jsontext import strict

_LONGEST = 1 << 26  # bytes of an index
_SHOWN = 5
_ENDINGS = (".safetensors", ".bin", ".pt", ".pth", ".ckpt", ".tar")
_INDICES = "*.index.json"


def is_index(head: bytes) -> bool:
    """Whether a file with these first bytes is JSON, as the index of shards is."""
    return head.lstrip()[:1] == b"{" and b"\0" not in head


def read_shards(index: Path, read: Callable[[Path], dict[Any, Any]]) -> dict[str, Any]:
    """What the files of an index hold together, under the keys that the index gives to each.

    Args:
        index: JSON with `weight_map`: the name of a file beside the index, for every key.
        read: reads one of these files.

    Raises:
        ModelError: it is no index, a file is not beside it, or holds not what the index says.
    """
    files = _weight_map(index)
    if files is None:
        raise ModelError(
            f"weights {index} is JSON, but no index of weights",
            hint="an index has `weight_map`, the name of a file beside it for every key",
        )
    found: dict[str, Any] = {}
    for name in sorted(set(files.values())):
        shard = index.parent / name
        if not shard.is_file():
            raise ModelError(
                f"weights {index} names {name!r}, which is not beside it",
                hint="keep the index and its files in one folder",
            )
        held = dict(entries(read(shard)))
        keys = [key for key, file in files.items() if file == name]
        missing = [key for key in keys if key not in held]
        if missing:
            raise ModelError(f"weights {index}: {name} does not hold {missing[0]!r}")
        found.update((key, held[key]) for key in keys)
    return found


def _weight_map(index: Path) -> dict[str, str] | None:
    """The file of every key; None for what is no index, or names a file in another folder."""
    try:
        if index.stat().st_size > _LONGEST:
            return None
        found = strict(index.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    files = found.get("weight_map") if isinstance(found, dict) else None
    if not isinstance(files, dict) or not all(map(_is_file_name, files.values())):
        return None
    return files


def _is_file_name(name: Any) -> bool:
    return isinstance(name, str) and name.isprintable() and name == Path(name).name != ""


def index_of(file: Path) -> Path | None:
    """The index beside `file` that names it as one of several; None if there is none."""
    for index in sorted(file.parent.glob(_INDICES)):
        files = set((_weight_map(index) or {}).values())
        if file.name in files and len(files) > 1:
            return index
    return None


def folder_error(folder: Path) -> ModelError:
    """Why a folder is no file of weights, and which file is."""
    if (folder / ".metadata").is_file():
        return ModelError(
            f"weights {folder} is a folder of torch.distributed.checkpoint",
            hint="make it one file: python -m torch.distributed.checkpoint.format_utils "
            f"dcp_to_torch '{folder}' weights.pt; then --weights weights.pt",
        )
    files = sorted(each for each in folder.iterdir() if each.suffix in _ENDINGS)
    indices = sorted(folder.glob(_INDICES))
    safe = [file for file in files if file.suffix == ".safetensors"]
    likely = next((each for each in (indices, safe, files) if each), [])
    if len(likely) == 1:
        hint = f"name the file in it: --weights '{likely[0]}'"
    elif likely:
        hint = "name one of its files: " + ", ".join(each.name for each in likely[:_SHOWN])
    else:
        hint = "name a file: safetensors, or what torch.save wrote"
    return ModelError(f"weights {folder} is a folder", hint=hint)
