"""Ops by torch's own layers, held against the plain ones."""

import pytest
import torch

from snnc.interp import evaluate
from snnc.ir import Conv, Ref, Slice, SumPool
from snnc.training.fast_ops import FAST


def no_parameter(value: Ref | float) -> torch.Tensor:
    raise AssertionError(f"asked for {value}")


TILES = (((0, 2), (2, 4), (4, 6)), ((0, 3), (3, 6)))
WINDOWS = {
    "tiles": TILES,
    "whole": (((0, 6),), ((0, 6),)),
    "one axis": (((0, 6),), ((0, 1), (1, 2), (2, 3), (3, 4), (4, 5), (5, 6))),
    "overlapping": (((0, 4), (2, 6)), ((0, 2), (1, 3), (2, 4), (3, 5), (4, 6))),
    "gaps": (((0, 2), (3, 5)), ((0, 2), (2, 4), (4, 6))),
    "rows are left over": (((0, 2), (2, 4)), ((0, 3), (3, 6))),
    "clipped": (((0, 1), (1, 3), (3, 5), (5, 6)), ((0, 3), (3, 6))),
    "uneven": (((0, 2), (2, 6)), ((0, 3), (3, 6))),
    "shifted": (((1, 3), (3, 5)), ((0, 3), (3, 6))),
}


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("name", WINDOWS)
def test_pooling_in_float32_is_that_in_float64(name: str, last: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randint(0, 9, (4, 5, 6, 6), generator=generator).float()
    x = x.to(memory_format=torch.channels_last) if last else x
    op, found = SumPool(windows=WINDOWS[name]), []
    weights = torch.randint(-9, 9, (4, 5, 6, 6), generator=generator)
    for dtype in (torch.float32, torch.float64, torch.bfloat16):
        meaning = None if dtype == torch.float64 else FAST[SumPool]
        given_in = x.to(dtype).requires_grad_()
        y = evaluate(op, [given_in], 3, no_parameter, meaning)
        factors = weights[:, :, : y.shape[2], : y.shape[3]].to(dtype)
        (grad,) = torch.autograd.grad((y * factors).sum(), given_in)
        if dtype != torch.float64 and name in ("tiles", "whole", "one axis"):
            assert grad.stride() == given_in.stride()
        found.append((y.detach().double(), grad.double()))
    for y, grad in found:
        assert torch.equal(y, found[1][0]) and torch.equal(grad, found[1][1])


@pytest.mark.parametrize("step", [1, 2, -1, -2])
def test_slices_of_both_directions(step: int) -> None:
    x = torch.rand(4, 3, 5, 6, generator=torch.Generator().manual_seed(0))
    first, last = (0, 5) if step > 0 else (4, -1)
    op = Slice(starts=(1, first, 0), stops=(3, last, 6), steps=(1, step, 1))
    assert torch.equal(
        evaluate(op, [x], 3, no_parameter, FAST[Slice]), evaluate(op, [x], 3, no_parameter)
    )


@pytest.mark.parametrize("shape", [(), (3,), (3, 4, 4), (3, 1, 1)])
def test_a_bias_of_any_shape_in_both_precisions(shape: tuple[int, ...]) -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(2, 2, 4, 4, generator=generator)
    params = {
        "w": torch.rand(3, 2, 3, 3, generator=generator),
        "b": torch.rand(shape, generator=generator),
    }
    op = Conv(weight=Ref("w"), bias=Ref("b"), stride=(1, 1), padding=((1, 1), (1, 1)))
    single = evaluate(op, [x], 3, lambda ref: params[ref.name], FAST[Conv])
    exact = evaluate(op, [x.double()], 3, lambda ref: params[ref.name].double())
    torch.testing.assert_close(single, exact.float())
