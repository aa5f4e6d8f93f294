"""Two processes of torchrun: one compilation, one voice, one set of files."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from snnc.artifact import write
from snnc.errors import UsageError
from snnc.testing import Style, build, sample_inputs
from snnc.torchrun import Launch, joined, launch, once
from snnc.transform import Ranks

COMPILE = ("compile", "ann.snnc", "-o", "net.snnc", "--target", "reference", "--train", "data.npz")
COMPILE += ("--calibration", "data.npz")
REST = "fold-batchnorm,lower-avgpool,activations-to-neurons,threshold-balance"


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with a network, forty samples, and `elsewhere`, where rank 1 writes."""
    graph = build("plain", Style.ANN)
    write(tmp_path / "ann.snnc", graph)
    np.savez(tmp_path / "data.npz", x=sample_inputs(graph, 40), y=np.arange(40))
    (tmp_path / "elsewhere").mkdir()
    return tmp_path


def start(place: Path, *command: str, processes: int = 2) -> subprocess.Popen[str]:
    """Run `python …` in a folder, where there is more than one process by torchrun."""
    torchrun = ["-m", "torch.distributed.run", "--nproc-per-node", str(processes)]
    torchrun += ["--master-port", "0", "--nnodes", "1", "--rdzv-backend", "c10d"]
    torchrun += ["--rdzv-endpoint", "127.0.0.1:0"]
    return subprocess.Popen(
        [sys.executable, *(torchrun if processes > 1 else []), *command],
        cwd=place,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(place / "site")},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def finished(child: subprocess.Popen[str]) -> tuple[int, str, str]:
    """Exit code, stdout and stderr."""
    with child:
        try:
            out, err = child.communicate(timeout=100)
        finally:
            child.kill()
    return child.returncode, out, err


def seen(place: Path) -> list[dict[str, Any]]:
    """What the pass was told in each process."""
    return [json.loads((place / f"seen-{rank}.json").read_text()) for rank in (0, 1)]


def test_two_processes_compile_what_one_does(place: Path, telling: Path) -> None:
    command = (*COMPILE, "--passes", f"tell,{REST}", "--validation", "0.25", "--workdir", "w")
    assert finished(start(place, "-m", "snnc", *command, "-q", processes=1))[0] == 0
    alone = (place / "net.snnc").read_bytes()
    told_alone = json.loads((place / "seen-0.json").read_text())
    (place / "net.snnc").unlink()

    more = ("--report", "report", "--dump-ir", "ir", "--resume", "--json")
    code, out, err = finished(start(place, "-m", "snnc", *command, *more))
    assert code == 0, err
    assert (place / "net.snnc").read_bytes() == alone
    assert json.loads(out)["steps"][0]["metrics"] == {"sum": 3}
    assert err.count("train: 30 samples; validation: 10 others") == 1
    assert err.count("/5 threshold-balance") == 1 and err.count("report: ") == 1
    assert (place / "report" / "report.json").exists() and len(list(place.glob("ir/*"))) == 12
    assert list((place / "elsewhere").iterdir()) == []
    told = seen(place)
    assert [each["ranks"] for each in told] == [[0, 2], [1, 2]]
    for key in ("train", "validation", "drawn", "workdir"):
        assert told[0][key] == told[1][key] == told_alone[key]
    assert told[0]["resume"] and told[1]["resume"] and told[0]["sum"] == told[1]["sum"] == 3


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((*COMPILE, "--passes", f"tell{{fails=1}},{REST}"), "pass tell: process 1 has found no"),
        ((*COMPILE, "--validation", "none.npz"), "validation: "),
    ],
)
def test_an_error_is_said_once(
    arguments: tuple[str, ...], words: str, place: Path, telling: Path
) -> None:
    code, out, err = finished(start(place, "-m", "snnc", *arguments))
    assert code != 0 and out == ""
    errors = [line for line in err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1 and words in errors[0], err
    assert "exitcode  : 2" in err
    assert not (place / "net.snnc").exists()


def test_an_interruption_ends_all(place: Path, telling: Path) -> None:
    child = start(place, "-m", "snnc", *COMPILE, "--passes", f"tell{{sleeps=true}},{REST}")
    deadline = time.monotonic() + 60
    while not (place / "reached").exists() and time.monotonic() < deadline:
        assert child.poll() is None
        time.sleep(0.05)
    child.send_signal(signal.SIGINT)
    code, out, err = finished(child)
    assert code != 0 and out == ""
    assert err.splitlines().count("interrupted") == 1
    for told in seen(place):
        with pytest.raises(ProcessLookupError):
            os.kill(told["pid"], 0)


SCRIPT = """
import logging
import snnc
from torch import distributed

logging.basicConfig(level=logging.INFO, format="log: %(message)s")

def compile(output):
    return snnc.compile("ann.snnc", output=output, target="reference", calibration="data.npz")

first = compile("1.snnc")
assert not distributed.is_initialized()
assert snnc.load("1.snnc").timesteps == 8  # written, in whichever process this is
second = compile("2.snnc")
distributed.init_process_group("gloo")
third = compile("3.snnc")
assert distributed.is_initialized()
everyone = [None, None]
found = first.graph.fingerprint(), str(first.artifact), third.program.timesteps
distributed.all_gather_object(everyone, found)
distributed.destroy_process_group()
assert everyone == [(found[0], "1.snnc", 8), (found[0], "None", 8)], everyone
"""


def test_a_script_compiles_as_often_as_it_likes(place: Path) -> None:
    (place / "script.py").write_text(SCRIPT)
    code, out, err = finished(start(place, "script.py"))
    assert code == 0 and out == "", err
    files = {(place / f"{number}.snnc").read_bytes() for number in (1, 2, 3)}
    assert len(files) == 1
    assert err.count("log: 1/") == 3


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The variables of the last of four processes, two on a machine."""
    told = {"TORCHELASTIC_RUN_ID": "none", "RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "1"}
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    yield


def test_torchrun_says_who_this_is(started: None) -> None:
    assert launch() == Launch(rank=3, count=4, local_rank=1)


def test_more_processes_than_cuda_devices(started: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    with pytest.raises(UsageError, match="the 1 CUDA devices") as caught, joined("cuda"):
        pass
    assert caught.value.hint == "torchrun --nproc-per-node 1"


def test_variables_of_others_are_not_heeded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert launch() == Launch()
    with joined("cpu") as ranks:
        assert ranks == Ranks()
    said: list[str] = []
    once(lambda: said.append("it"))
    assert said == ["it"]
