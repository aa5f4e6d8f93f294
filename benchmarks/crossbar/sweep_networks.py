"""The networks of `sweep.py`: ResNet-20 of integers as converted, and fine-tuned."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import snnc
from benchmarks.crossbar.speed import NORMALIZED, first, networks
from snnc.artifact import open_artifact
from snnc.data import Dataset, open_data
from snnc.ir import Graph
from snnc.pipeline import parse_one
from snnc.plugins import RECIPES, Registry

TIMESTEPS = 8
CALIBRATED = 256
HELD_OUT = 10
"""One in so many training images does not learn: settings are chosen with these."""
ORIGINAL, FINE_TUNED = "resnet20-T8", "resnet20-T8-fine-tuned"
LEARNT = "crossbar{cell-bits=1 compensation=layer device=pcm{seconds=86400}}"
"""The chip whose errors are learnt: phase-change memory one day after programming."""
LEARN = (
    "learn{epochs=1 batch=32 v-init=true loss=ann lr=0.0003 schedule=cosine surrogate=triangle "
    "augment=crop-flip precision=bfloat16 target-errors=true}"
)


def integer_network(name: str, data: Path, work: Path) -> Graph:
    """A network of integers, compiled to `work` unless it is there.

    `ORIGINAL` is converted; `FINE_TUNED` learns in between, with the errors of the chip `LEARNT`.
    """
    path = work / f"{name}.snnc"
    if not path.exists():
        work.mkdir(parents=True, exist_ok=True)
        _compile(path, data, {ORIGINAL: "", FINE_TUNED: LEARN}[name])
    return open_artifact(path).graph()


def _compile(path: Path, data: Path, learn: str) -> None:
    source, _ = networks(data)["resnet20"]
    converted = parse_one("convert", Registry(RECIPES)).pipeline()
    snnc.compile(
        source.model,
        weights=source.weights,
        input_shape=source.input_shape,
        output=path,
        target=LEARNT if learn else "cpu",
        passes=",".join(filter(None, (converted, learn, "quantize{bits=8}"))),
        timesteps=TIMESTEPS,
        calibration=calibration(data),
        train=training(data)[0] if learn else None,
        workdir=path.with_suffix("") if learn else None,
        resume=bool(learn),
        **NORMALIZED,
    )


def training(data: Path) -> tuple[Dataset, Dataset]:
    """The bit-exact training images: those that learn, and those held out."""
    exact = open_data(f"cifar10:{data / 'cifar10'}#train[@exact_train.npy]")
    rows = np.random.default_rng(0).permutation(exact.indices)
    held = len(rows) // HELD_OUT
    parts = (np.sort(rows[held:]), np.sort(rows[:held]))
    learns, held_out = (replace(exact, indices=part) for part in parts)
    return learns, held_out


def calibration(data: Path) -> NDArray[np.float32]:
    """Bit-exact training images."""
    return first(f"cifar10:{data / 'cifar10'}#train[@exact_train.npy]", CALIBRATED)
