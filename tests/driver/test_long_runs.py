"""What passes that learn are told: a part of the data, a folder, whether to go on, a trial."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import snnc
from snnc.data import open_data
from snnc.driver import Job, ModelSource, dry_run, optimize
from snnc.errors import DataError, UsageError
from snnc.ir import Graph
from snnc.testing import Style, build, sample_inputs

PASSES = "tell,fold-batchnorm"
TARGET = {"target": "reference", "recipe": "convert"}


@pytest.fixture(scope="module")
def graph() -> Graph:
    return build("plain", Style.ANN)


@pytest.fixture
def data(graph: Graph, tmp_path: Path) -> str:
    """Forty samples; each has its number as label."""
    np.savez(tmp_path / "data.npz", x=sample_inputs(graph, 40), y=np.arange(40))
    return str(tmp_path / "data.npz")


@pytest.fixture
def told(telling: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Run the passes of a job in a folder of its own; what `tell` was told."""
    monkeypatch.syspath_prepend(telling)
    monkeypatch.chdir(tmp_path)

    def run(graph: Graph, dry: bool = False, **options: Any) -> dict[str, Any]:
        job = Job(source=ModelSource(model=graph), passes=PASSES, **options)
        if dry:
            dry_run(job)
        else:
            optimize(job)
        return json.loads(Path("seen-0.json").read_text())

    return run


def test_a_fraction_is_taken_out_of_the_training_data(
    graph: Graph, data: str, told: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "snnc"):
        seen = told(graph, train=data, validation="0.25", seed=3)
    assert "train: 30 samples; validation: 10 others, by seed 3" in caplog.text
    assert len(seen["validation"]) == 10 and len(seen["train"]) == 30
    assert sorted(seen["validation"] + seen["train"]) == list(range(40))
    for part in ("train", "validation"):
        assert seen[part] == sorted(seen[part])
    again = told(graph, train=data, validation=0.25, seed=3, workdir="w", resume=True)
    assert again["validation"] == seen["validation"]
    assert told(graph, train=data, validation=0.25, seed=4)["validation"] != seen["validation"]


def test_the_parts_are_of_the_selection(data: str) -> None:
    rest, part = open_data(data + "[10:20]").split(0.5, seed=0)
    numbers = [int(n) for each in (rest, part) for _, y in each for n in y if y is not None]
    assert sorted(numbers) == list(range(10, 20)) and len(part) == 5
    with pytest.raises(DataError, match=r"0.01 of 10 samples is 0"):
        open_data(data + "[10:20]").split(0.01, seed=0)


@pytest.mark.parametrize(
    ("validation", "words"),
    [
        (1.0, "--validation 1.0: a part .* lies between 0 and 1"),
        ("0", "--validation 0: a part"),
        ("nan", "--validation nan: a part"),
        (0.01, "validation: .*0.01 of 40 samples is 0"),
    ],
)
def test_a_fraction_that_is_none(
    validation: float | str, words: str, graph: Graph, data: str
) -> None:
    with pytest.raises((UsageError, DataError), match=words):
        snnc.compile(graph, train=data, validation=validation, **TARGET)


def test_a_fraction_needs_samples_to_choose_from(graph: Graph) -> None:
    x = sample_inputs(graph, 8)
    with pytest.raises(UsageError, match="and there are none") as caught:
        snnc.compile(graph, validation=0.5, **TARGET)
    assert caught.value.hint == "--train DATA"
    with pytest.raises(UsageError, match="and these come in batches"):
        snnc.compile(graph, train=[(x, None)], validation=0.5, **TARGET)
    snnc.compile(graph, train=x, validation=0.5, calibration=x, **TARGET)


def test_passes_are_told_where_to_keep_checkpoints(
    graph: Graph, data: str, told: Any, caplog: pytest.LogCaptureFixture
) -> None:
    seen = told(graph, train=data, workdir="w")
    assert (seen["workdir"], seen["resume"]) == (str(Path("w") / "01-tell"), False)
    with caplog.at_level(logging.INFO, "snnc"):
        assert told(graph, train=data, workdir="w", resume=True)["resume"] is True
    assert "there is no w yet, this is the first run" in caplog.text
    with pytest.raises(UsageError, match="--resume .* needs their folder"):
        told(graph, train=data, resume=True)
    Path("file").touch()
    with pytest.raises(UsageError, match="--workdir file is a file"):
        told(graph, train=data, workdir="file")


def test_a_dry_run_is_a_trial_on_few_samples_and_leaves_checkpoints_alone(
    graph: Graph, data: str, told: Any
) -> None:
    Path("w").mkdir()
    seen = told(graph, dry=True, train=data, validation=0.5, workdir="w", resume=True)
    assert seen["trial"] is True and seen["resume"] is False
    assert len(seen["train"]) == len(seen["validation"]) == 8
    assert seen["workdir"] not in (None, str(Path("w") / "01-tell"))
    assert list(Path("w").iterdir()) == []
    assert told(graph, dry=True, train=data)["workdir"] is None
    assert told(graph, train=data)["trial"] is False


def test_a_dry_run_says_each_problem_of_the_parts_once(graph: Graph, data: str) -> None:
    x = sample_inputs(graph, 8)
    job = Job(source=ModelSource(model=graph), calibration=x, train=data, validation="7")
    (problem,) = dry_run(job)
    assert "--validation 7" in problem.message
    (problem,) = dry_run(Job(source=ModelSource(model=graph), calibration=x, validation=0.1))
    assert "there are none" in problem.message
