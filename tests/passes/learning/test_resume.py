"""A run that was killed or interrupted goes on as if nothing had been."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

from snnc.artifact import write
from snnc.ir import Graph
from snnc.transform import PassContext
from snnc_passes.learn import Learn

OPTIONS = {"epochs": 4, "batch": 8, "lr": 1e-2, "dropout": 0.2, "augment": "flip"}

CHILD = """
import os, signal, sys
from contextlib import contextmanager
from pathlib import Path
import numpy as np, torch
from snnc.artifact import open_artifact
from snnc.transform import PassContext
from snnc_passes.learn import Learn
from snnc_passes.training import trainer

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
