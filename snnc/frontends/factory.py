"""The user's own module: found in their code, built, given its weights."""

from __future__ import annotations

import contextlib
import difflib
import importlib
import importlib.util
import inspect
import os
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import nn

from snnc.errors import ModelError, UsageError
from snnc.frontends.loading import CodeReference, code_reference
from snnc.frontends.tracing import shown_path, trace
from snnc.frontends.weights import load_weights
from snnc.ir import Graph

_OWN_DIR = os.path.dirname(__file__) + os.sep


class NoSuchCodeError(Exception):
    """The code that a reference names does not exist."""


def load_graph(reference: str, weights: Path | None, input_shape: tuple[int, ...]) -> Graph:
    """Build the module that `reference` names and trace it."""
    with _user_code(reference) as code:
        return trace(_build(code, reference, weights), input_shape, name=reference)


def load_module(reference: str, weights: Path | None) -> nn.Module:
    """Build the module that `reference` names; in eval mode."""
    with _user_code(reference) as code:
        return _build(code, reference, weights).eval()


def _build(code: CodeReference, reference: str, weights: Path | None) -> nn.Module:
    factory = _attribute(_import(code), code)
    module = factory if isinstance(factory, nn.Module) else _call(factory, reference)
    if not isinstance(module, nn.Module):
        raise ModelError(
            f"{reference} gave a {type(module).__name__}, not a torch module",
            hint="the factory returns an nn.Module",
        )
    if weights is not None:
        load_weights(module, weights)
    return module


@contextlib.contextmanager
def _user_code(reference: str) -> Iterator[CodeReference]:
    """The folder of the user's code is importable within; what the code prints goes to stderr.

    Modules that were imported from beside a file are forgotten afterwards, so that the next
    `net.py` finds its own neighbours.
    """
    code = code_reference(reference)
    if code is None:
        raise UsageError(f"{reference} is not code:factory", hint="for example net.py:build")
    folder = Path(code.source).resolve().parent if code.is_file else Path.cwd()
    path, modules = list(sys.path), set(sys.modules)
    sys.path.insert(0, str(folder))
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield code
    finally:
        sys.path[:] = path
        new = set(sys.modules) - modules if code.is_file else set[str]()
        for name in sorted(new):
            if _lies_in(name, folder):
                del sys.modules[name]


def _lies_in(name: str, folder: Path) -> bool:
    top = name.partition(".")[0]
    file = getattr(sys.modules.get(name), "__file__", None)
    beside = (folder / f"{top}.py").exists() or (folder / top).is_dir()
    return beside and file is not None and Path(file).resolve().is_relative_to(folder)


def _import(code: CodeReference) -> ModuleType:
    try:
        return _import_file(Path(code.source)) if code.is_file else _import_module(code.source)
    except NoSuchCodeError as error:
        raise UsageError(str(error), hint="name code: net.py:factory or pkg.mod:factory") from None
    except (Exception, SystemExit) as error:  # whatever the user's code may raise
        raise _user_error(f"{code.source} cannot be imported", error) from error


def _import_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise NoSuchCodeError(f"{path}: no such file")
    name = path.stem
    spec = importlib.util.spec_from_file_location(name, path.resolve())
    if spec is None or spec.loader is None:
        raise NoSuchCodeError(f"{path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    hidden = sys.modules.get(name)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    finally:
        if hidden is not None:
            sys.modules[name] = hidden
    return module


def _import_module(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and f"{name}.".startswith(f"{error.name}."):
            raise NoSuchCodeError(f"no module called {error.name!r}") from None
        raise


def _attribute(module: ModuleType, code: CodeReference) -> Any:
    found: Any = module
    for part in code.name.split("."):
        if not hasattr(found, part):
            raise UsageError(f"{code.source} has no {part!r}", hint=_suggestion(module, part))
        found = getattr(found, part)
    return found


def _suggestion(module: ModuleType, name: str) -> str:
    own = [
        key
        for key, value in vars(module).items()
        if callable(value)
        and not key.startswith("_")
        and getattr(value, "__module__", None) == module.__name__
    ]
    if not own:
        return "it defines no function or class"
    close = difflib.get_close_matches(name, own, n=1)
    listed = "it has: " + ", ".join(own)
    return f"did you mean {close[0]!r}? {listed}" if close else listed


def _call(factory: Any, reference: str) -> Any:
    if not callable(factory):
        raise UsageError(f"{reference} is a {type(factory).__name__}, not a factory")
    try:
        with contextlib.suppress(ValueError):  # no signature: it is called all the same
            inspect.signature(factory).bind()
    except TypeError as error:
        raise UsageError(
            f"{reference} cannot be called without arguments: {error}",
            hint="write a function that builds the module with its options",
        ) from None
    try:
        return factory()
    except (Exception, SystemExit) as error:  # whatever the user's code may raise
        raise _user_error(f"{reference} failed", error) from error


def _user_error(what: str, error: BaseException) -> ModelError:
    """An exception of the user's code as one line, with the last line of theirs it passed."""
    frames = traceback.extract_tb(error.__traceback__)
    theirs = [f for f in frames if not f.filename.startswith(("<", _OWN_DIR))]
    theirs = [f for f in theirs if f"{os.sep}importlib{os.sep}" not in f.filename]
    place = f" at {shown_path(theirs[-1].filename)}:{theirs[-1].lineno}" if theirs else ""
    message = str(error).strip().splitlines()
    reason = f"{type(error).__name__}: {message[0]}" if message else type(error).__name__
    return ModelError(f"{what}{place}: {reason}")
