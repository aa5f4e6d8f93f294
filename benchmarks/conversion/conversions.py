"""Conversions by `snnc compile`, each in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.conversion.judged_networks import Network
from benchmarks.conversion.setting import BITS, Setting
from benchmarks.repository import EXAMPLES
from snnc.data import open_data

CALIBRATION_IMAGES = 1024
CHIP = "packing=time-multiplexed technology=isaac-32nm"
CHIP_BITS = 8
"""Width of the chip's weights for a network of real values, which it rounds to the nearest."""


@dataclass(frozen=True)
class Conversions:
    """How a network is converted.

    Attributes:
        net: the trained network.
        weights: its file.
        data: the folder with `mnist/`, `cifar10/`, …
        work: where artifacts are written.
        threads: of a conversion.
        images: of the calibration.
    """

    net: Network
    weights: Path
    data: Path
    work: Path
    threads: int
    images: int = CALIBRATION_IMAGES

    def artifact(self, setting: Setting) -> Path:
        """Its file."""
        return self.work / f"{setting.name}.snnc"

    def chip(self, setting: Setting) -> Path:
        """The file of the same network for the crossbar."""
        return self.work / f"{setting.name}-crossbar.snnc"

    def convert(self, setting: Setting) -> dict[str, Any]:
        """A network of real values: its pipeline, latency, seconds and peak memory."""
        net = self.net
        report, spent = snnc_compile(
            EXAMPLES / net.model,
            *("--weights", self.weights, "--input-shape", ",".join(map(str, net.input_shape))),
            *(["--mean", ",".join(map(str, net.mean))] if net.mean else []),
            *(["--std", ",".join(map(str, net.std))] if net.std else []),
            *("--target", "cpu", "--recipe", setting.recipe),
            *([] if setting.chooses_window else ["-T", setting.timesteps]),
            *self._rest(setting, self.artifact(setting)),
        )
        metrics = {step["name"]: step["metrics"] for step in report["steps"]}
        return {
            "pipeline": report["pipeline"],
            "window": report["timesteps"],
            "latency_timesteps": report["latency_timesteps"],
            "readout_start": metrics.get("late-readout", {}).get("start", 0),
            "schedule": metrics.get("choose-schedule", {}),
            **spent,
        }

    def round(self, setting: Setting) -> dict[str, Any]:
        """The network of real values with integer weights: seconds and peak memory of the pass."""
        report, spent = snnc_compile(
            self.artifact(setting.of_float),
            *("--target", "cpu", "--passes", setting.rounding),
            *self._rest(setting, self.artifact(setting)),
        )
        return {"rounding_pass": report["pipeline"], **spent}

    def map(self, setting: Setting) -> dict[str, Any]:
        """The network on a crossbar: its expected energy by 32 of the calibration images."""
        bits = BITS.get(setting.precision, CHIP_BITS)
        report, _ = snnc_compile(
            self.artifact(setting),
            *("--target", f"crossbar{{weight-bits={bits} {CHIP}}}"),
            *self._rest(setting, self.chip(setting)),
        )
        layers = report["hardware"]["layers"].values()
        return {
            "crossbar_target": report["target"],
            "crossbar_rows": sum(layer["matrix_rows"] * layer["groups"] for layer in layers),
            "crossbar_uj": report["cost"]["energy_pj"] / 1e6,
            "crossbar_latency_us": report["cost"]["latency_ns"] / 1e3,
            "crossbar_tiles": report["hardware"]["totals"]["tiles"],
        }

    def calibration(self, draw: int) -> str:
        """A draw of bit-exact training images, as DATA."""
        net = self.net
        train = f"{net.kind}:{self.data / net.kind}#train"
        pool = open_data(f"{train}[@exact_train.npy]" if net.exact else train).indices
        order = np.random.default_rng(draw).permutation(len(pool))
        chosen = self.work / f"{net.kind}-calibration-{draw}.npy"
        np.save(chosen, np.sort(pool[order[: self.images]]))
        return f"{train}[@{chosen}]"

    def _rest(self, setting: Setting, output: Path) -> list[object]:
        """Options of every conversion."""
        given = ["--calibration", self.calibration(setting.draw), "--threads", self.threads]
        return [*given, "-o", output]


def snnc_compile(*arguments: object) -> tuple[dict[str, Any], dict[str, float]]:
    """The report of `snnc compile`, and what it took; exits where it fails."""
    command = [sys.executable, "-m", "snnc", "compile", *arguments, "--json", "--quiet"]
    start = time.perf_counter()
    process = subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE)
    assert process.stdout is not None
    report = json.loads(process.stdout.read() or b"{}")
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"{' '.join(map(str, command))} failed")
    return report, {
        "compile_seconds": time.perf_counter() - start,
        "compile_processor_seconds": usage.ru_utime + usage.ru_stime,
        "compile_peak_gb": usage.ru_maxrss / 1e6,
    }
