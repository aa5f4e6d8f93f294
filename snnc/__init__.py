"""A compiler from trained neural networks to spiking networks.

Importing it is cheap: each name below is imported when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from snnc.lazy_names import lazy_name

if TYPE_CHECKING:
    from snnc.driver import attack, compile, diagnose, evaluate, load, save, verify_artifact
    from snnc.errors import SnncError
    from snnc.frontends import trace
    from snnc.ir import Graph
    from snnc.pipeline import Pipeline
    from snnc.training import from_torch, to_torch
    from snnc.transform import Pass, PassContext, PassResult, Recipe

__version__: str

__all__ = [
    "Graph",
    "Pass",
    "PassContext",
    "PassResult",
    "Pipeline",
    "Recipe",
    "SnncError",
    "attack",
    "compile",
    "diagnose",
    "evaluate",
    "from_torch",
    "load",
    "save",
    "to_torch",
    "trace",
    "verify_artifact",
]

_HOMES = {
    "snnc.driver": ("attack", "compile", "diagnose", "evaluate", "save", "verify_artifact"),
    "snnc.driver.programs": ("load",),
    "snnc.errors": ("SnncError",),
    "snnc.frontends": ("trace",),
    "snnc.ir": ("Graph",),
    "snnc.pipeline": ("Pipeline",),
    "snnc.training": ("from_torch", "to_torch"),
    "snnc.transform": ("Pass", "PassContext", "PassResult", "Recipe"),
}


def __getattr__(name: str) -> Any:
    """Import a public name from where it lives."""
    if name == "__version__":
        return import_module("importlib.metadata").version("snnc")
    return lazy_name(__name__, _HOMES, name)


def __dir__() -> list[str]:
    return sorted(__all__)
