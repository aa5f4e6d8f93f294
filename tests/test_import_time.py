"""The command line answers at once: help and listings import neither torch nor llvmlite."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROBE = """
import sys
from snnc.cli.main import run
code = run({arguments})
heavy = sorted({{"torch", "llvmlite", "sklearn", "networkx", "numpy"}} & set(sys.modules))
print("heavy:", *heavy, file=sys.stderr)
sys.exit(code)
"""


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["-h"],
        ["compile", "--help"],
        ["compile", "-h"],
        ["passes"],
        ["recipes"],
        ["targets"],
        ["devices"],
        ["exporters"],
        ["frontends"],
    ],
    ids=" ".join,
)
def test_nothing_heavy_is_imported(arguments: list[str]) -> None:
    command = [sys.executable, "-c", PROBE.format(arguments=arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines()[-1] == "heavy:", done.stderr
    assert done.stdout


def test_the_package_itself_is_light_and_complete() -> None:
    code = (
        "import snnc, sys; assert not {'torch', 'llvmlite', 'numpy'} & set(sys.modules);"
        "[getattr(snnc, name) for name in snnc.__all__]; assert 'llvmlite' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_computing_a_graph_does_not_load_sympy() -> None:
    """torch loads it for `torch.broadcast_shapes`, which takes a second."""
    code = (
        "import sys; from snnc.interp import run_ann; from snnc.ir import Graph, Input, Relu;"
        "graph = Graph(); graph.add('x', Input(shape=(3,))); graph.add('y', Relu(), ['x']);"
        "graph.outputs = ('y',); import numpy as np; run_ann(graph, np.ones((2, 3)));"
        "assert 'sympy' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
