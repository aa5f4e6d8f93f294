"""Kernels give the same bits, whatever the number of parts their work is done in."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from fuzz.kernels import Kernels
from snnc.errors import ArtifactError
from snnc_backends.cpu.kernels import KERNELS

DRAWS = 3
"""Of each kernel."""


@pytest.mark.parametrize("name", KERNELS)
def test_every_kernel_gives_the_same_in_parts(name: str, tmp_path: Path) -> None:
    """`run_guarded` compares; drawn sizes do not divide into parts, mostly."""
    drawn, tried, kernels = 0, 0, Kernels([KERNELS[name]])
    while drawn < DRAWS:
        rng = Random(f"{name} {tried}")
        tried += 1
        assert tried < 10 * DRAWS
        try:
            kernels.use(kernels.write(rng, tmp_path), rng)
        except ArtifactError:
            continue
        drawn += 1
