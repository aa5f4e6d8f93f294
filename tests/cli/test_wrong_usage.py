"""Wrong usage: an exit code, one clear line, what to do, and never a traceback."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from snnc.artifact import write
from snnc.errors import GraphError
from snnc.testing import Style, build


@dataclass(frozen=True)
class Wrong:
    """A command line, its exit code, and words of what is said."""

    line: str
    code: int
    words: tuple[str, ...]


COMPILE = "compile {dir}/ann.snnc -o {tmp}/o.snnc --target reference"
CALIBRATED = COMPILE + " --calibration {dir}/cal.npz"
WRONG = [
    Wrong(COMPILE + " -T 0", 2, ("error: -T 0:", "at least one time step")),
    Wrong(COMPILE + " -T x", 2, ("error: Invalid value for '-T'",)),
    Wrong(
        COMPILE + " --calibration {dir}/other.npz",
        2,
        ("error: calibration: ", "(1, 8, 8)", "(2, 6, 6)"),
    ),
    Wrong(COMPILE + " --calibration {dir}/none.npz", 2, ("error: calibration: ", "none.npz")),
    Wrong(COMPILE + " --calibration digits", 2, ("two parts; say which", "digits#train")),
    Wrong(
        CALIBRATED + " --passes fold-batchnorm,quantize{{bitz=4}}",
        2,
        ("error: unknown option 'bitz' of pass quantize", "^^^^", "did you mean 'bits'?"),
    ),
    Wrong(CALIBRATED + " --passes quantise", 2, ("unknown pass 'quantise'", "'quantize'")),
    Wrong(CALIBRATED + " --passes fold-batchnorm --recipe convert", 2, ("exclude each other",)),
    Wrong(CALIBRATED + " --passes fold-batchnorm", 2, ("ends with a graph of stage ann",)),
    Wrong(CALIBRATED + " --passes quantize", 2, ("quantize takes a graph of stage snn",)),
    Wrong(CALIBRATED + " --recipe convrt", 2, ("unknown recipe 'convrt'", "'convert'")),
    Wrong(
        "compile {dir}/ann.snnc --target quantum",
        2,
        ("error: unknown target 'quantum'", "^^^^^^^", "cpu, crossbar, reference"),
    ),
    Wrong("compile {dir}/ann.snnc --target cpu{{cores=4}}", 2, ("unknown option 'cores'", "^")),
    Wrong(CALIBRATED + " --mean 0.5,0.5,0.5", 2, ("--mean has 3 values", "2 channels")),
    Wrong(CALIBRATED + " --std 0", 2, ("--std holds a value that is not positive",)),
    Wrong(CALIBRATED + " --std a", 2, ("--std a: not numbers",)),
    Wrong(CALIBRATED + " --device tpu", 2, ("unknown device 'tpu'", "cpu or cuda")),
    Wrong(CALIBRATED + " --resume", 2, ("--resume goes on", "hint: --workdir DIR")),
    Wrong(CALIBRATED + " --workdir {dir}/x.npy", 2, ("--workdir", "x.npy is a file")),
    Wrong(CALIBRATED + " --validation 0.1", 2, ("there are none", "hint: --train DATA")),
    Wrong(
        CALIBRATED + " --train {dir}/cal.npz --validation 1.5",
        2,
        ("--validation 1.5", "lies between 0 and 1", "e.g. 0.1"),
    ),
    Wrong(
        CALIBRATED + " --train {dir}/cal.npz --validation 0.01",
        2,
        ("error: validation: ", "0.01 of 24 samples is 0"),
    ),
    Wrong("compile {dir}/ann.snnc -o {tmp}", 2, ("is a folder",)),
    Wrong("compile {dir}/ann.snnc -o {tmp}/no/o.snnc", 2, ("there is no folder",)),
    Wrong("compile {dir}/q.snnc -o {tmp}/o.snnc", 2, ("takes a graph of stage ann",)),
    Wrong("compile {dir}/text.txt --input-shape 1,2,2", 2, ("error: ", "text.txt")),
    Wrong("compile {dir}/none.snnc", 2, ("error: ", "none.snnc")),
    Wrong("run {dir}/none.snnc --input {dir}/x.npy", 2, ("error: ", "none.snnc")),
    Wrong("run {dir}/text.txt --input {dir}/x.npy", 2, ("text.txt", "not a .snnc file")),
    Wrong("run {dir}/ann.snnc --input {dir}/x.npy", 2, ("not a program", "snnc compile")),
    Wrong("run {dir}/q.snnc --input {dir}/other.npz", 2, ("(1, 8, 8)", "(2, 6, 6)")),
    Wrong("run {dir}/q.snnc --input {dir}/x.npy -T 0", 2, ("-T 0",)),
    Wrong("run {dir}/q.snnc --input {dir}/x.npy -T 99", 2, ("-T 99", "compile the model again")),
    Wrong("compile {dir}/q.snnc --passes= -o {tmp}/o.snnc -T 99", 2, ("T <= 8", "-T 99")),
    Wrong("run {dir}/q.snnc", 2, ("error: Missing option '--input'",)),
    Wrong("eval {dir}/q.snnc --data {dir}/cal.npz -T 2 --sweep 2,4", 2, ("exclude each other",)),
    Wrong("eval {dir}/q.snnc --data {dir}/cal.npz --sweep 0,2", 2, ("--sweep 0",)),
    Wrong("eval {dir}/q.snnc --data {dir}/cal.npz --sweep a", 2, ("--sweep a: not whole",)),
    Wrong("eval {dir}/q.snnc --data {dir}/cal.npz --limit 0", 2, ("a limit of 0",)),
    Wrong("eval {dir}/q.snnc --data {dir}/cal.npz --min-accuracy 90", 2, ("from 0 to 1",)),
    Wrong("eval {dir}/q.snnc --data {dir}/x.npy --min-accuracy 0.9", 2, ("no classes",)),
    Wrong("eval {dir}/q.snnc --data {dir}/cal.npz --compare {dir}/ann.snnc", 2, ("own network",)),
    Wrong("verify {dir}/ann.snnc", 2, ("not a program",)),
    Wrong("opt {dir}/q.snnc --passes fold-batchnorm", 2, ("stage ann; the graph gives snn",)),
    Wrong("opt {dir}/q.snnc", 2, ("Missing option '--passes'",)),
    Wrong("opt {dir}/q.snnc --passes= --resume", 2, ("--resume goes on", "hint: --workdir DIR")),
    Wrong("opt {dir}/q.snnc --passes= -o {tmp}", 2, ("is a folder",)),
    Wrong("diagnose {dir}/ann.snnc --resume", 2, ("--resume goes on", "hint: --workdir DIR")),
    Wrong("inspect {dir}/q.snnc --plan", 2, ("no plan",)),
    Wrong("passes quantise", 2, ("unknown pass 'quantise'", "did you mean 'quantize'?")),
    Wrong("explode", 2, ("No such command 'explode'",)),
    Wrong("compile --colour", 2, ("No such option", "--colour")),
]


@pytest.mark.parametrize("wrong", WRONG, ids=lambda wrong: wrong.line)
def test_wrong_usage(wrong: Wrong, snnc: Any, folder: Path, tmp_path: Path) -> None:
    line = wrong.line.format(dir=folder, tmp=tmp_path).split()
    done = snnc(*line)
    assert done.code == wrong.code, done.err
    assert done.err.count("error: ") == 1 and "Traceback" not in done.err
    for word in wrong.words:
        assert word in done.err, done.err
    assert not (tmp_path / "o.snnc").exists()
    assert done.out == ""


def test_debug_shows_the_traceback(snnc: Any, folder: Path) -> None:
    done = snnc("run", folder / "text.txt", "--input", folder / "x.npy", "--debug")
    assert done.code == 2 and "Traceback" in done.err


def test_nothing_at_all_is_wrong_usage_with_help(snnc: Any) -> None:
    done = snnc()
    assert done.code == 2 and "snnc compile net.py:build" in done.out + done.err


def test_what_the_target_cannot_take_is_listed_at_once(
    snnc: Any, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from snnc.errors import Loc
    from snnc.target import Diagnostic
    from snnc_backends.reference import ReferenceBackend

    loc = Loc("net.py", 12, "layer1.0")
    found = [
        Diagnostic("conv", "conv1", loc, "its kernel is 7x7", "use 3x3"),
        Diagnostic("linear", "fc", loc, "its weights are real", "quantise them"),
    ]
    monkeypatch.setattr(ReferenceBackend, "check", lambda self, graph: found)
    command = ("compile", folder / "ann.snnc", "-o", tmp_path / "o.snnc", "--target", "reference")
    done = snnc(*command, "--calibration", folder / "cal.npz")
    assert done.code == 3
    assert "for 2 reasons" in done.err
    assert "net.py:12 (layer1.0): conv1 (conv): its kernel is 7x7; use 3x3" in done.err
    assert "its weights are real; quantise them" in done.err
    assert not (tmp_path / "o.snnc").exists()


def test_a_dry_run_says_everything_at_once(snnc: Any, folder: Path) -> None:
    done = snnc(
        *("compile", folder / "ann.snnc", "--dry-run", "-T", 0, "--target", "quantum"),
        *("--calibration", folder / "other.npz", "--passes", "fold-batchnorm,quantize"),
    )
    assert done.code == 2
    for words in ("-T 0", "unknown target", "(1, 8, 8)", "quantize takes a graph of stage snn"):
        assert words in done.err
    guessed = snnc("compile", folder / "ann.snnc", "--dry-run")
    assert guessed.code == 0 and "warning: not calibrated" in guessed.err
    fine = snnc("compile", folder / "ann.snnc", "--dry-run", "--calibration", folder / "cal.npz")
    assert fine.code == 0 and "can be compiled" in fine.out


def test_nan_weights_are_refused(snnc: Any, folder: Path, tmp_path: Path) -> None:
    graph = build("plain", Style.ANN)
    weight = graph.params["conv1.weight"].copy()
    weight[0, 0, 0, 0] = np.nan
    graph.set_param("conv1.weight", weight)
    try:
        write(tmp_path / "nan.snnc", graph)
    except GraphError:
        return
    done = snnc("compile", tmp_path / "nan.snnc", "--calibration", folder / "cal.npz")
    assert done.code == 2 and "NaN" in done.err and "conv1" in done.err


def test_a_spike_that_differs_fails_verification(
    snnc: Any, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from snnc.interp.program import ReferenceProgram

    honest = ReferenceProgram.run
    calls: list[int] = []

    def every_second_run_lies(self: Any, x: Any, **options: Any) -> Any:
        result = honest(self, x, **options)
        calls.append(1)
        if len(calls) % 2:
            result.spikes["act1"][0, 0, 0, 0, 0] ^= True
        return result

    monkeypatch.setattr(ReferenceProgram, "run", every_second_run_lies)
    done = snnc("verify", folder / "q.snnc")
    assert done.code == 1
    assert "error: 1 values differ from the reference, the first in act1" in done.err


def test_interruption_is_130(snnc: Any, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*arguments: Any, **options: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("snnc.driver.verify_artifact", interrupt)
    done = snnc("verify", folder / "q.snnc")
    assert done.code == 130 and "Traceback" not in done.err


def test_a_defect_is_not_a_check_that_failed(
    snnc: Any, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(*arguments: Any, **options: Any) -> None:
        raise ZeroDivisionError("oh")

    monkeypatch.setattr("snnc.driver.verify_artifact", crash)
    done = snnc("verify", folder / "q.snnc")
    assert done.code == 70 and "a defect" in done.err and "ZeroDivisionError" in done.err
