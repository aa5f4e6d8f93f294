"""Two processes learn what one does, on their shares of every batch."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from snnc.artifact import open_artifact, write
from snnc.ir import Graph
from snnc.transform import PassContext
from snnc_passes.train._samples import share
from snnc_passes.train.learn import Learn

OPTIONS = {"epochs": 2, "batch": 8, "lr": 1e-2, "spike_cost": 0.1, "clip": 1.0}

CHILD = """
import json, logging, sys
from pathlib import Path
import numpy as np, torch
import torch.distributed as dist
from snnc.artifact import open_artifact, write
from snnc.transform import PassContext, Ranks
from snnc_passes.train.learn import Learn

folder, rank, options = Path(sys.argv[1]), int(sys.argv[2]), eval(sys.argv[3])
torch.set_num_threads(1)
dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
data = np.load(folder / "data.npz")
pairs = [(data["x"], data["y"])]
ctx = PassContext(timesteps=3, train=pairs, validation=pairs, ranks=Ranks(rank, 2),
                  workdir=folder / "work")
result = Learn(**options).run(open_artifact(folder / "graph.snnc").graph(), ctx)
write(folder / f"rank{rank}.snnc", result.graph)
(folder / f"rank{rank}.json").write_text(json.dumps(result.metrics))
dist.destroy_process_group()
"""


def test_two_processes_learn_what_one_does(
    plain: Graph, labelled: list[Any], tmp_path: Path
) -> None:
    """17 samples in batches of 8: the last batch has one, and one of the processes none."""
    x, y = (np.concatenate(parts)[:17] for parts in zip(*labelled, strict=True))
    write(tmp_path / "graph.snnc", plain)
    np.savez(tmp_path / "data.npz", x=x, y=y)
    command = [sys.executable, "-c", CHILD, str(tmp_path)]
    children = [
        subprocess.Popen([*command, str(rank), repr(OPTIONS)], stderr=subprocess.PIPE, text=True)
        for rank in range(2)
    ]
    errors = [child.communicate(timeout=240)[1] for child in children]
    assert [child.returncode for child in children] == [0, 0], errors
    ctx = PassContext(timesteps=3, train=[(x, y)], validation=[(x, y)])
    alone = Learn(**OPTIONS).run(plain.clone(), ctx)
    graphs = [open_artifact(tmp_path / f"rank{rank}.snnc").graph() for rank in range(2)]
    assert graphs[0].fingerprint() == graphs[1].fingerprint()
    for name, array in alone.graph.params.items():
        np.testing.assert_allclose(graphs[0].params[name], array, rtol=1e-4, atol=1e-6)
    import json

    told = json.loads((tmp_path / "rank0.json").read_text())
    for ours, theirs in zip(told["epochs"], alone.metrics["epochs"], strict=True):
        for figure in ("loss", "validation", "spikes_per_neuron"):
            assert ours[figure] == pytest.approx(theirs[figure], rel=1e-5)
    assert [file.name for file in (tmp_path / "work").iterdir()] == ["T3.safetensors"]


def test_shares_are_disjoint_and_complete() -> None:
    from snnc.transform import Ranks

    rows = np.arange(11)
    parts = [share(rows, Ranks(rank, 3)) for rank in range(3)]
    assert sorted(np.concatenate(parts)) == list(rows)
    assert not len(share(rows[:1], Ranks(1, 2)))
