"""SpikingJelly's conversions of the ResNet-20, to compare ours with: JSON, and Markdown tables.

    python benchmarks/spikingjelly_conversion.py --data-dir DIR

DIR is that of `conversion_table.py`. SpikingJelly wants an environment of its own; without it the
script says how to make one. What is measured, per calibration draw, recipe and T = 4 … 64:

- the gap to the ANN in points on the bit-exact test images, with its paired 95 % interval;
- the arg-max agreement with the ANN on all 10,000 test images, with its 95 % interval;
- three readouts, each the mean of the last layer's output over a range of steps (from 0):

      all      steps 0 … T−1      latency T
      after    steps D … D+T−1    latency D+T: T steps are averaged, D more are waited for
      within   steps D … T−1      latency T: T−D steps are averaged

D maximises the agreement with the ANN on bit-exact training images that were not used for the
calibration (the smallest such D), for each draw, recipe, T and readout. So does the recipe in the
rows "best". A draw is `default_rng(draw).permutation` of the bit-exact training images: the first
1,024 calibrate, the next 1,024 choose.

One run of `--steps` steps serves all T and D. The outputs of every 256 images are kept below
`--work`, so that a run that was stopped goes on where it was; the tables, of all that is there of
`--draws`, are rewritten as soon as a recipe is through. One folder per network and machine. About
2.7 ms per image and step on one core.
"""

from __future__ import annotations

import argparse
import copy
import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import import_module, metadata, util
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import spikingjelly_judging as judging
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import Tensor, nn

from snnc.data import Dataset, open_data
from snnc.errors import SnncError

ROOT = Path(__file__).resolve().parent.parent
CALIBRATION_IMAGES = SELECTION_IMAGES = 1024
CALIBRATION_BATCH, BATCH, CHUNK = 128, 32, 256
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
SETUP = (
    "SpikingJelly is not installed here. Make an environment for it: python -m venv sj && "
    "sj/bin/pip install -c constraints.txt torch safetensors tqdm loguru requests && "
    "sj/bin/pip install --no-deps spikingjelly==2.0.0 -e . (then sj/bin/python benchmarks/…)"
)

Array = NDArray[np.float32]
Labels = NDArray[np.int64]
Batches = Sequence[Tensor]


def _rate(mode: str, **options: bool) -> Callable[[Any, Batches], Any]:
    return lambda sj, batches: sj.RateCodingRecipe(batches, mode=mode, **options)


RECIPES: Mapping[str, Callable[[Any, Batches], Any]] = {
    "local-threshold-balancing-20": lambda sj, batches: sj.LocalThresholdBalancingRecipe(
        [*batches] * 20
    ),
    "99.9%-channel-half": _rate("99.9%", channel_wise=True, half_threshold=True),
    "max-channel-half": _rate("Max", channel_wise=True, half_threshold=True),
    "99.9%-channel": _rate("99.9%", channel_wise=True),
    "99.9%": _rate("99.9%"),
    "max-channel": _rate("Max", channel_wise=True),
    "max": _rate("Max"),
}


# -- the network as SpikingJelly can trace it ----------------------------------------------


class Block(nn.Module):
    """A `BasicBlock` of `examples/resnet20` made of modules only.

    SpikingJelly replaces `nn.ReLU` and refuses slices and `F.pad`; the option-A shortcut is the
    same function as a 1x1 convolution of stride 2 with weights 0 and 1.
    """

    def __init__(self, block: Any) -> None:
        super().__init__()
        self.conv1, self.bn1, self.relu1 = block.conv1, block.bn1, nn.ReLU()
        self.conv2, self.bn2, self.relu2 = block.conv2, block.bn2, nn.ReLU()
        planes, self.shortcut = block.conv1.in_channels, nn.Identity()
        if block.conv1.stride == (2, 2):
            self.shortcut = nn.Conv2d(planes, 2 * planes, 1, stride=2, bias=False)
            weight = torch.zeros(2 * planes, planes, 1, 1)
            weight[planes // 2 + torch.arange(planes), torch.arange(planes)] = 1
            self.shortcut.weight = nn.Parameter(weight)

    def forward(self, x: Tensor) -> Tensor:
        out = self.relu1(self.bn1(self.conv1(x)))
        return self.relu2(self.bn2(self.conv2(out)) + self.shortcut(x))


def load_network(weights: Path) -> nn.Sequential:
    """The trained network, of modules only. Ends the script if it computes something else."""
    spec = util.spec_from_file_location("resnet20_net", ROOT / "examples/resnet20/net.py")
    assert spec is not None and spec.loader is not None
    module = util.module_from_spec(spec)
    spec.loader.exec_module(module)
    net = module.resnet20().eval()
    net.load_state_dict(load_file(weights))
    blocks = [Block(block) for stage in (net.layer1, net.layer2, net.layer3) for block in stage]
    head = nn.AdaptiveAvgPool2d(1), nn.Flatten(), net.linear
    same = nn.Sequential(net.conv1, net.bn1, nn.ReLU(), *blocks, *head).eval()
    x = torch.randn(8, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        if not torch.allclose(net(x), same(x), atol=1e-4):
            sys.exit("the network of modules differs from examples/resnet20/net.py")
    return same


# -- the images ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Images:
    """The rows of a data set that a part of the measurement takes.

    Attributes:
        name: of the part, and of its files.
        data: the images, of which `rows` count.
        rows: numbers of the images, (N,) int64.
    """

    name: str
    data: Dataset
    rows: Labels

    def batches(self, size: int, start: int = 0, stop: int | None = None) -> Iterator[Tensor]:
        """Normalised images, (≤ size, 3, 32, 32) float32."""
        mean, std = (np.array(v, np.float32)[:, None, None] for v in (MEAN, STD))
        for x, _ in replace(self.data, indices=self.rows[start:stop], batch_size=size):
            yield torch.from_numpy((x - mean) / std)

    def labels(self) -> Labels:
        """(N,) int64."""
        chosen = replace(self.data, indices=self.rows, batch_size=1000)
        return np.concatenate([y for _, y in chosen if y is not None]).astype(np.int64)


def test_images(folder: Path, limit: int | None) -> dict[str, Images]:
    """`exact`, the bit-exact test images, and `rest`, the others."""
    everything = open_data(f"cifar10:{folder / 'cifar10'}#test")
    exact = open_data(f"{everything.spec}[@exact_test.npy]").indices
    rest = np.setdiff1d(everything.indices, exact)
    parts = {"exact": exact, "rest": rest}
    return {name: Images(name, everything, rows[:limit]) for name, rows in parts.items()}


def training_images(folder: Path, draw: int, limit: int | None) -> tuple[Images, Images]:
    """Those that calibrate, and those that choose the delay and the recipe."""
    exact = open_data(f"cifar10:{folder / 'cifar10'}#train[@exact_train.npy]")
    rows = np.random.default_rng(draw).permutation(exact.indices)
    chosen = rows[CALIBRATION_IMAGES:][:SELECTION_IMAGES][:limit]
    calibration = Images("calibration", exact, rows[:CALIBRATION_IMAGES])
    return calibration, Images("selection", exact, chosen)


# -- running -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Runner:
    """Runs recipes and keeps what the networks put out.

    Attributes:
        ann: the trained network.
        work: folder of the outputs.
        steps: how many steps are run.
    """

    ann: nn.Module
    work: Path
    steps: int

    def predictions(self, images: Images) -> Labels:
        """The ANN's classes, (N,)."""
        with torch.inference_mode():
            found = [self.ann(x).argmax(1).numpy() for x in images.batches(100)]
        return np.concatenate(found)

    def outputs(self, draw: int, recipe: str, images: Images) -> Array | None:
        """The last layer's output, (steps, N, 10); None if not all of it has been computed."""
        chunks = [self._read(path, n) for path, n in self._files(draw, recipe, images)]
        found = [chunk for chunk in chunks if chunk is not None]
        return np.concatenate(found, axis=1) if len(found) == len(chunks) else None

    def run(self, draw: int, recipe: str, calibration: Images, parts: Sequence[Images]) -> None:
        """Convert, and compute what is missing of `parts`."""
        missing = [
            (images, number * CHUNK, path)
            for images in parts
            for number, (path, n) in enumerate(self._files(draw, recipe, images))
            if self._read(path, n) is None
        ]
        if not missing:
            return
        snn = self._convert(recipe, calibration)
        began = time.monotonic()
        for done, (images, start, path) in enumerate(missing, 1):
            chunk = [self._simulate(snn, x) for x in images.batches(BATCH, start, start + CHUNK)]
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.with_suffix(".part").open("wb") as file:
                np.save(file, np.concatenate(chunk, axis=1))
            path.with_suffix(".part").replace(path)
            left = (time.monotonic() - began) / done * (len(missing) - done)
            where = f"draw {draw}, {recipe}, {images.name}"
            _say(f"{where}: {done} of {len(missing)} chunks, {left / 60:.0f} min left")

    def _files(self, draw: int, recipe: str, images: Images) -> list[tuple[Path, int]]:
        folder, count = self.work / f"draw{draw}" / recipe, len(images.rows)
        return [
            (folder / f"{images.name}-{start:05d}.npy", min(CHUNK, count - start))
            for start in range(0, count, CHUNK)
        ]

    def _read(self, path: Path, images: int) -> Array | None:
        if not path.is_file():
            return None
        chunk = np.load(path)
        fits = chunk.shape[0] >= self.steps and chunk.shape[1] >= images
        return chunk[: self.steps, :images] if fits else None

    def _convert(self, recipe: str, calibration: Images) -> nn.Module:
        spikingjelly = import_module("spikingjelly.activation_based.ann2snn")
        batches = list(calibration.batches(CALIBRATION_BATCH))
        converter = spikingjelly.Converter(RECIPES[recipe](spikingjelly, batches))
        return converter.convert(copy.deepcopy(self.ann)).eval()

    def _simulate(self, snn: nn.Module, x: Tensor) -> Array:
        """(N,3,32,32) -> (steps, N, 10)."""
        import_module("spikingjelly.activation_based.functional").reset_net(snn)
        with torch.inference_mode():
            return np.stack([snn(x).numpy() for _ in range(self.steps)])


# -- the whole -----------------------------------------------------------------------------


def measure(options: argparse.Namespace) -> None:
    """Recipe after recipe; the files are up to date after each, with all that `--work` holds."""
    network = load_network(options.data_dir / "models/cifar10-resnet20/weights.safetensors")
    runner = Runner(network, options.work, options.steps)
    tests = test_images(options.data_dir, options.limit)
    train = {draw: training_images(options.data_dir, draw, options.limit) for draw in options.draws}
    ann = {name: runner.predictions(images) for name, images in tests.items()}
    labels = tests["exact"].labels()
    about = {
        "spikingjelly": metadata.version("spikingjelly"),
        "torch": torch.__version__,
        "steps": options.steps,
        "limit": options.limit,
        "exact_images": len(labels),
        "ann_accuracy": 100 * float((ann["exact"] == labels).mean()),
    }
    known = {d: {**ann, "selection": runner.predictions(train[d][1])} for d in train}

    def figures(draw: int, recipe: str) -> list[judging.Judged]:
        parts = (train[draw][1], *tests.values())
        outputs = {images.name: runner.outputs(draw, recipe, images) for images in parts}
        return judging.judge(draw, recipe, outputs, known[draw], labels)

    judged = {(draw, recipe): figures(draw, recipe) for draw in train for recipe in RECIPES}
    for part, draw, recipe in product(options.parts, train, options.recipes):
        calibration, selection = train[draw]
        runner.run(draw, recipe, calibration, [selection, tests[part]])
        judged[draw, recipe] = figures(draw, recipe)
        write(options.work, [x for rows in judged.values() for x in rows], about)


def write(work: Path, results: Sequence[judging.Judged], about: Mapping[str, Any]) -> None:
    """`results.json` and `tables.md`."""
    text = json.dumps(judging.document(results, about), indent=1) + "\n"
    for name, content in ("results.json", text), ("tables.md", judging.tables(results, [*RECIPES])):
        part = work / f"{name}.part"
        part.write_text(content.rstrip() + "\n", encoding="utf-8")
        part.replace(work / name)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def main() -> None:
    """Measure, then print the tables."""
    options = _options()
    if util.find_spec("spikingjelly") is None:
        sys.exit(SETUP)
    torch.set_num_threads(options.threads)
    options.work.mkdir(parents=True, exist_ok=True)
    try:
        measure(options)
    except (SnncError, OSError) as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit(f"stopped; the same command goes on from what {options.work} holds")
    print((options.work / "tables.md").read_text(encoding="utf-8"), end="")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--data-dir", type=Path, required=True, help="data and weights")
    parser.add_argument("--work", type=Path, default=Path("spikingjelly-out"), help="outputs")
    parser.add_argument("--draws", type=int, nargs="+", default=[0, 1, 2], help="seeds")
    parser.add_argument("--recipes", nargs="+", choices=[*RECIPES], default=[*RECIPES])
    parser.add_argument("--parts", nargs="+", choices=["exact", "rest"], default=["exact", "rest"])
    parser.add_argument("--steps", type=int, default=80, help="steps of a run, T+D at most")
    parser.add_argument("--threads", type=int, default=1, help="threads of torch")
    parser.add_argument("--limit", type=int, help="only so many images of each part, for a trial")
    return parser.parse_args()


if __name__ == "__main__":
    main()
