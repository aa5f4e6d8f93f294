"""A run that was killed or interrupted goes on as if nothing had been."""

from __future__ import annotations

import logging
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from snnc.artifact import write
from snnc.errors import PassError
from snnc.ir import Graph
from snnc.testing import Style, build
from snnc.transform import PassContext
from snnc_passes.train._adversary import Pgd
from snnc_passes.train.learn import Learn

OPTIONS = {"epochs": 4, "batch": 8, "lr": 1e-2, "dropout": 0.2, "augment": "flip"}

CHILD = """
import os, signal, sys
from contextlib import contextmanager
from pathlib import Path
import numpy as np, torch
from snnc.artifact import open_artifact
from snnc.transform import PassContext
from snnc_passes.train.learn import Learn
from snnc_passes.train import _trainer as trainer

folder, threads, options = Path(sys.argv[1]), int(sys.argv[2]), eval(sys.argv[3])
torch.set_num_threads(threads)
trainer.SECONDS = 0.0  # a checkpoint after every step

@contextmanager
def deadly(title, total):
    done = 0
    def advance(steps=1):
        nonlocal done
        done += steps
        if "epoch 3/" in title and done == 2:
            os.kill(os.getpid(), signal.SIGKILL)
    yield advance

data = np.load(folder / "data.npz")
pairs = [(data["x"], data["y"])]
ctx = PassContext(timesteps=3, train=pairs, validation=pairs, workdir=folder / "work",
                  progress=deadly)
Learn(**options).run(open_artifact(folder / "graph.snnc").graph(), ctx)
"""


def context(labelled: list[Any], **options: Any) -> PassContext:
    x, y = (np.concatenate(parts) for parts in zip(*labelled, strict=True))
    data = [(x, y)]
    return PassContext(**{"timesteps": 3, "train": data, "validation": data, **options})


def finished(graph: Graph, labelled: list[Any], **options: Any) -> str:
    return Learn(**OPTIONS).run(graph.clone(), context(labelled, **options)).graph.fingerprint()


def test_killed_in_the_middle_and_resumed_gives_the_same_bits(
    plain: Graph, labelled: list[Any], tmp_path: Path
) -> None:
    x, y = (np.concatenate(parts) for parts in zip(*labelled, strict=True))
    write(tmp_path / "graph.snnc", plain)
    np.savez(tmp_path / "data.npz", x=x, y=y)
    command = [sys.executable, "-c", CHILD, str(tmp_path), str(torch.get_num_threads())]
    done = subprocess.run([*command, repr(OPTIONS)], check=False, capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    (left,) = (tmp_path / "work").glob("*.safetensors")
    assert left.name == "T3.safetensors"
    steps: list[str] = []

    @contextmanager
    def progress(title: str, total: int | None) -> Iterator[Any]:
        yield lambda n=1: steps.append(title)

    resumed = finished(plain, labelled, workdir=tmp_path / "work", resume=True, progress=progress)
    assert resumed == finished(plain, labelled)
    assert len(steps) == 1 + 2 + 4, "epoch 3 goes on behind its first step"


@pytest.fixture(autouse=True)
def heeded() -> Iterator[None]:
    """Ctrl-C is heeded, also where the tests run in a job that ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@contextmanager
def interrupting(at: tuple[str, int], twice: bool = False) -> Iterator[Any]:
    """A progress that presses Ctrl-C when so many steps of an epoch are done."""

    @contextmanager
    def progress(title: str, total: int | None) -> Iterator[Any]:
        done = 0

        def advance(steps: int = 1) -> None:
            nonlocal done
            done += steps
            if at[0] in title and done == at[1]:
                signal.raise_signal(signal.SIGINT)
                if twice:
                    signal.raise_signal(signal.SIGINT)

        yield advance

    before = signal.getsignal(signal.SIGINT)
    yield progress
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.parametrize("step", [2, 3])
def test_ctrl_c_saves_and_the_run_goes_on(
    plain: Graph, labelled: list[Any], tmp_path: Path, caplog: pytest.LogCaptureFixture, step: int
) -> None:
    """Also behind the last step of an epoch, before it is judged."""
    with (
        caplog.at_level(logging.INFO),
        interrupting(("epoch 2/4", step)) as progress,
        pytest.raises(KeyboardInterrupt),
    ):
        finished(plain, labelled, workdir=tmp_path, progress=progress)
    assert "stopping after this step" in caplog.text
    assert f"saved in {tmp_path}; the same command with --resume continues" in caplog.text
    caplog.clear()
    with caplog.at_level(logging.INFO):
        resumed = finished(plain, labelled, workdir=tmp_path, resume=True)
    assert f"resumes in epoch 2, step {step}" in caplog.text
    assert resumed == finished(plain, labelled)


def test_a_second_ctrl_c_stops_at_once(plain: Graph, labelled: list[Any], tmp_path: Path) -> None:
    with (
        interrupting(("epoch 1/4", 1), twice=True) as progress,
        pytest.raises(KeyboardInterrupt),
    ):
        finished(plain, labelled, workdir=tmp_path, progress=progress)
    assert not list(tmp_path.iterdir()), "nothing was saved"


def test_ctrl_c_without_a_folder_says_what_would_have_helped(
    plain: Graph, labelled: list[Any], caplog: pytest.LogCaptureFixture
) -> None:
    with (
        caplog.at_level(logging.INFO),
        interrupting(("epoch 1/4", 1)) as progress,
        pytest.raises(KeyboardInterrupt),
    ):
        finished(plain, labelled, progress=progress)
    assert "the state is lost; --workdir DIR" in caplog.text


def test_a_run_that_ignores_ctrl_c_is_not_stopped(
    plain: Graph, labelled: list[Any], tmp_path: Path
) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with interrupting(("epoch 1/4", 1)) as progress:
        ran = finished(plain, labelled, workdir=tmp_path, progress=progress)
    assert ran == finished(plain, labelled)


def test_signals_are_left_alone_outside_the_main_thread(plain: Graph, labelled: list[Any]) -> None:
    with ThreadPoolExecutor(1) as pool:
        print_ = pool.submit(finished, plain, labelled).result()
    assert print_ == finished(plain, labelled)


def test_a_finished_run_is_taken_as_it_is(
    plain: Graph, labelled: list[Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first = Learn(**OPTIONS).run(plain.clone(), context(labelled, workdir=tmp_path))
    with caplog.at_level(logging.INFO):
        again = Learn(**OPTIONS).run(
            plain.clone(), context(labelled, workdir=tmp_path, resume=True)
        )
    assert "not trained again" in caplog.text
    assert again.graph.fingerprint() == first.graph.fingerprint()
    assert again.metrics == first.metrics


@pytest.mark.parametrize(
    ("what", "reason"),
    [
        ({"options": {"lr": 0.02, "epochs": 5}}, "epochs, lr"),
        ({"timesteps": 3, "seed": 1}, "seed"),
        ({"limit": 20}, "training data, validation data"),
        ({"brighter": 1.5}, "training data"),
        ({"relabelled": 1}, "training data"),
        ({"graph": True}, "graph"),
    ],
)
def test_a_checkpoint_of_another_run_is_refused_in_one_line(
    plain: Graph, labelled: list[Any], tmp_path: Path, what: dict[str, Any], reason: str
) -> None:
    finished(plain, labelled, workdir=tmp_path)
    graph = plain.clone()
    if "graph" in what:
        (name, *_) = graph.params
        graph.set_param(name, graph.params[name] * np.float32(2))
    given = context(labelled, workdir=tmp_path, resume=True)
    if "limit" in what:
        ((x, y),) = given.train or ()
        part = [(x[: what["limit"]], y[: what["limit"]])]  # type: ignore[index]
        given = replace(given, train=part, validation=part)
    if "brighter" in what or "relabelled" in what:
        ((x, y),) = given.train or ()
        assert y is not None
        other = (x * np.float32(what.get("brighter", 1)), y[::-1] if "relabelled" in what else y)
        given = replace(given, train=[other])
    given = replace(given, rng=np.random.default_rng(what.get("seed", 0)))
    with pytest.raises(
        PassError, match=f"T3.safetensors is of another run, which differs in {reason}$"
    ) as caught:
        Learn(**{**OPTIONS, **what.get("options", {})}).run(graph, given)
    assert "\n" not in caught.value.message
    assert "--workdir" in str(caught.value.hint)


def test_checkpoints_without_mixup_and_temperature_are_known_as_before() -> None:
    assert not {"mixup", "temperature"} & set(Learn(loss="ann").as_numbers())
    numbers = Learn(loss="ann", mixup=0.5, temperature=4.0).as_numbers()
    assert (numbers["mixup"], numbers["temperature"]) == (0.5, 4.0)


def test_a_trial_takes_one_step_and_leaves_the_folder_alone(
    plain: Graph, labelled: list[Any], tmp_path: Path
) -> None:
    finished(plain, labelled, workdir=tmp_path)
    before = (tmp_path / "T3.safetensors").read_bytes()
    steps: list[str] = []

    @contextmanager
    def progress(title: str, total: int | None) -> Iterator[Any]:
        yield lambda n=1: steps.extend([title] * n)

    given = context(labelled, workdir=tmp_path, trial=True, progress=progress)
    result = Learn(**{**OPTIONS, "lr": 1.0, "tensorboard": True}).run(plain.clone(), given)
    assert len(steps) == 1 and result.metrics["epochs"]
    assert [file.name for file in tmp_path.iterdir()] == ["T3.safetensors"]
    assert (tmp_path / "T3.safetensors").read_bytes() == before


def test_a_damaged_checkpoint_is_refused_in_one_line(
    plain: Graph, labelled: list[Any], tmp_path: Path
) -> None:
    (tmp_path / "T3.safetensors").write_bytes(b"nonsense")
    with pytest.raises(PassError, match="T3.safetensors cannot be read") as caught:
        finished(plain, labelled, workdir=tmp_path, resume=True)
    assert "--resume" in str(caught.value.hint)


def test_a_fresh_run_replaces_what_lies_there_when_it_has_something_to_keep(
    plain: Graph, labelled: list[Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("T3", "T5"):
        (tmp_path / f"{name}.safetensors").write_bytes(b"old")
    with interrupting(("epoch 1/4", 1), twice=True) as progress, pytest.raises(KeyboardInterrupt):
        finished(plain, labelled, workdir=tmp_path, progress=progress)
    assert (tmp_path / "T3.safetensors").read_bytes() == b"old", "nothing better is there yet"
    assert finished(plain, labelled, workdir=tmp_path) == finished(plain, labelled)
    assert "--resume would continue it" in caplog.text
    assert [file.name for file in tmp_path.iterdir()] == ["T3.safetensors"]
    assert finished(plain, labelled, workdir=tmp_path, resume=True) == finished(plain, labelled)


def test_a_folder_that_takes_no_files_is_named(
    plain: Graph, labelled: list[Any], tmp_path: Path
) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(PassError, match="cannot write the checkpoint"):
        finished(plain, labelled, workdir=tmp_path / "file" / "work")


@pytest.mark.parametrize(
    "options",
    [
        {"optimizer": "adam"},
        {"optimizer": "sgd"},
        {"adversarial": Pgd(eps=0.3)},
        {"loss": "ann", "temperature": 3.0, "mixup": 0.4, "augment": "flip"},
        {"prefixes": "all", "dropout": 0.2},
    ],
)
def test_every_way_to_learn_can_be_gone_on_with(
    plain: Graph, labelled: list[Any], tmp_path: Path, options: Any
) -> None:
    each = Learn(epochs=2, batch=8, lr=1e-2, clip=0.5, schedule="cosine", **options)
    ann = build("plain", Style.ANN)
    given = partial(context, labelled, ann=ann)
    whole = each.run(plain.clone(), given()).graph.fingerprint()
    with interrupting(("epoch 1/2", 2)) as progress, pytest.raises(KeyboardInterrupt):
        each.run(plain.clone(), given(workdir=tmp_path, progress=progress))
    resumed = each.run(plain.clone(), given(workdir=tmp_path, resume=True))
    assert resumed.graph.fingerprint() == whole
