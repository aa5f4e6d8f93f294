"""Random networks mean in the graph what they mean in torch, both in float64."""

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
from snnc.ir import Graph


def _models() -> ModuleType:
    path = Path(__file__).parent.parent / "models" / "random_networks.py"
    spec = importlib.util.spec_from_file_location("models_random_networks", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


random_networks = _models()
SEEDS = range(int(os.environ.get("SNNC_RANDOM_NETWORKS", "48")))


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


def assert_means_the_same(
    graph: Graph, module: nn.Module, shape: tuple[int, ...], seed: int
) -> None:
    x = torch.randn(3, *shape, generator=torch.Generator().manual_seed(seed))
    value = run_ann(graph, x, dtype=torch.float64)[graph.outputs[0]]
    with torch.no_grad():
        expected = module.double()(x.double())
    assert float((value - expected).abs().max()) <= 1e-5 * max(float(expected.abs().max()), 1e-6)
