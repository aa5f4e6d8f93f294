"""Networks with max pools through recipes and passes (docs/semantics.md, S25)."""

from __future__ import annotations

import numpy as np
import pytest

import snnc
from snnc.interp import run_ann
from snnc.ir import CountMaxPool, Relu
from snnc.ir.walk import longest_path
from snnc.pipeline import Pipeline
from snnc.testing import Style, build, sample_inputs
from snnc.transform import PassContext
from snnc_passes.recipes.convert import Convert

SPIKING = "fold-batchnorm,fold-normalization,lower-avgpool,lower-maxpool,activations-to-neurons"


@pytest.mark.parametrize(
    ("recipe", "bound"),
    [
        ("convert", 0.06),
        ("convert{wait=T}", 0.05),
        ("convert{signed=true}", 0.06),
        ("convert{bits=8}", 0.08),
        ("convert{wait=T bits=8}", 0.06),
    ],
)
def test_the_default_recipe_follows_the_ann(recipe: str, bound: float) -> None:
    graph = build("pooled", Style.ANN)
    x = sample_inputs(graph, 64)
    compiled = snnc.compile(graph, recipe=recipe, timesteps=64, calibration=x, target="cpu")
    assert compiled.report["max_pools"] == {"count": 2}
    expected = run_ann(graph, x)["fc"].numpy()
    found = compiled.program.run(x).output
    assert float(np.linalg.norm(found - expected) / np.linalg.norm(expected)) < bound


def test_waiting_for_the_last_step_of_the_input_is_enough() -> None:
    """The same spikes, a step earlier for each of the populations behind one another."""
    graph = build("pooled", Style.ANN)
    x = sample_inputs(graph, 32)
    after, within = (
        snnc.compile(graph, recipe=recipe, timesteps=8, calibration=x, target="cpu")
        for recipe in ("convert{wait=T}", "convert{wait=T-1}")
    )
    np.testing.assert_array_equal(after.program.run(x).output, within.program.run(x).output)
    in_a_row = longest_path(graph, lambda node: int(isinstance(node.op, Relu)))
    saved = after.report["latency_timesteps"] - within.report["latency_timesteps"]
    assert saved == max(in_a_row.values()) > 1


@pytest.mark.parametrize(
    "text",
    [
        "threshold-balance{source=current timesteps=9 granularity=layer},fold-scale",
        "threshold-balance{statistic=mse},choose-wait,calibrate,fold-scale,profile",
        "threshold-balance,initialize-potential,calibrate,fold-scale,quantize{bits=4},dequantize",
        "threshold-balance,fold-scale,early-exit,choose-timesteps",
    ],
)
def test_every_pass_takes_it(text: str) -> None:
    graph = build("pooled", Style.ANN)
    data = [(sample_inputs(graph, 24), np.arange(24) % 5)]
    ctx = PassContext(timesteps=8, calibration=data, validation=data)
    snn = Pipeline.from_text(f"{SPIKING},{text}").run(graph, ctx).graph
    assert isinstance(snn.node("pool1").op, CountMaxPool)
    assert "profile" not in text or snn.stats["pool1"]["max"] == 1


def test_a_quantised_pool_has_a_bound() -> None:
    """Rule S23 of docs/semantics.md."""
    graph = build("pooled", Style.ANN)
    ctx = PassContext(timesteps=8, calibration=[(sample_inputs(graph, 8), None)])
    snn = Pipeline.from_text(Convert(bits=8).pipeline()).run(graph, ctx).graph
    assert snn.meta["quantize"]["bounds"]["pool1"] == {"step": 1, "rest": 0}
