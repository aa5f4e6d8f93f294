"""Every pass we ship fulfils the contract, with default options except for shorter training."""

from __future__ import annotations

import pytest

from snnc.plugins import PASSES, Registry
from snnc.testing import assert_pass_contract, quantized_cases

REGISTRY = Registry(PASSES)
OURS = [name for name in REGISTRY.names() if REGISTRY.owner(name).distribution == "snnc"]

INTEGERS = {"dequantize"}
"""Passes that take graphs of integers only."""
SHORT = {"learn": {"epochs": 1}, "reduce-timesteps": {"epochs": 1}, "tune": {"epochs": 1}}


@pytest.mark.parametrize("name", OURS)
def test_the_passes_we_ship_keep_the_contract(name: str) -> None:
    cases = quantized_cases() if name in INTEGERS else None
    assert_pass_contract(REGISTRY.get(name)(**SHORT.get(name, {})), cases=cases)
