"""`snnc inspect --plan`: a table where the target has steps, else its JSON files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def test_a_plan_of_the_cpu_is_a_table(snnc: Any, folder: Path, tmp_path: Path) -> None:
    net = tmp_path / "net.snnc"
    done = snnc(
        *("compile", folder / "ann.snnc", "-o", net, "--target", "cpu", "-T", 4),
        *("--calibration", folder / "cal.npz", "--recipe", "convert{bits=8}"),
    )
    assert done.code == 0, done.err
    header, *lines = snnc("inspect", net, "--plan").out.splitlines()
    assert header.split() == [
        *("layer", "kernel", "reads", "writes", "constants", "scratch", "us", "threads")
    ]
    document = json.loads(snnc("inspect", net, "--plan", "--json").out)
    assert [line.split()[0] for line in lines] == [row["layer"] for row in document["steps"]]
    assert document["plan"]["cpu/plan.json"]["timesteps"] == 4
