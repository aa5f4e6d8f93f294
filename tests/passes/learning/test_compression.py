"""Networks that are pruned and snapped while they learn, and zeros that training leaves zero."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import snnc
from snnc.ir import Graph, Weighted
from snnc.pipeline import Pipeline
from snnc.training import from_torch, to_torch
from snnc.training.levels import Levels
from snnc.training.synapses import Synapses
from snnc.transform import PassContext
from snnc_passes.compress.quantize_conductance import QuantizeConductance
from snnc_passes.compress.stdp_prune import StdpPrune
from snnc_passes.recipes.compress_stdp import CompressStdp
from snnc_passes.train._compression import Compression
from snnc_passes.train.learn import Learn

FAST: dict[str, Any] = {"epochs": 3, "batch": 8, "lr": 1e-2}
PRUNE, SNAP = StdpPrune(sparsity=0.6, samples=16), QuantizeConductance(levels=3)


def weights(graph: Graph) -> dict[str, np.ndarray]:
    return {n.name: graph.array(n.op.weight) for n in graph if isinstance(n.op, Weighted)}


def pruned(graph: Graph, labelled: Any, sparsity: float = 0.5) -> Graph:
    ctx = PassContext(timesteps=3, calibration=labelled)
    return StdpPrune(sparsity=sparsity, samples=16).run(graph.clone(), ctx).graph


def context(labelled: Any, **options: Any) -> PassContext:
    x, y = (np.concatenate(parts) for parts in zip(*labelled, strict=True))
    given = {"timesteps": 3, "train": [(x, y)], "validation": [(x, y)], "calibration": [(x, y)]}
    return PassContext(**{**given, **options})


@pytest.mark.parametrize(
    "options",
    [{}, {"optimizer": "sgd", "momentum": 0.9, "weight_decay": 0.1}, {"weight_decay": 0.1}],
)
def test_training_leaves_zeros_zero_and_moves_the_rest(
    plain: Graph, labelled: Any, options: Any
) -> None:
    graph = pruned(plain, labelled)
    trained = Learn(**FAST, **options).run(graph.clone(), context(labelled, validation=None))
    for name, weight in weights(trained.graph).items():
        before = weights(graph)[name]
        assert np.array_equal(weight == 0, before == 0)
        assert np.any(weight != before)
    assert all(n.op.pruned for n in trained.graph if isinstance(n.op, Weighted))


def test_zeros_hold_in_a_training_loop_of_your_own(plain: Graph, labelled: Any) -> None:
    """Also where the optimiser moves them, as momentum from before the pruning does."""
    graph = pruned(plain, labelled)
    network = to_torch(graph, 3)
    with torch.no_grad():
        for name in weights(graph):
            network.parameter(f"{name}.weight").add_(0.1)
    for name, weight in weights(from_torch(network)).items():
        assert np.array_equal(weight == 0, weights(graph)[name] == 0)
    x = torch.from_numpy(labelled[0][0])
    again = to_torch(from_torch(network), 3)
    assert torch.equal(network.eval()(x), again.eval()(x))
    network.train()(x).sum().backward()
    gradient = network.parameter("conv1.weight").grad
    assert gradient is not None
    assert not gradient[torch.from_numpy(graph.params["conv1.weight"] == 0)].any()


def test_a_dense_network_has_the_state_it_had(plain: Graph) -> None:
    assert not any("synapses" in name for name in to_torch(plain, 3).state_dict())


def test_the_gradient_of_snapping_is_straight_through() -> None:
    mask = torch.tensor([[True, False, True, True]])
    synapses = Synapses(mask, 2)
    synapses.set_levels(Levels(torch.tensor([0.5, 1.0]), torch.tensor(2.0)))
    weight = torch.tensor([[0.9, 1.0, -1.9, 0.1]], requires_grad=True)
    value = synapses(weight)
    assert value.tolist() == [[1.0, 0.0, -2.0, 1.0]]
    (value * torch.tensor([1.0, 2, 3, 4])).sum().backward()
    assert weight.grad is not None and weight.grad.tolist() == [[1.0, 0.0, 3.0, 4.0]]


def test_a_network_is_pruned_and_snapped_while_it_learns(plain: Graph, labelled: Any) -> None:
    learn = Learn(**FAST, prune=PRUNE, snap=SNAP)
    graph = learn.run(plain.clone(), context(labelled)).graph
    for name, weight in weights(graph).items():
        assert np.sum(weight == 0) == int(0.6 * weight.size)
        rows = weight.reshape(len(weight), -1)
        assert all(len(np.unique(np.abs(row[row != 0]))) <= 3 for row in rows), name
    assert all(n.op.pruned for n in graph if isinstance(n.op, Weighted))


def test_steps_smaller_than_a_level_are_not_lost(plain: Graph, labelled: Any) -> None:
    """A step of 1e-3 of the largest weight; without shadow weights nothing would ever change."""
    learn = Learn(epochs=4, batch=8, lr=2e-3, snap=QuantizeConductance(levels=2), prune_every=4)
    before = SNAP.run(plain.clone(), PassContext())
    first = QuantizeConductance(levels=2).run(plain.clone(), PassContext()).graph
    after = learn.run(plain.clone(), context(labelled, validation=None)).graph
    assert before.metrics
    changed = [np.mean(w != weights(first)[name]) for name, w in weights(after).items()]
    assert max(changed) > 0
    for name, w in weights(after).items():
        levels = {abs(v) for v in np.unique(weights(first)[name])}
        assert all(min(abs(abs(v) - level) for level in levels) < 1e-6 for v in np.unique(w)), name


def test_the_sparsity_rises_to_its_target(plain: Graph, labelled: Any) -> None:
    compression = Compression(PRUNE, None, every=2, epochs=6, seed=(0,))
    assert [epoch for epoch in range(1, 7) if compression.due(epoch)] == [1, 3, 5]
    assert compression.last == 5
    network = to_torch(plain, 3)
    ctx = context(labelled)
    compression.prepare(network, ctx)
    found: list[float] = []
    gone = np.zeros(())
    for epoch in (1, 3, 5):
        compression.apply(network, epoch, ctx)
        weight = from_torch(network).params["fc1.weight"]
        assert np.all((weight == 0)[gone != 0]), "what is gone does not return"
        gone = (weight == 0).astype(np.float64)
        found.append(float(gone.mean()))
    expected = [0.6 * (1 - (1 - i / 3) ** 3) for i in (1, 2, 3)]
    assert found == pytest.approx(expected, abs=0.01)


def test_only_epochs_behind_the_last_change_are_kept(plain: Graph, labelled: Any) -> None:
    """The network before, and epochs of less sparsity, would often be better."""
    learn = Learn(**{**FAST, "epochs": 4, "lr": 1e-5}, prune=PRUNE, prune_every=2)
    result = learn.run(plain.clone(), context(labelled))
    assert result.metrics["chosen"] in (3, 4)


def test_a_network_far_below_the_one_before_is_told(
    digits: Any, caplog: pytest.LogCaptureFixture
) -> None:
    graph = digits.spiking(2)
    options: dict[str, Any] = {"epochs": 2, "batch": 512, "lr": 1e-4, "loss": "ann"}
    for sparsity, told in ((0.98, True), (0.05, False)):
        caplog.clear()
        prune = StdpPrune(method="magnitude", sparsity=sparsity)
        Learn(**options, prune=prune).run(graph.clone(), digits.context(timesteps=2))
        found = [r.getMessage() for r in caplog.records if r.levelname == "WARNING"]
        assert [bool(re.search("is kept with .* epoch [01] had", line)) for line in found] == [
            True
        ] * told


@contextmanager
def interrupting(at: str, steps: int) -> Iterator[Any]:
    @contextmanager
    def progress(title: str, total: int | None) -> Iterator[Any]:
        done = 0

        def advance(count: int = 1) -> None:
            nonlocal done
            done += count
            if at in title and done == steps:
                raise InterruptedError

        yield advance

    yield progress


@pytest.mark.parametrize(("epoch", "step"), [("epoch 2/3", 1), ("epoch 3/3", 2)])
def test_a_run_that_was_stopped_goes_on_to_the_bit(
    plain: Graph, labelled: Any, tmp_path: Path, monkeypatch: Any, epoch: str, step: int
) -> None:
    monkeypatch.setattr("snnc_passes.train._trainer.SECONDS", 0.0)
    learn = Learn(**FAST, prune=PRUNE, snap=SNAP)
    whole = learn.run(plain.clone(), context(labelled)).graph.fingerprint()
    with interrupting(epoch, step) as progress, pytest.raises(InterruptedError):
        learn.run(plain.clone(), context(labelled, workdir=tmp_path, progress=progress))
    resumed = learn.run(plain.clone(), context(labelled, workdir=tmp_path, resume=True))
    assert resumed.graph.fingerprint() == whole
    other = replace(learn, prune=replace(PRUNE, eta=0.5))
    with pytest.raises(snnc.SnncError, match="differs in eta"):
        other.run(plain.clone(), context(labelled, workdir=tmp_path, resume=True))


def test_the_options_and_what_they_need() -> None:
    text = "learn{prune=stdp-prune{sparsity=0.5} snap=quantize-conductance{levels=2} prune-every=2}"
    assert str(Pipeline.from_text(text)) == text
    assert Learn(prune=PRUNE).requirements() == {"train", "calibration|train"}
    assert Learn(snap=QuantizeConductance(levels="target")).requirements() == {"train", "target"}
    assert "prune" not in Learn().as_numbers() and "prune_every" not in Learn().as_numbers()
    for options, reason in (
        ({"prune_every": 0}, "prune-every=0"),
        ({"prune_every": 2}, "prune-every=2 without prune or snap"),
        ({"prune": PRUNE, "weights": False}, "weights=false"),
        ({"snap": SNAP, "target_errors": True}, "snapping would remove the errors"),
    ):
        with pytest.raises(ValueError, match=reason):
            Learn(**options)


def test_the_recipe_from_end_to_end(digits: Any) -> None:
    """Real digits: three quarters of the synapses gone, four levels, integers on the crossbar."""
    recipe = "compress-stdp{epochs=6 prune-every=1 lr=0.003 eta=1}"
    compiled = snnc.compile(
        digits.ann,
        recipe=recipe,
        timesteps=4,
        calibration=[(digits.train[0][0][:200], None)],
        train=[(digits.train[0][0], None)],
        target="crossbar",
    )
    ((x, y),) = digits.test
    accuracy = float(np.mean(compiled.program.run(x).output.argmax(1) == y))
    assert accuracy > 0.8, accuracy
    for weight in weights(compiled.graph).values():
        assert np.sum(weight == 0) >= int(0.75 * weight.size)
        rows = weight.reshape(len(weight), -1)
        assert all(len(np.unique(np.abs(row[row != 0]))) <= 4 for row in rows)


def test_the_options_of_the_recipe_get_where_they_belong() -> None:
    given = {"sparsity": 0.5, "levels": (0.5, 1.0), "structure": "rows", "epochs": 7, "wait": 2}
    text = str(Pipeline.from_text(CompressStdp(**given, augment="flip", bits=None).pipeline()))
    for part in ("sparsity=0.5 structure=rows", "levels=[0.5 1]", "epochs=7", "wait=2", "flip"):
        assert part in text
    assert "quantize{" not in text and "quantize{" not in str(CompressStdp(levels=None, bits=None))
    with pytest.raises(ValueError, match="sparsity=2"):
        CompressStdp(sparsity=2)
