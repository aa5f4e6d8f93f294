"""Pipelines: parsing, formatting and running them.

Each name below is imported when it is first used: to read a text takes no passes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from snnc.lazy_names import lazy_name

if TYPE_CHECKING:
    from snnc.pipeline.legalization import Legalized, legalized
    from snnc.pipeline.manager import Pipeline, PipelineResult, Step
    from snnc.pipeline.spec import (
        OptionInfo,
        format_spec,
        nested_plugins,
        options_of,
        parse,
        parse_one,
        parse_recipe,
        variations,
    )

__all__ = [
    "Legalized",
    "OptionInfo",
    "Pipeline",
    "PipelineResult",
    "Step",
    "format_spec",
    "legalized",
    "nested_plugins",
    "options_of",
    "parse",
    "parse_one",
    "parse_recipe",
    "variations",
]

_HOMES = {
    "snnc.pipeline.legalization": ("Legalized", "legalized"),
    "snnc.pipeline.manager": ("Pipeline", "PipelineResult", "Step"),
    "snnc.pipeline.spec": (
        "OptionInfo",
        "format_spec",
        "nested_plugins",
        "options_of",
        "parse",
        "parse_one",
        "parse_recipe",
        "variations",
    ),
}


def __getattr__(name: str) -> Any:
    """Import a public name from where it lives."""
    return lazy_name(__name__, _HOMES, name)
