"""The attacks of a row of `table.py`, and what they gave."""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import snnc
from benchmarks.robustness.networks import Networks
from benchmarks.robustness.plan import Row
from snnc.robustness import METHODS, TRANSFER, AttackResult, RobustnessReport
from snnc.robustness.methods import WIDTHS

FULL_IMAGES, SWEEP_IMAGES = 200, 100
DRAWS = {"full": 10, "draws": 20}
SWEEP_DRAWS = 5
"""Of a random encoder for one gradient."""


@dataclass(frozen=True)
class Attacks:
    """Attacks with equally many steps.

    Attributes:
        called: names in the table, where they are others.
    """

    methods: tuple[str, ...]
    steps: int
    called: Mapping[str, str] = field(default_factory=dict[str, str])


FULL = (
    Attacks(("noise", "fgsm", "pgd", "apgd", "square", "potential"), 20),
    Attacks(tuple(f"pgd-width-{width:g}" for width in WIDTHS), 10),
    Attacks(("adaptive", "adaptive-half", TRANSFER), 40),
)
"""`adaptive-half` has the steps of `pgd`."""
SWEEP = (
    Attacks(("noise", "fgsm", "pgd"), 7, {"pgd": "pgd-7"}),
    Attacks(("pgd",), 20),
    Attacks(("adaptive", TRANSFER), 50),
)

MORE_DRAWS = (Attacks(("pgd",), 20), Attacks(("adaptive",), 50))
SETS = {"full": FULL, "draws": MORE_DRAWS}


def measured(row: Row, networks: Networks, work: Path) -> dict[str, Any]:
    """What the attacks of a row gave.

    The inputs are kept in `work` until all are done: what was interrupted goes on.
    """
    began, spent = time.monotonic(), time.process_time()
    found: dict[str, AttackResult] = {}
    clean = np.zeros((0, 0), bool)
    folder = work / row.name.replace("/", "-")
    for number, attacks in enumerate(SETS.get(row.experiment, SWEEP)):
        report = _attacked(row, attacks, networks, folder / str(number))
        clean = report.clean
        for name, result in report.attacks.items():
            found[attacks.called.get(name, name)] = result
    shutil.rmtree(folder)
    return {
        **_network(row),
        "accuracy": {name: result.accuracy for name, result in found.items()},
        "right": {name: _digits(result.correct) for name, result in found.items()},
        **_claim(row, clean, found),
        "seconds": round(time.monotonic() - began, 1),
        "processor_seconds": round(time.process_time() - spent, 1),
    }


def _attacked(row: Row, attacks: Attacks, networks: Networks, folder: Path) -> RobustnessReport:
    full = row.experiment == "full"
    return snnc.attack(
        networks.path(row.network),
        networks.images(row.network.dataset),
        method=attacks.methods,
        eps=row.eps,
        steps=attacks.steps,
        eot=DRAWS.get(row.experiment, SWEEP_DRAWS),
        limit=FULL_IMAGES if full else SWEEP_IMAGES,
        batch_size=100,
        source=networks.path(row.source) if TRANSFER in attacks.methods else None,
        workdir=folder,
        resume=True,
        threads=1,
    )


def _network(row: Row) -> dict[str, Any]:
    return {"experiment": row.experiment, "eps": row.eps, **asdict(row.network)}


def _claim(row: Row, clean: NDArray[np.bool_], found: Mapping[str, AttackResult]) -> dict[str, Any]:
    """Accuracy without an attack and under the strongest one for every image, and the warnings."""
    least = RobustnessReport(clean, found, row.eps).adversarial_accuracy
    known = {n: r for n, r in found.items() if n in METHODS or n.startswith(TRANSFER)}
    warnings = RobustnessReport(clean, known, row.eps).warnings()
    figures = {"clean": float(clean.mean()), "clean_right": _digits(clean), "minimum": least}
    return {**figures, "images": clean.shape[1], "warnings": list(warnings)}


def _digits(correct: NDArray[np.bool_]) -> str:
    """For every image by how many evaluation seeds it was classified right, a digit each."""
    return "".join(map(str, correct.sum(0)))
