"""Pipelines: parsing, formatting and running them."""

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
    "variations",
    "parse_recipe",
]
