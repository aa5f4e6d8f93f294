"""Processor time of the ideal crossbar beside the CPU backend, for one image.

    python -m benchmarks.crossbar.speed --data-dir DIR

DIR is as for `conversion/table.py`. ResNet-20 (T=8) has its trained weights; VGG16 for 32x32 images
(T=4) has those it is made with. Both become integers of 8 bits by the default recipe, calibrated on
bit-exact training images. Each network is loaded for both targets; then these run the same test
images in turns, in one process, `--rounds` times. The figure is the ratio of the processor times of
one round: median, least and most. Results are compared, too: the readouts are equal.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

import snnc
from benchmarks.repository import EXAMPLES, RESULTS
from snnc.artifact import open_artifact
from snnc.data import open_data
from snnc.driver import ModelSource
from snnc.pipeline import parse_one
from snnc.plugins import BACKENDS, Registry
from snnc.target import Program
from snnc.testing import load_program

CALIBRATED = 256
NORMALIZED: Mapping[str, Any] = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
TARGETS = ("cpu", "crossbar")
BATCH = 50
"""Images a target runs before it is the turn of the other."""


def networks(data: Path) -> Mapping[str, tuple[ModelSource, int]]:
    """Every network by name, and its window."""
    weights = data / "models" / "cifar10-resnet20" / "weights.safetensors"
    resnet = ModelSource(
        model=str(EXAMPLES / "resnet20" / "net.py:resnet20"),
        weights=weights,
        input_shape=(3, 32, 32),
        **NORMALIZED,
    )
    torch.manual_seed(0)
    vgg = ModelSource(
        model=str(EXAMPLES / "cifar10_iir" / "net.py:vgg16"), input_shape=(3, 32, 32), **NORMALIZED
    )
    return {"resnet20": (resnet, 8), "vgg16-cifar": (vgg, 4)}


def first(data: str, count: int) -> NDArray[np.float32]:
    """The first images of a data set."""
    return open_data(data).take(np.arange(count))[0]


def loaded(
    source: ModelSource, timesteps: int, calibration: NDArray[np.float32]
) -> dict[str, Program]:
    """The programs of a network, by target."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "net.snnc"
        snnc.compile(
            source.model,
            weights=source.weights,
            input_shape=source.input_shape,
            output=path,
            target="cpu",
            recipe="convert{bits=8}",
            timesteps=timesteps,
            calibration=calibration,
            **NORMALIZED,
        )
        graph = open_artifact(path).graph()
    backends = Registry(BACKENDS)
    return {name: load_program(parse_one(name, backends), graph, timesteps) for name in TARGETS}


def measure(programs: Mapping[str, Program], x: NDArray[np.float32], rounds: int) -> dict[str, Any]:
    """Milliseconds of processor time an image, and the ratios of the rounds."""
    readouts = [program.run(x[:2]).readout for program in programs.values()]
    np.testing.assert_array_equal(*readouts)
    spent: dict[str, list[float]] = {name: [] for name in programs}
    for _ in range(rounds):
        seconds = dict.fromkeys(programs, 0.0)
        for start_at in range(0, len(x), BATCH):
            for name, program in programs.items():
                start = time.process_time()
                program.run(x[start_at : start_at + BATCH])
                seconds[name] += time.process_time() - start
        for name, total in seconds.items():
            spent[name].append(total / len(x) * 1e3)
    ratios = np.divide(spent["crossbar"], spent["cpu"])
    return {
        "images": len(x),
        "rounds": rounds,
        **{f"{name}_ms": round(float(np.median(each)), 3) for name, each in spent.items()},
        "ratio": round(float(np.median(ratios)), 3),
        "ratio_least": round(float(ratios.min()), 3),
        "ratio_most": round(float(ratios.max()), 3),
    }


def main() -> None:
    """Measure both networks."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--results", type=Path, default=RESULTS / "crossbar_speed.json")
    options = parser.parse_args()
    images = f"cifar10:{options.data_dir / 'cifar10'}"
    calibration = first(f"{images}#train[@exact_train.npy]", CALIBRATED)
    x = first(f"{images}#test", options.images)
    found = {}
    for name, (source, timesteps) in networks(options.data_dir).items():
        programs = loaded(source, timesteps, calibration)
        found[name] = {"timesteps": timesteps, **measure(programs, x, options.rounds)}
        print(name, found[name], file=sys.stderr)
    options.results.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
