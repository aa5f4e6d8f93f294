"""Convolutions of spike trains in calibration: torch's against those by events.

    python -m benchmarks.conversion.event_convolutions

The layers of VGG16 for CIFAR-10, with random spikes of 8 steps and one thread: milliseconds of the
processor, the least of `--runs`, and how many times as fast events are.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F

from snnc.ir import Conv, Ref
from snnc.training.event_conv import EventConv
from snnc.training.packed_spikes import packed

STEPS = 8
DENSITIES = (0.05, 0.15, 0.3)
LAYERS = ((64, 32, 4), (128, 16, 8), (256, 8, 16), (512, 4, 32), (512, 2, 64))
"""Channels, side of the image, and samples that calibration computes together."""


def least(runs: int, run: Callable[[], object]) -> float:
    """Milliseconds of the processor."""
    times: list[float] = []
    for _ in range(runs):
        start = time.thread_time()
        run()
        times.append(time.thread_time() - start)
    return 1e3 * min(times)


def row(channels: int, side: int, samples: int, runs: int) -> str:
    """One layer in Markdown."""
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(channels, channels, 3, 3, generator=generator)
    op = Conv(weight=Ref("weight"), padding=((1, 1), (1, 1)))
    layer = EventConv.of(op, weight, None, torch.ones(()))
    shape = (STEPS, samples, side, side, channels)
    cells = [f"{channels} x {side} x {side}", str(samples)]
    for density in DENSITIES:
        spikes = (torch.rand(shape, generator=generator) < density).float().movedim(-1, 2)
        images, bits = spikes.flatten(0, 1), packed(spikes)
        dense = least(runs, lambda images=images: F.conv2d(images, weight, padding=1))
        events = least(runs, lambda bits=bits: layer(bits, range(STEPS)))
        cells.append(f"{dense:.1f} / {events:.1f} = {dense / events:.1f}")
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--runs", type=int, default=5, help="of which the least counts")
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(f"| layer | samples | {' | '.join(f'{d:.0%} of spikes' for d in DENSITIES)} |")
    print("|---|---:|---:|---:|---:|")
    for layer in LAYERS:
        print(row(*layer, options.runs), flush=True)


if __name__ == "__main__":
    main()
