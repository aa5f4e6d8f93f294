"""Which passes a target adds to a pipeline: those that make integers, where there are none."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from snnc.artifact import open_artifact
from snnc.driver import Job, ModelSource, dry_run, run
from snnc.driver.compilation import optimize
from snnc.errors import PluginError
from snnc.ir import Graph
from snnc.testing import Style, build, sample_inputs
from snnc_backends.cpu import CpuBackend

REAL, WHOLE, ANN = (build("plain", s) for s in (Style.SNN, Style.QUANTIZED, Style.ANN))
X = sample_inputs(ANN, 8)


def job(graph: Graph, passes: str, target: str = "crossbar{weight-bits=4}") -> Job:
    return Job(source=ModelSource(model=graph), passes=passes, target=target, calibration=X)


@pytest.mark.parametrize(
    ("graph", "passes", "expected"),
    [
        (REAL, "", "quantize{bits=4}"),
        (REAL, "fold-scale", "fold-scale,quantize{bits=4}"),
        (REAL, "fold-scale,quantize{bits=2}", "fold-scale,quantize{bits=2}"),
        (WHOLE, "", ""),
        (WHOLE, "fold-scale", "fold-scale"),
        (WHOLE, "dequantize", "dequantize,quantize{bits=4}"),
        (REAL, "quantize,dequantize", "quantize,dequantize,quantize{bits=4}"),
        (ANN, "fold-batchnorm", "fold-batchnorm"),
        (ANN, "activations-to-neurons", "activations-to-neurons,quantize{bits=4}"),
    ],
)
def test_integers_are_made_where_there_are_none(graph: Graph, passes: str, expected: str) -> None:
    one = job(graph, passes)
    assert str(one.pipeline_for(one.backend(), graph)) == expected
    cpu = job(graph, passes, "cpu")
    assert str(cpu.pipeline_for(cpu.backend(), graph)) == passes


def test_a_model_that_cannot_be_read_counts_as_one_of_real_values() -> None:
    one = job(ANN, "activations-to-neurons")
    assert str(one.pipeline_for(one.backend(), None)).endswith(",quantize{bits=4}")


def test_a_dry_run_and_a_run_of_a_target_need_the_same_data() -> None:
    without = replace(job(REAL, "fold-scale"), calibration=None)
    (problem,) = dry_run(without)
    assert problem.message.startswith("quantize needs calibration")
    assert dry_run(job(REAL, "fold-scale")) == []


def test_opt_has_no_target_and_adds_nothing() -> None:
    assert not optimize(job(REAL, "fold-scale")).graph.quantized


def test_the_integers_are_stored(tmp_path: Path) -> None:
    compiled = run(job(REAL, "fold-scale"), tmp_path / "net.snnc")
    artifact = open_artifact(tmp_path / "net.snnc")
    assert compiled.graph.quantized and artifact.graph().quantized
    expected = "fold-scale,quantize{bits=4}"
    assert artifact.manifest["pipeline"] == compiled.report["pipeline"] == expected
    own = [name for name in artifact.names() if name.startswith("crossbar/")]
    assert own == ["crossbar/figures.json", "crossbar/mapping.json"]
    output = compiled.program.run(X).output
    assert np.isfinite(output).all() and output.any()


def test_a_target_may_not_change_values(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CpuBackend, "legalize", lambda self, graph: "quantize")
    one = job(REAL, "", "cpu")
    with pytest.raises(PluginError, match="the target cpu legalises with quantize"):
        run(one)
    (problem,) = dry_run(one)
    assert isinstance(problem, PluginError)
