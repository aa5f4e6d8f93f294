"""Loads a module that was pickled whole: read as records, built afresh from listed classes."""

from __future__ import annotations

import logging
import pickle
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from torch import nn

from snnc.errors import ModelError, SnncError, one_line
from snnc.frontends.allowed import (
    Allowance,
    is_data,
    require_allowed,
    require_harmless,
    torch_layers,
)
from snnc.frontends.checkpoints import holds_tensors
from snnc.frontends.inference import float32_on_cpu
from snnc.frontends.input_shape import infer_shape
from snnc.frontends.module_state import AGAIN, names_used
from snnc.frontends.rebuilding import Rebuilder
from snnc.frontends.records import (
    Record,
    entries,
    is_mapping,
    is_module,
    kind_of,
    named_classes,
    read_records,
)
from snnc.frontends.tracing import trace
from snnc.frontends.usercode import importable
from snnc.frontends.weights import load_weights
from snnc.ir import Graph

LOG = logging.getLogger("snnc.frontends")
T = TypeVar("T")

_MODULE_KEYS = ("model", "net", "module", "network", "ema", "model_ema", "ema_model")
"""Keys under which training scripts keep a module whole."""

_BY_FACTORY = "name the code that builds the module: net.py:factory --weights FILE"
_MISSED = re.compile(r"has no attribute '(\w+)'")


def load_graph(
    file: str, weights: Path | None, input_shape: tuple[int, ...] | None, allow: Sequence[str]
) -> Graph:
    """Load the module in `file` and trace it; None infers the input shape."""
    with importable(Path.cwd()):
        module, left_out = _load(file, weights, allow)

        def traced() -> Graph:
            shape = infer_shape(module, file) if input_shape is None else input_shape
            return trace(module, shape, name=file)

        return _guarded(traced, file, left_out)


def load_module(file: str, weights: Path | None, allow: Sequence[str]) -> nn.Module:
    """The module in `file`, on the CPU, in float32 and eval mode."""
    with importable(Path.cwd()):
        return _load(file, weights, allow)[0].eval()


def _load(
    file: str, weights: Path | None, allow: Sequence[str]
) -> tuple[nn.Module, dict[str, str]]:
    """The module, and the attributes of the file that it does not have."""
    layers = {name: each for each, name in torch_layers()}
    allowances = [Allowance.parse(text) for text in allow]
    require_harmless(file, named_classes(file))
    record = _module_in(_read(file), file)
    names = sorted(name for name in names_used(record) - set(layers) if not is_data(name))
    require_allowed(file, names, allowances)
    chosen = [each.load() for each in allowances if each.pickled in names]
    rebuilder = Rebuilder(file, layers, {name: each for each, name in chosen})
    module = rebuilder.module(record)
    if record.name == "torch.nn.parallel.data_parallel.DataParallel":
        module = next(iter(module.children()))
    if rebuilder.left_out:
        shown = ", ".join(f"{name} (a {kind})" for name, kind in rebuilder.left_out.items())
        LOG.warning("%s: attributes left out, as they are not plain values: %s", file, shown)
    module = float32_on_cpu(module)
    if weights is not None:
        load_weights(module, weights)
    return module, rebuilder.left_out


def _read(file: str) -> Any:
    """What the file holds, as records."""
    try:
        return read_records(file)
    except pickle.UnpicklingError as error:
        reason = "holds what torch does not load without running code"
        raise ModelError(f"{file} {reason}", hint=AGAIN) from error
    except Exception as error:  # whatever torch raises for a damaged file
        reason = one_line(error)
        raise ModelError(f"{file} cannot be loaded: {reason}", hint=AGAIN) from error


def _module_in(found: Any, file: str) -> Record:
    """The module itself, or the one a training script saved under a key."""
    if is_module(found):
        return found
    modules = {
        key: value
        for key, value in (entries(found) if is_mapping(found) else [])
        if type(key) is str and is_module(value)
    }
    usual = [key for key in modules if key in _MODULE_KEYS] if len(modules) > 1 else list(modules)
    if len(usual) == 1:
        LOG.info("%s: the module is the one under %r", file, usual[0])
        return modules[usual[0]]
    if modules:
        (first, *_) = usual or modules
        raise ModelError(
            f"{file} holds several modules: {', '.join(usual or modules)}",
            hint="save the one you mean, where its class lives: "
            f"torch.save(torch.load({file!r}, weights_only=False)[{first!r}], 'model.pt')",
        )
    if holds_tensors(found):
        raise ModelError(
            f"{file} is a checkpoint, which holds weights only, not the network",
            hint=f"name the code that builds it: net.py:factory --weights {file}",
        )
    raise ModelError(f"{file} holds a {kind_of(found)}, not a torch module", hint=_BY_FACTORY)


def _guarded(work: Callable[[], T], file: str, left_out: dict[str, str]) -> T:
    """`work`, whose surprises are the file's: attributes may be missing or wrong."""
    try:
        return work()
    except Exception as error:
        missed = _missed(error, left_out)
        if missed is not None:
            raise ModelError(
                f"{file}: forward needs {missed}, a {left_out[missed]}, which is not built from a "
                "file",
                hint="name its code and a state dict: net.py:factory --weights weights.pt",
            ) from error
        if isinstance(error, SnncError):
            raise
        reason = one_line(error)
        raise ModelError(
            f"{file} holds a layer that is damaged, or of another torch: {reason}", hint=AGAIN
        ) from error


def _missed(error: BaseException | None, left_out: dict[str, str]) -> str | None:
    """The attribute that was left out and whose absence is the error."""
    while error is not None:
        found = _MISSED.search(str(error)) if isinstance(error, AttributeError) else None
        if found is not None and found[1] in left_out:
            return found[1]
        error = error.__cause__
    return None
