"""Pipelines: parsing, formatting and running them."""

from snnc.pipeline.manager import Pipeline, PipelineResult, Step
from snnc.pipeline.spec import OptionInfo, format_spec, nested_plugins, options_of, parse, parse_one

__all__ = [
    "OptionInfo",
    "Pipeline",
    "PipelineResult",
    "Step",
    "format_spec",
    "nested_plugins",
    "options_of",
    "parse",
    "parse_one",
]
