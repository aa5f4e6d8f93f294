"""What becomes of every op: which graphs hold it, which backends and passes take it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib.metadata import entry_points

from snnc.errors import PassError, UnsupportedError
from snnc.ir import Graph, Op, Stage
from snnc.ir.ops import OPS
from snnc.pipeline import Pipeline
from snnc.testing import Case, ann_cases, default_context, quantized_cases, snn_cases
from snnc.testing.golden import Golden
from snnc.testing.graphs import lowered_ann_cases

BACKENDS = ("reference", "cpu", "crossbar")
PASSES = (
    "fold-batchnorm", "fold-normalization", "lower-avgpool", "lower-maxpool", "replace-maxpool",
    "split-sums", "linear-bottlenecks{always=true}",
    "activations-to-neurons", "fold-scale", "initialize-potential", "fold-scale,quantize",
)  # fmt: skip


def cases() -> dict[Stage, Sequence[Case]]:
    return {
        Stage.ANN: (*ann_cases(), *lowered_ann_cases()),
        Stage.SNN: (*snn_cases(), *quantized_cases()),
    }


def holds(graph: Graph, op: type[Op]) -> bool:
    return any(type(node.op) is op for node in graph)


def backends_that_take(op: type[Op], graphs: Sequence[Graph]) -> Iterator[str]:
    found = {e.name: e.load()() for e in entry_points(group="snnc.backends") if e.name in BACKENDS}
    for name in BACKENDS:
        if any(not found[name].check(graph) for graph in graphs):
            yield name


def passes_that_take(op: type[Op], having: dict[Stage, list[Case]]) -> Iterator[str]:
    for name in PASSES:
        pipeline = Pipeline.from_text(name)
        for case in having[pipeline.passes[0].takes]:
            try:
                pipeline.run(case.graph, default_context(case))
            except (PassError, UnsupportedError):
                continue
            yield name
            break


def test_a_graph_holds_every_op() -> None:
    held = {type(node.op) for each in cases().values() for case in each for node in case.graph}
    assert held == set(OPS), "add a topology to snnc.testing.graphs"


def test_somebody_has_decided_about_every_op(golden: Golden) -> None:
    """A new op changes this text, which is read in review."""
    lines: list[str] = []
    all_cases = cases()
    for op in OPS:
        having = {s: [c for c in each if holds(c.graph, op)] for s, each in all_cases.items()}
        spiking = [case.graph for case in having[Stage.SNN]]
        lines += [
            f"{op.mnemonic}: {', '.join(s for s in Stage if s in op.stages)}",
            f"  backends: {', '.join(backends_that_take(op, spiking)) or 'none'}",
            f"  passes: {', '.join(passes_that_take(op, having)) or 'none'}",
        ]
    assert "\n".join(lines) + "\n" == golden
