"""Artifacts on users' disks load for ever, and give what they gave: every spike, count and output.

The files of a version were written by the code that brought it, with `write.py`.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import snnc
from snnc.artifact import ArtifactFile, open_artifact
from snnc.artifact.layout import VERSION
from snnc.driver import verify_artifact
from snnc.driver.programs import open_program
from snnc.ir import Neuron
from snnc.plugins import BACKENDS, Registry
from snnc.target import Program, RunResult
from snnc.testing import assert_equal_runs

HERE = Path(__file__).parent
FROZEN = sorted(HERE.glob("v*/*.snnc"))
SAME_GRAPH = [
    path for path in FROZEN if path.parent.name != "v1" or not path.name.startswith("crossbar-real")
]
"""Those whose target runs the stored graph; in format 1 a crossbar rounded one of real values."""
STORING = [path for path in FROZEN if path.parent.name not in ("v1", "v2")]
"""Those that store inputs with what they gave, since format 2.1."""
STATS = ("saturated", "activity")
_FIRST = (
    "input readout conv linear scale add sumpool maxpool reshape permute slice pad concat"
    " encode-direct encode-poisson encode-latency neuron"
)
OPS = {
    "v1": _FIRST,
    "v2": _FIRST,
    "v2.1": f"{_FIRST} upsample count-maxpool two-sided-neuron",
}
"""Per version, the operations of spiking graphs when it was written."""


def named(path: Path) -> str:
    """Of a test of an artifact."""
    return f"{path.parent.name}-{path.stem}"


def folder_of(version: object) -> str:
    """`v1` for version 1.0 of the format, `v1.1` for 1.1."""
    return f"v{str(version).removesuffix('.0')}"


@cache
def opened(path: Path) -> ArtifactFile:
    return open_artifact(path)


@cache
def kept(path: Path) -> dict[str, NDArray[Any]]:
    """What lies beside an artifact: what it was given, and what it gave."""
    with np.load(path.with_suffix(".npz"), allow_pickle=False) as arrays:
        return dict(arrays)


def part(path: Path, group: str) -> dict[str, NDArray[Any]]:
    """The arrays called `group/name`, by name."""
    start = f"{group}/"
    return {k.removeprefix(start): v for k, v in kept(path).items() if k.startswith(start)}


def expected(path: Path) -> RunResult:
    """What the artifact gave when it was written."""
    return RunResult(
        output=kept(path)["output"],
        readout=kept(path).get("readout"),
        counts=part(path, "counts"),
        spikes=part(path, "spikes"),
        stats=json.loads(str(kept(path)["stats"])),
        timesteps=int(kept(path)["timesteps"]),
    )


def run(program: Program, path: Path) -> RunResult:
    """What a program gives for the inputs the artifact was given."""
    return program.run(
        kept(path)["x"],
        record="spikes",
        sample_ids=kept(path)["sample_ids"],
        seed=int(kept(path)["seed"]),
        prefixes=tuple(map(int, part(path, "prefix"))),
    )


def assert_as_frozen(program: Program, path: Path) -> RunResult:
    """Assert that a program gives what the artifact gave, and give the run."""
    then = expected(path)
    now = run(program, path)
    assert program.timesteps == now.timesteps == then.timesteps
    assert_equal_runs(now, then, path.stem)
    for t, output in part(path, "prefix").items():
        np.testing.assert_array_equal(now.stats["prefixes"][int(t)], output, f"after {t} steps")
    return now


@pytest.mark.parametrize("path", FROZEN, ids=named)
def test_gives_what_it_gave(path: Path) -> None:
    opened(path).check()
    assert folder_of(opened(path).manifest["version"]) == path.parent.name
    now = assert_as_frozen(snnc.load(path), path)
    stats = {key: now.stats[key] for key in STATS if key in now.stats}
    assert _where_in(stats, expected(path).stats) == expected(path).stats


def _where_in(now: Any, frozen: Any) -> Any:
    """`now` without the keys that `frozen` has not: counts may be added."""
    if not isinstance(frozen, dict):
        return now
    return {key: _where_in(now.get(key), value) for key, value in frozen.items()}


@pytest.mark.parametrize("path", STORING, ids=named)
def test_a_stranger_can_check_it(path: Path) -> None:
    found = verify_artifact(path)
    assert found.inputs == "stored" and found.samples > 0
    assert found.compared["stored_spikes"] > 0
    assert (found.compared["stored_readouts"] > 0) == found.quantized
    assert found.equal


@pytest.mark.parametrize("path", SAME_GRAPH, ids=named)
def test_the_stored_graph_gives_the_same(path: Path) -> None:
    assert_as_frozen(open_program(opened(path), "reference"), path)


def test_the_current_version_is_frozen_for_every_target() -> None:
    registry = Registry(BACKENDS)
    ours = {name for name in registry.names() if registry.owner(name).distribution == "snnc"}
    version = HERE / folder_of(VERSION)
    found = {
        opened(path).manifest["target"].partition("{")[0]
        for path in FROZEN
        if path.parent == version
    }
    assert found >= ours, f"write {version.name} with tests/frozen/write.py, and keep it"


@pytest.mark.parametrize("folder", sorted({path.parent for path in FROZEN}), ids=lambda f: f.name)
def test_a_version_is_frozen_in_all_its_variety(folder: Path) -> None:
    nodes = [
        node.op for path in FROZEN if path.parent == folder for node in opened(path).graph().nodes
    ]
    assert {op.mnemonic for op in nodes} >= set(OPS[folder.name].split())
    neurons = [op for op in nodes if isinstance(op, Neuron)]
    for field in ("reset", "order", "signed"):
        assert len({getattr(op, field) for op in neurons}) == 2, field
    assert {op.wait > 0 for op in neurons} == {True, False}
    fired = [a for p in FROZEN if p.parent == folder for a in part(p, "spikes").values()]
    assert any((spikes < 0).any() for spikes in fired)
