"""The manager: what it refuses before anything runs, and what it finds out about passes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from snnc.errors import DataError, GraphError, PassError, UsageError
from snnc.ir import EncodeDirect, Graph, Input, Linear, Neuron, Readout, Ref, Stage
from snnc.pipeline import Pipeline
from snnc.transform import Pass, PassContext, PassResult


def ann() -> Graph:
    graph = Graph()
    graph.add("x", Input(shape=(2,)))
    weight = graph.set_param("w", np.eye(2, dtype=np.float32))
    graph.outputs = (graph.add("fc", Linear(weight=weight), ["x"]),)
    return graph


@dataclass(frozen=True, kw_only=True)
class Spike(Pass):
    """Put a neuron behind the linear layer."""

    name = "spike"
    takes = Stage.ANN
    threshold: float = 1.0

    def run(self, graph: Graph, ctx: PassContext) -> PassResult:
        graph.stage = Stage.SNN
        graph.insert_after("x", "encode", EncodeDirect())
        graph.insert_after("fc", "spike", Neuron(threshold=self.threshold))
        graph.insert_after("spike", "out", Readout())
        return PassResult(graph, metrics={"neurons": 2})


@dataclass(frozen=True, kw_only=True)
class Tune(Pass):
    """Set the threshold; wants data unless `blind`."""

    name = "tune"
    needs = frozenset({"calibration"})
    threshold: float = 1.0
    blind: bool = False

    def requirements(self) -> frozenset[str]:
        return frozenset() if self.blind else self.needs

    def run(self, graph: Graph, ctx: PassContext) -> PassResult:
        op = graph.node("spike").op
        assert isinstance(op, Neuron)
        graph.replace_op("spike", replace(op, threshold=self.threshold))
        return PassResult(graph)


@dataclass(frozen=True, kw_only=True)
class UseAnn(Pass):
    """Needs the graph before spiking."""

    name = "use-ann"
    needs = frozenset({"ann"})

    def run(self, graph: Graph, ctx: PassContext) -> PassResult:
        assert ctx.ann is not None and ctx.ann.stage is Stage.ANN
        return PassResult(graph)


@dataclass(frozen=True, kw_only=True)
class Misbehave(Pass):
    """Does one thing wrong."""

    name = "misbehave"
    how: str = "crash"
    done: ClassVar[list[str]] = []

    def run(self, graph: Graph, ctx: PassContext) -> PassResult:
        self.done.append(self.how)
        if self.how == "break":
            graph.replace_op("fc", Linear(weight=Ref("gone")))
            return PassResult(graph)
        if self.how == "stage":
            graph.stage = Stage.ANN
            return PassResult(graph)
        if self.how == "data":
            raise DataError("batch 3 is empty", hint="leave it out")
        raise ZeroDivisionError("oh")


DATA = [(np.zeros((1, 2), np.float32), None)]


def test_a_pipeline_runs_and_leaves_its_input_alone() -> None:
    graph = ann()
    before = graph.fingerprint()
    seen: list[tuple[int, str, Stage]] = []
    result = Pipeline([Spike(), UseAnn(), Tune(threshold=0.5, blind=True)]).run(
        graph, PassContext(), after_pass=lambda i, name, g: seen.append((i, name, g.stage))
    )
    assert graph.fingerprint() == before
    assert result.ann is graph
    assert [(s.name, s.changed) for s in result.steps] == [
        ("spike", True),
        ("use-ann", False),
        ("tune", True),
    ]
    assert result.steps[0].metrics == {"neurons": 2}
    assert result.steps[2].spec == "tune{threshold=0.5 blind=true}"
    assert all(step.seconds >= 0 for step in result.steps)
    assert seen == [(1, "spike", "snn"), (2, "use-ann", "snn"), (3, "tune", "snn")]
    assert result.graph.node("spike").op == Neuron(threshold=0.5)


def test_everything_wrong_is_said_before_anything_runs() -> None:
    Misbehave.done.clear()
    with pytest.raises(UsageError) as caught:
        Pipeline([Misbehave(), Tune(), Spike()]).run(ann(), PassContext())
    assert "misbehave takes a graph of stage snn; the graph gives ann" in caught.value.message
    assert "tune needs calibration: add --calibration DATA" in caught.value.message
    assert "spike takes a graph of stage ann; tune gives snn" in caught.value.message
    assert not Misbehave.done


def test_a_need_names_its_flag() -> None:
    with pytest.raises(UsageError, match="tune needs calibration") as caught:
        Pipeline([Spike(), Tune()]).run(ann(), PassContext())
    assert caught.value.hint == "add --calibration DATA"
    Pipeline([Spike(), Tune()]).check(Stage.ANN, PassContext(calibration=DATA))
    Pipeline([Spike(), Tune(blind=True)]).check(Stage.ANN, PassContext())


def test_a_saved_snn_graph_has_no_ann() -> None:
    snn = Pipeline([Spike()]).run(ann(), PassContext()).graph
    with pytest.raises(UsageError, match="use-ann needs ann"):
        Pipeline([UseAnn()]).run(snn, PassContext())
    Pipeline([UseAnn()]).run(snn, PassContext(ann=ann()))


WORDS = [
    ("break", GraphError, "refers to @gone"),
    ("stage", GraphError, "gives a graph of stage ann, declared snn"),
    ("data", DataError, "batch 3 is empty"),
    ("crash", PassError, "ZeroDivisionError: oh"),
]


@pytest.mark.parametrize(("how", "kind", "reason"), WORDS)
def test_a_failing_pass_is_named_with_the_rest(how: str, kind: type, reason: str) -> None:
    pipeline = Pipeline([Spike(), Misbehave(how=how), Tune(blind=True)])
    with pytest.raises(kind) as caught:
        pipeline.run(ann(), PassContext())
    error = caught.value
    assert error.message.startswith("pass misbehave: ") and str(error) == error.message
    assert reason in error.message
    rest = "misbehave" + ("" if how == "crash" else f"{{how={how}}}")
    assert f"--passes '{rest},tune{{blind=true}}'" in error.hint
    assert how != "data" or error.hint.startswith("leave it out\n")


def test_statistics_of_a_changed_node_are_dropped() -> None:
    snn = Pipeline([Spike()]).run(ann(), PassContext()).graph
    snn.stats = {"spike": {"rate": 0.5}, "fc": {"max": 1.0}}
    after = Pipeline([Tune(threshold=0.5, blind=True)]).run(snn, PassContext()).graph
    assert after.stats == {"fc": {"max": 1.0}}
    assert snn.stats == {"spike": {"rate": 0.5}, "fc": {"max": 1.0}}


def test_text_and_passes_are_one() -> None:
    class Names:
        noun = "pass"

        def names(self) -> list[str]:
            return ["spike", "tune"]

        def get(self, name: str) -> type[Pass]:
            return {"spike": Spike, "tune": Tune}[name]

    text = "spike{threshold=2},tune{blind=true}"
    assert str(Pipeline.from_text(text, Names())) == text
    assert Pipeline.from_text(text, Names()) == Pipeline([Spike(threshold=2.0), Tune(blind=True)])


@dataclass(frozen=True, kw_only=True)
class Settle(Pass):
    """Tell where it may keep checkpoints."""

    name = "settle"

    def run(self, graph: Graph, ctx: PassContext) -> PassResult:
        return PassResult(graph, metrics={"workdir": str(ctx.workdir)})


def test_every_pass_has_a_folder_of_its_own(tmp_path: Path) -> None:
    pipeline = Pipeline([Spike(), Settle(), Settle()])
    _, *settled = pipeline.run(ann(), PassContext(workdir=tmp_path)).steps
    folders = [str(tmp_path / "02-settle"), str(tmp_path / "03-settle")]
    assert [step.metrics["workdir"] for step in settled] == folders
    assert pipeline.run(ann(), PassContext()).steps[1].metrics["workdir"] == "None"


@dataclass(frozen=True, kw_only=True)
class Rewrite(Pass):
    """Write one array again, the same or another."""

    name = "rewrite"
    takes = gives = Stage.ANN
    factor: float = 1.0

    def run(self, graph: Graph, ctx: PassContext) -> PassResult:
        graph.set_param("w", graph.params["w"] * np.float32(self.factor))
        return PassResult(graph)


def test_whether_a_pass_changed_the_graph_is_found_by_the_manager() -> None:
    pipeline = Pipeline([Rewrite(), Rewrite(factor=2.0), Rewrite()])
    assert [step.changed for step in pipeline.run(ann(), PassContext()).steps] == [
        False,
        True,
        False,
    ]


@pytest.mark.parametrize(("declared", "message"), [(True, "declared integers"), (False, "")])
def test_a_pass_gives_the_numbers_it_declares(declared: bool, message: str) -> None:
    @dataclass(frozen=True, kw_only=True)
    class Says(Spike):
        name = "says"
        gives_integers = declared

    pipeline = Pipeline([Says()])
    if not message:
        assert not pipeline.run(ann(), PassContext()).graph.quantized
        return
    with pytest.raises(GraphError, match=f"says: gives real values, {message}"):
        pipeline.run(ann(), PassContext())


def test_a_pass_with_nothing_to_do_says_only_that(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "snnc")
    Pipeline.from_text("fold-normalization,lower-avgpool").run(ann(), PassContext())
    lines = [each.getMessage() for each in caplog.records]
    assert len(lines) == 2 and all(line.endswith("s  nothing to do") for line in lines)
