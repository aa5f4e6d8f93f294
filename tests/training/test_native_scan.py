"""The scan in machine code against the scan in torch: the same spikes, the same gradients."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import Tensor

from snnc.interp import Population
from snnc.ir import Neuron
from snnc.native.code import Machine
from snnc.training import SURROGATES, PiecewiseLinear, Stdb, find_surrogate
from snnc.training import native_scan as native
from snnc.training.native_scan import has_code, native_scan
from snnc.training.scan import _Scan, scan
from snnc.training.surrogate import AnySurrogate
from snnc.training.surrogate_code import SLOPES

SURROGATE_OPTIONS: dict[str, AnySurrogate] = {
    "linear": PiecewiseLinear(gamma=0.7, width=0.8),
    "stdb": Stdb(silent=3.0, beta=0.3),
}


def surrogate_called(name: str) -> AnySurrogate:
    return SURROGATE_OPTIONS.get(name) or find_surrogate(name)


def draw(generator: torch.Generator, low: float, high: float, *shape: int) -> Tensor:
    return low + (high - low) * torch.rand(shape, generator=generator)


def laid(x: Tensor, last: bool) -> Tensor:
    """(T, N, C, H, W), of which C may lie last in memory."""
    if not last or x.ndim < 5:
        return x
    return x.movedim(2, -1).contiguous().movedim(-1, 2)


def gradients(
    spikes: Tensor, inputs: list[Tensor], seed: int, last: bool = False
) -> tuple[Tensor, ...]:
    weights = torch.randn(spikes.shape, generator=torch.Generator().manual_seed(seed))
    given_back = laid(weights, last).to(spikes.dtype)
    return torch.autograd.grad((spikes * given_back).sum(), inputs)


@settings(max_examples=60)
@example(0, "linear", "zero", (4, 3, 3), 5, 3, True, False, True, ("channel",) * 3)
@example(1, "atan", "subtract", (16, 20, 20), 3, 4, True, True, True, ("number", "none", "full"))
@given(
    st.integers(0, 1000),
    st.sampled_from(sorted(SLOPES)),
    st.sampled_from(["subtract", "zero"]),
    st.sampled_from([(1,), (37,), (64,), (3, 5, 7), (16, 4, 4), (1, 9, 9), (6, 11)]),
    st.integers(1, 6),
    st.integers(1, 5),
    st.booleans(),
    st.booleans(),
    st.booleans(),
    st.tuples(
        st.sampled_from(["number", "channel", "full"]),
        st.sampled_from(["none", "number", "channel", "full"]),
        st.sampled_from(["number", "channel", "full"]),
    ),
)
def test_equals_the_scan_in_torch(
    seed: int,
    name: str,
    reset: Any,
    shape: tuple[int, ...],
    timesteps: int,
    batch: int,
    constant: bool,
    rounded: bool,
    last: bool,
    kinds: tuple[str, str, str],
) -> None:
    generator = torch.Generator().manual_seed(seed)
    dtype = torch.bfloat16 if rounded else torch.float32
    shapes = {"number": (), "channel": (shape[0], *(1,) * (len(shape) - 1)), "full": shape}
    current = laid(draw(generator, -0.6, 1.4, 1 if constant else timesteps, batch, *shape), last)
    current = current.to(dtype).requires_grad_()
    threshold, leak, v_init = (
        None if kind == "none" else draw(generator, *span, *shapes[kind]).requires_grad_()
        for kind, span in zip(kinds, ((0.5, 1.1), (0.8, 0.95), (-0.3, 0.6)), strict=True)
    )
    assert threshold is not None and v_init is not None
    population = Population(Neuron(reset=reset), threshold, leak, v_init)
    surrogate = surrogate_called(name)
    inputs = [x for x in (current, threshold, leak, v_init) if x is not None]

    assert has_code(population, current, surrogate)
    ours = native_scan(population, current, timesteps, surrogate)
    exact = current.float()  # the membrane is float32, and so are all gradients but the current's
    theirs = _Scan.apply(exact, threshold, leak, v_init, population, surrogate, timesteps)
    assert ours.dtype == dtype
    assert torch.equal(ours.float(), theirs)  # type: ignore[arg-type]
    assert torch.equal(ours, native_scan(population, current, timesteps, None))

    found = gradients(ours, inputs, seed, last)
    weights = torch.randn(ours.shape, generator=torch.Generator().manual_seed(seed)).to(dtype)
    expected = torch.autograd.grad((theirs * weights.float()).sum(), inputs)  # type: ignore[operator]
    for x, a, b in zip(inputs, found, expected, strict=True):
        assert a.shape == x.shape and a.dtype == x.dtype
        tolerance = 0.01 if rounded and x is current else 1e-4
        scale = float(b.abs().max()) + timesteps * batch**0.5
        torch.testing.assert_close(a / scale, b / scale, rtol=0, atol=tolerance)
    if current.numel() > 1:
        assert found[0].stride() == current.stride()


def network_like(*, learn: bool = True) -> tuple[Population, Tensor]:
    generator = torch.Generator().manual_seed(3)
    current = draw(generator, -0.6, 1.4, 4, 40, 16, 9, 9).requires_grad_()
    threshold, leak = (
        x.requires_grad_(learn) for x in (torch.tensor(0.9), draw(generator, 0.8, 0.95, 16, 1, 1))
    )
    return Population(Neuron(), threshold, leak, torch.tensor(0.1)), current


@pytest.mark.parametrize("rounded", [False, True])
def test_gradients_do_not_depend_on_the_threads(rounded: bool) -> None:
    population, current = network_like()
    assert population.leak is not None
    inputs = [current, population.threshold, population.leak]
    given_in = current.bfloat16() if rounded else current
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            spikes = native_scan(population, given_in, 4, find_surrogate("linear"))
            found.append((spikes.detach(), *gradients(spikes, inputs, 0)))
    finally:
        torch.set_num_threads(before)
    for other in found[1:]:
        assert all(torch.equal(a, b) for a, b in zip(found[0], other, strict=True))


def test_a_second_way_back_gives_the_same() -> None:
    population, current = network_like()
    spikes = native_scan(population, current, 4, find_surrogate("linear"))
    first, second = (
        torch.autograd.grad(spikes.sum(), (current, population.threshold), retain_graph=True)
        for _ in range(2)
    )
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    with torch.no_grad():
        current.mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        spikes.sum().backward()


def test_a_gradient_of_another_layout_and_one_that_is_expanded() -> None:
    population, current = network_like(learn=False)
    inputs = [current]
    surrogate = find_surrogate("linear")
    spikes = native_scan(population, current, 4, surrogate)
    other = gradients(native_scan(population, laid(current, True), 4, surrogate), inputs, 0)
    torch.testing.assert_close(gradients(spikes, inputs, 0), other)
    spikes = native_scan(population, current, 4, surrogate)
    (expanded,) = torch.autograd.grad(spikes.sum(), inputs, retain_graph=True)
    (full,) = torch.autograd.grad((spikes * torch.ones_like(spikes)).sum(), inputs)
    assert torch.equal(expanded, full)


def test_a_current_that_is_not_dense() -> None:
    population, current = network_like(learn=False)
    surrogate = find_surrogate("linear")
    part = current[:, ::2, :, :, 1:]
    ours = native_scan(population, part, 4, surrogate)
    assert torch.equal(ours, native_scan(population, part.contiguous(), 4, surrogate))
    assert torch.autograd.grad(ours.sum(), current)[0].abs().sum() > 0
    same = current[:, :1].detach().expand(-1, 40, -1, -1, -1)
    assert torch.equal(native_scan(population, same, 4, None), population.run(same, 4))


def test_nothing_is_kept_but_the_current() -> None:
    population, current = network_like()
    held: dict[int, int] = {}

    def pack(x: Tensor) -> Tensor:
        held[x.untyped_storage().data_ptr()] = x.untyped_storage().nbytes()
        return x

    constant = current[:1]
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda x: x):
        native_scan(population, constant.clone(), 100, find_surrogate("atan"))
    assert sum(held.values()) == constant.numel() * 4 + (1 + 16 + 1) * 4


def test_the_scan_takes_machine_code_where_there_is_some(monkeypatch: pytest.MonkeyPatch) -> None:
    population, current = network_like()
    calls: list[int] = []
    real = native.native_scan

    def counted(*arguments: Any) -> Tensor:
        calls.append(1)
        return real(*arguments)

    monkeypatch.setattr(native, "native_scan", counted)
    spikes = scan(population, current, 4, find_surrogate("linear"))
    with torch.no_grad():
        assert torch.equal(scan(population, current, 4, None), spikes)
    assert len(calls) == 2
    other = scan(replace(population, op=Neuron(wait=1)), current, 4, find_surrogate("linear"))
    scan(population, current, 4, find_surrogate("sigmoid"))
    assert len(calls) == 2 and other.requires_grad


@pytest.mark.parametrize(
    "op", [Neuron(wait=1), Neuron(signed=True), Neuron(order="fire-integrate")]
)
def test_what_has_no_code(op: Neuron) -> None:
    population, current = network_like()
    surrogate = find_surrogate("linear")
    assert has_code(population, current, surrogate)
    assert not has_code(replace(population, op=op), current, surrogate)
    assert not has_code(population, current.double(), surrogate)
    assert not has_code(replace(population, threshold=torch.tensor(1.0).double()), current, None)
    assert not has_code(population, current[:, :0], surrogate)

    class Own(PiecewiseLinear):
        def gradient(self, z: Tensor) -> Tensor:
            return torch.ones_like(z)

    assert not has_code(population, current, Own())
    assert {name for name in SURROGATES if has_code(population, current, find_surrogate(name))} == (
        set(SURROGATES) - {"sigmoid", "exponential"}
    )


def _forget() -> None:
    native._function.cache_clear()
    native._library.cache_clear()


@pytest.mark.parametrize("block", [16, 32, 64])
def test_every_width_of_vector_gives_the_same(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    population, current = network_like()
    assert population.leak is not None
    inputs = [current, population.threshold, population.leak]

    def run() -> tuple[Tensor, ...]:
        spikes = native_scan(population, current, 4, find_surrogate("stdb"))
        return spikes.detach(), *gradients(spikes, inputs, 0)

    expected = run()
    _forget()
    monkeypatch.setattr(native, "_lanes", lambda: block)
    real = native.text
    monkeypatch.setattr(native, "text", lambda spec, _: real(spec, Machine(block=block)))
    try:
        found = run()
    finally:
        _forget()
    assert torch.equal(found[0], expected[0])
    torch.testing.assert_close(found[1:], expected[1:])
