"""A pass that tells what its context says, installed as a plugin in a folder."""

from __future__ import annotations

from pathlib import Path

import pytest

PASS = '''\
"""Writes what it is told to `seen-RANK.json`, in the folder it finds itself in."""

import json
import os
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from snnc.errors import PassError
from snnc.ir import Stage
from snnc.transform import Pass, PassResult


@dataclass(frozen=True, kw_only=True)
class Tell(Pass):
    """Tell, meet the other processes, then `fails` (a rank) or `sleeps`."""

    name = "tell"
    takes = gives = Stage.ANN
    needs = frozenset({"train"})
    fails: int = -1
    sleeps: bool = False

    def run(self, graph, ctx):
        labels = {
            name: [int(n) for _, y in getattr(ctx, name) for n in y]
            for name in ("train", "validation")
            if getattr(ctx, name) is not None
        }
        rank = ctx.ranks.rank
        seen = {
            **labels,
            "ranks": [rank, ctx.ranks.count],
            "workdir": None if ctx.workdir is None else str(ctx.workdir),
            "resume": ctx.resume,
            "trial": ctx.trial,
            "drawn": ctx.rng.random(),
            "pid": os.getpid(),
            "sum": rank + 1,
        }
        if ctx.ranks.count > 1:
            import torch
            from torch import distributed

            total = torch.tensor(float(rank + 1))
            distributed.all_reduce(total)
            seen["sum"] = int(total)
        Path(f"seen-{rank}.json").write_text(json.dumps(seen))
        if self.sleeps:
            distributed.barrier()
            Path("reached").touch()
            time.sleep(60)
        if rank == self.fails:
            raise PassError(f"process {rank} has found no luck")
        if self.fails >= 0:
            distributed.barrier()
        if rank:
            os.chdir("elsewhere")  # where what this process writes is found
        return PassResult(graph, metrics={"sum": seen["sum"]})
'''


@pytest.fixture
def telling(tmp_path: Path) -> Path:
    """A folder for `sys.path` that holds the plugin `tell`."""
    site = tmp_path / "site"
    info = site / "telling-1.0.dist-info"
    info.mkdir(parents=True)
    (site / "telling.py").write_text(PASS)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: telling\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[snnc.passes]\ntell = telling:Tell\n")
    return site
