"""An artifact answers without what only its compilation needs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import snnc
from snnc.testing.graphs import quantized_cases, sample_inputs, snn_cases

HEAVY = ("torch", "networkx", "onnx", "scipy", "snnc.analysis", "snnc.training", "snnc.frontends")
PROBE = """
import json, sys
import numpy as np
{run}
print(json.dumps([sorted(set({heavy}) & set(sys.modules)), len(sys.modules)]))
"""
IN_PYTHON = """
import snnc
np.save({output!r}, snnc.load({artifact!r}).run(np.load({data!r})).output)
"""
BY_COMMAND = """
from snnc.cli.main import run
assert run(["run", {artifact!r}, "--input", {data!r}, "-o", {output!r}, "--quiet"]) == 0
"""


@pytest.mark.parametrize("run", [IN_PYTHON, BY_COMMAND], ids=["load", "snnc run"])
@pytest.mark.parametrize("cases", [snn_cases, quantized_cases])
def test_a_saved_artifact_answers_light(run: str, cases, tmp_path: Path) -> None:
    graph = cases()[0].graph
    x, data, output = sample_inputs(graph, 3), str(tmp_path / "x.npy"), str(tmp_path / "y.npy")
    np.save(data, x)
    compiled = snnc.compile(graph, target="cpu", timesteps=4, output=tmp_path / "net.snnc")
    run = run.format(artifact=str(compiled.artifact), data=data, output=output)
    code = PROBE.format(run=run, heavy=HEAVY)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    heavy, modules = json.loads(done.stdout.splitlines()[-1])
    assert heavy == []
    assert modules < 550
    assert np.array_equal(np.load(output), compiled.program.run(x).output)


def test_lazy_names_are_all_there() -> None:
    import snnc.driver

    for name in snnc.driver.__all__:
        assert getattr(snnc.driver, name) is not None
    with pytest.raises(AttributeError, match="'snnc.driver' has no attribute 'nothing'"):
        _ = snnc.driver.nothing  # type: ignore[attr-defined]
