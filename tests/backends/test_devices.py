"""Devices are plugins: the contract, and a third-party device of one file and one entry point."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from snnc.cli.main import run
from snnc.device import DeviceFacts
from snnc.driver import ModelSource
from snnc.driver.job import Job
from snnc.errors import SpecError
from snnc.pipeline import format_spec, parse_one
from snnc.plugins import BACKENDS, DEVICES, Registry
from snnc.testing import assert_device_contract, quantized_cases
from snnc.transform import TargetInfo
from snnc_backends.crossbar import CrossbarBackend
from snnc_backends.exporters.conductances import CONDUCTANCES, ConductancesExporter

TEXT = "crossbar{device=acme{sigma=0.05}}"


@pytest.fixture
def gaussian(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Install the device as a separate package does: a module and an entry point."""
    shutil.copy(Path(__file__).with_name("gaussian.py"), tmp_path / "acme_gaussian.py")
    info = tmp_path / "acme_gaussian-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-gaussian\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[snnc.devices]\nacme = acme_gaussian:Gaussian\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "acme_gaussian", raising=False)
    return Registry(DEVICES).get("acme")


def test_the_devices_we_ship_keep_the_contract() -> None:
    assert {"ideal", "gaussian", "lognormal"} <= set(Registry(DEVICES).names())
    published = ("pcm", "pcm{seconds=86400}", "rram-milo", "rram-wan")
    shipped = ("ideal", "ideal{g-max-us=0.3}", "gaussian{sigma=0.2}", "gaussian{sigma=0}")
    lists = ("level-list", "level-list{us=[1 4 5 90] sigma=2}", "level-list{us=[3 4 5 90]}")
    for text in (*shipped, "lognormal{sigma=0.2}", "lognormal", *published, *lists):
        assert_device_contract(parse_one(text, Registry(DEVICES)))


def test_a_third_partys_device_keeps_the_contract(gaussian: Any) -> None:
    assert_device_contract(gaussian(sigma=0.05))
    assert_device_contract(gaussian(sigma=0.0))


def test_its_options_are_written_in_the_text_of_the_target(gaussian: Any) -> None:
    backend = parse_one(TEXT, Registry(BACKENDS))
    assert backend == CrossbarBackend(device=gaussian(sigma=0.05))
    assert format_spec(backend) == TEXT
    with pytest.raises(SpecError, match="device acme: sigma must not be negative") as caught:
        parse_one("crossbar{device=acme{sigma=-1}}", Registry(BACKENDS))
    _, shown, caret = caught.value.message.split("\n")
    assert shown[caret.index("^") : caret.rindex("^") + 1] == "sigma=-1"
    with pytest.raises(SpecError, match="cell-bits=5 needs 32 levels, a cell of acme has 16"):
        parse_one("crossbar{cell-bits=5 device=acme}", Registry(BACKENDS))


def test_a_target_with_errors_promises_nothing(gaussian: Any) -> None:
    backend = CrossbarBackend(device=gaussian())
    assert backend.check(quantized_cases()[0].graph) == []
    assert backend.inexact == "the cells of acme are not ideal"
    assert not CrossbarBackend(device=gaussian(sigma=0.0)).inexact


def test_one_seed_programs_one_chip(gaussian: Any, tmp_path: Path) -> None:
    graph = quantized_cases()[0].graph

    def chip(seed: int) -> bytes:
        ConductancesExporter(device=gaussian(), seed=seed).export(graph, tmp_path)
        return (tmp_path / CONDUCTANCES).read_bytes()

    assert chip(1) == chip(1) != chip(2)


def test_passes_read_weights_through_the_device(gaussian: Any) -> None:
    weights = np.arange(-127, 128).reshape(5, 51)
    for target in (CrossbarBackend(), CrossbarBackend(cell_bits=2, weight_bits=12)):
        assert isinstance(target, TargetInfo)
        read = target.read_weights(weights, np.random.default_rng(0))
        assert read.dtype == np.float64 and np.abs(read - weights).max() < 1e-3
    noisy = CrossbarBackend(device=gaussian(sigma=0.02))
    first, again, another_seed = (
        noisy.read_weights(weights, np.random.default_rng(s)) for s in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, again)
    off = (first - weights).std()
    # Each of the 4 cells (significance 1 and 16, + and -) has an error of 2 % of 50 uS;
    # 15 levels span 49 uS.
    expected = 0.02 * 50 / 49 * 15 * np.sqrt(2 * (1 + 16**2))
    assert 0.6 * expected < off < 1.1 * expected
    assert (first != another_seed).any()


def test_passes_get_the_limits_of_the_target(tmp_path: Path) -> None:
    graph = quantized_cases()[0].graph
    job = Job(source=ModelSource(model=graph), target="crossbar{rows=64}")
    target = job.context(graph, job.backend()).target
    assert target is not None
    assert json.loads(json.dumps(target.limits)) == {
        "rows": 64,
        "cols": 128,
        "weight_bits": 8,
        "cell_bits": 4,
        "device": "ideal",
        "device_levels": None,
        "levels_us": pytest.approx([100 / 15 * level for level in range(16)]),
        "g_min_us": 0.0,
        "g_max_us": 100.0,
    }
    assert job.context(graph, replace(job, target="cpu").backend()).target is None


def test_devices_are_listed_with_their_options(
    gaussian: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["devices"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert any(line.split()[0] == "ideal" and "snnc" in line for line in lines)
    (own,) = (line for line in lines if line.startswith("acme"))
    assert "Programming errors of" in own and own.endswith("acme-gaussian 1.0")
    assert run(["devices", "acme"]) == 0
    out = capsys.readouterr().out
    assert "sigma" in out and "0.02" in out
    assert run(["devices", "acmee"]) == 2
    assert "did you mean 'acme'?" in capsys.readouterr().err


LISTS = {"descends": (0.0, 7.0, 5.0, 10.0), "ends": (0.0, 5.0), "two numbers": (0.0, 5.0, 10.0)}
"""Lists of levels with a fault."""


@dataclass(frozen=True)
class Faulty:
    name: ClassVar[str] = "faulty"
    fault: str = ""

    @property
    def facts(self) -> DeviceFacts:
        return DeviceFacts(
            g_max_us=0.0 if self.fault == "limits" else 10.0,
            max_levels={"levels": 1, "two numbers": 3}.get(self.fault),
            ideal=self.fault == "not ideal",
            levels_us=LISTS.get(self.fault),
        )

    def program(self, levels: Any, largest: int, rng: np.random.Generator) -> Any:
        g = np.asarray(levels * (10.0 / largest))
        if self.fault == "unseeded":
            rng = np.random.default_rng()
        if self.fault in ("unseeded", "not ideal"):
            g = g * rng.uniform(0.5, 1.0, g.shape)
        if self.fault == "negative":
            g = g - 1
        if self.fault == "too large":
            g = g * 2
        if self.fault == "flat":
            g = g * 0
        return g if self.fault == "float64" else g.astype(np.float32)

    def read(self, conductances_us: Any, rng: np.random.Generator, seconds: float) -> Any:
        if self.fault == "overwrites":
            conductances_us *= 0.5
        if self.fault == "infinite" and seconds > 2:
            return conductances_us + np.float32(np.inf)
        return conductances_us.sum() if self.fault == "shape" else conductances_us


def test_a_device_without_fault_keeps_the_contract() -> None:
    assert_device_contract(Faulty())


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("limits", "limits:"),
        ("levels", "a cell of 1 levels"),
        ("descends", "levels do not ascend"),
        ("ends", "levels from 0 to 5 uS"),
        ("two numbers", "max_levels=3 beside a list"),
        ("unseeded", "one seed gives two results"),
        ("not ideal", "an ideal device is off by"),
        ("negative", "negative conductance -1 uS"),
        ("too large", "above g_max_us=10"),
        ("flat", "level 0 conducts as much"),
        ("float64", "not float32"),
        ("overwrites", "changes what was programmed"),
        ("infinite", "not finite"),
        ("shape", "not float32 of shape"),
    ],
)
def test_the_contract_sees_every_fault(fault: str, message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        assert_device_contract(Faulty(fault))


def test_a_device_is_written_without_loading_torch() -> None:
    code = "import sys, snnc.device, snnc.plugin_option; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
