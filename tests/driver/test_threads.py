"""Threads of torch and of a target for the time of one call, and for that only."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import snnc
from snnc.driver.running import run_on_data
from snnc.driver.threads import torch_threads, with_threads
from snnc.errors import ModelError, UsageError
from snnc.pipeline import parse_one
from snnc.plugins import BACKENDS, Registry
from snnc.testing import Style, build

X = np.random.default_rng(0).random((8, 2, 6, 6), dtype=np.float32)


def test_torch_gets_its_own_number_back() -> None:
    before = torch.get_num_threads()
    with pytest.raises(KeyError), torch_threads(before + 1):
        assert torch.get_num_threads() == before + 1
        raise KeyError
    assert torch.get_num_threads() == before


@pytest.mark.parametrize("count", [0, -1, 10**10, True, 1.5, "2"])
def test_a_number_that_cannot_be(count: Any) -> None:
    with pytest.raises(UsageError, match=f"--threads {count}"), torch_threads(count):
        pass


@pytest.mark.parametrize(
    ("text", "threads"), [("cpu", 3), ("cpu{threads=2}", 2), ("reference", None)]
)
def test_the_text_of_a_target_comes_first(text: str, threads: int | None) -> None:
    backend = with_threads(parse_one(text, Registry(BACKENDS)), 3)
    assert getattr(backend, "threads", None) == threads


def test_a_file_does_not_depend_on_threads(tmp_path: Path) -> None:
    graph, before = build("plain", Style.ANN), torch.get_num_threads()
    known: Any = {"calibration": X, "recipe": "convert{bits=8}"}
    one = snnc.compile(graph, output=tmp_path / "one.snnc", threads=1, **known)
    snnc.compile(graph, output=tmp_path / "any.snnc", **known)
    assert (tmp_path / "one.snnc").read_bytes() == (tmp_path / "any.snnc").read_bytes()
    assert getattr(one.program, "threads", None) == 1
    assert getattr(snnc.load(tmp_path / "any.snnc", threads=3), "threads", None) == 3
    runs = [run_on_data(tmp_path / "any.snnc", X, threads=n).output for n in (None, 1, 3)]
    assert all(np.array_equal(run, runs[0]) for run in runs)
    assert torch.get_num_threads() == before


@pytest.mark.parametrize("wrong", [{"timesteps": 8.5}, {"seed": 1.5}, {"timesteps": True}])
def test_options_that_are_no_whole_numbers(wrong: Any) -> None:
    with pytest.raises(UsageError, match=r"whole number"):
        snnc.compile(build("plain", Style.ANN), calibration=X, **wrong)


@pytest.mark.parametrize("wrong", [None, torch.nn.ReLU, {"fc.weight": torch.zeros(1)}])
def test_what_is_no_model(wrong: Any) -> None:
    with pytest.raises(ModelError, match="not a torch module"):
        snnc.compile(wrong)
