"""`learn`: what improves, what may change, what is chosen, what is refused."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import pytest
import torch

from snnc.early_exit import EARLY_EXIT
from snnc.errors import PassError
from snnc.ir import Encode, Graph, Neuron
from snnc.pipeline import Pipeline
from snnc.testing import Style, build
from snnc.training import to_torch
from snnc.training.parameters import roles
from snnc.transform import PassContext
from snnc_passes.train._options import TrainingPass
from snnc_passes.train.learn import Learn

FAST = {"epochs": 2, "batch": 8, "lr": 1e-2}


def changed_fields(before: Graph, after: Graph) -> set[str]:
    """Fields of ops whose arrays or numbers differ."""
    found: set[str] = set()
    for node in before.nodes:
        for field in ("weight", "bias", "threshold", "leak", "v_init", "factor", "scale"):
            old, new = (getattr(g.node(node.name).op, field, None) for g in (before, after))
            if old is None or isinstance(node.op, Encode):
                continue
            if not np.array_equal(before.array(old), after.array(new)):
                found.add(field)
    return found


@pytest.mark.parametrize("timesteps", [1, 2])
def test_learning_improves_a_converted_network_on_data_it_has_not_seen(
    digits: Any, timesteps: int
) -> None:
    converted = digits.spiking(timesteps)
    ctx = digits.context(timesteps=timesteps)
    result = Learn(epochs=4, lr=3e-3, batch=32).run(converted.clone(), ctx)
    before = digits.accuracy(converted, timesteps)
    after = digits.accuracy(result.graph, timesteps)
    assert after > max(before + 0.01, 0.9), (before, after)
    assert result.graph.meta["timesteps"] == timesteps


def test_learning_with_even_spikes_improves_the_spikes_too(digits: Any) -> None:
    converted = digits.spiking(2)
    learn = Learn(epochs=4, lr=3e-3, batch=32, even_spikes=True, leak=False)
    result = learn.run(converted.clone(), digits.context(timesteps=2))
    losses = [row["loss"] for row in result.metrics["epochs"]]
    assert losses[-1] < losses[0]
    assert 0 < result.metrics["epochs"][-1]["spikes_per_neuron"] < 2
    before, after = (digits.accuracy(graph, 2) for graph in (converted, result.graph))
    assert after > before, (before, after)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"threshold": False, "leak": False}, {"weight", "bias"}),
        ({"weights": False, "leak": False}, {"threshold"}),
        ({"weights": False, "threshold": False}, {"leak"}),
        ({"weights": False, "threshold": False, "leak": False, "v_init": True}, {"v_init"}),
        ({}, {"weight", "bias", "threshold", "leak"}),
    ],
)
def test_nothing_else_changes_than_what_may(ran: Any, plain: Graph, options, expected) -> None:
    result = ran(Learn(**FAST, **options))
    assert changed_fields(plain, result.graph) == expected
    shapes = {n: a.shape for n, a in plain.params.items()}
    assert {n: a.shape for n, a in result.graph.params.items()} == shapes


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_thresholds_and_leaks_stay_where_they_mean_something(ran: Any, optimizer: str) -> None:
    result = ran(Learn(epochs=4, batch=8, lr=5.0, optimizer=optimizer, clip=1.0))  # type: ignore[arg-type]
    neurons = [n.op for n in result.graph.nodes if isinstance(n.op, Neuron)]
    leaks = np.concatenate([np.ravel(result.graph.array(op.leak)) for op in neurons])
    assert all(np.all(result.graph.array(op.threshold) > 0) for op in neurons)
    assert leaks.min() >= 0 and leaks.max() <= 1
    assert leaks.min() < 0.5, "the test is of no use if no leak moved"


def test_the_chosen_epoch_is_the_best_one_not_the_last(digits: Any) -> None:
    """A rate that wrecks the network: the state before training is kept, or an early epoch."""
    converted = digits.spiking(2)
    ctx = digits.context(timesteps=2)
    wrecking = Learn(epochs=4, lr=0.5, batch=64, schedule="constant")
    result = wrecking.run(converted.clone(), ctx)
    values = [row["validation"] for row in result.metrics["epochs"]]
    chosen = result.metrics["chosen"]
    assert chosen < 4 and (chosen == 0 or values[chosen - 1] == max(values))
    last = wrecking.run(converted.clone(), digits.context(timesteps=2, validation=None))
    assert last.metrics["chosen"] == 4
    assert all(row["validation"] is None for row in last.metrics["epochs"])
    assert digits.accuracy(result.graph, 2) > digits.accuracy(last.graph, 2)


def test_keeping_the_untrained_network_is_no_change(ran: Any, labelled: Any, plain: Graph) -> None:
    from snnc_passes.train._judge import Judge, Verdict

    seen: list[float] = []

    class Downhill(Judge):
        """Every network is worse than the one before."""

        def __call__(self, network: object) -> Verdict:
            seen.append(1 / (1 + len(seen)))
            return Verdict("accuracy", seen[-1], (seen[-1],))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("snnc_passes.train._session.Judge", Downhill)
        before = plain.clone()
        before.meta["timesteps"] = 3
        result = Learn(**FAST).run(
            before.clone(), PassContext(timesteps=3, train=labelled, validation=labelled)
        )
    assert result.metrics["chosen"] == 0
    assert result.graph.fingerprint() == before.fingerprint()


def test_learning_from_the_ann_needs_no_labels(digits: Any) -> None:
    data = [(x, None) for x, _ in digits.train]
    held = [(x, None) for x, _ in digits.validation]
    ctx = digits.context(timesteps=1, train=data, validation=held)
    converted = digits.spiking(1)
    result = Learn(epochs=3, lr=3e-3, batch=32, loss="ann").run(converted.clone(), ctx)
    assert {row["measure"] for row in result.metrics["epochs"]} == {"agreement"}
    assert digits.accuracy(result.graph, 1) > digits.accuracy(converted, 1) + 0.02


def test_learning_towards_targets(ran: Any, labelled: Any) -> None:
    targets = [(x, np.eye(5, dtype=np.float64)[y]) for x, y in labelled]
    result = ran(Learn(**{**FAST, "epochs": 6}, loss="mse"), train=targets, validation=targets)
    losses = [row["loss"] for row in result.metrics["epochs"]]
    assert losses[-1] < losses[0]
    assert {row["measure"] for row in result.metrics["epochs"]} == {"loss"}


def test_what_is_told(ran: Any, labelled: Any, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        result = ran(Learn(**FAST), validation=labelled)
    rows = result.metrics["epochs"]
    assert [row["epoch"] for row in rows] == [1, 2]
    assert {row["timesteps"] for row in rows} == {3}
    assert set(result.metrics["leaks"]) == set(result.metrics["thresholds"])
    ends = next(iter(result.metrics["leaks"].values()))
    assert ends["min"] <= ends["mean"] <= ends["max"]
    assert 0 < rows[0]["spikes_per_neuron"] <= 3
    assert "epoch 2/2, loss" in caplog.text and "0 s left" in caplog.text


def test_a_cost_on_spikes_makes_them_fewer(ran: Any) -> None:
    rates = [
        ran(Learn(epochs=8, batch=8, lr=2e-2, spike_cost=cost)).metrics["epochs"][-1]
        for cost in (0.0, 5.0)
    ]
    assert rates[1]["spikes_per_neuron"] < 0.8 * rates[0]["spikes_per_neuron"]


def test_the_same_seed_gives_the_same_bytes_and_torch_keeps_its_own(plain: Graph) -> None:
    from snnc.testing.graphs import sample_inputs

    data = [(sample_inputs(plain, 16), np.arange(16) % 5)]
    each = Learn(**FAST, dropout=0.3, augment="crop-flip")
    prints: list[str] = []
    for seed in (0, 0, 1):
        torch.manual_seed(len(prints))
        expected = torch.rand(1, generator=torch.Generator().manual_seed(len(prints)))
        ctx = PassContext(timesteps=2, train=data, rng=np.random.default_rng(seed))
        prints.append(each.run(plain.clone(), ctx).graph.fingerprint())
        assert torch.equal(torch.rand(1), expected)
    assert prints[0] == prints[1] != prints[2]


def test_a_silenced_neuron_is_silent_at_every_step(plain: Graph) -> None:
    from snnc.testing.graphs import sample_inputs

    network = to_torch(plain, 6, dropout=0.5).train()
    seen: dict[str, torch.Tensor] = {}
    apply = network._interpreter().__class__.apply

    def watch(self: Any, node: Any, inputs: Any, run: Any = None) -> torch.Tensor:
        value = apply(self, node, inputs, run)
        if isinstance(node.op, Neuron):
            seen[node.name] = value.detach()
        return value

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("snnc.training.spiking_network._Watched.apply", watch)
        with network.record() as spikes:
            network(torch.from_numpy(sample_inputs(plain, 4)))
    for name, value in seen.items():
        fired = spikes[name] != 0
        kept = value != 0
        assert torch.equal(kept, fired & kept.any(0)), name
        assert not torch.equal(kept, fired)


def test_weight_decay_is_for_weights_alone(ran: Any, plain: Graph) -> None:

    from snnc_passes.train import _stepper as stepper

    network = to_torch(plain, 2)
    weights, others = stepper._parameters(network)
    names = {n for n, fields in roles(network.source).items() if "weight" in fields}
    assert {id(p) for p in weights} == {id(network.parameter(n)) for n in names}
    learns = [p for p in network.parameters() if p.requires_grad]
    assert len(weights) + len(others) == len(learns)


def test_an_early_exit_does_not_outlive_its_network(plain: Graph, labelled: Any) -> None:
    graph = plain.clone()
    graph.meta[EARLY_EXIT] = {"threshold": 1.0}
    result = Learn(**FAST).run(graph, PassContext(timesteps=3, train=labelled))
    assert EARLY_EXIT not in result.graph.meta


# -- refusals ----------------------------------------------------------------------------------


def test_a_label_out_of_range_is_named(ran: Any, labelled: Any) -> None:
    wrong = [(x, np.where(y == 2, 5, y)) for x, y in labelled]
    with pytest.raises(PassError, match="label of 5 in the training data.* 0 to 4"):
        ran(Learn(**FAST), train=wrong)
    with pytest.raises(PassError, match="label of -1 in the validation data"):
        ran(Learn(**FAST), validation=[(x, y - 1) for x, y in labelled])


def test_a_loss_that_is_not_finite_is_named_with_epoch_and_step(ran: Any, labelled: Any) -> None:
    broken = [(np.where(np.arange(len(x))[:, None, None, None] == 3, np.nan, x), y)
              for x, y in labelled]  # fmt: skip
    with pytest.raises(PassError, match=r"gradient is nan in epoch 1, step \d, at T=3") as caught:
        ran(Learn(**FAST), train=broken)
    assert "lr" in str(caught.value.hint)


@pytest.mark.parametrize(
    ("data", "options", "reason"),
    [
        ([], {}, "hold no samples"),
        ("unlabelled", {}, "no labels"),
        ("half", {}, "some have not"),
        ("real", {}, "y of float64"),
        ("labelled", {"loss": "mse"}, "targets of shape"),
        ("labelled", {"loss": "ann"}, "no ANN"),
    ],
)
def test_data_that_do_not_fit_are_refused(
    ran: Any, labelled: Any, data: Any, options: Any, reason: str
) -> None:
    given: Any = {
        "unlabelled": [(x, None) for x, _ in labelled],
        "half": [(labelled[0][0], None), labelled[1]],
        "real": [(x, y.astype(float)) for x, y in labelled],
        "labelled": labelled,
    }
    with pytest.raises(PassError, match=reason):
        ran(Learn(**FAST, **options), train=given.get(data, data) if data else [])


def test_a_window_too_short_for_late_populations_is_refused(labelled: Any) -> None:
    graph = build("plain", Style.SNN, neuron={"order": "fire-integrate"})
    with pytest.raises(PassError, match="within T=3: 3 populations") as caught:
        Learn(**FAST).run(graph.clone(), PassContext(timesteps=3, train=labelled))
    assert "-T 4" in str(caught.value.hint)
    Learn(**FAST).run(graph, PassContext(timesteps=4, train=labelled))


def test_integers_do_not_learn(labelled: Any) -> None:
    with pytest.raises(PassError, match="quantised already"):
        Learn().run(build("plain", Style.QUANTIZED), PassContext(train=labelled))


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"epochs": 0}, "epochs=0 is not positive"),
        ({"lr": -1.0}, "lr=-1"),
        ({"weight_decay": -1.0}, "weight-decay=-1 is negative"),
        ({"dropout": 1.0}, "dropout=1"),
        ({"clip": 0.0}, "clip=0"),
        ({"milestones": (0.5, 2.0)}, "milestones"),
        ({"weights": False, "threshold": False, "leak": False}, "nothing would learn"),
        ({"surrogate": "step"}, "surrogate=step is not one of: linear, stdb"),
        ({"loss": "hinge"}, "loss=hinge is not one of: cross-entropy, mse, ann"),
        ({"augment": "turn"}, "augment=turn"),
        ({"temperature": 0.0, "loss": "ann"}, "temperature=0 is not positive"),
        ({"temperature": 4.0}, "temperature=4 needs loss=ann"),
        ({"mixup": -1.0, "loss": "ann"}, "mixup=-1 is not positive"),
        ({"mixup": 1.0, "loss": "mse"}, "mixup=1 needs loss=ann"),
        ({"even_spikes": True}, "leaks do not learn; add leak=false"),
    ],
)
def test_wrong_options_are_refused(options: Any, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        Learn(**options)


def test_what_it_needs() -> None:
    assert Learn().requirements() == {"train"}
    assert Learn(loss="ann").requirements() == {"train", "ann"}
    assert Learn(tensorboard=True).requirements() == {"train", "workdir"}
    assert issubclass(Learn, TrainingPass)
    mixing = "learn{loss=ann temperature=4 mixup=0.5}"
    assert str(Pipeline.from_text(mixing)) == mixing
    text = "learn{epochs=3 weights=false milestones=[0.5 0.9] spike-cost=0.1}"
    assert str(Pipeline.from_text(text)) == text
