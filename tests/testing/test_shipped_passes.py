"""Every installed pass of ours keeps the contract, with default options but for long training."""

from __future__ import annotations

import pytest

from snnc.plugins import PASSES, Registry
from snnc.testing import assert_pass_contract

REGISTRY = Registry(PASSES)
OURS = [name for name in REGISTRY.names() if REGISTRY.owner(name).distribution == "snnc"]

SHORT = {"learn": {"epochs": 1}, "reduce-timesteps": {"epochs": 1}}


@pytest.mark.parametrize("name", OURS)
def test_the_passes_we_ship_keep_the_contract(name: str) -> None:
    assert_pass_contract(REGISTRY.get(name)(**SHORT.get(name, {})))
