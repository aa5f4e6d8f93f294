"""What the experiments of `table.py` share: rows, data, and what is kept of them."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

import snnc
from benchmarks.conversion.conversions import CHIP, CHIP_BITS
from benchmarks.conversion.expenses import membrane_accesses
from benchmarks.learning import networks
from snnc.analysis import Ann, evaluate
from snnc.data import Dataset
from snnc.driver import Compiled, ModelSource
from snnc.driver.models import eager

RESNET_MEAN, RESNET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Row:
    """One network of a table."""

    experiment: str
    dataset: str
    arm: str
    seed: int

    @property
    def name(self) -> str:
        """Of its files and of its entry in the results."""
        return "/".join(map(str, asdict(self).values()))


@dataclass(frozen=True)
class Data:
    """Images that learn, choose, calibrate and judge; `agreed` are held against the ANN."""

    train: Dataset
    validation: Dataset
    calibration: Dataset
    parts: Mapping[str, Dataset]
    agreed: Dataset | None = None


AUGMENTED = {"cifar10": "augment=crop-flip"}
"""10,000 images of CIFAR-10 are learnt by heart within a few epochs."""


class Bench:
    """Data, options, and what has been measured."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options, self.work = options, options.work
        self.tasks = networks.tasks(options.data_dir)
        self.work.mkdir(parents=True, exist_ok=True)

    def rows(self) -> dict[str, Any]:
        """All that is kept, by name."""
        path = self.options.results
        return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}

    def keep(self, row: Row, figures: Mapping[str, Any]) -> None:
        """Add a row to the results."""
        entry = {**asdict(row), **figures}
        text = json.dumps({**self.rows(), row.name: entry}, indent=1, sort_keys=True)
        part = self.options.results.with_suffix(".part")
        part.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(text + "\n", encoding="utf-8")
        part.replace(self.options.results)

    def data(self, dataset: str) -> Data:
        """Of a small network's data set."""
        task = self.tasks[dataset]
        return Data(task.train, task.validation, task.calibration, task.parts)

    def ann(self, row: Row) -> nn.Module:
        """The trained network of a data set and seed."""
        kept = self.work / f"{row.dataset}-{row.seed}.safetensors"
        task = self.tasks[row.dataset]
        return networks.trained_ann(task, row.seed, self.options.ann_epochs, kept)

    def learning(self, row: Row, epochs: int) -> str:
        """Options of a pass that learns."""
        return f"epochs={epochs} {AUGMENTED.get(row.dataset, '')} {self.options.learn}"

    def normalization(self, row: Row) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Mean and standard deviation of the channels, as the network takes its images."""
        task = self.tasks.get(row.dataset)
        return (task.mean, task.std) if task else (RESNET_MEAN, RESNET_STD)

    def graph(self, row: Row) -> Path:
        """Where the graph of a row is kept."""
        return self.work / f"{row.name.replace('/', '-')}.snnc"

    def compile(self, row: Row, model: Any, passes: str, timesteps: int, data: Data) -> Compiled:
        """Run passes on a model or graph; nothing is normalised a second time."""
        mean, std = self.normalization(row)
        fresh = isinstance(model, nn.Module)
        return snnc.compile(
            model,
            passes=passes,
            timesteps=timesteps,
            calibration=data.calibration,
            train=data.train,
            validation=data.validation,
            input_shape=data.train.input_shape if fresh else None,
            mean=mean if fresh else (),
            std=std if fresh else (),
            output=self.graph(row),
            workdir=self.work / "checkpoints" / row.name,
            resume=True,
            seed=row.seed,
        )

    def measure(self, row: Row, compiled: Compiled, data: Data) -> dict[str, Any]:
        """Figures of a network on the test images."""
        results: dict[str, Any] = {"timesteps": compiled.report["timesteps"], "accuracy": {}}
        results["latency_timesteps"] = compiled.report["latency_timesteps"]
        for part, images in data.parts.items():
            figures = evaluate(
                compiled.program, compiled.graph, images, timesteps=results["timesteps"]
            ).report()
            results["accuracy"][part] = figures["accuracy"]
            results["spikes_per_neuron"] = figures["spikes_per_neuron"]
            results["energy"] = figures["energy"]
        learnt = [s["metrics"] for s in compiled.report["steps"] if "chosen" in s["metrics"]]
        results["learnt"] = learnt[-1] if learnt else None
        return results

    def agreement(self, row: Row, compiled: Compiled, model: nn.Module, images: Dataset) -> float:
        """The fraction of images that a network classifies as the ANN does, on the target cpu."""
        steps = compiled.report["timesteps"]
        fast = snnc.compile(compiled.graph, passes="", timesteps=steps, target="cpu")
        mean, std = self.normalization(row)
        ann = Ann(eager(ModelSource(model=model, mean=mean, std=std)))
        found = evaluate(fast.program, fast.graph, images, timesteps=steps, ann=ann)
        return found.report()["agreement"]

    def hardware(self, compiled: Compiled, data: Data) -> dict[str, Any]:
        """Accesses to potentials of an inference, and its expected energy on a crossbar."""
        steps = compiled.report["timesteps"]
        target = f"crossbar{{weight-bits={CHIP_BITS} {CHIP}}}"
        chip = snnc.compile(
            compiled.graph,
            passes="",
            timesteps=steps,
            target=target,
            calibration=data.calibration,
        )
        return {
            "membrane_accesses": membrane_accesses(compiled.graph, steps),
            "crossbar_uj": chip.report["cost"]["energy_pj"] / 1e6,
        }

    def measure_ann(self, row: Row, model: nn.Module, data: Data) -> None:
        """Keep the accuracy of the network before conversion."""
        row = replace(row, arm="ANN")
        if row.name in self.rows():
            return
        mean, std = self.normalization(row)
        run = eager(ModelSource(model=model, mean=mean, std=std))
        accuracy = {
            part: float(np.concatenate([run(x).argmax(1) == y for x, y in images]).mean())
            for part, images in data.parts.items()
        }
        self.keep(row, {"accuracy": accuracy})
