"""The example stdp_digits in a short form: what it learns, its table, and its cost."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from snnc.data import open_data

pytest.importorskip("sklearn", reason="the digits come with scikit-learn: extra [demo]")


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    """Digits of 8 x 8 pixels, enlarged to 24 x 24 and framed: arguments for the scripts."""
    folder = tmp_path_factory.mktemp("digits")
    for split, count in (("train", 900), ("test", 200)):
        x, y = open_data(f"digits#{split}[:{count}]").take(np.arange(count))
        large = np.kron(x, np.ones((1, 1, 3, 3), np.float32))
        np.savez(folder / f"{split}.npz", x=np.pad(large, ((0, 0), (0, 0), (2, 2), (2, 2))), y=y)
    return ("--train", str(folder / "train.npz"), "--test", str(folder / "test.npz"))


def script(repository: Path, name: str, *arguments: str) -> str:
    path = repository / "examples" / "stdp_digits" / name
    done = subprocess.run(
        [sys.executable, str(path), *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def figures(printed: str) -> dict[str, float]:
    return {
        name: float(value) for name, value in re.findall(r"^(\w+) +([\d.e+-]+)$", printed, re.M)
    }


def run(modules: dict[str, ModuleType], digits: tuple[str, ...], **options: Any) -> dict[str, Any]:
    """A run of few images, in this process; `options` are those of the compression, if any."""
    experiment, constants = modules["experiment"], modules["constants"]
    plan = modules["compression"].Compression.over(600, every=60, **options) if options else None
    settings = experiment.Settings(
        neurons=40, images=600, labelled=300, rule=constants.Rule(eta=0.005), compression=plan
    )
    train, test = (modules["images"].read(name) for name in digits[1::2])
    return experiment.run(settings, train, test)[1]


def test_pruning_by_stdp_keeps_what_random_pruning_loses(
    stdp_digits: dict[str, ModuleType], digits: tuple[str, ...]
) -> None:
    dense = run(stdp_digits, digits)
    small, by_chance = (
        run(stdp_digits, digits, kept=0.05, levels=4, by=by) for by in ("weight", "random")
    )
    assert dense["accuracy"] > 0.6 and dense["kept"] > 0.3
    assert small["accuracy"] > by_chance["accuracy"] + 0.05
    assert 0.04 < small["kept"] <= 0.05 and small["dead_neurons"] == 0
    fewer = 0.5 * dense["synaptic_events_per_image"]
    assert small["synaptic_events_per_image"] < fewer


def test_a_run_prints_figures_and_its_network_is_costed(
    repository: Path, digits: tuple[str, ...], tmp_path: Path
) -> None:
    network, results = tmp_path / "small.npz", tmp_path / "cost.json"
    few = ("--neurons", "40", "--images", "200", "--labelled", "100", "--every", "40")
    options = ("--kept", "0.2", "--levels", "4", "--save", str(network))
    found = figures(script(repository, "stdp_digits.py", *digits, *few, *options))
    assert found["kept"] == pytest.approx(0.2, abs=0.001) and found["accuracy"] > 0.2
    script(repository, "crossbar_cost.py", *digits[2:], str(network), "--results", str(results))
    cost = json.loads(results.read_text())
    assert cost["small"]["tiles"] == 7 and cost["small"]["rows"] == 784
    assert cost["small, rows in use"]["rows"] < 784


def test_the_table_goes_on_where_it_was(
    repository: Path, digits: tuple[str, ...], tmp_path: Path
) -> None:
    names = script(repository, "table.py", "--list").split()
    assert len(names) == len(set(names)) == 25
    stored = {name: {"accuracy": 0.5, "kept": 1.0} for name in names}
    (tmp_path / "results.json").write_text(json.dumps(stored))
    printed = script(repository, "table.py", *digits, "--workdir", str(tmp_path), "--only", "soft")
    assert printed.split() == ["soft", "50.00", "%", "1.0000"]


def test_images_of_another_size_are_refused(stdp_digits: dict[str, ModuleType]) -> None:
    with pytest.raises(SystemExit, match="digits#test: not labelled grey images of 28 x 28 pixels"):
        stdp_digits["images"].read("digits#test")
