"""Reports of real compilations and evaluations, and one with everything in it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from snnc.driver import Job, ModelSource, evaluate, run
from snnc.report.files import to_json
from snnc.testing import Style, build, sample_inputs

Report = dict[str, Any]


@pytest.fixture(scope="session")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("report") / "net.snnc"


@pytest.fixture(scope="session")
def compiled(artifact: Path) -> Report:
    """`compile --report`, quantised, 80 calibration samples."""
    graph = build("plain", Style.ANN)
    job = Job(
        source=ModelSource(model=graph),
        target="reference",
        recipe="convert{bits=8}",
        timesteps=6,
        calibration=sample_inputs(graph, 80),
        measure_layers=True,
    )
    return json.loads(to_json(run(job, artifact).report))


@pytest.fixture(scope="session")
def measured(compiled: Report, artifact: Path, tmp_path_factory: pytest.TempPathFactory) -> Report:
    """`eval --report` of it, with labels and a sweep, without the ANN."""
    del compiled  # it has written the artifact
    x = sample_inputs(build("plain", Style.ANN), 20, seed=1)
    file = tmp_path_factory.mktemp("data") / "x.npz"
    np.savez(file, x=x, y=np.arange(20) % 5)
    found = evaluate(artifact, str(file), sweep=(1, 2, 6), measure_layers=True)
    return json.loads(to_json({**found.report(), "artifact": str(artifact), "data": "x.npz"}))


@pytest.fixture(scope="session")
def hardware() -> Callable[[int], Report]:
    """A target's own figures with so many tiles, of three layers."""

    def make(count: int) -> Report:
        tiles = [
            {
                "tile": number,
                "layer": f"act{1 + 3 * number // count}",
                "rows": 128 if number % 3 else 57,
                "cols": 128 if number % 5 else 10,
                "first_row": 0,
                "first_col": 0,
            }
            for number in range(count)
        ]
        layers = {f"act{n}": {"tiles": count // 3, "utilisation": 0.625} for n in (1, 2, 3)}
        return {
            "totals": {"tiles": count, "utilisation": 0.5, "energy_pj": 1234.5, "area_um2": 7e6},
            "layers": layers,
            "tiles": tiles,
            "tile_shape": [128, 128],
            "notes": ["not modelled yet: <noise> & drift"],
        }

    return make
