"""VGG16 on CIFAR-10 from an ANN to one time step, within minutes on a GPU.

    PYTHONPATH=.:passes:backends python -m benchmarks.learning.vgg16 --data DIR --work vgg16-out

snnc need not be installed: torch, numpy, networkx, safetensors, typer, rich and llvmlite suffice.
DIR holds the binary files of CIFAR-10, or `cifar10.npz`, 40 MB (then Pillow is needed). First try
`--dry-run`: every stage on few images of a narrow network, two minutes on a CPU.

Stages: the ANN; the conversion of the recipe `few-steps` for T=5; T=5, 4, 3, 2, 1, each learnt from
the one before by `reduce-timesteps` with even spikes, taught by the ANN. The network of a stage is
kept in `--work` as it ends, with what it reached in `figures.json`; the same command goes on behind
the last of them. A stage gets as many epochs as its share of the `--seconds` that are left holds,
by the time that a few steps take, so two runs are equal only with `--epochs`.

The test images are seen once for a stage, by the spikes of the network as torch computes them on
the device; training images that do not learn choose the epoch. Where the folder has
`exact_test.npy`, the numbers of images that are bit-exact, these and the others are told apart.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from benchmarks.learning.networks import fit
from benchmarks.learning.table import snnc_recipe
from benchmarks.learning.vgg16_run import Run, Settings
from benchmarks.repository import EXAMPLES
from benchmarks.source_plugins import offer_plugins
from snnc.artifact import open_artifact, write
from snnc.data import Dataset
from snnc.driver.models import ModelSource, load_model
from snnc.frontends.usercode import import_code
from snnc.ir import Graph
from snnc.pipeline import Pipeline
from snnc.training import to_torch
from snnc.transform import PassContext

MEAN, STD = (0.4914, 0.4822, 0.4465), (0.247, 0.2435, 0.2616)
WINDOWS = (5, 4, 3, 2, 1)
TRIED = 8
"""Steps of the trial that tells what an epoch takes; the second pass over them counts."""


def train_ann(run: Run) -> dict[str, Any]:
    """Train the ANN and keep it."""
    settings, images = run.settings, run.images
    x, y = (part.to(settings.device) for part in _tensors(images.train))
    torch.manual_seed(settings.seed)
    model = network(settings).to(settings.device)

    def second() -> float:
        few = slice(0, TRIED * settings.batch)
        other = network(settings).to(settings.device)
        options = {"batch": settings.batch, "lr": settings.ann_lr}
        fit(other, x[few], y[few], 1, **options)
        start = time.monotonic()
        fit(other, x[few], y[few], 1, **options)
        _wait(settings.device)
        return (time.monotonic() - start) * len(x) / len(x[few])

    epochs = run.epochs("ann", second)
    torch.manual_seed(settings.seed)
    fit(model, x, y, epochs, batch=settings.batch, lr=settings.ann_lr)
    model.eval()
    state = {name: value.cpu().contiguous() for name, value in model.state_dict().items()}
    save_file(state, settings.work / "ann.safetensors")
    accuracy = {
        name: _right(lambda x: model(_normalized(x)), part, settings.device)
        for name, part in images.parts.items()
    }
    return {"epochs": epochs, "accuracy": accuracy}


def convert(run: Run) -> dict[str, Any]:
    """Convert the ANN for the first window; keep the network and the ANN that teaches."""
    settings, images = run.settings, run.images
    model = network(settings)
    model.load_state_dict(load_file(settings.work / "ann.safetensors"))
    source = ModelSource(model=model.eval(), mean=MEAN, std=STD, input_shape=(3, 32, 32))
    calibration = images.train.limit(512)
    ctx = PassContext(timesteps=WINDOWS[0], calibration=calibration, device=settings.device)
    result = Pipeline.from_text(passes(settings, WINDOWS[0], 1)[0]).run(load_model(source), ctx)
    assert result.ann is not None
    write(settings.work / "teacher.snnc", result.ann)
    return _kept(run, result.graph, WINDOWS[0], "converted")


def reduce(run: Run, timesteps: int) -> dict[str, Any]:
    """Learn for a window, from the network of the stage before."""
    settings, images, name = run.settings, run.images, f"T{timesteps}"
    before = "converted" if timesteps == WINDOWS[0] else f"T{timesteps + 1}"
    graph, teacher = (
        open_artifact(settings.work / f"{stage}.snnc").graph() for stage in (before, "teacher")
    )
    ctx = PassContext(
        rng=np.random.default_rng([settings.seed, timesteps]),
        timesteps=timesteps,
        ann=teacher,
        train=images.train,
        validation=images.validation,
        device=settings.device,
    )

    def learnt(ctx: PassContext, epochs: int) -> tuple[Graph, Mapping[str, Any]]:
        learning = Pipeline.from_text(passes(settings, timesteps, epochs)[1])
        result = learning.run(graph, ctx)
        return result.graph, result.steps[-1].metrics

    def second() -> float:
        few = images.train.limit(TRIED * settings.batch)
        _, metrics = learnt(replace(ctx, train=few, validation=images.validation.limit(1)), 2)
        held = 1 + len(images.validation) / len(images.train)
        return held * metrics["epochs"][-1]["seconds"] * len(images.train) / len(few)

    epochs = run.epochs(name, second)
    trained, metrics = learnt(replace(ctx, rng=np.random.default_rng(settings.seed)), epochs)
    rows = metrics["epochs"]
    figures = {"epochs": epochs, "validation": max(row["validation"] for row in rows)}
    return {**figures, **_kept(run, trained, timesteps, name)}


def passes(settings: Settings, timesteps: int, epochs: int) -> tuple[str, str]:
    """Of the recipe: what converts, and what learns for one window."""
    text = snnc_recipe(
        "few-steps",
        start=timesteps,
        epochs=epochs,
        batch=settings.batch,
        lr=settings.lr,
        augment="crop-flip",
    )
    start, _, learning = text.partition(",reduce-timesteps")
    return start, f"reduce-timesteps{learning}"


def network(settings: Settings) -> nn.Module:
    """VGG16, or a narrow one."""
    code = import_code(str(EXAMPLES / "cifar10_iir" / "net.py"), is_file=True)
    return code.vgg16(settings.width, dropout=0.1)


def _kept(run: Run, graph: Graph, timesteps: int, name: str) -> dict[str, Any]:
    """Keep a network; its figures on the test images, by spikes."""
    write(run.settings.work / f"{name}.snnc", graph)
    device = run.settings.device
    module = to_torch(graph, timesteps).to(device).eval()
    neurons = sum(module.source.type_of(node).size for node in module.thresholds)
    fired = torch.zeros((), dtype=torch.float64, device=device)

    def outputs(x: Tensor) -> Tensor:
        with module.record() as spikes:
            output = module(x)
        fired.add_(sum(each.abs().sum(dtype=torch.float64) for each in spikes.values()))
        return output

    parts = run.images.parts
    accuracy = {part: _right(outputs, images, device) for part, images in parts.items()}
    spikes = float(fired) / neurons / sum(map(len, parts.values()))
    return {"timesteps": timesteps, "accuracy": accuracy, "spikes_per_neuron": spikes}


@torch.no_grad()
def _right(outputs: Callable[[Tensor], Tensor], images: Dataset, device: str) -> float:
    """The fraction of images that are classified correctly."""
    right = 0
    for x, y in images:
        classes = outputs(torch.from_numpy(x).to(device)).argmax(1).cpu().numpy()
        right += int((classes == y).sum())
    return right / len(images)


def _tensors(images: Dataset) -> tuple[Tensor, Tensor]:
    """Normalised images, and classes."""
    x, y = images.take(np.arange(len(images)))
    assert y is not None
    return _normalized(torch.from_numpy(x)), torch.from_numpy(y.astype(np.int64))


def _normalized(x: Tensor) -> Tensor:
    mean, std = (torch.tensor(each, device=x.device)[:, None, None] for each in (MEAN, STD))
    return (x - mean) / std


def _wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def main(settings: Settings) -> None:
    """Every stage that is not finished, and a line for each."""
    offer_plugins(settings.work / "metadata")
    if settings.device == "cuda":
        if not torch.cuda.is_available():
            raise SystemExit("torch finds no CUDA device; --device cpu does it without, slowly")
        torch.set_float32_matmul_precision("high")
    run = Run(settings)
    run.stage("ann", lambda: train_ann(run))
    run.stage("converted", lambda: convert(run))
    for timesteps in WINDOWS:
        run.stage(f"T{timesteps}", lambda timesteps=timesteps: reduce(run, timesteps))
    print(f"{sum(stage['seconds'] for stage in run.stages.values()):.0f} s in all")


DRY = {"device": "cpu", "seconds": 60.0, "images": 500, "tested": 100, "width": 8, "batch": 50}


def _settings() -> Settings:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of the images")
    parser.add_argument("--work", type=Path, default=Path("vgg16-out"), help="what is kept")
    parser.add_argument("--dry-run", action="store_true", help="every stage, small, on the CPU")
    parser.add_argument("--device", choices=["cpu", "cuda"])
    parser.add_argument("--seconds", type=float, help="of all stages, about; 420")
    parser.add_argument("--epochs", type=int, help="of every stage, whatever the time")
    parser.add_argument("--images", type=int, help="training images")
    parser.add_argument("--tested", type=int, help="test images")
    parser.add_argument("--width", type=int, help="channels of the first convolutions")
    parser.add_argument("--batch", type=int)
    parser.add_argument("--seed", type=int)
    given = vars(parser.parse_args())
    dry = DRY if given.pop("dry_run") else {}
    return Settings(**{**dry, **{name: v for name, v in given.items() if v is not None}})


if __name__ == "__main__":
    main(_settings())
