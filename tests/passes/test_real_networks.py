"""The default recipe on trained networks: logits of the ANN stage, and the gap after conversion."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from snnc.interp import run_ann, run_snn
from snnc.pipeline import Pipeline
from snnc.transform import PassContext
from snnc_passes.recipes.convert import Convert

ANN_PASSES = "fold-batchnorm,fold-normalization,lower-avgpool"


@pytest.mark.parametrize("name", ["resnet20", "mnist"])
def test_ann_passes_keep_the_logits_of_real_images(name: str, request) -> None:
    network = request.getfixturevalue(name)
    graph = Pipeline.from_text(ANN_PASSES).run(network.graph, PassContext()).graph
    x = network.images[:256]
    with torch.no_grad():
        eager = network.eager(torch.from_numpy(x)).numpy()
    ours = run_ann(graph, x)[graph.outputs[0]].numpy()
    assert np.max(np.abs(ours - eager)) <= 1e-5 * np.max(np.abs(eager))


@pytest.mark.long
@pytest.mark.parametrize("bits", [None, 8])
@pytest.mark.parametrize(
    ("name", "images", "timesteps", "gap"),
    [("resnet20", 1017, 64, 1.0), ("mnist", 10_000, 16, 0.2)],
)
def test_the_default_recipe_keeps_the_accuracy(
    name: str, images: int, timesteps: int, gap: float, bits: int | None, request
) -> None:
    network = request.getfixturevalue(name)
    batches = [(network.calibration, None)]
    ctx = PassContext(timesteps=timesteps, calibration=batches)
    graph = Pipeline.from_text(Convert(bits=bits).pipeline()).run(network.graph, ctx).graph
    right = {"ann": 0, "snn": 0}
    for start in range(0, images, 32):
        x, y = (a[start : min(start + 32, images)] for a in (network.images, network.labels))
        with torch.no_grad():
            ann = network.eager(torch.from_numpy(x)).numpy()
        dtype = torch.float32 if bits is None else torch.float64
        outputs = run_snn(graph, x, timesteps=timesteps, dtype=dtype).outputs
        right["ann"] += int((ann.argmax(1) == y).sum())
        right["snn"] += int((outputs["readout"].numpy().argmax(1) == y).sum())
    lost = 100 * (right["ann"] - right["snn"]) / images
    print(f"{name} bits={bits} T={timesteps}: {right} of {images}, {lost:.2f} points lost")
    assert lost <= gap
