"""`snnc bench`: figures as text and JSON, traces, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="module")
def net(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small network on the CPU target, 4 steps, with stored samples."""
    from snnc.cli.main import run

    path = tmp_path_factory.mktemp("bench") / "net.snnc"
    command = ["compile", folder / "ann.snnc", "-o", path, "--target", "cpu", "-T", 4, "-q"]
    command += ["--recipe", "convert{bits=8}", "--calibration", folder / "cal.npz", "--sample", 2]
    assert run([str(each) for each in command]) == 0
    return path


def test_the_figures_fit_each_other(snnc: Any, net: Path) -> None:
    done = snnc("bench", net, "--batch", 3, "--threads", 1, "--seconds", 0, "--json")
    assert done.code == 0, done.err
    found = json.loads(done.out)
    assert (found["kind"], found["batch"], found["threads"]) == ("bench", 3, 1)
    assert found["threads_used"] == 1
    assert (found["timesteps"], found["inputs"], found["runs"]) == (4, "stored", 5)
    latency = found["latency_ms"]
    assert 0 < latency["least"] <= latency["p25"] <= latency["median"] <= latency["p75"]
    assert found["samples_per_second"] == pytest.approx(3e3 / latency["median"], rel=0.01)
    assert sum(row["share"] for row in found["steps"]) == pytest.approx(1)
    assert all(row["us"] > 0 and 0 < row["least_us"] < row["us"] for row in found["steps"])
    assert all(row["bound"] in found["limits"] for row in found["steps"])
    plan = json.loads(snnc("inspect", net, "--plan", "--json").out)["steps"]
    assert [(r["layer"], r["kernel"]) for r in found["steps"]] == [
        (r["layer"], r["kernel"]) for r in plan
    ]


def test_spikes_are_those_of_the_samples(snnc: Any, net: Path, folder: Path) -> None:
    import numpy as np

    import snnc as package
    from snnc.artifact import open_artifact
    from snnc.ir import AnyNeuron

    found = json.loads(
        snnc("bench", net, "--input", folder / "x.npy", "--batch", 5, "--seconds", 0, "--json").out
    )
    x = np.load(folder / "x.npy")[[0, 1, 2, 0, 1]]  # three samples, repeated
    counts = package.load(net).run(x, record="counts").counts
    nodes = open_artifact(net).graph().nodes
    fired = [counts[node.name] for node in nodes if isinstance(node.op, AnyNeuron)]
    assert found["spikes_per_sample"] * 5 == pytest.approx(sum(int(c.sum()) for c in fired))
    assert found["inputs"] == "data"


def test_text_and_trace(snnc: Any, net: Path, tmp_path: Path) -> None:
    path = tmp_path / "trace.json"
    done = snnc("bench", net, "--seconds", 0, "--trace", path)
    assert done.code == 0, done.err
    assert "latency" in done.out and "at best, us" in done.out and f"wrote {path}" in done.out
    trace = json.loads(path.read_text(encoding="utf-8"))
    events = [event for event in trace["traceEvents"] if event["ph"] == "X"]
    runs = {row: [e for e in events if e["tid"] == row and e["name"] == "run"] for row in (1, 2)}
    assert len(runs[1]) == len(runs[2]) == 5
    steps = [event for event in events if event["name"] != "run"]
    for run in runs[2]:
        own = [e for e in steps if run["ts"] <= e["ts"] < run["ts"] + run["dur"]]
        assert sum(event["dur"] for event in own) == pytest.approx(run["dur"])
    assert runs[1][0]["ts"] == 0 and runs[2][0]["ts"] > runs[1][-1]["ts"]


def test_a_target_without_times_of_layers(snnc: Any, folder: Path) -> None:
    done = snnc("bench", folder / "q.snnc", "--seconds", 0)
    assert done.code == 0, done.err
    assert done.out.rstrip().endswith("reference does not tell the time of its layers")
    found = json.loads(snnc("bench", folder / "q.snnc", "--seconds", 0, "--json").out)
    assert found["steps"] is None and found["inputs"] == "random" and found["limits"] is None


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--seconds", "nan"), "error: --seconds nan: a time of 0 or more"),
        (("--threads", 0), "error: --threads 0: a whole number from 1 to 1024"),
        (("-T", 0), "error: -T 0: a window has at least one time step"),
        (
            ("--trace", "missing/trace.json"),
            "error: --trace missing/trace.json: there is no folder",
        ),
    ],
)
def test_refused(snnc: Any, net: Path, arguments: tuple[object, ...], said: str) -> None:
    done = snnc("bench", net, *arguments)
    assert done.code == 2 and done.err.startswith(said)


def test_refused_files(snnc: Any, net: Path, folder: Path) -> None:
    assert snnc("bench", folder / "ann.snnc").code == 2
    other = snnc("bench", net, "--input", folder / "other.npz")
    assert other.code == 2 and "samples have shape (1, 8, 8)" in other.err
