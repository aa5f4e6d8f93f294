"""SpikingJelly's conversions of trained networks, to compare ours with: JSON, Markdown tables.

    python -m benchmarks.spikingjelly.conversion --data-dir DIR --network resnet20

DIR is that of `conversion/table.py`. SpikingJelly needs its own environment; without it the
script prints how to make one. There are three readouts, each the mean of the last layer's output
over a range of steps (from 0):

    all      steps 0 … T−1      latency T
    within   steps D … T−1      latency T: T−D steps are averaged
    after    steps D … D+T−1    latency D+T: T steps are averaged, D more are waited for

A draw is `default_rng(draw).permutation` of the bit-exact training images: the first 1,024
calibrate, the next 1,024 choose. All recipes run on these; for each T and readout they choose D, of
greatest agreement with the ANN (the smallest such D), and the recipe. Then the recipes that were
chosen somewhere run on the test images, no longer than is read of them:

- the gap to the ANN in points on the bit-exact ones, with its paired 95 % interval, for each draw;
- the arg-max agreement with the ANN on an evenly spaced sample of all (`--agreement-images`), with
  its 95 % interval, for `--agreement-draws`.

The outputs of every 256 images are kept below `--work`, so that a stopped run continues from
there; the tables are rewritten after each draw. Use one folder per network and machine.
ResNet-20 takes about 1.2 ms per image and step on one core.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata, util
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from benchmarks.conversion.judged_networks import NETWORKS
from benchmarks.spikingjelly import judging, simulation
from benchmarks.spikingjelly.images import Draw, Images, Labels, test_images, training_images
from benchmarks.spikingjelly.network import load_network
from snnc.errors import SnncError

CALIBRATION_BATCH, BATCH, CHUNK, COMPARED_IMAGES = 128, 32, 256, 8
SETUP = (
    "SpikingJelly is not installed here. Make an environment for it: python -m venv sj && "
    "sj/bin/pip install -c constraints.txt torch numpy pillow safetensors tqdm loguru requests && "
    "sj/bin/pip install --no-deps spikingjelly==2.0.0 -e . (then sj/bin/python benchmarks/…)"
)

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Runner:
    """Runs recipes and stores the outputs of the networks.

    Attributes:
        ann: the trained network.
        work: folder of the outputs.
        steps: how many steps of a converted network are compared with SpikingJelly's own run.
        networks: converted networks, by draw and recipe.
    """

    ann: nn.Module
    work: Path
    steps: int
    networks: dict[tuple[int, str], nn.Module] = field(default_factory=dict)

    def predictions(self, images: Images) -> Labels:
        """The ANN's classes, (N,)."""
        with torch.inference_mode():
            classes = [self.ann(x).argmax(1).numpy() for x in images.batches(100)]
        return np.concatenate(classes)

    def outputs(self, draw: Draw, recipe: str, images: Images, steps: int) -> Array | None:
        """The last layer's output, (steps, N, 10); None if not all of it has been computed."""
        chunks = [_read(path, n, steps) for path, n in self._files(draw, recipe, images)]
        computed = [chunk for chunk in chunks if chunk is not None]
        return (
            np.concatenate(computed, axis=1) if computed and len(computed) == len(chunks) else None
        )

    def run(self, draw: Draw, recipe: str, images: Images, steps: int) -> None:
        """Compute and store the outputs that are not stored yet."""
        files = list(enumerate(self._files(draw, recipe, images)))
        missing = [(k * CHUNK, path) for k, (path, n) in files if _read(path, n, steps) is None]
        if not missing:
            return
        network = self._network(draw, recipe)
        began = time.monotonic()
        for done, (start, path) in enumerate(missing, 1):
            batches = images.batches(BATCH, start, start + CHUNK)
            chunk = [simulation.simulate(network, x, steps) for x in batches]
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.with_suffix(".part").open("wb") as file:
                np.save(file, np.concatenate(chunk, axis=1))
            path.with_suffix(".part").replace(path)
            left = (time.monotonic() - began) / done * (len(missing) - done)
            where = f"draw {draw.number}, {recipe}, {images.name}, {steps} steps"
            _say(f"{where}: {done} of {len(missing)} chunks, {left / 60:.0f} min left")

    def _files(self, draw: Draw, recipe: str, images: Images) -> list[tuple[Path, int]]:
        folder, count = self.work / f"draw{draw.number}" / recipe, len(images.rows)
        return [
            (folder / f"{images.name}-{start:05d}.npy", min(CHUNK, count - start))
            for start in range(0, count, CHUNK)
        ]

    def _network(self, draw: Draw, recipe: str) -> nn.Module:
        key = draw.number, recipe
        if key not in self.networks:
            batches = list(draw.calibration.batches(CALIBRATION_BATCH))
            x = next(draw.selection.batches(COMPARED_IMAGES))
            self.networks[key] = simulation.convert(self.ann, recipe, batches, x, self.steps)
            _say(f"draw {draw.number}, {recipe}: converted, bit for bit as SpikingJelly runs it")
        return self.networks[key]


def _read(path: Path, images: int, steps: int) -> Array | None:
    if not path.is_file():
        return None
    chunk = np.load(path)
    fits = chunk.shape[0] >= steps and chunk.shape[1] >= images
    return chunk[:steps, :images] if fits else None


@dataclass(frozen=True)
class Measurement:
    """What is measured, and its results so far.

    Attributes:
        runner: keeps the outputs.
        draws, recipes, steps: what to run.
        tests: `exact`, and `rest` of the sample for the agreement.
        truth: what the outputs on test images are compared with.
    """

    runner: Runner
    draws: Sequence[Draw]
    recipes: Sequence[str]
    steps: int
    tests: Mapping[str, Images]
    truth: judging.Truth

    def choices(self, draw: Draw) -> list[judging.Choice]:
        """The choices of all recipes; empty while outputs of one are missing."""
        ann, choices = self.runner.predictions(draw.selection), list[judging.Choice]()
        for recipe in self.recipes:
            outputs = self.runner.outputs(draw, recipe, draw.selection, self.steps)
            if outputs is None:
                return []
            choices += judging.choose(draw.number, recipe, outputs, ann)
        return choices

    def select(self, draw: Draw) -> None:
        """All recipes on the training images."""
        for recipe in self.recipes:
            self.runner.run(draw, recipe, draw.selection, self.steps)

    def test(self, draw: Draw, part: str) -> None:
        """Run the chosen recipes on a part of the test images, for as many steps as are read."""
        chosen = judging.best(self.choices(draw))
        for (_, recipe), steps in judging.steps_needed(chosen).items():
            self.runner.run(draw, recipe, self.tests[part], steps)

    def write(self, about: Mapping[str, Any]) -> None:
        """Write `results.json` and `tables.md` from all stored outputs."""
        choices = {draw.number: self.choices(draw) for draw in self.draws}
        judged: list[judging.Judged] = []
        for draw in self.draws:
            chosen = judging.best(choices[draw.number])
            steps = judging.steps_needed(chosen)
            for choice in chosen:
                outputs = {
                    name: self.runner.outputs(
                        draw, choice.recipe, images, steps[draw.number, choice.recipe]
                    )
                    for name, images in self.tests.items()
                }
                if (result := judging.judge(choice, outputs, self.truth)) is not None:
                    judged.append(result)
        all_choices = [choice for of_draw in choices.values() for choice in of_draw]
        document = judging.document(all_choices, judged, about)
        tables = judging.tables(all_choices, judged, self.recipes)
        for name, text in ("results.json", compact(document)), ("tables.md", tables):
            part = self.runner.work / f"{name}.part"
            part.write_text(text.rstrip() + "\n", encoding="utf-8")
            part.replace(self.runner.work / name)


def compact(document: Mapping[str, Any]) -> str:
    """JSON with a line for each entry of a list."""
    lines: list[str] = []
    for key, value in document.items():
        text = json.dumps(value)
        if isinstance(value, list):
            text = "[\n  " + ",\n  ".join(map(json.dumps, value)) + "\n ]"
        lines.append(f" {json.dumps(key)}: {text}")
    return "{\n" + ",\n".join(lines) + "\n}"


def measure(options: argparse.Namespace) -> None:
    """Measure part by part; the results are rewritten after each."""
    net, data = NETWORKS[options.network], options.data_dir
    network = load_network(net, net.find_weights(data, options.work))
    runner = Runner(network, options.work, options.steps)
    tests, sampled = test_images(net, data, options.agreement_images, options.limit)
    ann = {name: runner.predictions(images) for name, images in tests.items()}
    labels = tests["exact"].labels()
    draws = [training_images(net, data, draw, options.limit) for draw in options.draws]
    truth = judging.Truth(ann, labels, sampled)
    task = Measurement(runner, draws, options.recipes, options.steps, tests, truth)
    about = {
        "network": options.network,
        "spikingjelly": metadata.version("spikingjelly"),
        "torch": torch.__version__,
        "steps": options.steps,
        "selection_images": len(draws[0].selection.rows),
        "exact_images": len(labels),
        "ann_accuracy": round(100 * float((ann["exact"] == labels).mean()), 3),
    }
    for draw in draws:
        task.select(draw)
        task.test(draw, "exact")
        task.write(about)
    for draw in draws:
        if draw.number in options.agreement_draws and "rest" in tests:
            task.test(draw, "rest")
            task.write(about)


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
    except (SnncError, simulation.SimulationError, OSError) as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit(f"stopped; the same command goes on from what {options.work} holds")
    print((options.work / "tables.md").read_text(encoding="utf-8"), end="")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--data-dir", type=Path, required=True, help="data and weights")
    networks = ("resnet20", "resnet56", "mnist")
    parser.add_argument("--network", choices=networks, default="resnet20")
    parser.add_argument("--work", type=Path, default=Path("spikingjelly-out"), help="outputs")
    parser.add_argument("--draws", type=int, nargs="+", default=[0, 1, 2], help="seeds")
    parser.add_argument("--agreement-draws", type=int, nargs="*", default=[0], help="of --draws")
    parser.add_argument("--agreement-images", type=int, default=10_000, help="size of the sample")
    names = [*simulation.RECIPES]
    parser.add_argument("--recipes", nargs="+", choices=names, default=names)
    parser.add_argument("--steps", type=int, default=64, help="steps of a run, T+D at most")
    parser.add_argument("--threads", type=int, default=1, help="threads of torch")
    parser.add_argument("--limit", type=int, help="only so many images of each part, for a trial")
    return parser.parse_args()


if __name__ == "__main__":
    main()
