"""Restricted unpickling of whole modules: only listed classes are built.

torch loads with `weights_only=True`: a pickle can then only build instances of listed classes and
set their attributes. The attributes are checked as well, since torch.fx writes the names of
submodules and parameters into Python source that it runs, and an attribute can hide a method.
"""

from __future__ import annotations

import pickle
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from snnc.errors import ModelError, SnncError
from snnc.frontends.allowed import Allowance, Allowed, require_allowed, torch_layers
from snnc.frontends.input_shape import infer_shape
from snnc.frontends.tracing import trace
from snnc.frontends.usercode import importable
from snnc.frontends.weights import WRAPPERS, foreign_classes, load_weights
from snnc.ir import Graph

T = TypeVar("T")
_NAME = re.compile(r"[\w +\-/:>]+", re.ASCII)  # nothing that ends a string or a line
_CHILDREN = ("_parameters", "_buffers", "_modules")
_HOOKS = re.compile(r"_\w*hooks\w*")
_AGAIN = (
    "save it again with torch.save(model, path), or name its code: net.py:factory --weights FILE"
)


def load_graph(
    file: str, weights: Path | None, input_shape: tuple[int, ...] | None, allow: Sequence[str]
) -> Graph:
    """Load the module in `file` and trace it; None infers the input shape."""
    with importable(Path.cwd()):
        module = _load(file, weights, allow)
        shape = input_shape
        if shape is None:
            shape = _guarded(lambda: infer_shape(module, file), file)
        return _guarded(lambda: trace(module, shape, name=file), file)


def load_module(file: str, weights: Path | None, allow: Sequence[str]) -> nn.Module:
    """The module in `file`, on the CPU, in float32 and eval mode."""
    with importable(Path.cwd()):
        return _load(file, weights, allow).float().eval()


def _load(file: str, weights: Path | None, allow: Sequence[str]) -> nn.Module:
    layers = torch_layers()
    own = {name for _, name in layers}
    allowances = [Allowance.parse(text) for text in allow]
    names = sorted(set(foreign_classes(Path(file))) - own)
    require_allowed(file, names, allowances)
    chosen = [allowance.load() for allowance in allowances if allowance.pickled in names]
    module = _module_in(_unpickle(file, [*layers, *chosen]), file)
    for path, part in module.named_modules():
        _check(part, f"{file}: {path or 'the module'}", own)
    if isinstance(module, nn.DataParallel):
        module = module.module
    if weights is not None:
        load_weights(module, weights)
    return module


def _unpickle(file: str, allowed: Sequence[Allowed]) -> Any:
    """The object in `file`; only `allowed` names, tensors and plain containers are built."""
    try:
        with warnings.catch_warnings(), torch.serialization.safe_globals(list(allowed)):
            warnings.simplefilter("ignore")
            return torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        reason = "holds what torch does not load without running code"
        raise ModelError(f"{file} {reason}", hint=_AGAIN) from error
    except Exception as error:  # a damaged file, or a class of the user's that does not load
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ModelError(f"{file} cannot be loaded: {reason}", hint=_AGAIN) from error


def _module_in(content: Any, file: str) -> nn.Module:
    """The module itself, or the module in a dict under one of the keys `WRAPPERS`."""
    if isinstance(content, Mapping):
        inner = [content[key] for key in WRAPPERS if isinstance(content.get(key), nn.Module)]
        content = inner[0] if len(inner) == 1 else content
    if not isinstance(content, nn.Module):
        raise ModelError(
            f"{file} holds a {type(content).__name__}, not a torch module",
            hint="name the code that builds the module: net.py:factory --weights FILE",
        )
    return content


def _check(part: nn.Module, where: str, own: set[str]) -> None:
    """Raise `ModelError` for attributes that `torch.save` of a regular module never writes."""
    attributes = vars(part)
    for kind in _CHILDREN:
        children = attributes.get(kind)
        if not isinstance(children, dict):
            raise ModelError(f"{where} has no {kind}", hint=_AGAIN)
        for name, child in children.items():
            if not isinstance(name, str) or not _NAME.fullmatch(name):
                raise ModelError(f"{where} has a member called {str(name)[:40]!r}", hint=_AGAIN)
            if child is not None and not isinstance(child, nn.Module | Tensor):
                raise ModelError(f"{where}: {name} is a {type(child).__name__}", hint=_AGAIN)
    kind = type(part)
    if f"{kind.__module__}.{kind.__qualname__}" not in own:
        return
    for name, value in attributes.items():
        hidden = callable(getattr(kind, name, None)) or name.startswith("__")
        if hidden or (_HOOKS.fullmatch(name) and value):
            raise ModelError(f"{where} carries its own {name}, which is not run", hint=_AGAIN)


def _guarded(work: Callable[[], T], file: str) -> T:
    """`work`, whose surprises are the file's: attributes of a layer may be missing or wrong."""
    try:
        return work()
    except SnncError:
        raise
    except Exception as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ModelError(
            f"{file} holds a layer that is damaged, or of another torch: {reason}", hint=_AGAIN
        ) from error
