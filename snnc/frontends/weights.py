"""Loading of weights from files without running code from them."""

from __future__ import annotations

import logging
import pickle
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from snnc.errors import ModelError

LOG = logging.getLogger("snnc.frontends")

WRAPPERS = ("state_dict", "model_state_dict", "model", "net")
"""Keys under which training scripts keep the state dict."""

PREFIXES = ("module.", "_orig_mod.", "model.", "net.")
"""Prefixes that DataParallel, torch.compile and training frameworks add to every key."""

_COUNTER = "num_batches_tracked"  # of batch norm: no part of what the network computes
_SHOWN = 5
_SAVE = "save them with torch.save(model.state_dict(), path), or as safetensors"


def load_weights(module: nn.Module, path: Path) -> None:
    """Load the weights in `path` into `module`. Raises `ModelError` unless they fit exactly."""
    state = _fit_prefix(unwrap(read_weights(path), path), module)
    expected = module.state_dict()
    problems = _differences(state, expected)
    if problems:
        raise ModelError(
            f"weights {path} do not fit {type(module).__name__}: {'; '.join(problems)}",
            hint="build the module as it was when the weights were saved",
        )
    fitting = {key: value for key, value in state.items() if key in expected}
    cast = {_kind(v) for k, v in fitting.items() if v.dtype != expected[k].dtype}
    if cast:
        LOG.warning("weights %s: cast from %s to float32", path, ", ".join(sorted(cast)))
    module.load_state_dict(expected | fitting)


def read_weights(path: Path) -> Mapping[str, Any]:
    """Content of the file: tensors by name, possibly nested. Raises `ModelError`."""
    try:
        with path.open("rb") as file:
            head = file.read(2)
    except OSError as error:
        raise ModelError(f"weights {path} cannot be read: {error.strerror}") from None
    content = _read_torch(path) if head == b"PK" or head[:1] == b"\x80" else _read_safe(path)
    if not isinstance(content, Mapping):
        kind = type(content).__name__
        raise ModelError(f"weights {path} holds a {kind}, not a state dict", hint=_SAVE)
    return content


def _read_safe(path: Path) -> Mapping[str, Any]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        raise ModelError(
            f"weights {path} is no whole safetensors file, and none that torch saved ({error})",
            hint=_SAVE,
        ) from None


def _read_torch(path: Path) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about formats that it then rejects
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        classes = foreign_classes(path)
        what = (
            f"holds more than tensors: {', '.join(classes[:_SHOWN])}" if classes else "is damaged"
        )
    except (RuntimeError, EOFError, OSError, ValueError, KeyError) as error:
        what = f"cannot be read ({(str(error) or type(error).__name__).splitlines()[0]})"
    raise ModelError(f"weights {path} {what}", hint=_SAVE)


def foreign_classes(path: Path) -> list[str]:
    """Names in a pickled file that are not plain tensors; none of them is imported or run."""
    try:
        return sorted(torch.serialization.get_unsafe_globals_in_checkpoint(path))
    except (RuntimeError, ValueError, EOFError, OSError, pickle.UnpicklingError, KeyError):
        return []


def unwrap(content: Mapping[str, Any], path: Path) -> dict[str, Tensor]:
    """The state dict inside a training checkpoint. Raises `ModelError` if there is none."""
    for key in WRAPPERS:
        inner = content.get(key)
        if isinstance(inner, Mapping):
            return unwrap(inner, path)
    no_tensors = [key for key, value in content.items() if not isinstance(value, Tensor)]
    if no_tensors or not content:
        what = f"its key {no_tensors[0]!r} holds no tensor" if no_tensors else "it is empty"
        raise ModelError(f"weights {path} is no state dict: {what}", hint=_SAVE)
    return {str(key): value for key, value in content.items()}


def _fit_prefix(state: dict[str, Tensor], module: nn.Module) -> dict[str, Tensor]:
    """Drop prefixes that every key has and no key of the module has."""
    expected = list(module.state_dict())
    for prefix in PREFIXES:
        everywhere = bool(state) and all(key.startswith(prefix) for key in state)
        if everywhere and not any(key.startswith(prefix) for key in expected):
            short = {key.removeprefix(prefix): value for key, value in state.items()}
            return _fit_prefix(short, module)
    return state


def _differences(state: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> list[str]:
    missing = [k for k in expected if k not in state and not k.endswith(_COUNTER)]
    unexpected = [k for k in state if k not in expected and not k.endswith(_COUNTER)]
    both = [(k, state[k], v) for k, v in expected.items() if k in state]
    mismatches = [
        f"{k} has shape {tuple(a.shape)}, the module has {tuple(b.shape)}"
        for k, a, b in both
        if a.shape != b.shape
    ]
    mismatches += [
        f"{k} holds {_kind(a)}, the module {_kind(b)}"
        for k, a, b in both
        if a.is_floating_point() != b.is_floating_point()
    ]
    names = [f"missing {_names(missing)}"] if missing else []
    names += [f"unexpected {_names(unexpected)}"] if unexpected else []
    more = [f"and {len(mismatches) - _SHOWN} more"] if mismatches[_SHOWN:] else []
    return names + mismatches[:_SHOWN] + more


def _names(keys: list[str]) -> str:
    more = f" and {len(keys) - _SHOWN} more" if keys[_SHOWN:] else ""
    return ", ".join(keys[:_SHOWN]) + more


def _kind(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")
