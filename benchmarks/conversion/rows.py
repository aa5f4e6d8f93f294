"""The rows of the tables: measured stage by stage, or kept."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import snnc
from benchmarks.conversion.conversions import CALIBRATION_IMAGES, Conversions
from benchmarks.conversion.expenses import expenses
from benchmarks.conversion.judged_networks import NETWORKS, Judge
from benchmarks.conversion.kept import kept
from benchmarks.conversion.setting import FLOAT, Setting
from snnc.artifact import open_artifact
from snnc.driver import verify_artifact

BATCH = 100
QUARTERS = (1, 2, 3, 4)
VERIFIED_IMAGES = 64
"""Calibration images on which targets are compared with the reference."""


@dataclass(frozen=True)
class Measurement:
    """How rows are measured.

    Attributes:
        data: the folder with data and weights.
        work: the folder of kept results; a stage that is there is not measured again.
        threads: of a conversion and of a run.
        calibration: images to calibrate.
        longest: window up to which the first draw is run on all test images; longer ones and other
            draws are run on the bit-exact ones.
        limit: run only so many images, for a trial; None for all.
    """

    data: Path
    work: Path
    threads: int = 1
    calibration: int = CALIBRATION_IMAGES
    longest: int = 32
    limit: int | None = None

    @cached_property
    def judges(self) -> Mapping[str, Judge]:
        """By network."""
        return {name: Judge(net, self.data, self.work) for name, net in NETWORKS.items()}

    def row(self, setting: Setting) -> dict[str, Any]:
        """All figures of a setting."""
        compiled, run = self.compiled(setting), self.run(setting)
        judge, chosen = self.judges[setting.network], self.chosen(setting)
        answers = {int(end): np.array(classes) for end, classes in run["classes"].items()}
        figures = {end: judge.figures(classes, chosen) for end, classes in answers.items()}
        *early, last = sorted(figures)
        graph = open_artifact(self.conversions(setting).artifact(setting)).graph()
        return {
            **asdict(setting),
            **compiled,
            **figures[last],
            "prefixes": {str(end): figures[end] for end in early},
            **({} if setting.precision == FLOAT else self.rounded(setting, answers[last])),
            **expenses(graph, run["spikes"], compiled["window"]),
            **self.kept(setting, "crossbar", self.conversions(setting).map),
            "run_processor_seconds": run["processor_seconds"],
        }

    def compiled(self, setting: Setting) -> dict[str, Any]:
        """The artifact and what it took; integers are made of the artifact of real values."""
        if setting.precision == FLOAT:
            return self.kept(setting, "compiled", self.conversions(setting).convert)
        schedule = self.compiled(setting.of_float)
        same = ("pipeline", "window", "latency_timesteps", "readout_start", "schedule")
        spent = self.kept(setting, "compiled", self.conversions(setting).round)
        return {**{key: schedule[key] for key in same}, **spent}

    def run(self, setting: Setting) -> dict[str, Any]:
        """Classes by the number of steps, image by image, and the spikes of each node."""
        return self.kept(setting, "run", self._run)

    def rounded(self, setting: Setting, classes: NDArray[np.int64]) -> dict[str, Any]:
        """How far integers are below real values; whether all targets give the same."""
        run = self.run(setting.of_float)["classes"]
        judge, chosen = self.judges[setting.network], self.chosen(setting)
        others = np.array(run[max(run, key=int)])
        return {
            **judge.below(classes, others, chosen),
            **self.kept(setting, "verified", self._verify),
        }

    def kept(self, setting: Setting, stage: str, measure: Any) -> dict[str, Any]:
        """A stage of a row."""
        return kept(self.work / f"{setting.name}.{stage}.json", partial(measure, setting))

    def conversions(self, setting: Setting) -> Conversions:
        """Of its network."""
        judge = self.judges[setting.network]
        known = (judge.net, judge.weights, self.data, self.work)
        return Conversions(*known, threads=self.threads, images=self.calibration)

    def chosen(self, setting: Setting) -> NDArray[np.int64]:
        """Numbers of the test images that a row is run on."""
        judge = self.judges[setting.network]
        every = setting.draw == 0 and setting.timesteps <= self.longest
        exact = np.flatnonzero(judge.exact)
        return (np.arange(len(judge.images)) if every else exact)[: self.limit]

    def _run(self, setting: Setting) -> dict[str, Any]:
        judge, chosen = self.judges[setting.network], self.chosen(setting)
        images = replace(judge.images, indices=judge.images.indices[chosen], batch_size=BATCH)
        path = self.conversions(setting).artifact(setting)
        program = snnc.load(path, threads=self.threads)
        *early, last = steps_judged(setting, program.timesteps)
        classes: dict[int, list[int]] = {end: [] for end in (*early, last)}
        spikes: dict[str, float] = {}
        start = time.process_time()
        for x, _ in images:
            run = program.run(x, record="counts", prefixes=tuple(early))
            answers = {**run.stats.get("prefixes", {}), last: run.output}
            for end, found in classes.items():
                found += answers[end].argmax(axis=1).tolist()
            for node, counts in run.counts.items():
                spikes[node] = spikes.get(node, 0.0) + float(counts.sum(dtype=np.float64))
        return {
            "classes": classes,
            "spikes": {node: total / len(chosen) for node, total in spikes.items()},
            "processor_seconds": time.process_time() - start,
        }

    def _verify(self, setting: Setting) -> dict[str, Any]:
        conversions = self.conversions(setting)
        self.kept(setting, "crossbar", conversions.map)
        known: dict[str, Any] = {"limit": VERIFIED_IMAGES, "threads": self.threads}
        compared = {
            target: verify_artifact(path, data=conversions.calibration(setting.draw), **known)
            for target, path in (
                ("cpu", conversions.artifact(setting)),
                ("crossbar", conversions.chip(setting)),
            )
        }
        return {
            "verified_images": VERIFIED_IMAGES,
            "values_compared": {t: sum(c.compared.values()) for t, c in compared.items()},
            "values_differing": {t: sum(c.differing.values()) for t, c in compared.items()},
        }


def steps_judged(setting: Setting, window: int) -> tuple[int, ...]:
    """After how many steps answers are judged: the window; of `any time` every quarter, too."""
    quarters = QUARTERS if setting.neurons == "any time" else QUARTERS[-1:]
    return tuple(window * quarter // QUARTERS[-1] for quarter in quarters)
