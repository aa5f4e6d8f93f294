"""quantize{rounding=data}: integers chosen on data are closer to the real network than nearest."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from snnc.errors import PassError
from snnc.interp import run_snn
from snnc.ir import Conv, EncodePoisson, Graph, Linear, Weighted, verify
from snnc.pipeline import Pipeline
from snnc.testing import Style, assert_equal_runs, build, load_program, sample_inputs
from snnc.transform import PassContext
from snnc_backends.cpu.backend import CpuBackend
from snnc_backends.crossbar.backend import CrossbarBackend
from snnc_backends.reference import ReferenceBackend
from snnc_passes.compress.quantize_conductance import QuantizeConductance
from snnc_passes.quantize._sequential_rounding import rounded_together
from snnc_passes.quantize.quantize import Quantize
from snnc_passes.recipes.convert import Convert

T = 8
TOPOLOGIES = ["plain", "residual", "branches", "grouped"]


def converted(topology: str, **options: Any) -> tuple[Graph, PassContext]:
    """A network of real values, and what its integers are made with."""
    ann = build(topology, Style.ANN)
    ctx = PassContext(timesteps=T, calibration=[(sample_inputs(ann, 128, 5), None)])
    text = Convert(maxpool="average", calibrate=False, **options).pipeline()
    return Pipeline.from_text(text).run(ann, ctx).graph, ctx


def integers(graph: Graph, ctx: PassContext, **options: object) -> Graph:
    quantize = Quantize(**{"bits": 4, "rounding": "data", **options})  # type: ignore[arg-type]
    result = quantize.run(graph.clone(), ctx).graph
    verify(result)
    return result


def outputs(graph: Graph, x: NDArray[np.float32]) -> NDArray[np.float64]:
    return run_snn(graph, x, timesteps=T).outputs["readout"].double().numpy()


NETWORKS: list[tuple[str, dict[str, Any]]] = [
    *((name, {}) for name in TOPOLOGIES),
    ("residual", {"wait": "T"}),
    ("plain", {"signed": True}),
]


def share_of_error(topology: str, options: dict[str, Any]) -> float:
    """Squared error on other samples with 4 bits chosen on data, by that of the nearest."""
    graph, ctx = converted(topology, **options)
    x = sample_inputs(graph, 128, 11)
    wanted = outputs(graph, x)
    nearest, data = (
        np.square(outputs(integers(graph, ctx, rounding=each), x) - wanted).sum()
        for each in ("nearest", "data")
    )
    return float(data / nearest)


def test_four_bits_are_closer_on_other_samples() -> None:
    shares = [share_of_error(*network) for network in NETWORKS]
    assert max(shares) < 0.9
    assert np.mean(shares) < 0.45


def test_one_scale_of_a_population_is_closer_too() -> None:
    graph, ctx = converted("residual")
    x = sample_inputs(graph, 128, 11)
    wanted = outputs(graph, x)
    nearest, data = (
        np.square(outputs(integers(graph, ctx, rounding=each, granularity="layer"), x) - wanted)
        for each in ("nearest", "data")
    )
    assert data.sum() < 0.7 * nearest.sum()


def test_weights_on_a_few_levels_stay_there() -> None:
    graph, ctx = converted("residual")
    graph = QuantizeConductance(levels=2).run(graph, ctx).graph
    nearest, data = (integers(graph, ctx, bits=8, rounding=each) for each in ("nearest", "data"))
    for node in graph.nodes:
        if isinstance(node.op, Conv):
            first, second = (g.array(g.node(node.name).op.weight) for g in (nearest, data))  # type: ignore[attr-defined]
            np.testing.assert_array_equal(first, second)


def test_every_target_computes_the_same() -> None:
    graph, ctx = converted("residual")
    made = integers(graph, ctx)
    for node in made:
        if isinstance(node.op, Weighted):
            weight = made.array(node.op.weight)
            assert weight.dtype == np.int8
            assert np.abs(weight.astype(int)).max() <= 7
    x = sample_inputs(made, 4, 3)
    backends = (ReferenceBackend(), CpuBackend(), CrossbarBackend())
    reference, *others = (load_program(b, made, T).run(x, record="spikes") for b in backends)
    for other in others:
        assert_equal_runs(other, reference, "all")


def test_pruned_weights_stay_zero_and_runs_are_alike() -> None:
    graph, ctx = converted("residual")
    holes: dict[str, NDArray[np.bool_]] = {}
    for node in graph.nodes:
        if isinstance(node.op, Conv | Linear):
            weight = graph.array(node.op.weight).copy()
            holes[node.name] = np.random.default_rng(1).random(weight.shape) < 0.5
            weight[holes[node.name]] = 0
            ref = graph.own_param(node.name, "weight", weight)
            graph.replace_op(node.name, replace(node.op, weight=ref, pruned=True))
    first, second = integers(graph, ctx), integers(graph, ctx)
    assert first.fingerprint() == second.fingerprint()
    for name, hole in holes.items():
        weight = first.array(first.node(name).op.weight)  # type: ignore[attr-defined]
        assert not weight[hole].any()
        assert weight[~hole].any()


def test_without_data_it_is_refused() -> None:
    graph, ctx = converted("plain")
    encoder = next(node for node in graph.nodes if node.op.mnemonic.startswith("encode"))
    graph.replace_op(encoder.name, EncodePoisson(scale=1 / 255))
    with pytest.raises(PassError, match="rounding=data needs calibration data"):
        integers(graph, replace(ctx, calibration=None))
    assert integers(graph, replace(ctx, calibration=None), rounding="nearest").quantized


def test_options() -> None:
    text = Convert(bits=4, rounding="data").pipeline()
    assert text.endswith("quantize{bits=4 rounding=data}")
    for options in ({"rounding": "up", "bits": 4}, {"rounding": "data"}):
        with pytest.raises(ValueError, match="rounding"):
            Convert(**options)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="rounding"):
        Quantize(rounding="up")  # type: ignore[arg-type]


def problem(seed: int, weights: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Weights (6, K) in units, and the Gram matrix of correlated inputs."""
    generator = torch.Generator().manual_seed(seed)
    mixed = torch.randn(200, 3, generator=generator, dtype=torch.float64) @ torch.randn(
        3, weights, generator=generator, dtype=torch.float64
    )
    x = mixed + 0.2 * torch.randn(200, weights, generator=generator, dtype=torch.float64)
    real = 1.5 * torch.randn(6, weights, generator=generator, dtype=torch.float64)
    return real, x.T @ x / 200


def cost(q: torch.Tensor, real: torch.Tensor, gram: torch.Tensor) -> torch.Tensor:
    return ((q - real) @ gram * (q - real)).sum(1)


@pytest.mark.parametrize("seed", range(3))
def test_integers_are_near_the_best_there_are(seed: int) -> None:
    """Of all integers of magnitude <= 2, which are few enough to try."""
    real, gram = problem(seed, 5)
    damped = gram + 0.01 * gram.diagonal().mean() * torch.eye(5, dtype=torch.float64)
    found = rounded_together(real, gram, 2, torch.ones_like(real, dtype=torch.bool))
    every = torch.tensor(list(product(range(-2, 3), repeat=5)), dtype=torch.float64)
    best = torch.stack([cost(every, row, damped).min() for row in real])
    rounded = cost(real.round().clamp(-2, 2), real, damped)
    got = cost(found, real, damped)
    assert (got <= rounded).all()
    assert (got - best).sum() <= 0.25 * (rounded - best).sum()


def test_a_layer_of_many_weights_is_much_closer_than_nearest() -> None:
    real, gram = problem(7, 60)
    kept = torch.rand(real.shape, generator=torch.Generator().manual_seed(1)) < 0.7
    found = rounded_together(real, gram, 7, kept)
    nearest = real.round().clamp(-7, 7) * kept
    assert not found[~kept].any()
    assert torch.equal(found, found.round())
    assert cost(found, real, gram).sum() < 0.1 * cost(nearest, real, gram).sum()
