"""Wrong usage beyond the texts of `tests/errors`: tracebacks, several problems at once, plugins."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from snnc.artifact import write
from snnc.errors import GraphError
from snnc.testing import Style, build


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
