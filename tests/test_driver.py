"""The driver: compile from Python, the same bytes twice, nothing half-written."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import snnc
from snnc.artifact import open_artifact, write
from snnc.data import open_data
from snnc.driver import Job, ModelSource, dry_run, load_model, random_inputs, run
from snnc.errors import DataError, UsageError
from snnc.interp import run_ann
from snnc.ir import Graph, Neuron
from snnc.report import latency_timesteps
from snnc.testing import Style, build, sample_inputs

QUANTIZED = "convert{bits=8}"


@pytest.fixture(scope="module")
def graph() -> Graph:
    return build("plain", Style.ANN)


@pytest.fixture(scope="module")
def x(graph: Graph) -> np.ndarray:
    return sample_inputs(graph, 20)


def test_compile_load_run(graph: Graph, x: np.ndarray, tmp_path: Path) -> None:
    path = tmp_path / "net.snnc"
    compiled = snnc.compile(
        graph, output=path, target="reference", recipe=QUANTIZED, timesteps=6, calibration=x
    )
    assert compiled.artifact == path and compiled.report["timesteps"] == 6
    program = snnc.load(path)
    assert program.timesteps == 6
    again = compiled.program.run(x, record="counts")
    found = program.run(x, record="counts")
    np.testing.assert_array_equal(found.readout, again.readout)
    assert "normalize" not in compiled.graph and graph.meta == {}


def test_without_an_output_there_is_a_program_all_the_same(graph: Graph, x: np.ndarray) -> None:
    compiled = snnc.compile(graph, target="reference", calibration=x)
    assert compiled.artifact is None
    assert compiled.program.run(x[:2]).output.shape == (2, 5)


@pytest.mark.parametrize("target", ["reference", "cpu", "crossbar"])
def test_a_program_is_loaded_from_memory(
    target: str, graph: Graph, x: np.ndarray, tmp_path: Path
) -> None:
    path = tmp_path / "net.snnc"
    compiled = snnc.compile(graph, output=path, target=target, recipe=QUANTIZED, calibration=x)
    expected = snnc.load(path).run(x[:4], record="counts")
    path.unlink()
    result = compiled.program.run(x[:4], record="counts")
    np.testing.assert_array_equal(result.output, expected.output)
    assert result.counts.keys() == expected.counts.keys()


def test_a_target_is_asked_once_for_its_own_passes(
    graph: Graph, x: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[Graph] = []
    job = Job(source=ModelSource(model=graph), calibration=x, target="crossbar{weight-bits=4}")
    kind = type(job.backend())
    legalize = kind.legalize
    monkeypatch.setattr(
        kind, "legalize", lambda self, net: (calls.append(net), legalize(self, net))[1]
    )
    compiled = run(job)
    assert len(calls) == 1 and calls[0].fingerprint() == compiled.graph.fingerprint()


def test_data_comes_as_text_array_or_batches(graph: Graph, x: np.ndarray, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", x)
    text = str(tmp_path / "x.npy")
    batches = [(x[:7], None), (x[7:], None)]
    prints = {
        snnc.compile(graph, target="reference", calibration=each).graph.fingerprint()
        for each in (text, x, open_data(text, batch_size=3), batches)
    }
    assert len(prints) == 1
    with pytest.raises(DataError, match=r"calibration: .*\(3, 3\).*\(2, 6, 6\)"):
        snnc.compile(graph, target="reference", calibration=np.zeros((4, 3, 3), np.float32))
    with pytest.raises(DataError, match=r"calibration: .*\(3, 3\).*\(2, 6, 6\)"):
        snnc.compile(graph, calibration=[(np.zeros((4, 3, 3), np.float32), None)])
    with pytest.raises(DataError, match="gone through once only"):
        snnc.compile(graph, calibration=iter(batches))


def test_mean_and_std_are_part_of_the_network(graph: Graph, x: np.ndarray) -> None:
    source = ModelSource(model=graph, mean=(0.5, 0.25), std=(0.5,))
    normal = load_model(source)
    assert normal.inputs_of("normalize") == (graph.input,)
    mean = np.asarray([0.5, 0.25], np.float32)[:, None, None]
    (expected,) = run_ann(graph, (x - mean) / np.float32(0.5)).values()
    (found,) = run_ann(normal, x).values()
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    assert "normalize" not in graph
    for wrong in ({"mean": (1.0, 2.0, 3.0)}, {"std": (0.0,)}, {"mean": (float("nan"),)}):
        with pytest.raises(UsageError, match="--mean|--std"):
            load_model(replace(source, **wrong))


def test_two_compilations_with_one_seed_are_equal_to_the_byte(
    graph: Graph, x: np.ndarray, tmp_path: Path
) -> None:
    write(tmp_path / "ann.snnc", graph)
    np.save(tmp_path / "x.npy", x)
    outputs = []
    for number in (1, 2):
        out = tmp_path / f"{number}.snnc"
        command = [sys.executable, "-m", "snnc", "compile", str(tmp_path / "ann.snnc")]
        command += ["--calibration", str(tmp_path / "x.npy"), "-o", str(out)]
        command += ["--recipe", QUANTIZED, "--seed", "3", "-q"]
        environment = {**os.environ, "PYTHONHASHSEED": str(number)}
        subprocess.run(command, check=True, env=environment, capture_output=True)
        outputs.append(out.read_bytes())
    assert outputs[0] == outputs[1]


HANG = """
import os, pathlib, sys, time
def hang(descriptor):
    pathlib.Path({marker!r}).touch()
    time.sleep(600)
os.fsync = hang
from snnc.cli import main
sys.argv = ["snnc", *{arguments!r}]
main()
"""


@pytest.mark.parametrize("before", [None, b"what was there before"])
def test_a_killed_compilation_leaves_nothing_half_written(
    before: bytes | None, graph: Graph, x: np.ndarray, tmp_path: Path
) -> None:
    write(tmp_path / "ann.snnc", graph)
    np.save(tmp_path / "x.npy", x)
    out, marker = tmp_path / "out.snnc", tmp_path / "writing"
    if before is not None:
        out.write_bytes(before)
    arguments = ["compile", str(tmp_path / "ann.snnc"), "-o", str(out), "--target", "reference"]
    arguments += ["--calibration", str(tmp_path / "x.npy"), "-q"]
    code = HANG.format(marker=str(marker), arguments=arguments)
    with subprocess.Popen([sys.executable, "-c", code]) as process:
        deadline = time.monotonic() + 60
        while not marker.exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
    assert marker.exists(), "it never came to writing"
    assert (out.read_bytes() if out.exists() else None) == before


def test_a_failed_compilation_writes_nothing(graph: Graph, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="takes a graph of stage snn"):
        snnc.compile(graph, output=tmp_path / "o.snnc", passes="quantize")
    assert list(tmp_path.iterdir()) == []


def test_an_artifact_knows_no_times_and_no_paths(
    graph: Graph, x: np.ndarray, tmp_path: Path
) -> None:
    path = tmp_path / "net.snnc"
    np.save(tmp_path / "x.npy", x)
    snnc.compile(graph, output=path, calibration=str(tmp_path / "x.npy"), target="reference")
    manifest = open_artifact(path).manifest
    assert str(tmp_path) not in str(manifest) and "seconds" not in str(manifest)
    assert manifest["info"]["calibrated"] is True
    assert manifest["info"]["calibration"]["samples"] == 20
    assert manifest["distributions"].keys() == {"snnc"}


def test_a_dry_run_writes_nothing_and_finds_everything(graph: Graph, x: np.ndarray) -> None:
    job = Job(source=ModelSource(model=graph), calibration=x, target="reference")
    assert dry_run(job) == []
    wrong = replace(job, timesteps=0, target="quantum", calibration=x[:, :1], passes="quantize")
    words = [error.message for error in dry_run(wrong)]
    assert len(words) == 4
    for found, expected in zip(
        words, ("-T 0", "quantum", "calibration", "quantize takes"), strict=True
    ):
        assert expected in found


def test_random_inputs_fill_the_range_of_the_encoder(graph: Graph, x: np.ndarray) -> None:
    signed = snnc.compile(graph, target="reference", recipe=QUANTIZED, calibration=2 * x - 1).graph
    inputs = random_inputs(signed, 16, seed=1)
    assert inputs.shape == (16, 2, 6, 6) and inputs.dtype == np.float32
    assert inputs.min() < -0.5 and inputs.max() > 0.5
    np.testing.assert_array_equal(inputs, random_inputs(signed, 16, seed=1))


def test_latency_counts_every_wait_of_the_longest_path() -> None:
    snn = build("residual", Style.SNN, neuron={"wait": 3})
    assert latency_timesteps(build("residual", Style.SNN), 8) == 8
    depth = dict.fromkeys(snn.order(), 0)
    for node in snn:
        before = max((depth[source] for source in snn.inputs_of(node.name)), default=0)
        depth[node.name] = before + isinstance(node.op, Neuron)
    assert latency_timesteps(snn, 8) == 8 + 3 * depth[snn.outputs[0]]
