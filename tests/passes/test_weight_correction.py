"""The least-squares fit of a layer's weights, and the products it takes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from snnc.ir import Conv, Linear, Ref
from snnc_passes.calibrate import _layer_products
from snnc_passes.calibrate._layer_products import LayerProducts
from snnc_passes.calibrate._weight_correction import LeastSquares, Part

GENERATOR = torch.Generator().manual_seed(0)
ASKEW = Conv(weight=Ref("w"), stride=(2, 1), padding=((1, 0), (2, 1)), dilation=(1, 2))
EVEN = Conv(weight=Ref("w"), padding=((1, 1), (1, 1)))
KERNELS = {ASKEW: (3, 3, 2), EVEN: (3, 3, 3)}
DENSE = LayerProducts(Linear(weight=Ref("w")), (6,))


def normal(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=GENERATOR)


def unfolded(op: Conv, x: Tensor, kernel: tuple[int, ...]) -> Tensor:
    """(n, positions, K) in float64, by torch."""
    (top, bottom), (left, right) = op.padding
    images = F.pad(x.double(), (left, right, top, bottom))
    rest = {"dilation": op.dilation, "stride": op.stride}
    return F.unfold(images, kernel[1:], **rest).transpose(1, 2)


@pytest.mark.parametrize("op", [ASKEW, EVEN])
@pytest.mark.parametrize("strip", [4, 256])
@pytest.mark.parametrize("last", [False, True])
def test_products_are_those_of_unfolded_inputs(op, strip, last, monkeypatch) -> None:
    monkeypatch.setattr(_layer_products, "STRIP", strip)
    layer, x = LayerProducts(op, KERNELS[op]), normal(5, 3, 7, 6)
    x = x.contiguous(memory_format=torch.channels_last) if last else x
    rows = unfolded(op, x, KERNELS[op])
    weight = normal(4, rows.shape[2])
    found = layer.applied(x, weight)
    expected = (rows @ weight.double().T).transpose(1, 2)
    torch.testing.assert_close(found.flatten(2).double(), expected, rtol=0, atol=1e-5)
    error = normal(*found.shape)
    expected = torch.einsum("ncp,npk->ck", error.flatten(2).double(), rows)
    torch.testing.assert_close(layer.transposed(x, error).double(), expected, rtol=0, atol=1e-4)
    rows = F.pad(rows, (0, 1), value=1.0).transpose(1, 2)
    products = rows @ rows.mT
    gram = layer.gram([(x[:2], 1.0), (x[2:], 0.5)])
    expected = products[:2].sum(0) + 0.5 * products[2:].sum(0)
    torch.testing.assert_close(gram, expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("op", [ASKEW, EVEN])
@pytest.mark.parametrize("rows", [7, 4096])
def test_the_gram_matrix_of_counts_is_exact(op: Conv, rows: int, monkeypatch) -> None:
    monkeypatch.setattr(_layer_products, "BYTE_ROWS", rows)
    unit = torch.tensor([0.1, -0.7, 3.0])
    counts = torch.randint(0, 128, (5, 3, 7, 6), generator=GENERATOR)
    x = counts * unit[:, None, None]
    columns = unit.double().repeat_interleave(int(np.prod(KERNELS[op][1:])))
    matrix = unfolded(op, counts, KERNELS[op]).flatten(0, 1) * columns
    matrix = F.pad(matrix, (0, 1), value=1.0)
    gram = LayerProducts(op, KERNELS[op], unit).gram([(x[:2], 1.0), (x[2:], 1.0)])
    torch.testing.assert_close(gram, matrix.T @ matrix, rtol=1e-12, atol=0)
    real = LayerProducts(op, KERNELS[op]).gram([(x[:2], 1.0), (x[2:], 1.0)])
    assert float((real / gram - 1).abs().max()) > 1e-9


@pytest.mark.parametrize("features", [1, 2, 3, 6, 256, 257])
@pytest.mark.parametrize("samples", [1, 2, 50, 4097])
def test_the_gram_matrix_of_counts_of_features_is_exact(features: int, samples: int) -> None:
    counts = torch.randint(1, 128, (samples, features), generator=GENERATOR)
    unit = torch.rand(features, generator=GENERATOR)
    rows = torch.cat([counts * unit.double(), torch.ones(samples, 1)], 1)
    layer = replace(DENSE, kernel=(features,), unit=unit)
    gram = layer.gram([(counts * unit, 1.0)])
    torch.testing.assert_close(gram, rows.T @ rows, rtol=1e-12, atol=0)


@pytest.mark.parametrize("op", [ASKEW, EVEN])
@pytest.mark.parametrize("first", [(0, 0), (1, 2)])
def test_a_thinned_layer_has_every_third_position(op: Conv, first: tuple[int, int]) -> None:
    layer, x = LayerProducts(op, KERNELS[op]), normal(5, 3, 17, 16)
    weight = normal(4, x.shape[1] * int(np.prod(KERNELS[op][1:])))
    every = layer.applied(x, weight)[..., first[0] :: 3, first[1] :: 3]
    found = layer.thinned(3).applied(layer.window(x, first), weight)
    torch.testing.assert_close(found, every, rtol=0, atol=1e-5)


def test_the_gram_matrix_of_a_linear_layer_holds_the_constant() -> None:
    x = normal(50, 6)
    rows = torch.cat([x, torch.ones(50, 1)], 1)
    torch.testing.assert_close(DENSE.gram([(x, 1.0)]).float(), rows.T @ rows)


def test_least_squares_finds_the_weights_that_are_missing() -> None:
    x, missing, sums = normal(500, 6), normal(3, 6), normal(500, 3)
    wanted = sums + x @ missing.T + 2.0
    cuts = (slice(0, 100), slice(100, 500))
    parts = [Part(x[rows], sums[rows], wanted[rows]) for rows in cuts]
    weights, bias = LeastSquares(ridge=1e-6, rounds=1).solve(DENSE, parts, upper=None)
    assert np.allclose(weights.numpy(), missing, atol=1e-4)
    assert np.allclose(bias.numpy(), 2.0, atol=1e-4)


def test_a_convolution_is_fitted_as_a_linear_layer_of_its_unfolded_inputs() -> None:
    """Rounds after the first take the present change of the weights into account."""
    layer, x = LayerProducts(EVEN, KERNELS[EVEN]), normal(20, 3, 5, 5)
    sums, wanted = normal(20, 4, 5, 5), normal(20, 4, 5, 5)
    rows = unfolded(EVEN, x, KERNELS[EVEN]).flatten(0, 1).float()
    flat = Part(rows, *(y.movedim(1, -1).reshape(-1, 4) for y in (sums, wanted)))
    fit, upper = LeastSquares(ridge=0.01, rounds=3), torch.tensor([torch.inf, 1.0, 0.5, torch.inf])
    found = fit.solve(layer, [Part(x, sums, wanted)], upper)
    expected = fit.solve(LayerProducts(DENSE.op, rows.shape[1:]), [flat], upper)
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5)
    once = LeastSquares(ridge=0.01, rounds=1).solve(layer, [Part(x, sums, wanted)], upper)
    assert float((once[0] - found[0]).abs().max()) > 1e-3


def test_a_part_of_weight_three_counts_as_three_parts() -> None:
    x, sums, wanted = normal(40, 6), normal(40, 4), normal(40, 4)
    fit = LeastSquares(ridge=0.01, rounds=3)
    one, other = (Part(x[rows], sums[rows], wanted[rows]) for rows in (slice(30), slice(30, 40)))
    upper = torch.full((4,), torch.inf)
    found = fit.solve(DENSE, [one, replace(other, weight=3.0)], upper)
    repeated = fit.solve(DENSE, [one, other, other, other], upper)
    for value, expected in zip(found, repeated, strict=True):
        torch.testing.assert_close(value, expected, rtol=1e-4, atol=1e-6)


def test_what_the_relu_cuts_off_is_no_error() -> None:
    wanted = torch.tensor([[-5.0], [-1.0], [2.0]])
    part = Part(torch.eye(3), torch.tensor([[-1.0], [-3.0], [2.0]]), wanted)
    layer = LayerProducts(DENSE.op, (3,))
    fit = LeastSquares(ridge=1e-3, rounds=3)
    weights, bias = fit.solve(layer, [part], torch.tensor([torch.inf]))
    assert float(weights.abs().max()) == float(bias.abs().max()) == 0


def test_what_a_bound_cuts_off_is_no_error() -> None:
    wanted = torch.tensor([[7.0], [9.0], [2.0]])
    part = Part(torch.eye(3), torch.tensor([[8.0], [6.5], [2.0]]), wanted)
    layer, fit = LayerProducts(DENSE.op, (3,)), LeastSquares(ridge=1e-3, rounds=3)
    weights, bias = fit.solve(layer, [part], torch.tensor([6.0]))
    assert float(weights.abs().max()) == float(bias.abs().max()) == 0
    weights, _ = fit.solve(layer, [part], torch.tensor([torch.inf]))
    assert float(weights.abs().max()) > 0.1


def test_weights_that_are_not_there_stay_zero() -> None:
    x, sums, wanted = (normal(50, n) for n in (6, 3, 3))
    kept = torch.rand(3, 6, generator=GENERATOR) < 0.5
    fit = LeastSquares(ridge=0.01, rounds=1)
    change, bias = fit.solve(DENSE, [Part(x, sums, wanted)], None, kept)
    assert not change[~kept].any()
    strength = 0.01 * float((x.double().square().mean(0)).mean())
    for output in range(3):
        a = torch.cat([x[:, kept[output]], torch.ones(50, 1)], 1).double()
        penalty = torch.eye(a.shape[1], dtype=torch.float64) * strength
        penalty[-1, -1] = 0
        target = (wanted - sums)[:, output].double()
        expected = torch.linalg.solve(a.T @ a / 50 + penalty, a.T @ target / 50)
        torch.testing.assert_close(
            change[output][kept[output]], expected[:-1], atol=1e-6, rtol=1e-5
        )
        torch.testing.assert_close(bias[output], expected[-1], atol=1e-6, rtol=1e-5)
