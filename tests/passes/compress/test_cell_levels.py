"""Levels of the target's cells: integers that a crossbar stores without an error."""

from __future__ import annotations

import numpy as np
import pytest

from snnc.ir import Weighted
from snnc.pipeline import Pipeline
from snnc.testing import Style, assert_equal_runs, build, load_program, sample_inputs
from snnc.transform import PassContext
from snnc_backends.crossbar import CrossbarBackend
from snnc_backends.crossbar.devices.level_list import LevelList
from snnc_backends.reference import ReferenceBackend

LISTS = [(0.0, 10.0, 25.0, 60.0, 100.0), (2.0, 4.0, 5.5, 12.0), (0.1, 0.3, 0.7)]
SNAPPED = "fold-scale,quantize-conductance{levels=target},quantize"


@pytest.mark.parametrize("levels_us", LISTS, ids=str)
@pytest.mark.parametrize("network", ["plain", "residual"])
def test_a_network_on_the_levels_is_computed_exactly(
    network: str, levels_us: tuple[float, ...]
) -> None:
    target = CrossbarBackend(device=LevelList(levels_us), cell_bits="list")
    graph = build(network, Style.SNN)
    x = sample_inputs(graph, 8)
    ctx = PassContext(timesteps=6, calibration=[(x, None)], target=target)
    snapped = Pipeline.from_text(SNAPPED).run(graph, ctx).graph
    steps = np.subtract(levels_us, levels_us[0])
    whole = np.rint(steps / steps[-1] * target.limits["largest_weight"])
    for node in snapped:
        if isinstance(node.op, Weighted):
            assert set(np.abs(snapped.array(node.op.weight)).ravel()) <= set(whole)
    expected = load_program(ReferenceBackend(), snapped, 6).run(x)
    assert_equal_runs(load_program(target, snapped, 6).run(x), expected, network)


def test_other_targets_have_all_integers() -> None:
    graph = build("plain", Style.SNN)
    texts = "fold-scale,quantize", "fold-scale,quantize{bits=4}"
    spaced, listed = (
        CrossbarBackend(),
        CrossbarBackend(device=LevelList(LISTS[0]), cell_bits="list"),
    )
    for text, target, largest in (
        (texts[0], spaced, 127),
        (texts[0], listed, 120),
        (texts[1], listed, 7),
    ):
        ctx = PassContext(calibration=[(sample_inputs(graph, 4), None)], target=target)
        result = Pipeline.from_text(text).run(graph.clone(), ctx).graph
        sizes = [
            np.abs(result.array(n.op.weight)).max() for n in result if isinstance(n.op, Weighted)
        ]
        assert set(sizes) == {largest}
