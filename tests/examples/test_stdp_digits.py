"""The example stdp_digits in a short form: what it learns, its table, and its cost."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

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


FEW = ("--neurons", "60", "--images", "900", "--labelled", "400", "--eta", "0.005")


def test_it_learns_prunes_and_costs_less(
    repository: Path, digits: tuple[str, ...], tmp_path: Path
) -> None:
    dense, small = (str(tmp_path / name) for name in ("dense.npz", "small.npz"))
    one = figures(script(repository, "stdp_digits.py", *digits, *FEW, "--save", dense))
    assert one["accuracy"] > 0.6 and one["kept"] > 0.3
    options = ("--kept", "0.2", "--levels", "4", "--every", "100", "--save", small)
    two = figures(script(repository, "stdp_digits.py", *digits, *FEW, *options))
    assert two["accuracy"] > one["accuracy"] - 0.2
    assert two["kept"] == pytest.approx(0.2, abs=0.001)
    assert two["synaptic_events_per_image"] < 0.7 * one["synaptic_events_per_image"]
    results = tmp_path / "cost.json"
    script(repository, "crossbar_cost.py", *digits[2:], dense, small, "--results", str(results))
    cost = json.loads(results.read_text())
    assert cost["dense"]["tiles"] == 7 * 2 and cost["small"]["tiles"] == 7
    rows = cost["small, rows in use"]
    assert rows["rows"] < 784 and rows["tiles"] < 7
    assert rows["tiles_energy_nj"] < cost["dense"]["tiles_energy_nj"]


def test_random_pruning_of_the_same_sparsity_is_worse(
    repository: Path, digits: tuple[str, ...]
) -> None:
    kept = ("--kept", "0.05", "--every", "100")
    by_weight, by_chance = (
        figures(script(repository, "stdp_digits.py", *digits, *FEW, *kept, "--by", by))
        for by in ("weight", "random")
    )
    assert by_chance["accuracy"] < by_weight["accuracy"] - 0.05


def test_the_table_goes_on_where_it_was(
    repository: Path, digits: tuple[str, ...], tmp_path: Path
) -> None:
    names = script(repository, "table.py", "--list").split()
    assert len(names) == len(set(names)) == 23
    stored = {name: {"accuracy": 0.5, "kept": 1.0} for name in names}
    (tmp_path / "results.json").write_text(json.dumps(stored))
    printed = script(repository, "table.py", *digits, "--workdir", str(tmp_path), "--only", "soft")
    assert printed.split() == ["soft", "50.00", "%", "1.0000"]


def test_images_of_another_size_are_refused(repository: Path) -> None:
    path = repository / "examples" / "stdp_digits" / "stdp_digits.py"
    command = [sys.executable, str(path), "--train", "digits#train", "--test", "digits#test"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.strip() == "digits#train: not labelled grey images of 28 x 28 pixels"
