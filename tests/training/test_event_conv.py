"""Convolutions of spike trains by events against torch's convolution."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from snnc.ir import Conv, Ref
from snnc.native.code import Machine
from snnc.native.jit import Host, assembly, largest
from snnc.training import event_conv
from snnc.training.event_conv import EventConv, has_event_code
from snnc.training.event_conv_code import EventConvSpec, text
from snnc.training.packed_spikes import packed

T = 11


def conv(**options: Any) -> Conv:
    return Conv(**{"weight": Ref("w"), "padding": ((1, 1), (1, 1)), **options})


def trains(channels: int, image: tuple[int, int], density: float = 0.3) -> Tensor:
    """(T, 3, channels, *image) spikes in channels_last."""
    generator = torch.Generator().manual_seed(channels)
    spikes = (torch.rand(T, 3, *image, channels, generator=generator) < density).float()
    return spikes.movedim(-1, 2)


def parameters(before: int, after: int, kernel: tuple[int, int]) -> tuple[Tensor, Tensor, Tensor]:
    """Weights, biases and values of spikes."""
    generator = torch.Generator().manual_seed(before)
    shape = (after, before, *kernel)
    weight, bias = (torch.randn(size, generator=generator) for size in (shape, (after,)))
    return weight, bias, torch.rand(before, generator=generator) + 0.5


def by_torch(op: Conv, weight: Tensor, bias: Tensor, spikes: Tensor, gain: Tensor) -> Tensor:
    x = (spikes * gain.reshape(-1, 1, 1)).flatten(0, 1)
    x = F.pad(x, [n for pair in reversed(op.padding) for n in pair])
    y = F.conv2d(x.double(), weight.double(), bias.double(), op.stride, 0, op.dilation)
    return y.reshape(len(spikes), -1, *y.shape[1:]).float()


@pytest.mark.parametrize(
    ("op", "before", "after", "kernel"),
    [
        (conv(), 64, 64, (3, 3)),
        (conv(stride=(2, 1)), 3, 128, (3, 3)),
        (conv(padding=((0, 2), (3, 0)), dilation=(1, 2)), 70, 48, (2, 3)),
        (conv(padding=((0, 0), (0, 0))), 130, 16, (1, 1)),
        (conv(padding=((4, 4), (4, 4))), 8, 256, (5, 4)),
    ],
)
def test_sums_are_those_of_the_convolution(
    op: Conv, before: int, after: int, kernel: tuple[int, int]
) -> None:
    spikes, (weight, bias, gain) = trains(before, (6, 7)), parameters(before, after, kernel)
    assert has_event_code(op, weight)
    layer, bits = EventConv.of(op, weight, bias, gain), packed(spikes)
    wanted = by_torch(op, weight, bias, spikes, gain)
    found = layer(bits, range(T))
    assert found.shape == wanted.shape and found[0].is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(found, wanted, rtol=0, atol=2e-6 * float(wanted.abs().max()))
    assert torch.equal(layer(bits[:, 1:], range(5, 10)), found[5:10, 1:])
    assert torch.equal(layer(bits.contiguous(), range(T)), found)


def test_spikes_are_summed_over_windows_before() -> None:
    spikes, (weight, bias, gain) = trains(70, (6, 4)), parameters(70, 32, (3, 3))
    layer = EventConv.of(conv(), weight, bias, gain, (3, 2))
    pooled = F.avg_pool2d(spikes.flatten(0, 1), (3, 2), divisor_override=1)
    counts = pooled.reshape(T, 3, *pooled.shape[1:])
    wanted = by_torch(conv(), weight, bias, counts, gain)
    found = layer(packed(spikes), range(T))
    torch.testing.assert_close(found, wanted, rtol=0, atol=2e-6 * float(wanted.abs().max()))


def test_neither_a_bias_nor_a_gain_of_its_own_is_needed() -> None:
    spikes, (weight, _, _) = trains(5, (3, 3)), parameters(5, 16, (3, 3))
    found = EventConv.of(conv(), weight, None, torch.tensor(2.0))(packed(spikes), range(T))
    wanted = by_torch(conv(), weight, torch.zeros(16), spikes, torch.full((5,), 2.0))
    torch.testing.assert_close(found, wanted, rtol=0, atol=2e-6 * float(wanted.abs().max()))


def test_other_convolutions_have_no_code() -> None:
    weight = torch.zeros(16, 4, 3, 3)
    assert not has_event_code(conv(groups=2), weight)
    assert not has_event_code(conv(), torch.zeros(10, 4, 3, 3))
    assert not has_event_code(conv(), weight.double())
    flat = Conv(weight=Ref("w"), stride=(1,), padding=((1, 1),), dilation=(1,))
    assert not has_event_code(flat, torch.zeros(16, 4, 3))


def test_any_number_of_threads_gives_the_same_bytes() -> None:
    spikes, (weight, bias, gain) = trains(64, (6, 7)), parameters(64, 128, (3, 3))
    layer, bits, before = EventConv.of(conv(), weight, bias, gain), packed(spikes), None
    threads = torch.get_num_threads()
    try:
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            found = layer(bits, range(T))
            assert before is None or torch.equal(found, before)
            before = found
    finally:
        torch.set_num_threads(threads)


@pytest.mark.parametrize("block", [16, 32])
def test_every_width_of_vector_gives_the_same(block: int, monkeypatch: Any) -> None:
    spikes, (weight, bias, gain) = trains(70, (5, 4)), parameters(70, 128, (3, 3))
    wanted = EventConv.of(conv(), weight, bias, gain)(packed(spikes), range(T))
    narrow = Machine(block=block)
    monkeypatch.setattr(Host, "machine", narrow)
    event_conv._library.cache_clear()
    event_conv._function.cache_clear()
    try:
        assert torch.equal(
            EventConv.of(conv(), weight, bias, gain)(packed(spikes), range(T)), wanted
        )
    finally:
        event_conv._library.cache_clear()
        event_conv._function.cache_clear()


@pytest.mark.parametrize(("level", "register"), [("avx2", "ymm"), ("avx512", "zmm")])
def test_sums_are_held_in_registers(level: str, register: str) -> None:
    target = largest(level)
    spec = EventConvSpec((3, 3), (1, 1), (1, 1), 2 * target.machine.block)
    code = assembly(text(spec, target.machine), target)
    added = [line for line in code.splitlines() if "vaddps" in line and f"%{register}" in line]
    assert len(added) >= 8 and all("(" in line for line in added)
