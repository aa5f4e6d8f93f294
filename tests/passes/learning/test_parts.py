"""The parts of the loop: samples, augmentation, schedules, objectives, logs."""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from snnc.errors import PassError
from snnc.training import SpikingNetwork, to_torch
from snnc.transform import Ranks
from snnc_passes.train._augment import augment
from snnc_passes.train._journal import duration
from snnc_passes.train._judge import Judge
from snnc_passes.train._mixup import mixup
from snnc_passes.train._objective import TEMPERATURE, Objective, fitting_temperature
from snnc_passes.train._optimizer import rate
from snnc_passes.train._samples import Held, batches, selectable
from snnc_passes.train.learn import Learn


@dataclass
class Counted:
    """Data by number that tells which were taken, and cannot be gone through."""

    count: int
    taken: list[NDArray[np.int64]]

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Any:
        raise AssertionError("data that can be selected from must not be read as a stream")

    def take(self, rows: NDArray[np.int64]) -> Any:
        self.taken.append(rows)
        return np.full((len(rows), 2, 6, 6), 0.5, np.float32), rows % 5


def test_an_epoch_takes_every_sample_once_in_another_order_each_time(ran: Any) -> None:
    data = Counted(21, [])
    ran(Learn(epochs=2, batch=8, lr=1e-3), train=data)
    sizes = [len(rows) for rows in data.taken]
    assert sizes == [8, 8, 5] * 2
    first, second = (np.concatenate(data.taken[i : i + 3]) for i in (0, 3))
    assert sorted(first) == sorted(second) == list(range(21))
    assert not np.array_equal(first, second) and not np.array_equal(first, np.arange(21))


def test_streams_are_held(labelled: list[Any]) -> None:
    held = selectable(iter(labelled), "training")
    assert isinstance(held, Held) and len(held) == 24
    x, y = held.take(np.array([23, 0]))
    np.testing.assert_array_equal(x[0], labelled[1][0][-1])
    assert y is not None and y[1] == labelled[0][1][0]
    assert [len(rows) for rows in batches(np.arange(10), 4, start=1)] == [4, 2]


def test_images_are_moved_and_mirrored_and_nothing_else() -> None:
    torch.manual_seed(0)
    x = torch.arange(1, 1 + 64 * 3 * 16 * 16).float().reshape(64, 3, 16, 16)
    assert augment(x, "none") is x
    flipped = augment(x, "flip")
    turned = [bool(torch.equal(a, b.flip(-1))) for a, b in zip(flipped, x, strict=True)]
    kept = [bool(torch.equal(a, b)) for a, b in zip(flipped, x, strict=True)]
    assert all(a != b for a, b in zip(turned, kept, strict=True)) and 16 < sum(turned) < 48
    moved = augment(x, "crop-flip")
    assert moved.shape == x.shape and moved.is_contiguous()
    padded = F.pad(x, (2, 2, 2, 2))
    for new, old in zip(moved[:8], padded[:8], strict=True):
        crops = [old[:, i : i + 16, j : j + 16] for i in range(5) for j in range(5)]
        assert any(torch.equal(new, c) or torch.equal(new, c.flip(-1)) for c in crops)
    many = augment(x[:1].expand(64, -1, -1, -1), "crop-flip")
    assert len({tuple(image.flatten().tolist()) for image in many}) > 20


def test_augmenting_what_is_no_image_is_refused(digits: Any) -> None:
    graph = digits.spiking(1)
    with pytest.raises(PassError, match="augment=flip is for images"):
        Learn(augment="flip").run(graph, digits.context(timesteps=1))


def test_rates_fall_as_told() -> None:
    steps = Learn(lr=1.0)
    assert [round(rate(steps, x), 6) for x in (0, 0.59, 0.6, 0.8, 0.95)] == [1, 1, 0.2, 0.04, 0.008]
    cosine = Learn(lr=2.0, schedule="cosine")
    assert [rate(cosine, x) for x in (0, 0.5, 1)] == [2, pytest.approx(1), pytest.approx(0)]
    assert rate(Learn(lr=2.0, schedule="constant"), 0.99) == 2


def test_probabilities_are_held_against_those_of_the_ann(digits: Any) -> None:
    objective = Objective("ann", digits.spiking(1), digits.ann, "cpu")
    ((x, _),) = digits.validation
    value = torch.from_numpy(x[:7])
    wanted = objective.wanted(value, None, "training")
    assert float(objective.total(wanted.target, wanted)) == pytest.approx(0, abs=1e-5)
    output = torch.randn(7, 10, generator=torch.Generator().manual_seed(0))
    heat = np.minimum(wanted.target.numpy().std(1, keepdims=True) / 2, TEMPERATURE)
    p, q = (torch.softmax(each / torch.from_numpy(heat), 1) for each in (wanted.target, output))
    expected = (torch.from_numpy(heat) ** 2 * p * (p.log() - q.log())).sum()
    assert float(objective.total(output, wanted)) == pytest.approx(float(expected), rel=1e-4)


def test_small_outputs_of_the_ann_are_told_apart_as_large_ones_are() -> None:
    large = torch.tensor([[9.0, -3.0, -6.0], [0.0, 0.0, 0.0], [90.0, -30.0, -60.0]])
    assert fitting_temperature(large)[1:].tolist() == [[TEMPERATURE]] * 2
    small = fitting_temperature(large / 1000)
    expected = (large / 2000).std(1, correction=0).tolist()
    assert small.flatten().tolist() == pytest.approx([expected[0], TEMPERATURE, expected[2]])


def test_a_temperature_that_is_given_is_that_of_both(digits: Any) -> None:
    objective = Objective("ann", digits.spiking(1), digits.ann, "cpu", 4.0)
    ((x, _),) = digits.validation
    wanted = objective.wanted(torch.from_numpy(x[:7]), None, "training")
    output = torch.randn(7, 10, generator=torch.Generator().manual_seed(0))
    p, q = (torch.softmax(each.double() / 4, 1) for each in (wanted.target, output))
    expected = 16 * (p * (p.log() - q.log())).sum()
    assert float(objective.total(output, wanted)) == pytest.approx(float(expected), rel=1e-4)


def test_inputs_are_mixed_in_pairs_by_one_coefficient() -> None:
    torch.manual_seed(0)
    shares: list[float] = []
    for _ in range(400):
        mixed = mixup(torch.eye(6), 0.5)
        own = mixed.diagonal()
        assert mixed.sum(0).tolist() == pytest.approx([1] * 6)
        assert mixed.sum(1).tolist() == pytest.approx([1] * 6)
        if len(other := own[own < 1]):  # a sample may be paired with itself
            assert torch.all(other == other[0])
            shares.append(float(other[0]))
    assert np.mean(shares) == pytest.approx(0.5, abs=0.06)
    assert np.var(shares) == pytest.approx(1 / 8, rel=0.15)  # of Beta(1/2, 1/2)


def test_the_ann_answers_the_mixture_and_the_network_learns_it(
    digits: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[torch.Tensor] = []
    learnt: list[torch.Tensor] = []
    wanted, forward = Objective.wanted, SpikingNetwork.forward
    monkeypatch.setattr(
        Objective, "wanted", lambda self, x, *rest: (asked.append(x), wanted(self, x, *rest))[1]
    )
    monkeypatch.setattr(
        SpikingNetwork, "forward", lambda self, x, **k: (learnt.append(x), forward(self, x, **k))[1]
    )
    ctx = digits.context(timesteps=1, validation=None)
    Learn(epochs=1, batch=100, loss="ann", mixup=1.0).run(digits.spiking(1), ctx)
    known = {row.tobytes() for row in digits.train[0][0]}
    assert len(asked) == 10 and all(map(torch.equal, asked, learnt))
    assert not any(row.numpy().tobytes() in known for row in asked[0][:5])


def test_two_outputs_are_refused(digits: Any) -> None:
    graph = digits.spiking(1)
    graph.outputs = (*graph.outputs, "relu1")
    with pytest.raises(PassError, match="2 outputs"):
        Objective("cross-entropy", graph, None, "cpu")


def test_random_inputs_are_judged_alike_whatever_the_batch(digits: Any) -> None:
    graph = digits.spiking(6, "activations-to-neurons{encode=poisson},fold-scale")
    objective = Objective("cross-entropy", graph, None, "cpu")
    network = to_torch(graph, 6)
    data = selectable(digits.validation, "validation")
    verdicts = [Judge(data, objective, size, Ranks())(network) for size in (32, 300)]
    assert verdicts[0].value == verdicts[1].value
    assert verdicts[0].score[1] == pytest.approx(verdicts[1].score[1], rel=1e-6)


def test_mixed_precision_learns_and_is_told(ran: Any, labelled: list[Any]) -> None:
    results = [
        ran(Learn(epochs=3, batch=8, lr=1e-2, precision=precision), validation=labelled)
        for precision in ("float32", "bfloat16")
    ]
    assert [r.metrics["precision"] for r in results] == ["float32", "bfloat16"]
    losses = [[row["loss"] for row in r.metrics["epochs"]] for r in results]
    assert losses[0] != losses[1] and losses[1] == pytest.approx(losses[0], rel=0.2)
    assert all(array.dtype != np.float16 for array in results[1].graph.params.values())


def test_without_tensorboard_it_says_what_to_install(
    ran: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(PassError, match="not installed") as caught:
        ran(Learn(tensorboard=True), workdir=tmp_path)
    assert caught.value.hint == "pip install 'snnc[train]'"


def test_tensorboard_gets_a_curve_of_every_figure(ran: Any, tmp_path: Path) -> None:
    ran(Learn(epochs=2, batch=8, tensorboard=True), workdir=tmp_path)
    curves = EventAccumulator(str(tmp_path / "tensorboard" / "T3"))
    curves.Reload()
    names = curves.Tags()["scalars"]
    assert {"loss", "spikes_per_neuron", "seconds"} < set(names) and "validation" not in names
    for name in ("loss", "leak/act1", "threshold/act2"):
        events = curves.Scalars(name)
        assert [each.step for each in events] == [1, 2]
        assert all(math.isfinite(each.value) for each in events)


def test_durations_are_readable() -> None:
    assert [duration(s) for s in (0.4, 90, 3000, 9000)] == ["0 s", "90 s", "50 min", "2.5 h"]
