"""The modules of examples/stdp_digits, for the tests of it."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

NAMES = ("compression", "constants", "elementary", "emission", "experiment", "images", "network")


@pytest.fixture(scope="session")
def stdp_digits(repository: Path) -> Iterator[dict[str, ModuleType]]:
    """The modules of the example, which import each other by plain names."""
    folder = repository / "examples" / "stdp_digits"
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        before = set(sys.modules)
        yield {name: importlib.import_module(name) for name in NAMES}
        for name in set(sys.modules) - before:
            if (folder / f"{name}.py").exists():
                del sys.modules[name]
