"""`eval --vary`: an artifact on targets that differ in one option."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import snnc
from snnc.errors import UsageError
from snnc.testing import Style, build, sample_inputs


@pytest.fixture(scope="module")
def data() -> tuple[np.ndarray, np.ndarray]:
    x = sample_inputs(build("plain", Style.ANN), 6, seed=1)
    return x, np.random.default_rng(0).normal(size=(6, 5))


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    graph = build("plain", Style.ANN)
    path = tmp_path_factory.mktemp("variation") / "net.snnc"
    target = "crossbar{cell-bits=2 stuck-off=0.3 threads=1}"
    x = sample_inputs(graph, 16)
    snnc.compile(
        graph, output=path, target=target, recipe="convert{bits=8}", timesteps=4, calibration=x
    )
    return path


def test_values_are_what_a_target_with_them_gives(
    artifact: Path, data: tuple, tmp_path: Path
) -> None:
    found = snnc.evaluate(artifact, data, chips=2, vary="stuck-off=[0 0.3 0.9]").report()
    rows = {row.pop("value"): row for row in found["varied"]["values"]}
    assert found["varied"]["option"] == "stuck-off" and list(rows) == ["0", "0.3", "0.9"]
    own = {key: found[key] for key in rows["0.3"]}
    assert rows["0.3"] == own, "the value it was compiled with"
    assert len({row["mean_absolute_error"] for row in rows.values()}) == 3
    again = tmp_path / "net.snnc"
    target = "crossbar{cell-bits=2 stuck-off=0.9 threads=1}"
    snnc.compile(artifact, output=again, target=target, passes="", timesteps=4)
    alone = snnc.evaluate(again, data, chips=2).report()
    assert rows["0.9"] == {key: alone[key] for key in rows["0.9"]}


def test_one_chip_and_any_device(artifact: Path, data: tuple) -> None:
    vary = "device=[ideal pcm{seconds=20} level-list{us=[0 10 40 100]}]"
    found = snnc.evaluate(artifact, data, vary=vary).report()
    assert [row["value"] for row in found["varied"]["values"]] == [
        "ideal",
        "pcm{seconds=20}",
        "level-list{us=[0 10 40 100]}",
    ]
    errors = [row["mean_absolute_error"] for row in found["varied"]["values"]]
    assert len(set(errors)) == 3 and errors[0] == found["mean_absolute_error"]


def test_an_option_that_was_compiled_in_is_refused(artifact: Path, data: tuple) -> None:
    with pytest.raises(UsageError, match="runs with its own rows only") as error:
        snnc.evaluate(artifact, data, vary="rows=[64 128]")
    assert error.value.hint is not None and "vary one of: device, stuck-on" in error.value.hint
