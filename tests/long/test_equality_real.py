"""Spike for spike: two trained networks on the CPU and in the reference, for 100 real images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from snnc.driver import verify_artifact

IMAGES = 100
PASSES = (
    "fold-batchnorm,fold-normalization,lower-avgpool,activations-to-neurons{neuron},"
    "threshold-balance,initialize-potential,fold-scale,quantize{quantize}"
)
NEURONS = {
    "default": "",
    "leak 0.9": "{leak=0.9}",
    "fire-integrate": "{order=fire-integrate}",
    "fire-integrate, leak 0.9": "{leak=0.9 order=fire-integrate}",
    "reset to zero": "{reset=zero}",
    "wait 4": "{wait=4}",
    "wait 4, fire-integrate": "{wait=4 order=fire-integrate}",
    "signed": "{signed=true}",
}
CASES = [("default", bits) for bits in (8, 4, 2)] + [(n, 8) for n in NEURONS if n != "default"]


@pytest.mark.long
@pytest.mark.parametrize(("neuron", "bits"), CASES)
def test_every_spike_count_and_readout_is_equal(
    network: Any, neuron: str, bits: int, tmp_path: Path
) -> None:
    path = tmp_path / "network.snnc"
    passes = PASSES.replace("{neuron}", NEURONS[neuron]).replace("{quantize}", f"{{bits={bits}}}")
    network.compile(path, passes=passes)
    result = verify_artifact(path, data=network.test, limit=IMAGES)
    print(result.report())
    assert result.samples == IMAGES
    assert result.compared["spikes"] > 10**6
    assert result.equal
