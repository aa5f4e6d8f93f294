"""Time and memory of one training step: snnc, snnTorch, SpikingJelly, Norse, four ANN steps.

One process measures all of them in turn, A B C A B C; a fresh process for each measures memory.
How to make the environment, and what was measured: benchmarks/README.md.

    python -m benchmarks.training.speed --out DIR
    python -m benchmarks.training.speed --train fashion-mnist:DIR
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.training.tools import NETS, PEERS, TOOLS, Net, Tool, ann, snnc_network

T = 4
PRECISIONS = ("fp32", "bf16")
LAYOUTS = ("contiguous", "channels_last")
PASSES, BATCH = "four ANN steps", "ANN, fourfold batch"
COMPARED = 4
"""Samples of which losses and gradients are compared."""
BARS = {
    ("vgg9", "fp32"): 1.2,
    ("vgg9", "bf16"): 1.6,
    ("small", "fp32"): 2.0,
    ("small", "bf16"): 2.0,
}


@dataclass(frozen=True)
class Trainer:
    """One training step of a tool: forward, loss, backward, SGD with momentum.

    Attributes:
        repeats: forward and backward passes on the same batch, whose gradients add up.
    """

    tool: Tool
    x: Tensor
    y: Tensor
    bf16: bool
    optimizer: torch.optim.Optimizer
    repeats: int = 1

    def loss(self) -> Tensor:
        """Cross entropy; the layers in bfloat16 under autocast if asked for."""
        with torch.autocast("cpu", torch.bfloat16, enabled=self.bf16):
            logits = self.tool.outputs(self.x)
        return F.cross_entropy(logits.float(), self.y)

    def step(self) -> None:
        """What is timed."""
        for _ in range(self.repeats):
            self.loss().backward()
        self.optimizer.step()
        self.optimizer.zero_grad()


def trainer(name: str, net: Net, precision: str, layout: str) -> Trainer:
    """A tool ready to train on one batch; PASSES and BATCH name the ANN."""
    x, y = net.data()
    tool = TOOLS[name](net, T) if name in TOOLS else ann(net, T)
    if name == BATCH:
        x, y = x.repeat(T, 1, 1, 1), y.repeat(T)
    if layout == "channels_last":
        tool.module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        x = x.to(memory_format=torch.channels_last)
    learning = [p for p in tool.module.parameters() if p.requires_grad]
    optimizer = torch.optim.SGD(learning, lr=1e-4, momentum=0.9)
    return Trainer(tool, x, y, precision == "bf16", optimizer, T if name == PASSES else 1)


CLOCKS: dict[str, Callable[[], float]] = {"wall": time.perf_counter, "cpu": time.process_time}


def interleaved(
    runs: dict[Any, Callable[[], None]], rounds: int, clock: Callable[[], float]
) -> dict[Any, list[float]]:
    """Milliseconds of every run, in rounds over all of them, behind one that does not count."""
    milliseconds: dict[Any, list[float]] = {key: [] for key in runs}
    for number in range(-1, rounds):
        for key, run in runs.items():
            start = clock()
            run()
            if number >= 0:
                milliseconds[key].append(1e3 * (clock() - start))
    return milliseconds


def times(
    net: Net, precision: str, rounds: int, trial: int, clock: Callable[[], float]
) -> dict[str, Any]:
    """By tool the times in its better layout, which `trial` rounds choose."""
    names = [*TOOLS, PASSES, BATCH]
    candidates = {
        (name, layout): trainer(name, net, precision, layout).step
        for name, layout in product(names, LAYOUTS)
    }
    trials = interleaved(candidates, trial, clock)
    chosen = {
        name: min(LAYOUTS, key=lambda layout, name=name: min(trials[name, layout]))
        for name in names
    }
    kept = {name: candidates[name, layout] for name, layout in chosen.items()}
    measured = interleaved(kept, rounds, clock)
    return {
        name: {
            "layout": chosen[name],
            "median": statistics.median(measured[name]),
            "least": min(measured[name]),
            "all": measured[name],
        }
        for name in names
    }


def ratios(measured: dict[str, Any], against: str) -> dict[str, float]:
    """Quotients of `against` by ours: of medians, of least times, and those of single rounds."""
    ours, theirs = measured["snnc"], measured[against]
    by_round = sorted(b / a for a, b in zip(ours["all"], theirs["all"], strict=True))
    return {
        "median": theirs["median"] / ours["median"],
        "least": theirs["least"] / ours["least"],
        "rounds_low": by_round[len(by_round) // 4],
        "rounds_median": statistics.median(by_round),
        "rounds_high": by_round[-1 - len(by_round) // 4],
    }


def agreement(net: Net) -> dict[str, Any]:
    """Loss and gradients of the first step against ours: float32, contiguous.

    Of few samples: among many a potential may equal the threshold (SpikingJelly fires there) or
    fall on its other side by rounding (in Norse), and every such spike moves the gradients.
    """
    differences: dict[str, Any] = {}
    ours: list[Tensor] = []
    for name in ("snnc", *PEERS):
        run = trainer(name, net, "fp32", "contiguous")
        run = replace(run, x=run.x[:COMPARED], y=run.y[:COMPARED])
        loss = run.loss()
        loss.backward()
        grads = run.tool.gradients()
        ours = ours or grads
        off = sum(float((a - b).square().sum()) for a, b in zip(ours, grads, strict=True))
        size = sum(float(a.square().sum()) for a in ours)
        differences[name] = {"loss": float(loss.detach()), "gradient_error": (off / size) ** 0.5}
    return differences


def spike_rates(net: Net) -> dict[str, float]:
    """By population, the fraction of neurons that fire in a step."""
    tool = snnc_network(net, T)
    with torch.no_grad(), tool.module.record() as spikes:  # type: ignore[operator]
        tool.outputs(net.data()[0])
    return {node: float(s.mean()) for node, s in spikes.items()}


def peak(name: str, net: Net, precision: str, layout: str) -> float:
    """MiB above the base that three steps need.

    The base is what is resident behind a step on two samples: libraries and their code, the
    network, its gradients, the optimiser and its state, the batch.
    """
    run = trainer(name, net, precision, layout)
    replace(run, x=run.x[:2], y=run.y[:2]).step()
    Path("/proc/self/clear_refs").write_text("5")  # the peak is now what is resident
    base = _memory("VmRSS")
    for _ in range(3):
        run.step()
    return (_memory("VmHWM") - base) / 1024


def _memory(field: str) -> int:
    match = re.search(rf"{field}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert match
    return int(match[1])


def peaks(net: str, precision: str, layouts: dict[str, str], threads: int) -> dict[str, float]:
    """`peak` of every tool, each in a process of its own."""
    mebibytes = {}
    for name, layout in layouts.items():
        command = [sys.executable, "-m", __spec__.name, "--threads", str(threads)]
        command += ["--peak", name, net, precision, layout]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        mebibytes[name] = float(done.stdout.split()[-1])
    return mebibytes


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """All figures."""
    results: dict[str, Any] = {
        "machine": f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores",
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "clock": arguments.clock,
    }
    for net, precision in product(arguments.nets, arguments.precisions):
        rounds = arguments.rounds * (4 if net == "small" else 1)
        measured = times(NETS[net], precision, rounds, arguments.trial, CLOCKS[arguments.clock])
        layouts = {name: result["layout"] for name, result in measured.items()}
        fastest = min(PEERS, key=lambda name: measured[name]["median"])
        faster = min((PASSES, BATCH), key=lambda name: measured[name]["median"])
        results[f"{net} {precision}"] = {
            "times": measured,
            "peaks": peaks(net, precision, layouts, torch.get_num_threads()),
            "fastest": fastest,
            "against_fastest": ratios(measured, fastest),
            "ann": faster,
            "against_ann": ratios(measured, faster),
        }
        print(table(net, precision, results[f"{net} {precision}"]), flush=True)
    for net in arguments.nets:
        results[f"{net} agreement"] = agreement(NETS[net])
        results[f"{net} rates"] = spike_rates(NETS[net])
        print(json.dumps(results[f"{net} agreement"], indent=1), flush=True)
    return results


def table(net: str, precision: str, figures: dict[str, Any]) -> str:
    """Markdown."""
    lines = [f"### {net}, {precision}", ""]
    lines += ["| tool | layout | median ms | least ms | peak MiB |", "|---|---|---:|---:|---:|"]
    for name, result in figures["times"].items():
        memory = figures["peaks"][name]
        median, least = f"{result['median']:.1f}", f"{result['least']:.1f}"
        row = (name, result["layout"], median, least, f"{memory:.0f}")
        lines.append(f"| {' | '.join(row)} |")
    ours, theirs = figures["peaks"]["snnc"], figures["peaks"][figures["fastest"]]
    fast, floor = figures["against_fastest"], figures["against_ann"]
    lines += [
        "",
        f"{figures['fastest']} takes {_spread(fast)} of our time (bar {BARS[net, precision]}); "
        f"our peak is {ours / theirs:.0%} of its (bar 70 %). "
        f"{figures['ann']}: {_spread(floor)} of our time (bar {1 / 1.05:.2f}).",
        "",
    ]
    return "\n".join(lines)


def _spread(ratio: dict[str, float]) -> str:
    middle = f"{ratio['rounds_low']:.2f} to {ratio['rounds_high']:.2f}"
    return f"{ratio['median']:.2f} (least {ratio['least']:.2f}, half of the rounds {middle})"


def train(source: str, epochs: int, seeds: int, samples: int) -> dict[str, float]:
    """Test accuracy of the small net after training in float32 and under autocast."""
    from snnc.data import open_data

    accuracies: dict[str, float] = {}
    for seed, precision in product(range(seeds), PRECISIONS):
        torch.manual_seed(seed)
        tool = snnc_network(NETS["small"], T)
        tool.module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        learning = [p for p in tool.module.parameters() if p.requires_grad]
        optimizer = torch.optim.Adam(learning, lr=1e-3)
        images, labels = next(iter(open_data(f"{source}#train", batch_size=samples)))
        x, y = torch.from_numpy(images), torch.from_numpy(labels)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
        for _ in range(epochs):
            for rows in torch.randperm(len(x)).split(64):
                with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
                    logits = tool.outputs(x[rows])
                optimizer.zero_grad()
                F.cross_entropy(logits.float(), y[rows]).backward()
                optimizer.step()
            schedule.step()
        accuracies[f"{precision} seed {seed}"] = accuracy(tool, source, precision == "bf16")
        print(f"{precision} seed {seed}: {accuracies[f'{precision} seed {seed}']:.2%}", flush=True)
    return accuracies


@torch.no_grad()
def accuracy(tool: Tool, source: str, bf16: bool) -> float:
    """Fraction of the test images that are classified rightly."""
    from snnc.data import open_data

    right = total = 0
    tool.module.eval()
    for images, labels in open_data(f"{source}#test", batch_size=500):
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            answers = tool.outputs(torch.from_numpy(images)).argmax(1)
        right += int((answers == torch.from_numpy(labels)).sum())
        total += len(labels)
    return right / total


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--out", type=Path, help="folder for training_speed.json and .md")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument(
        "--clock",
        choices=CLOCKS,
        default="wall",
        help="cpu: time on the processor, for one thread on a machine that is busy otherwise",
    )
    parser.add_argument("--rounds", type=int, default=9, help="timed rounds; four times for small")
    parser.add_argument("--trial", type=int, default=2, help="rounds that choose the layout")
    parser.add_argument("--nets", nargs="+", default=list(NETS), choices=NETS)
    parser.add_argument("--precisions", nargs="+", default=PRECISIONS, choices=PRECISIONS)
    parser.add_argument("--peak", nargs=4, metavar=("TOOL", "NET", "PRECISION", "LAYOUT"))
    parser.add_argument("--train", metavar="DATA", help="train in both precisions instead")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--samples", type=int, default=60_000)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    if arguments.peak:
        name, net, precision, layout = arguments.peak
        print(peak(name, NETS[net], precision, layout))
        return
    if arguments.train:
        results = train(arguments.train, arguments.epochs, arguments.seeds, arguments.samples)
        name, report = "training_precision", ""
    else:
        results, name = measure(arguments), "training_speed"
        keys = list(product(arguments.nets, arguments.precisions))
        report = "\n".join(table(n, p, results[f"{n} {p}"]) for n, p in keys)
    if arguments.out:
        arguments.out.mkdir(parents=True, exist_ok=True)
        (arguments.out / f"{name}.json").write_text(json.dumps(results, indent=1))
        if report:
            (arguments.out / f"{name}.md").write_text(report)


if __name__ == "__main__":
    main()
