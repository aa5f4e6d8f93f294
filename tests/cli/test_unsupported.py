"""Everything that is not supported, at once, as text and as JSON, whatever the file is."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import nir
import numpy as np
import pytest
import torch
from onnx import helper, save_model
from torch import nn

NET = """\
import torch.nn.functional as F
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.norm = nn.Linear(4, 4), nn.LayerNorm(4)

    def forward(self, x):
        x = F.gelu(self.first(x))
        for _ in range(3):
            x = F.gelu(x)
        return self.norm(x)
"""
LINES = {11: 1, 13: 3}
"""Lines of NET with a gelu, and how often each is run."""


def code(folder: Path) -> str:
    (folder / "net.py").write_text(NET)
    return "net.py:Net"


def program(folder: Path) -> str:
    code(folder)
    names: dict[str, Any] = {}
    exec(compile(NET, str(folder / "net.py"), "exec"), names)
    exported = torch.export.export(names["Net"]().eval(), (torch.zeros(1, 4),))
    torch.export.save(exported, folder / "net.pt2")
    return "net.pt2"


def pickled(folder: Path) -> str:
    layers = [nn.Linear(4, 4), *(nn.GELU() for _ in range(4)), nn.LayerNorm(4)]
    torch.save(nn.Sequential(*layers), folder / "net.pt")
    return "net.pt"


def onnx(folder: Path) -> str:
    kinds = [*["Gelu"] * 4, "ArgMax"]
    nodes = [
        helper.make_node(kind, [f"t{i}"], [f"t{i + 1}"], name=f"n{i}")
        for i, kind in enumerate(kinds)
    ]
    ends = [
        helper.make_tensor_value_info("t0", 1, ["N", 4]),
        helper.make_tensor_value_info("t5", 7, None),
    ]
    graph = helper.make_graph(nodes, "main", ends[:1], ends[1:])
    imports = [helper.make_opsetid("", 20)]
    save_model(helper.make_model(graph, opset_imports=imports, ir_version=8), folder / "net.onnx")
    return "net.onnx"


def spiking(folder: Path) -> str:
    one = np.ones(4)
    nodes = {
        "input": nir.Input(np.array([4])), **{f"d{i}": nir.Delay(one) for i in range(4)},
        "loop": nir.Linear(np.eye(4)), "output": nir.Output(np.array([4])),
    }  # fmt: skip
    names = list(nodes)
    edges = [*pairwise(names), ("loop", "loop")]
    nir.write(folder / "net.nir", nir.NIRGraph(nodes, edges, type_check=False))
    return "net.nir"


@pytest.mark.parametrize(
    ("write", "ops"),
    [
        (code, ("torch.gelu", "LayerNorm")),
        (program, ("aten.gelu", "LayerNorm")),
        (pickled, ("GELU", "LayerNorm")),
        (onnx, ("Gelu", "ArgMax")),
        (spiking, ("Delay", "loop")),
    ],
)
def test_every_kind_of_file(
    snnc: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    write: Callable[[Path], str], ops: tuple[str, str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    command = ("compile", write(tmp_path), "--input-shape", "4", "--json")
    done = snnc(*command)
    assert done.code == 3 and "Traceback" not in done.err
    told = json.loads(done.out)
    assert told["exit_code"] == 3 and "5 operations cannot be compiled" in told["error"]
    found = {each["op"]: each for each in told["unsupported"]}
    assert {op: each["count"] for op, each in found.items()} == {ops[0]: 4, ops[1]: 1}
    for each in found.values():
        assert each["reason"] and each["remedy"] and len(each["places"]) == each["count"]
        assert all(p["module"] or p["line"] for p in each["places"])
    assert f"4 x {ops[0]}: {found[ops[0]]['reason']}" in done.err
    tried = json.loads(snnc(*command, "--dry-run").out)
    assert tried["can_compile"] is False and tried["unsupported"] == told["unsupported"]


def test_lines_and_loops(snnc: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = snnc("compile", code(tmp_path), "--input-shape", "4", "--json")
    gelu, norm = json.loads(done.out)["unsupported"]
    lines = [place["line"] for place in gelu["places"]]
    assert {line: lines.count(line) for line in lines} == LINES
    assert norm["places"] == [{"node": "norm", "file": "net.py", "line": 14, "module": "norm"}]
    places = "\n    net.py:11: gelu\n    net.py:13: gelu_1 (3 times)\n  net.py:14 (norm): norm "
    assert places in done.err


def test_other_errors_print_no_document(snnc: Any) -> None:
    done = snnc("compile", "none.py:Net", "--json")
    assert done.code == 2 and not done.out and done.err.startswith("error: ")
