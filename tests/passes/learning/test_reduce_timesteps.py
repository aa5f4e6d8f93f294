"""`reduce-timesteps`: a ladder of windows, each from the whole state of the one before."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from snnc.errors import PassError
from snnc.ir import Graph, Neuron
from snnc.pipeline import Pipeline
from snnc.testing import Style, build
from snnc.transform import PassContext
from snnc_passes.train import _session as session
from snnc_passes.train.reduce_timesteps import ReduceTimesteps

FAST = {"epochs": 1, "batch": 8, "lr": 1e-2}


def test_down_to_one_step_by_way_of_more(digits: Any) -> None:
    converted = digits.spiking(
        1, "activations-to-neurons,threshold-balance{statistic=mse},fold-scale"
    )
    ctx = digits.context(timesteps=1)
    result = ReduceTimesteps(start=3, epochs=2, lr=3e-3, batch=32).run(converted.clone(), ctx)
    assert result.graph.meta["timesteps"] == 1
    assert list(result.metrics["chosen"]) == ["3", "2", "1"]
    windows = [row["timesteps"] for row in result.metrics["epochs"]]
    assert windows == [3, 3, 2, 2, 1, 1]
    assert digits.accuracy(result.graph, 1) > max(0.85, digits.accuracy(converted, 1))


def test_every_stage_begins_with_the_whole_state_of_the_one_before(
    ran: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[Graph] = []
    ended: list[Graph] = []
    stage = session.Session.stage

    def watch(self: session.Session, graph: Graph, timesteps: int) -> session.Trained:
        begun.append(graph.clone())
        trained = stage(self, graph, timesteps)
        ended.append(trained.graph.clone())
        return trained

    monkeypatch.setattr(session.Session, "stage", watch)
    ran(ReduceTimesteps(start=4, stop=2, **FAST))
    assert len(begun) == 3
    for before, after in zip(ended, begun[1:], strict=False):
        assert before.params.keys() == after.params.keys()
        for name, array in before.params.items():
            np.testing.assert_array_equal(after.params[name], array)
        thresholds = [
            [node.op.threshold for node in graph.nodes if isinstance(node.op, Neuron)]
            for graph in (before, after)
        ]
        assert thresholds[0] == thresholds[1]
    assert begun[0].fingerprint() != ended[-1].fingerprint()


def test_the_window_of_the_compilation_follows(labelled: Any, plain: Graph) -> None:
    text = "reduce-timesteps{epochs=1 start=3 stop=1},drop-state"
    result = Pipeline.from_text(text).run(plain, PassContext(timesteps=3, train=labelled))
    assert result.graph.meta["timesteps"] == 1
    assert result.steps[1].metrics["dropped"] > 0


def test_nobody_waits_longer_than_the_window(labelled: Any) -> None:
    graph = build("residual", Style.SNN, neuron={"wait": 3})
    data = [(np.zeros((4, *graph.type_of(graph.input).shape), np.float32), np.arange(4))]
    ctx = PassContext(timesteps=1, train=data)
    result = ReduceTimesteps(start=2, **FAST).run(graph, ctx).graph
    assert {node.op.wait for node in result.nodes if isinstance(node.op, Neuron)} == {1}


def test_finished_stages_are_not_trained_again(
    ran: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = ran(ReduceTimesteps(start=3, stop=1, **FAST)).graph
    each = ReduceTimesteps(start=3, stop=1, **FAST)
    ran(each, workdir=tmp_path)
    assert sorted(file.name for file in tmp_path.iterdir()) == [
        f"T{t}.safetensors" for t in (1, 2, 3)
    ]
    (tmp_path / "T1.safetensors").unlink()
    trained: list[str] = []
    from snnc_passes.train._trainer import Trainer

    epoch = Trainer._epoch

    def count(self: Trainer, interrupt: Any) -> None:
        trained.append(self.stage)
        epoch(self, interrupt)

    monkeypatch.setattr(Trainer, "_epoch", count)
    resumed = ran(each, workdir=tmp_path, resume=True).graph
    assert trained == ["T1"]
    assert resumed.fingerprint() == whole.fingerprint()


def test_a_start_below_the_window_is_refused(ran: Any) -> None:
    with pytest.raises(PassError, match="start=5 is below the window T=8") as caught:
        ran(ReduceTimesteps(), timesteps=8)
    assert "-T 5" in str(caught.value.hint)


def test_a_window_that_will_be_too_short_is_refused_before_anything_is_trained(
    labelled: Any,
) -> None:
    graph = build("plain", Style.SNN, neuron={"order": "fire-integrate"})
    with pytest.raises(PassError, match="within T=2"):
        ReduceTimesteps(start=5).run(graph, PassContext(timesteps=2, train=labelled))


@pytest.mark.parametrize("options", [{"start": 0}, {"start": 2, "stop": 3}, {"stop": 0}, {"lr": 0}])
def test_wrong_options_are_refused(options: Any) -> None:
    with pytest.raises(ValueError, match="|".join(options)):
        ReduceTimesteps(**options)
