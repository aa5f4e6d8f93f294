"""Rows of the conversion benchmark: kept, resumed, in order; what is computed from answers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.conversion import rows
from benchmarks.conversion.expenses import expenses
from benchmarks.conversion.judged_networks import NETWORKS, Judge, points_lost
from benchmarks.conversion.kept import kept
from benchmarks.conversion.rows import Measurement, steps_judged
from benchmarks.conversion.setting import BARS, BITS, FLOAT, PARTS, Setting, plan
from snnc.ir.parse import parse
from snnc.pipeline import Pipeline, parse_one
from snnc.plugins import PASSES, RECIPES, Registry

ALL = [*NETWORKS]
GRAPH = """graph snn {
  %x = snn.input() {shape=(2)} : analog<2>
  %x.encode = snn.encode-direct(%x) {scale=1.0} : analog<2>
  %a = snn.linear(%x.encode) {weight=@a.weight, bias=None} : current<3>
  %first = snn.neuron(%a) {threshold=@three} : spike<3>
  %b = snn.linear(%first) {weight=@b.weight, bias=None} : current<2>
  %second = snn.neuron(%b) {threshold=@two, wait=2} : spike<2>
  %c = snn.linear(%second) {weight=@c.weight, bias=None} : current<1>
  %readout = snn.readout(%c) : current<1>
  return %readout
  @a.weight = float32<3x2> -1..1
  @b.weight = float32<2x3> -1..1
  @c.weight = float32<1x2> -1..1
  @three = float32<3> [1, 1, 1]
  @two = float32<2> [1, 1]
}"""


def test_a_result_is_measured_once(tmp_path: Path) -> None:
    calls: list[int] = []

    def measure() -> dict[str, Any]:
        calls.append(1)
        return {"gap": 1.5}

    assert [kept(tmp_path / "row.json", measure) for _ in range(2)] == [{"gap": 1.5}] * 2
    assert calls == [1]


def test_a_stopped_measurement_leaves_nothing(tmp_path: Path) -> None:
    def stopped() -> dict[str, Any]:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        kept(tmp_path / "row.json", stopped)
    assert not [*tmp_path.iterdir()]


class FakeConversions:
    """Tells what was asked for."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def convert(self, setting: Setting) -> dict[str, Any]:
        self.asked.append(f"convert {setting.name}")
        same = {"pipeline": "p", "latency_timesteps": 8, "readout_start": 0, "schedule": {}}
        return {**same, "window": 8, "compile_seconds": 40.0}

    def round(self, setting: Setting) -> dict[str, Any]:
        self.asked.append(f"round {setting.name}")
        return {"rounding_pass": setting.rounding, "compile_seconds": 15.0}


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeConversions:
    conversions = FakeConversions()
    monkeypatch.setattr(Measurement, "conversions", lambda _, setting: conversions)
    return conversions


def test_integers_are_made_of_the_artifact_of_real_values(
    tmp_path: Path, fake: FakeConversions
) -> None:
    settings = [Setting("resnet20", "signed", bits, 8, 0) for bits in BITS]
    compiled = [Measurement(tmp_path, tmp_path).compiled(setting) for setting in settings]
    assert fake.asked == [
        "convert resnet20-signed-float-8-0",
        "round resnet20-signed-8bits-8-0",
        "round resnet20-signed-4bits-8-0",
    ]
    assert [each["compile_seconds"] for each in compiled] == [15.0, 15.0]
    assert {each["window"] for each in compiled} == {8}


def test_a_row_goes_on_from_its_last_stage(
    tmp_path: Path, fake: FakeConversions, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(self: Measurement, setting: Setting) -> dict[str, Any]:
        raise KeyboardInterrupt

    setting = Setting("resnet20", "signed", FLOAT, 8, 0)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Measurement, "_run", stopped)
        Measurement(tmp_path, tmp_path).row(setting)
    assert fake.asked == ["convert resnet20-signed-float-8-0"]
    monkeypatch.setattr(Measurement, "_run", lambda *_: {"classes": {"8": [1]}})
    assert Measurement(tmp_path, tmp_path).run(setting) == {"classes": {"8": [1]}}
    assert Measurement(tmp_path, tmp_path).compiled(setting)["compile_seconds"] == 40.0
    assert len(fake.asked) == 1
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == [f"{setting.name}.{stage}.json" for stage in ("compiled", "run")]


def test_any_time_is_judged_after_every_quarter() -> None:
    assert steps_judged(Setting("resnet20", "any time", FLOAT, 32, 0), 32) == (8, 16, 24, 32)
    assert steps_judged(Setting("resnet20", "latency", FLOAT, 64, 0), 40) == (40,)
    assert rows.VERIFIED_IMAGES == 64


def test_bars_come_first_and_nothing_twice() -> None:
    planned = [*plan([*PARTS], [0, 1, 2], ALL)]
    assert [(s.network, s.neurons, s.timesteps) for s in planned[: len(BARS)]] == [*BARS]
    assert len(set(planned)) == len(planned)
    any_time = [planned.index(Setting("resnet20", "any time", FLOAT, 32, d)) for d in range(3)]
    chosen = [planned.index(Setting("resnet20", "latency", FLOAT, 8, draw)) for draw in range(3)]
    assert any_time[0] < any_time[1] < any_time[2] < chosen[0] < chosen[1] < chosen[2]


def test_integers_follow_their_real_values() -> None:
    planned = [*plan([*PARTS], [0, 1, 2], ALL)]
    rounded = [s for s in planned if s.precision != FLOAT]
    assert len(rounded) == 2 * 2 * 2 * 3
    assert all(planned.index(s.of_float) < planned.index(s) for s in rounded)


def test_networks_and_draws_are_those_asked_for() -> None:
    planned = [*plan(["latency"], [1], ["mnist"])]
    assert {(s.network, s.draw) for s in planned} == {("mnist", 1)}
    assert [s.timesteps for s in planned if s.neurons == "latency"] == [8, 16, 32, 64, 128]


def test_every_recipe_is_known() -> None:
    for setting in plan([*PARTS], [0], ALL):
        parse_one(setting.recipe, Registry(RECIPES))
        if setting.precision != FLOAT:
            Pipeline.from_text(setting.rounding, Registry(PASSES))


def test_the_interval_is_paired() -> None:
    before, after = np.array([1, 1, 1, 0], bool), np.array([1, 0, 0, 1], bool)
    lost = np.array([0, 100, 100, -100])
    points, half = points_lost(before, after)
    assert points == 25.0
    assert half == pytest.approx(1.96 * lost.std(ddof=1) / 2)
    assert points_lost(before, before) == (0.0, 0.0)


def test_figures_are_of_the_chosen_images(tmp_path: Path) -> None:
    labels, ann = [3, 1, 4, 1, 5, 9], [3, 1, 4, 0, 5, 2]
    answers = {"ann": ann, "labels": labels}
    (tmp_path / "mnist-mnist-cnn-avgpool-answers.json").write_text(json.dumps(answers))
    judge = Judge(NETWORKS["mnist"], tmp_path, tmp_path)
    judge.__dict__["exact"] = np.array([True, True, False, True, True, True])
    chosen, classes = np.array([0, 1, 2, 4]), np.array([3, 0, 0, 5])
    figures = judge.figures(classes, chosen)
    assert (figures["judged"], figures["images"], figures["agreement"]) == (3, 4, 0.5)
    assert figures["gap_points"] == pytest.approx(100 / 3)
    below = judge.below(classes, np.array([3, 1, 0, 5]), chosen)
    assert below["below_float_points"] == pytest.approx(100 / 3)
    assert below["agreement_below_float_points"] == pytest.approx(25.0)


def test_every_neuron_accesses_its_potential_twice_a_step() -> None:
    taken = expenses(parse(GRAPH), {"first": 6.0, "second": 4.0}, 4)
    assert taken["neurons_in_all"] == 5
    assert taken["spikes_per_neuron"] == pytest.approx(10 / 5)
    assert taken["membrane_accesses"] == 2 * (3 * 4 + 2 * (4 + 2))
    products, sums = 2 * 3, 6 / 3 * 6 + 4 / 2 * 2
    spent = 4.6 * products + 0.9 * sums
    assert taken["energy_of_ann"] == pytest.approx(spent / (4.6 * (2 * 3 + 3 * 2 + 2 * 1)))
    assert taken["first_layer_share"] == pytest.approx(4.6 * products / spent)
