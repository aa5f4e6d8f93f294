"""`snnc inspect --plan`: the steps of the CPU and the tiles of a crossbar as tables."""

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


def test_a_plan_of_a_crossbar_is_a_table(snnc: Any, folder: Path, tmp_path: Path) -> None:
    net = tmp_path / "net.snnc"
    target = "crossbar{rows=16 cols=32 cell-bits=2}"
    done = snnc("compile", folder / "ann.snnc", "-o", net, "--target", target, "-T", 4)
    assert done.code == 0, done.err
    shown = snnc("inspect", net, "--plan").out
    header, *lines = shown.splitlines()
    assert header.split() == [
        *("layer", "groups", "matrix", "rows", "physical", "cols", "row", "blocks"),
        *("column", "blocks", "tiles", "cells", "used", "utilisation", "copies"),
    ]
    document = json.loads(snnc("inspect", net, "--plan", "--json").out)
    assert [line.split()[0] for line in lines] == [row["layer"] for row in document["steps"]]
    figures = document["hardware"]["layers"]
    assert list(figures) == [row["layer"] for row in document["steps"]]
    for row in document["steps"]:
        assert figures[row.pop("layer")].items() >= row.items()
    assert sum(row["tiles"] for row in document["steps"]) == 18
    assert document["plan"]["crossbar/mapping.json"]["rows"] == 16
    assert "{" not in shown
