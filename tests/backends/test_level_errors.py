"""The note that errors of a device are large beside its levels."""

from __future__ import annotations

import json

import pytest

from snnc.pipeline import parse_one
from snnc.plugins import BACKENDS, Registry
from snnc.testing import quantized_cases
from snnc.transform import PassContext
from snnc_backends.crossbar import CrossbarBackend
from snnc_backends.crossbar.level_errors import level_error


def backend_of(options: str) -> CrossbarBackend:
    backend = parse_one(f"crossbar{{{options}}}", Registry(BACKENDS))
    assert isinstance(backend, CrossbarBackend)
    return backend


def test_the_error_is_that_of_the_device_in_distances_of_levels() -> None:
    spaced = "device=level-list{us=[100 150 200 250] sigma=SIGMA} cell-bits=2"
    uneven = "device=level-list{us=[100 120 200 300] sigma=SIGMA} cell-bits=list"
    for sigma in (5, 20):
        for text, distance in ((spaced, 50), (uneven, 20)):
            found = level_error(backend_of(text.replace("SIGMA", str(sigma))).chip())
            assert found == pytest.approx(sigma / distance, rel=0.05)


def test_compensation_undoes_the_common_part_of_drift() -> None:
    drifted, compensated = (
        level_error(backend_of(f"device=pcm{{seconds=86400}} compensation={each}").chip())
        for each in ("none", "layer")
    )
    # 25 uS become 16.6 uS on average: 5 of 15 levels at the top, 2.9 as the rms of all levels
    assert 2.5 < drifted < 3.5 and 0.5 < compensated < 1


@pytest.mark.parametrize(
    ("options", "note"),
    [
        ("device=pcm{seconds=86400}", "choose cell-bits=1 and compensation=layer"),
        ("device=pcm{seconds=86400} compensation=layer", "choose cell-bits=1"),
        (
            "device=gaussian{sigma=0.8} cell-bits=1",
            "a cell of gaussian is read 0.7 levels off (rms)",
        ),
        ("device=pcm{seconds=86400} cell-bits=1", None),
        ("device=gaussian{sigma=0.01}", None),
        ("", None),
    ],
)
def test_compile_says_where_levels_cannot_be_told_apart(options: str, note: str | None) -> None:
    files = backend_of(options).lower(quantized_cases()[0].graph, PassContext(timesteps=2))
    notes = json.loads(files["crossbar/figures.json"])["notes"]
    found = [each for each in notes if "levels off" in each]
    assert len(found) == (note is not None)
    assert all(each.endswith(note or "") for each in found)
