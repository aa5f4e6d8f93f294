"""Import of user code, and its exceptions as one-line errors."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import os
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

from snnc.errors import ModelError, UsageError
from snnc.frontends.tracing import shown_path

_OWN_DIR = os.path.dirname(__file__) + os.sep


class NoSuchCodeError(Exception):
    """The code that a reference names does not exist."""


@contextlib.contextmanager
def importable(folder: Path, *, forget: bool = False) -> Iterator[None]:
    """Put `folder` on the import path, and redirect stdout to stderr.

    With `forget`, modules imported from there are removed from `sys.modules` on exit, so that a
    `net.py` in another folder imports the modules beside it.
    """
    path, modules = list(sys.path), set(sys.modules)
    sys.path.insert(0, str(folder))
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        sys.path[:] = path
        new = set(sys.modules) - modules if forget else set[str]()
        for name in sorted(new):
            if _lies_in(name, folder):
                del sys.modules[name]


def import_code(source: str, *, is_file: bool) -> ModuleType:
    """The module `source`, a path or a name.

    Raises:
        UsageError: there is no such code.
        ModelError: it fails while it is imported.
    """
    try:
        return _import_file(Path(source)) if is_file else _import_module(source)
    except NoSuchCodeError as error:
        raise UsageError(str(error), hint="name code: net.py:factory or pkg.mod:factory") from None
    except (Exception, SystemExit) as error:  # user code may raise anything
        raise user_error(f"{source} cannot be imported", error) from error


def user_error(what: str, error: BaseException) -> ModelError:
    """An exception of user code as a one-line error with the innermost user line."""
    frames = traceback.extract_tb(error.__traceback__)
    user = [f for f in frames if not f.filename.startswith(("<", _OWN_DIR))]
    user = [f for f in user if f"{os.sep}importlib{os.sep}" not in f.filename]
    place = f" at {shown_path(user[-1].filename)}:{user[-1].lineno}" if user else ""
    message = str(error).strip().splitlines()
    reason = f"{type(error).__name__}: {message[0]}" if message else type(error).__name__
    return ModelError(f"{what}{place}: {reason}")


def _lies_in(name: str, folder: Path) -> bool:
    top = name.partition(".")[0]
    file = getattr(sys.modules.get(name), "__file__", None)
    beside = (folder / f"{top}.py").exists() or (folder / top).is_dir()
    return beside and file is not None and Path(file).resolve().is_relative_to(folder)


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
