"""What a plugin author imports to test a pass or a backend."""

from snnc.testing.builder import NetBuilder, Style, windows
from snnc.testing.graphs import Case, ann_cases, build, quantized_cases, sample_inputs, snn_cases
from snnc.testing.passes import assert_pass_contract, default_context

__all__ = [
    "Case",
    "NetBuilder",
    "Style",
    "ann_cases",
    "assert_pass_contract",
    "build",
    "default_context",
    "quantized_cases",
    "sample_inputs",
    "snn_cases",
    "windows",
]
