"""What learning gives at few time steps: tables of accuracy, spikes and energy, three seeds.

    python -m benchmarks.learning.table --data-dir DIR --experiments together ladder hybrid resnet20

DIR is that of `conversion/table.py`, with `fashion-mnist/` besides. A row is one network: an arm of
an experiment, a data set, a seed. Rows are kept in `--results` as soon as they are known, and the
same command goes on where it was stopped; networks in between are kept in `--work`. `--table FILE`
writes the tables of all kept rows between two markers of FILE.

- together: converted at T=5; then weights, weights and thresholds, all three learn, equal epochs.
- ladder: T = 5, 4, 3, 2, 1, each from the one before; the ANN straight to T=1; T=1 from random
  weights; equal epochs in all.
- hybrid: Poisson input at T=25, before and after a few epochs of STDB, and of the linear surrogate.
- anytime: one network for T = 1 to 5 (`learn{prefixes=all}`), and one for each T, 20 epochs each.
- resnet20: the given ResNet-20, converted and fine-tuned at T = 4 (with signed neurons too), 2, 1;
  the recipe few-steps, whose neurons wait, at T = 4, 2, 1.
- all-images: ResNet-20 fine-tuned on 48,000 images, then few-steps at T = 4 for as many epochs.

10,000 training images learn (of ResNet-20 the bit-exact ones), 2,000 others choose the epoch; test
images are seen once for a row.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import nn

from benchmarks.learning import networks, resnet20
from benchmarks.learning.bench import Bench, Data, Row
from benchmarks.learning.report import write_tables
from benchmarks.repository import RESULTS
from snnc.driver import Compiled

T, STEPS = 5, (5, 4, 3, 2, 1)
POISSON_T = 25
RESNET_LEARNS = (
    "loss=ann batch=32 schedule=cosine augment=crop-flip surrogate=triangle v-init=true "
    "precision=bfloat16"
)
RESNET = (
    ("", {}, 4, 7e-4),
    ("signed ", {"signed": "true"}, 4, 3e-4),
    ("waiting ", {"wait": "T"}, 4, 1e-4),
    ("", {}, 2, 3e-4),
    ("", {}, 1, 1e-4),
)
"""Arms of ResNet-20: neurons, options of their conversion, window, learning rate."""
FEW_STEPS = (
    ("", 4, {"epochs": 10}),
    ("", 2, {"start": 4, "epochs": 3}),
    ("long ", 2, {"start": 4, "epochs": 10}),
    ("", 1, {"start": 4, "epochs": 3}),
    ("unmixed ", 4, {"epochs": 10, "mixup": "none", "temperature": "none"}),
    ("unmixed ", 1, {"start": 4, "epochs": 3, "mixup": "none", "temperature": "none"}),
)
"""Arms of ResNet-20 with the recipe `few-steps`: name, window, options."""
FOLDED = "fold-batchnorm,fold-normalization,lower-avgpool"
CURRENT = (
    "threshold-balance{source=current percentile=%s granularity=layer timesteps=100 scale=0.5}"
)


def together(bench: Bench, row: Row) -> Iterator[tuple[Row, Compiled]]:
    """Arms of the first table."""
    data, options = bench.data(row.dataset), bench.options
    conversion = f"{FOLDED},activations-to-neurons,{CURRENT % 99.7},fold-scale"
    bench.measure_ann(row, bench.ann(row), data)
    converted = bench.compile(row, bench.ann(row), conversion, T, data)
    yield replace(row, arm="converted"), converted
    calibrated = replace(row, arm="convert, calibrated")
    passes = snnc_recipe("convert")
    calibration = bench.compile(calibrated, bench.ann(row), passes, T, data)
    yield calibrated, calibration
    for arm, start, choice in (
        ("weights", converted, "threshold=false leak=false"),
        ("weights, thresholds", converted, "leak=false"),
        ("weights, thresholds, leaks", converted, ""),
        ("calibrated, then all three", calibration, ""),
    ):
        learnt = replace(row, arm=arm)
        spec = f"learn{{{bench.learning(row, options.epochs)} {choice}}}"
        yield learnt, bench.compile(learnt, start.graph, spec, T, data)


def ladder(bench: Bench, row: Row) -> Iterator[tuple[Row, Compiled]]:
    """Arms of the second table."""
    data, options = bench.data(row.dataset), bench.options
    start = f"{FOLDED},activations-to-neurons,{CURRENT % 90},fold-scale"
    bench.measure_ann(row, bench.ann(row), data)
    graph: Any = bench.compile(row, bench.ann(row), start, T, data).graph
    for step in STEPS:
        rung = replace(row, arm=f"ladder, T={step}")
        learning = bench.learning(row, options.epochs)
        spec = f"reduce-timesteps{{start={step} stop={step} {learning}}},drop-state"
        compiled = bench.compile(rung, graph, spec, step, data)
        graph = compiled.graph
        yield rung, compiled
    untrained = networks.untrained(bench.tasks[row.dataset], row.seed)
    for arm, model in (("ANN to T=1", bench.ann(row)), ("scratch, T=1", untrained)):
        direct = replace(row, arm=arm)
        learning = bench.learning(row, len(STEPS) * options.epochs)
        spec = f"{start},learn{{{learning}}},drop-state"
        yield direct, bench.compile(direct, model, spec, 1, data)


def hybrid(bench: Bench, row: Row) -> Iterator[tuple[Row, Compiled]]:
    """Arms of the third table: the recipe, its learning rate for few epochs, either surrogate."""
    data = bench.data(row.dataset)
    bench.measure_ann(row, bench.ann(row), data)
    few = {"epochs": bench.options.hybrid_epochs, "lr": 1e-3, "dropout": 0, "weight-decay": 0}
    graph: Any = None
    for arm, surrogate in (("STDB", "stdb"), ("linear surrogate", "linear")):
        recipe = snnc_recipe("hybrid", **few, surrogate=surrogate)
        start, _, learn = recipe.rpartition(",learn{")
        if graph is None:
            converted = bench.compile(row, bench.ann(row), start, POISSON_T, data)
            yield replace(row, arm="converted"), converted
            graph = converted.graph
        learnt = replace(row, arm=arm)
        yield learnt, bench.compile(learnt, graph, f"learn{{{learn}", POISSON_T, data)


def anytime(bench: Bench, row: Row) -> Iterator[tuple[Row, Compiled]]:
    """One network for T = 1 to 5, from the conversion for T = 1, and one for each of them."""
    data = bench.data(row.dataset)
    bench.measure_ann(row, bench.ann(row), data)
    learning = f"{bench.learning(row, bench.options.anytime_epochs)} v-init=true"
    start = bench.compile(row, bench.ann(row), snnc_recipe("convert"), 1, data)
    one = replace(row, arm="one network")
    spec = f"learn{{{learning} prefixes=all}}"
    learnt = bench.compile(one, start.graph, spec, T, data)
    for step in STEPS:
        prefix = replace(row, arm=f"one network, T={step}")
        yield prefix, bench.compile(prefix, learnt.graph, "", step, data)
    for step in reversed(STEPS):
        own = replace(row, arm=f"own network, T={step}")
        spec = f"{snnc_recipe('convert')},learn{{{learning}}}"
        yield own, bench.compile(own, bench.ann(row), spec, step, data)


def given_resnet20(bench: Bench, row: Row) -> Iterator[tuple[Row, Compiled]]:
    """Arms of the fourth table: every window from its own calibrated conversion."""
    options, folder = bench.options, bench.options.data_dir
    model, data = resnet20.given(folder), resnet20.exact_images(folder)
    bench.measure_ann(row, model, data)
    for neurons, converting, step, lr in RESNET:
        if options.resnet_arms and f"{neurons}{step}" not in options.resnet_arms:
            continue
        start = snnc_recipe("convert", **converting)
        learning = f"epochs={options.resnet_epochs} lr={lr:g} {options.resnet}"
        for arm, passes in (
            ("converted", start),
            ("learnt", f"{start},learn{{{learning}}},drop-state"),
        ):
            network = replace(row, arm=f"{neurons}{arm}, T={step}")
            yield network, bench.compile(network, model, passes, step, data)
    for kind, step, training in FEW_STEPS:
        if options.resnet_arms and f"{kind}few-steps {step}" not in options.resnet_arms:
            continue
        passes = snnc_recipe("few-steps", augment="crop-flip", **training)
        network = replace(row, arm=f"{kind}few-steps, T={step}")
        yield network, bench.compile(network, model, passes, step, data)


def all_images(bench: Bench, row: Row) -> Iterator[tuple[Row, Compiled]]:
    """ResNet-20 fine-tuned on all images; `few-steps` for as many epochs behind it."""
    epochs = bench.options.all_epochs
    model, data = fine_tuned(bench, row), resnet20.all_images(bench.options.data_dir)
    bench.measure_ann(row, model, data)
    network = replace(row, arm="few-steps, T=4")
    passes = snnc_recipe("few-steps", augment="crop-flip", epochs=epochs)
    yield network, bench.compile(network, model, passes, 4, data)


def fine_tuned(bench: Bench, row: Row) -> nn.Module:
    """The ANN of `all_images`."""
    options = bench.options
    images = resnet20.all_images(options.data_dir).train
    kept = bench.work / f"{row.dataset}-all-images-{row.seed}.safetensors"
    return resnet20.fine_tuned(options.data_dir, images, options.all_epochs, row.seed, kept)


EXPERIMENTS = {
    "together": together,
    "ladder": ladder,
    "hybrid": hybrid,
    "anytime": anytime,
    "resnet20": given_resnet20,
    "all-images": all_images,
}
RESNETS = ("resnet20", "all-images")
"""Experiments with ResNet-20, of the first seed."""


def snnc_recipe(name: str, **options: object) -> str:
    """The passes of a recipe."""
    from snnc.pipeline import parse_one
    from snnc.plugins import RECIPES, Registry

    text = " ".join(f"{key}={value}" for key, value in options.items())
    return parse_one(f"{name}{{{text}}}" if text else name, Registry(RECIPES)).pipeline()


def planned(options: argparse.Namespace) -> Iterator[Row]:
    """One row for every experiment, data set and seed; its arms follow from it."""
    for seed in options.seeds:
        for experiment in options.experiments:
            if experiment in RESNETS:
                if seed == options.seeds[0]:
                    yield Row(experiment, "resnet20", "start", seed)
                continue
            for dataset in options.datasets:
                yield Row(experiment, dataset, "start", seed)


def images(bench: Bench, row: Row) -> Data:
    """Of a row."""
    folder = bench.options.data_dir
    if row.experiment == "all-images":
        return resnet20.all_images(folder)
    return (
        resnet20.exact_images(folder) if row.experiment == "resnet20" else bench.data(row.dataset)
    )


def ann(bench: Bench, row: Row) -> nn.Module:
    """The ResNet-20 that a row is held against."""
    if row.experiment == "all-images":
        return fine_tuned(bench, row)
    return resnet20.given(bench.options.data_dir)


def measured(bench: Bench, row: Row, compiled: Compiled) -> dict[str, Any]:
    """The figures of a row; those that are not kept are measured and kept."""
    data, figures = images(bench, row), bench.rows().get(row.name)
    if figures is None:
        figures = bench.measure(row, compiled, data)
        bench.keep(row, figures)
    if data.agreed is not None and "agreement" not in figures:
        agreement = bench.agreement(row, compiled, ann(bench, row), data.agreed)
        figures = {**figures, "agreement": agreement}
        bench.keep(row, figures)
    if "crossbar_uj" not in figures:
        figures = {**figures, **bench.hardware(compiled, data)}
        bench.keep(row, figures)
    return figures


def main() -> None:
    """Measure what is missing; then the tables."""
    options = _options()
    bench = Bench(options)
    for start in planned(options):
        began = time.monotonic()
        for row, compiled in EXPERIMENTS[start.experiment](bench, start):
            figures = measured(bench, row, compiled)
            print(f"{row.name}: {figures['accuracy']}", file=sys.stderr, flush=True)
        print(f"{start.name}: {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    if options.table is not None:
        write_tables(options.table, bench.rows())


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--data-dir", type=Path, required=True, help="data and weights")
    parser.add_argument("--work", type=Path, default=Path("learning-out"), help="networks are kept")
    parser.add_argument("--results", type=Path, default=RESULTS / "learning.json")
    parser.add_argument("--experiments", nargs="*", choices=[*EXPERIMENTS], default=[*EXPERIMENTS])
    parser.add_argument("--datasets", nargs="+", default=["fashion-mnist", "cifar10"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--epochs", type=int, default=4, help="of a stage")
    parser.add_argument("--ann-epochs", type=int, default=15)
    parser.add_argument("--anytime-epochs", type=int, default=20, help="of each network")
    parser.add_argument("--hybrid-epochs", type=int, default=2)
    parser.add_argument("--resnet-epochs", type=int, default=10)
    parser.add_argument("--all-epochs", type=int, default=5, help="of the ANN, then of few-steps")
    parser.add_argument("--learn", default="lr=1e-3 schedule=cosine", help="options of learning")
    parser.add_argument("--resnet", default=RESNET_LEARNS, help="of ResNet-20, all but the rate")
    parser.add_argument("--resnet-arms", nargs="*", help='some of: 4, "signed 4", "few-steps 1", …')
    parser.add_argument("--table", type=Path, help="write all kept rows into this file")
    return parser.parse_args()


if __name__ == "__main__":
    main()
