"""Cells with programming errors: closed forms, seeds, silence, and what the commands say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from snnc.artifact import write
from snnc.cli.main import run
from snnc.device import Device
from snnc.testing import linear_layer, load_program, quantized_cases, sample_inputs
from snnc_backends.crossbar import CrossbarBackend
from snnc_backends.crossbar.devices.gaussian import Gaussian
from snnc_backends.crossbar.devices.lognormal import Lognormal

INPUTS = 60


def errors(device: Device, weight: int) -> np.ndarray:
    """What 4,000 outputs of `INPUTS` equal weights are off by, all inputs at 1."""
    graph = linear_layer(np.full((4000, INPUTS), weight, np.int8))
    program = load_program(CrossbarBackend(device=device, cell_bits=8), graph, 1)
    readout = program.run(np.ones((1, INPUTS), np.float32)).readout
    assert readout is not None
    return readout[0] - INPUTS * weight


def test_gaussian_errors_add_up_in_the_column() -> None:
    """Of a pair of columns: sigma * 255 levels a cell; the empty one is cut off at 0."""
    off = errors(Gaussian(sigma=0.01), 120)
    one = 0.01 * 255
    cut = one * np.sqrt(0.5 - 0.5 / np.pi)  # standard deviation of max(0, n)
    assert abs(off.mean() + INPUTS * one / np.sqrt(2 * np.pi)) < 2
    assert abs(off.std() / np.sqrt(INPUTS * (one**2 + cut**2)) - 1) < 0.05


def test_lognormal_errors_are_in_proportion() -> None:
    sigma = 0.05
    for weight in (20, 100):
        off = errors(Lognormal(sigma=sigma), weight)
        spread = weight * np.sqrt(INPUTS * (np.exp(sigma**2) - 1) * np.exp(sigma**2))
        assert abs(off.std() / spread - 1) < 0.05
        assert abs(off.mean() - INPUTS * weight * (np.exp(sigma**2 / 2) - 1)) < 3 * spread / 60
    assert not errors(Lognormal(sigma=sigma), 0).any(), "level 0 is exact"


@pytest.mark.parametrize("device", [Gaussian(sigma=0.3), Lognormal(sigma=0.5)])
def test_silence_gives_exactly_nothing(device: Device) -> None:
    graph = linear_layer(np.full((9, 7), 100, np.int8))
    result = load_program(CrossbarBackend(device=device), graph, 5).run(np.zeros((2, 7), "f4"))
    assert result.readout is not None and not result.readout.any()
    assert result.stats["activity"]["fc"]["reads"] == 0


def test_a_chip_is_its_seed_whatever_the_batch() -> None:
    graph = quantized_cases()[1].graph
    x = sample_inputs(graph, 5)

    def readout(seed: int, *parts: np.ndarray) -> Any:
        backend = CrossbarBackend(device=Gaussian(sigma=0.1), chip_seed=seed)
        program = load_program(backend, graph, 4)
        return np.concatenate([program.run(part).readout for part in parts])

    np.testing.assert_array_equal(readout(1, x), readout(1, x[:2], x[2:]))
    assert (readout(1, x) != readout(2, x)).any()


def test_errors_of_no_size_are_none() -> None:
    graph = quantized_cases()[0].graph
    x = sample_inputs(graph, 3)
    runs = [
        load_program(CrossbarBackend(device=device), graph, 4).run(x).readout
        for device in (Gaussian(sigma=0), Lognormal(sigma=0), CrossbarBackend().device)
    ]
    np.testing.assert_array_equal(runs[0], runs[2])
    np.testing.assert_array_equal(runs[1], runs[2])


def test_verify_tells_the_difference_and_does_not_judge(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path / "q.snnc", quantized_cases()[0].graph)
    target = "crossbar{device=gaussian{sigma=0.2} chip-seed=3}"
    compiled = str(tmp_path / "net.snnc")
    words = ["compile", str(tmp_path / "q.snnc"), "--passes", "", "--target", target]
    assert run([*words, "-o", compiled]) == 0
    capsys.readouterr()
    assert run(["verify", compiled, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["inexact"] == "the cells of gaussian are not ideal"
    assert not document["equal"] and sum(document["differing"].values()) > 0


def test_eval_gives_the_mean_and_the_spread_over_chips(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    graph = quantized_cases()[0].graph
    write(tmp_path / "q.snnc", graph)
    x = sample_inputs(graph, 30)
    labels = load_program(CrossbarBackend(), graph, 8).run(x).output.argmax(1)
    np.savez(tmp_path / "data.npz", x=x, y=labels)

    def document(*words: object) -> dict[str, Any]:
        assert run([*map(str, words), "--json"]) == 0
        return json.loads(capsys.readouterr().out)

    def compiled(seed: int) -> Path:
        target = f"crossbar{{device=gaussian{{sigma=0.3}} chip-seed={seed}}}"
        path = tmp_path / f"{seed}.snnc"
        document("compile", tmp_path / "q.snnc", "--passes", "", "--target", target, "-o", path)
        return path

    def evaluated(seed: int, *words: object) -> dict[str, Any]:
        return document("eval", compiled(seed), "--data", tmp_path / "data.npz", *words)

    several = evaluated(4, "--chips", 3)
    alone = [evaluated(seed)["accuracy"] for seed in (4, 5, 6)]
    assert several["chips"] == 3 and several["accuracy"] == pytest.approx(np.mean(alone))
    assert several["accuracy_std"] == pytest.approx(np.std(alone, ddof=1)) and np.std(alone) > 0
    assert evaluated(4, "--chips", 1)["accuracy_std"] == 0
    assert "chips" not in evaluated(4)
