"""Value for value: two trained networks on crossbar tiles and in the reference, 100 real images."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from snnc.driver import verify_artifact

IMAGES = 100
TARGETS = ["crossbar", "crossbar{rows=64 cols=64 cell-bits=2}"]


@pytest.mark.long
@pytest.mark.parametrize("target", TARGETS)
def test_every_spike_count_and_readout_is_equal(network: Any, target: str, tmp_path: Path) -> None:
    path = tmp_path / "network.snnc"
    compiled = network.compile(path, target=target, recipe="convert{bits=8}")
    start = time.perf_counter()
    result = verify_artifact(path, data=network.test, limit=IMAGES)
    print(compiled.report["hardware"]["totals"])
    print(result.report(), f"{time.perf_counter() - start:.0f} s")
    assert result.samples == IMAGES
    assert result.compared["spikes"] > 10**6
    assert result.quantized and result.equal
