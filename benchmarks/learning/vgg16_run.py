"""What the stages of `vgg16.py` share: settings, images, what is finished, the time left."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.learning.cifar10_pack import binary_folder
from snnc.data import Dataset, open_data

SHARES = {"ann": 0.3, "T5": 0.2, "T4": 0.1, "T3": 0.1, "T2": 0.1, "T1": 0.2}
"""Of the time, the stages that learn; the conversion and what is tested come off the next one."""
PUBLISHED = {"ann": 94.10, "T1": 93.05}
"""Percent of the 10,000 original test images (Chowdhury, Rathi & Roy, "One Timestep is All You
Need", 2021), after 300 epochs of the ANN and 500 at every T; its neurons do not wait at T > 1."""


@dataclass(frozen=True)
class Settings:
    """Settings of a run.

    Attributes:
        data, work: folders of the images, and of what is kept.
        device: "cpu" or "cuda".
        seconds: that all stages take, about; earlier calls of a run count.
        epochs: of every stage that learns; None for as many as the time holds.
        images, tested: training and test images; None for all.
        width: channels of the first convolutions; 64 is VGG16.
        batch: images of a step.
        ann_lr, lr: largest learning rates, of the ANN and of the spiking networks.
    """

    data: Path
    work: Path
    device: str = "cuda"
    seconds: float = 420.0
    epochs: int | None = None
    images: int | None = None
    tested: int | None = None
    width: int = 64
    batch: int = 128
    ann_lr: float = 0.05
    lr: float = 1e-3
    seed: int = 0


@dataclass(frozen=True)
class Images:
    """Images that learn and choose, and what of the test images judges."""

    train: Dataset
    validation: Dataset
    parts: Mapping[str, Dataset]


class Run:
    """The stages of a run, those that are finished, and the time that is left.

    Raises:
        SystemExit: the folder holds a run of other settings.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings, self.began = settings, time.monotonic()
        settings.work.mkdir(parents=True, exist_ok=True)
        self.path = settings.work / "figures.json"
        text = self.path.read_text(encoding="utf-8") if self.path.exists() else "{}"
        kept = json.loads(text)
        own = {name: getattr(settings, name) for name in ("images", "width", "batch", "seed")}
        if kept and kept["settings"] != own:
            raise SystemExit(f"{settings.work} holds a run of other settings; give another --work")
        self.stages: dict[str, dict[str, Any]] = kept.get("stages", {})
        self.own = own
        self.earlier = sum(stage["seconds"] for stage in self.stages.values())

    @cached_property
    def images(self) -> Images:
        """A twenty-fifth of the training images chooses the epoch."""
        settings = self.settings
        folder = binary_folder(settings.data, settings.work)
        everything = open_data(f"cifar10:{folder}#train").limit(settings.images)
        train, validation = everything.split(0.04, settings.seed)
        test = replace(open_data(f"cifar10:{folder}#test").limit(settings.tested), batch_size=200)
        parts = {"all": test}
        if any(folder.rglob("exact_test.npy")):
            exact = open_data(f"cifar10:{folder}#test[@exact_test.npy]").indices
            known = np.isin(test.indices, exact)
            rows = {"exact": test.indices[known], "decoded": test.indices[~known]}
            parts = {part: replace(test, indices=own) for part, own in rows.items()}
        return Images(train, validation, {name: part for name, part in parts.items() if len(part)})

    def stage(self, name: str, work: Callable[[], dict[str, Any]]) -> None:
        """Do the work of a stage that is not finished, and keep its figures."""
        if name not in self.stages:
            start = time.monotonic()
            figures = work()
            self.stages[name] = {**figures, "seconds": time.monotonic() - start}
            text = json.dumps({"settings": self.own, "stages": self.stages}, indent=1)
            part = self.path.with_suffix(".part")
            part.write_text(text + "\n", encoding="utf-8")
            part.replace(self.path)
        print(_line(name, self.stages[name]), flush=True)

    def epochs(self, name: str, second: Callable[[], float]) -> int:
        """Epochs of a stage; `second` gives the seconds of one, and is called only if needed."""
        if self.settings.epochs is not None:
            return self.settings.epochs
        spent = self.earlier + time.monotonic() - self.began
        waiting = sum(SHARES[stage] for stage in SHARES if stage not in self.stages)
        seconds = (self.settings.seconds - spent) * SHARES[name] / waiting
        return max(1, int(seconds / second()))


def _line(name: str, figures: Mapping[str, Any]) -> str:
    accuracy = "  ".join(f"{part} {100 * v:6.2f} %" for part, v in figures["accuracy"].items())
    parts = [f"{name:9}", accuracy]
    if name in PUBLISHED:
        parts.append(f"published {PUBLISHED[name]:.2f} %")
    if "spikes_per_neuron" in figures:
        parts.append(f"{figures['spikes_per_neuron']:.3f} spikes per neuron")
    if "epochs" in figures:
        parts.append(f"{figures['epochs']} epochs")
    return "  ".join([*parts, f"{figures['seconds']:.0f} s"])
