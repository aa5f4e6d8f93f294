"""What a plugin author imports to test a pass, a backend, a device or an exporter."""

from snnc.testing.backends import assert_backend_contract, assert_equal_runs, load_program
from snnc.testing.builder import NetBuilder, Style
from snnc.testing.devices import assert_device_contract
from snnc.testing.exporters import assert_exporter_contract
from snnc.testing.graphs import (
    Case,
    ann_cases,
    build,
    linear_layer,
    quantized_cases,
    sample_inputs,
    snn_cases,
)
from snnc.testing.passes import assert_pass_contract, assert_pass_golden, default_context
from snnc.testing.random_graphs import random_graph
from snnc.testing.square_windows import windows

__all__ = [
    "Case",
    "NetBuilder",
    "Style",
    "ann_cases",
    "assert_backend_contract",
    "assert_device_contract",
    "assert_equal_runs",
    "assert_exporter_contract",
    "assert_pass_contract",
    "assert_pass_golden",
    "build",
    "default_context",
    "linear_layer",
    "load_program",
    "quantized_cases",
    "random_graph",
    "sample_inputs",
    "snn_cases",
    "windows",
]
