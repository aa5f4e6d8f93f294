"""Every population gets the leak, in real values and in integers."""

from __future__ import annotations

import numpy as np
import pytest

from snnc.errors import SpecError
from snnc.interp import run_snn
from snnc.ir import AnyNeuron, Graph
from snnc.pipeline import Pipeline
from snnc.testing import assert_equal_runs, load_program, quantized_cases, sample_inputs, snn_cases
from snnc.testing.graphs import Case
from snnc.testing.passes import default_context
from snnc_backends.cpu import CpuBackend
from snnc_backends.crossbar import CrossbarBackend
from snnc_backends.reference import ReferenceBackend

T = 6


def leaks(graph: Graph) -> set[float]:
    arrays = [graph.array(n.op.leak) for n in graph.nodes if isinstance(n.op, AnyNeuron)]
    return {float(value) for array in arrays for value in np.ravel(array)}


def with_leak(case: Case, leak: float) -> Graph:
    return (
        Pipeline.from_text(f"set-leak{{leak={leak}}}").run(case.graph, default_context(case)).graph
    )


@pytest.mark.parametrize("case", snn_cases()[:4], ids=lambda case: case.name)
def test_real_values(case: Case) -> None:
    assert leaks(with_leak(case, 0.7)) == {0.7}
    assert leaks(with_leak(case, 1.0)) == {1.0}


def test_integers_run_on_every_target() -> None:
    case = next(case for case in quantized_cases() if case.name == "plain")
    graph = with_leak(case, 0.7)
    assert leaks(graph) == {round(0.7 * 2**15) / 2**15}
    x = sample_inputs(graph, 5)
    backends = (ReferenceBackend(), CpuBackend(), CrossbarBackend())
    runs = [load_program(backend, graph, T).run(x, record="spikes") for backend in backends]
    for run in runs[1:]:
        assert_equal_runs(run, runs[0], "set-leak")
    names = [n.name for n in graph.nodes if isinstance(n.op, AnyNeuron)]
    fired = [
        sum(run_snn(each, x, timesteps=T, keep=names).values[n].sum().item() for n in names[:1])
        for each in (case.graph, graph)
    ]
    assert 0 < fired[1] < fired[0]


@pytest.mark.parametrize("options", ["{leak=-0.1}", "{leak=1.01}", "{leak=nan}"])
def test_wrong_leaks(options: str) -> None:
    with pytest.raises(SpecError, match="leak"):
        Pipeline.from_text(f"set-leak{options}")
