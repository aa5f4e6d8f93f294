"""Random networks: the graph means what torch computes, before and after conversion.

Graphs, and what passes change that declare `preserves_function`, are compared in float64, to 1e-5
of the largest output. The integers of a conversion must be equal on every backend.
"""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from types import ModuleType

import pytest
import torch
from torch import nn

from snnc.frontends import trace
from snnc.frontends.canonicalize import canonicalize
from snnc.frontends.exporting import export
from snnc.frontends.untraceable import UntraceableError
from snnc.interp import run_ann
from snnc.ir import Graph, Stage
from snnc.pipeline import Pipeline, parse_one
from snnc.plugins import BACKENDS, RECIPES, Registry
from snnc.testing import assert_backend_contract, sample_inputs
from snnc.testing.graphs import Case
from snnc.transform import PassContext


def _models() -> ModuleType:
    path = Path(__file__).parent.parent / "models" / "random_networks.py"
    spec = importlib.util.spec_from_file_location("models_random_networks", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


random_networks = _models()
NUMBER = os.environ.get("SNNC_RANDOM_NETWORKS")
SEEDS = range(int(NUMBER or 48))
FIRST = int(NUMBER or 6)
CONVERTED = [
    *range(FIRST),
    *(pytest.param(seed, marks=pytest.mark.long) for seed in range(FIRST, 24)),
]
TIMESTEPS = 4


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths")
@pytest.mark.parametrize("seed", SEEDS)
def test_the_graph_means_what_torch_computes(seed: int) -> None:
    module, shape = random_networks.random_network(seed)
    assert_means_the_same(trace(module, shape), module, shape, seed)


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths")
@pytest.mark.parametrize("seed", range(100, 108))
def test_the_graph_by_torch_export_means_it_too(seed: int) -> None:
    module, shape = random_networks.random_network(seed)
    failure = UntraceableError("not tried", "", explained=False)
    with torch.no_grad():
        imported = canonicalize(export(module, shape, "net", failure), shape, "net")
    assert_means_the_same(imported.graph, module, shape, seed)


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths")
@pytest.mark.parametrize("seed", CONVERTED)
def test_a_conversion_to_integers_equals_the_reference_on_every_backend(seed: int) -> None:
    graph = trace(*random_networks.random_network(seed))
    calibration = [(sample_inputs(graph, 16), None)]
    ctx = PassContext(timesteps=TIMESTEPS, calibration=calibration)
    recipe = parse_one("convert{bits=8}", Registry(RECIPES))
    result = Pipeline.from_text(recipe.pipeline()).run(graph, ctx, same=difference_of_anns)
    for name in ("cpu", "crossbar"):
        backend = Registry(BACKENDS).get(name)()
        assert_backend_contract(backend, cases=[Case(str(seed), result.graph)], timesteps=TIMESTEPS)


def difference_of_anns(before: Graph, after: Graph) -> str | None:
    """Where two ANNs differ; spiking graphs are left to the contract of backends."""
    if before.stage is not Stage.ANN:
        return None
    x = sample_inputs(before, 3)
    old, new = (run_ann(graph, x, dtype=torch.float64) for graph in (before, after))
    for one, other in zip(before.outputs, after.outputs, strict=True):
        if not is_near(new[other], old[one]):
            return f"{one} differs by {float((new[other] - old[one]).abs().max()):.3g}"
    return None


def assert_means_the_same(
    graph: Graph, module: nn.Module, shape: tuple[int, ...], seed: int
) -> None:
    x = torch.randn(3, *shape, generator=torch.Generator().manual_seed(seed))
    value = run_ann(graph, x, dtype=torch.float64)[graph.outputs[0]]
    with torch.no_grad():
        expected = module.double()(x.double())
    assert is_near(value, expected)


def is_near(value: torch.Tensor, expected: torch.Tensor) -> bool:
    """Whether values are equal to 1e-5 of the largest."""
    return float((value - expected).abs().max()) <= 1e-5 * max(float(expected.abs().max()), 1e-6)
