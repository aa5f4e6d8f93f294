"""SpikingJelly's benchmark, without SpikingJelly: choices, figures, networks, neurons in place."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from benchmarks.conversion.judged_networks import NETWORKS
from benchmarks.spikingjelly import judging
from benchmarks.spikingjelly.network import load_network
from benchmarks.spikingjelly.simulation import Neurons
from examples.resnet20.net import resnet20


def outputs(right_from: int, steps: int) -> judging.Outputs:
    """Two images of class 1; class 0 is put out strongly before step `right_from`."""
    found = np.zeros((steps, 2, 2), np.float32)
    found[:right_from, :, 0] = 100
    found[right_from:, :, 1] = 1
    return found


def test_the_readout_may_start_late_in_a_long_window() -> None:
    choices = judging.choose(0, "max", outputs(90, 128), np.array([1, 1]))
    (within,) = [c for c in choices if (c.readout, c.timesteps) == ("within", 128)]
    assert (within.delay, within.agreement, within.latency) == (90, 1.0, 128)
    (every,) = [c for c in choices if (c.readout, c.timesteps) == ("all", 128)]
    assert every.agreement == 0.0


@pytest.mark.parametrize("rest", [True, False])
def test_agreement_is_of_exact_images_and_the_rest_if_there_is_one(rest: bool) -> None:
    found = {"exact": outputs(0, 4), **({"rest": outputs(4, 4)} if rest else {})}
    ann = {name: np.array([1, 1]) for name in found}
    truth = judging.Truth(ann, np.array([1, 0]), np.array([True, True]))
    judged = judging.judge(judging.Choice(0, "max", 4, "all", 0, 1.0), found, truth)
    assert judged is not None and judged.accuracy == 0.5
    assert judged.agrees is not None
    assert judged.agrees.tolist() == [True, True, *([False, False] if rest else [])]


def test_agreement_waits_for_the_rest() -> None:
    ann = {name: np.array([1, 1]) for name in ("exact", "rest")}
    truth = judging.Truth(ann, np.array([1, 0]), np.array([True, True]))
    choice = judging.Choice(0, "max", 4, "all", 0, 1.0)
    judged = judging.judge(choice, {"exact": outputs(0, 4), "rest": None}, truth)
    assert judged is not None and judged.agrees is None


@pytest.mark.parametrize("shape", [(2, 3), (2, 3, 4, 4)])
def test_neurons_scale_channels_of_images_and_of_vectors(shape: tuple[int, ...]) -> None:
    before, after = torch.tensor([1.0, 0.5, 0.25]), torch.tensor([2.0, 3.0, 4.0])
    neurons = Neurons(before, after, 0.0)
    spikes = [neurons(torch.ones(shape)) for _ in range(4)]
    counts = torch.stack(spikes).sum(0).reshape(2, 3, -1)
    assert torch.equal(counts[..., 0], torch.tensor([[8.0, 6.0, 4.0]] * 2))


def test_a_network_of_modules_is_the_network(tmp_path: Path) -> None:
    net = resnet20()
    with torch.no_grad():
        for value in net.state_dict().values():
            if value.is_floating_point():
                value.add_(torch.rand_like(value) / 10)
    save_file(net.state_dict(), tmp_path / "weights.safetensors")
    same = load_network(NETWORKS["resnet20"], tmp_path / "weights.safetensors")
    assert sum(isinstance(module, torch.nn.ReLU) for module in same.modules()) == 19
