"""The fused population against a plain loop that autograd differentiates."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from typing import Any

import pytest
import torch
from torch import Tensor

from snnc.errors import UsageError
from snnc.interp import Population
from snnc.ir import AnyNeuron, Neuron, TwoSidedNeuron
from snnc.training import SURROGATES, Stdb, TimedSurrogate, find_surrogate
from snnc.training.scan import scan
from snnc.training.surrogate import AnySurrogate

T, N, SHAPE = 6, 5, (3, 2, 2)
OPS: dict[str, AnyNeuron] = {
    "subtract": Neuron(),
    "zero": Neuron(reset="zero"),
    "wait": Neuron(wait=2),
    "wait T zero": Neuron(wait=T, reset="zero"),
    "signed": Neuron(signed=True),
    "signed wait": Neuron(signed=True, wait=1),
    "second": Neuron(order="fire-integrate"),
    "second zero": Neuron(order="fire-integrate", reset="zero"),
    "second wait": Neuron(order="fire-integrate", wait=2),
    "second signed": Neuron(order="fire-integrate", signed=True),
    "two-sided": TwoSidedNeuron(),
    "two-sided wait": TwoSidedNeuron(wait=2),
    "rounds": TwoSidedNeuron(rounds=True),
    "rounds wait": TwoSidedNeuron(rounds=True, wait=2),
}


class Spike(torch.autograd.Function):
    """`fired`, with the slope given."""

    @staticmethod
    def forward(ctx: Any, z: Tensor, fired: Tensor, slope: Tensor) -> Tensor:
        ctx.save_for_backward(slope)
        return fired

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        return grads[0] * ctx.saved_tensors[0], None, None


@dataclass
class Loop:
    """One population, step after step, as the equations stand in the documentation."""

    op: AnyNeuron
    surrogate: AnySurrogate

    def slope(self, z: Tensor, steps: Tensor) -> Tensor:
        if isinstance(self.surrogate, TimedSurrogate):
            return self.surrogate.gradient_since(z, steps)
        return self.surrogate.gradient(z)

    def fire(self, p: Tensor, v: Tensor, total: Tensor, steps: Tensor) -> Tensor:
        level = 0.5 if isinstance(self.op, TwoSidedNeuron) and self.op.rounds else 1.0
        z = p / v - level
        fired = Spike.apply(z, (p > level * v).to(p.dtype), self.slope(z, steps).detach())
        if not self.op.signed:
            return fired
        if isinstance(self.op, TwoSidedNeuron):
            z, below = -p / v - level, p < -level * v
            return fired - Spike.apply(z, below.to(p.dtype), self.slope(z, steps).detach())
        z = -p / v
        back = Spike.apply(z, (p < 0).to(p.dtype), self.slope(z, steps).detach())
        return fired - (total > 0) * back

    def run(self, current: Tensor, v: Tensor, leak: Tensor, v_init: Tensor) -> Tensor:
        u = torch.zeros_like(current[0]) + v_init
        total, out = torch.zeros_like(u), []
        silent = getattr(self.surrogate, "silent", 0.0)
        steps = torch.full_like(u, silent)
        for t in range(T + self.op.wait):
            drive = current[t if len(current) > 1 else 0] if t < T else 0
            first = self.op.order == "integrate-fire"
            p = leak * u + drive if first else u
            h = torch.zeros_like(p)
            if t >= self.op.wait:
                s = self.fire(p, v, total, steps)
                out.append(s)
                h = s.detach()
                total = total + h
            steps = torch.where(h != 0, 1.0, steps + 1)
            if self.op.reset == "zero":
                u = p * (1 - h) if first else leak * p * (1 - h) + drive
            else:
                u = p - v * h if first else leak * p - v * h + drive
        return torch.stack(out)


def tensors(dtype: torch.dtype = torch.float64, *, constant: bool = False) -> tuple[Tensor, ...]:
    """Current, threshold (C, 1, 1), leak () and v_init (full), all learning."""
    generator = torch.Generator().manual_seed(1)

    def draw(low: float, high: float, *shape: int) -> Tensor:
        value = torch.rand(shape, generator=generator, dtype=torch.float64)
        return (low + (high - low) * value).to(dtype).requires_grad_()

    steps = 1 if constant else T
    return (
        draw(-0.6, 1.4, steps, N, *SHAPE), draw(0.5, 1.1, SHAPE[0], 1, 1), draw(0.8, 0.95),
        draw(-0.3, 0.6, *SHAPE),
    )  # fmt: skip


def gradients(run: Callable[..., Tensor], inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    spikes = run(*inputs)
    weights = torch.randn(
        spikes.shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64
    )
    return (spikes.detach(), *torch.autograd.grad((spikes * weights).sum(), inputs))


@pytest.mark.parametrize("options", OPS)
@pytest.mark.parametrize("surrogate", SURROGATES)
def test_equals_autograd_of_a_plain_loop(surrogate: str, options: str) -> None:
    found = Stdb(silent=3.0, beta=0.3) if surrogate == "stdb" else find_surrogate(surrogate)
    op = OPS[options]
    for constant in (False, True):
        inputs = tensors(constant=constant)
        naive = gradients(Loop(op, found).run, inputs)

        def fused(current: Tensor, v: Tensor, leak: Tensor, v_init: Tensor) -> Tensor:
            return scan(Population(op, v, leak, v_init), current, T, found)

        for ours, theirs in zip(gradients(fused, inputs), naive, strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)
        assert 0.05 < float(naive[0].abs().mean()) < 0.95
        assert all(grad.abs().sum() > 0 for grad in naive[1:])


def test_a_batch_in_parts_and_frozen_parameters(monkeypatch: pytest.MonkeyPatch) -> None:
    current, v, leak, v_init = tensors()
    op, surrogate = Neuron(wait=1), find_surrogate("linear")
    whole = gradients(lambda *x: scan(Population(op, *x), current, T, surrogate), (v, leak, v_init))
    monkeypatch.setattr("snnc.interp.stateful.STATE_VALUES", 25)
    split = gradients(lambda *x: scan(Population(op, *x), current, T, surrogate), (v, leak, v_init))
    for ours, theirs in zip(split, whole, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)
    for frozen in product((False, True), repeat=3):
        kept = [
            x.detach() if hold else x for x, hold in zip((v, leak, v_init), frozen, strict=True)
        ]
        (alone,) = gradients(
            lambda x, kept=kept: scan(Population(op, *kept), x, T, surrogate), (current,)
        )[1:]
        torch.testing.assert_close(
            alone, gradients(Loop(op, surrogate).run, tensors())[1], rtol=1e-12, atol=1e-12
        )


def saved_bytes(run: Callable[[], Tensor]) -> int:
    """Memory that autograd holds between forward and backward, beside what goes in."""
    held: dict[int, int] = {}

    def pack(x: Tensor) -> Tensor:
        held[x.untyped_storage().data_ptr()] = x.untyped_storage().nbytes()
        return x

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda x: x):
        out = run()
    assert out.requires_grad
    return sum(held.values())


def test_only_potentials_are_kept() -> None:
    inputs = tensors(torch.float32)
    surrogate = find_surrogate("linear")
    full = inputs[0].numel() * 4
    small = sum(x.numel() for x in inputs[1:]) * 4
    population = Population(Neuron(), *inputs[1:])
    assert saved_bytes(lambda: scan(population, inputs[0], T, surrogate)) == full + small
    assert saved_bytes(lambda: Loop(Neuron(), surrogate).run(*inputs)) > 3 * full


def test_without_gradient_nothing_is_kept() -> None:
    inputs = tensors()
    population = Population(Neuron(), *inputs[1:])
    with torch.no_grad():
        plain = scan(population, inputs[0], T, find_surrogate("linear"))
    assert not plain.requires_grad
    assert not scan(population, inputs[0], T, None).requires_grad
    assert torch.equal(plain, scan(population, inputs[0], T, find_surrogate("atan")))


def test_the_order_in_memory_is_kept() -> None:
    current, v, leak, v_init = tensors()
    last = current.detach().permute(0, 1, 3, 4, 2).contiguous().permute(0, 1, 4, 2, 3)
    last.requires_grad_()
    surrogate = find_surrogate("linear")
    spikes = scan(Population(Neuron(), v, leak, v_init), last, T, surrogate)
    assert spikes.stride() == last.stride() != current.stride()
    weights = torch.rand(spikes.shape, generator=torch.Generator().manual_seed(0))
    (grad,) = torch.autograd.grad((spikes * weights).sum(), last, retain_graph=True)
    assert grad.stride() == last.stride()
    other = scan(Population(Neuron(), v, leak, v_init), current, T, surrogate)
    assert torch.equal(spikes, other)
    torch.testing.assert_close(grad, torch.autograd.grad((other * weights).sum(), current)[0])


def test_a_rounded_current_has_a_state_that_is_not() -> None:
    inputs = tensors(torch.float32)
    rounded = inputs[0].detach().bfloat16().requires_grad_()
    population = Population(Neuron(), *inputs[1:])
    spikes = scan(population, rounded, T, find_surrogate("linear"))
    exact = scan(population, rounded.float(), T, find_surrogate("linear"))
    assert spikes.dtype == torch.bfloat16
    assert torch.equal(spikes.float(), exact)
    ours = torch.autograd.grad(spikes.sum(), (rounded, inputs[1]))
    theirs = torch.autograd.grad(exact.sum(), (rounded, inputs[1]))
    torch.testing.assert_close(ours, theirs, rtol=0.05, atol=0.05)


def test_a_gradient_passes_straight_through_the_rounding_of_a_leak() -> None:
    """Where leak * u is a whole number anyway, integers have the gradient of real values."""
    unit = 2.0**12
    current = torch.randint(-3, 7, (T, N, *SHAPE), dtype=torch.float64).mul_(unit).requires_grad_()
    v, leak, v_init = (torch.tensor(x, dtype=torch.float64) for x in (4 * unit, 0.5, 0.0))
    found = []
    for integer in (True, False):
        population = Population(Neuron(), v, leak, v_init, integer=integer)
        spikes = scan(population, current, T, find_surrogate("atan"))
        weights = torch.rand(spikes.shape, generator=torch.Generator().manual_seed(0)).double()
        found.append((spikes, torch.autograd.grad((spikes * weights).sum(), current)[0]))
    assert found[0][0].any() and torch.equal(found[0][0], found[1][0])
    assert found[0][1].any() and torch.equal(found[0][1], found[1][1])


@dataclass
class Recording:
    """A surrogate that keeps which samples it was fitted to."""

    rows: list[slice]

    def fitted(self, z: Tensor, rows: slice) -> Any:
        self.rows.append(rows)
        return find_surrogate("atan")


@pytest.mark.parametrize("op", [Neuron(), Neuron(signed=True), TwoSidedNeuron()], ids=str)
def test_a_surrogate_is_fitted_once_to_every_part_of_a_batch(
    op: AnyNeuron, monkeypatch: pytest.MonkeyPatch
) -> None:
    current, v, leak, v_init = tensors()
    expected = gradients(
        lambda *x: scan(Population(op, *x[1:]), x[0], T, find_surrogate("atan")),
        (current, v, leak, v_init),
    )
    monkeypatch.setattr("snnc.interp.stateful.STATE_VALUES", 1)
    surrogate = Recording([])
    found = gradients(
        lambda *x: scan(Population(op, *x[1:]), x[0], T, surrogate), (current, v, leak, v_init)
    )
    assert surrogate.rows == [slice(i, i + 1) for i in range(N)]
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("wrong", ["relu", 3, object(), Stdb])
def test_what_is_no_surrogate(wrong: Any) -> None:
    with pytest.raises(UsageError, match="no surrogate gradient"):
        find_surrogate(wrong)
