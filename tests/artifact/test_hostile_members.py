"""Members that lie, with checksums that are right: one line when the file is opened or run."""

from __future__ import annotations

import io
import json
import os
import zipfile
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import snnc
from snnc.artifact import is_artifact, open_artifact
from snnc.cli.main import run
from snnc.driver import evaluate
from snnc.errors import ArtifactError, DataError
from snnc.ir import Conv, EncodeDirect, Graph, Input, Neuron, Readout, Stage
from snnc.memory import LONGEST_WINDOW, RUN_BYTES, RUN_RATIO, run_fits
from snnc.pipeline import parse_one
from snnc.plugins import BACKENDS, Registry
from snnc.testing import Style, build
from snnc.testing.backends import load_program

Edit = Callable[[Any], object]
PLAN, GRAPH = "cpu/plan.json", "graph.json"


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`cpu.snnc` and `reference.snnc` of one network of integers, `(N, 2, 6, 6) -> (N, 5)`."""
    place = tmp_path_factory.mktemp("hostile")
    for target in ("cpu", "reference"):
        graph = build("plain", Style.QUANTIZED)
        snnc.compile(graph, output=place / f"{target}.snnc", target=target, passes="", timesteps=4)
    return place


def changed(file: Path, place: Path, **edits: Edit | bytes) -> Path:
    """A copy in which members, named without folder and suffix, are edited, with checksums."""
    with zipfile.ZipFile(file) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    for name, data in members.items():
        edit = edits.get(Path(name).stem)
        if callable(edit):
            document = json.loads(data)
            edit(document)
            members[name] = json.dumps(document).encode()
        elif edit is not None:
            members[name] = edit
    manifest = json.loads(members["manifest.json"])
    rest = {name: data for name, data in members.items() if name != "manifest.json"}
    manifest["checksums"] = {name: sha256(data).hexdigest() for name, data in rest.items()}
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for name, data in {"manifest.json": json.dumps(manifest).encode(), **rest}.items():
            archive.writestr(name, data)
    (place / "a.snnc").write_bytes(made.getvalue())
    return place / "a.snnc"


def nodes(op: str, **fields: Any) -> Edit:
    """Sets fields of all nodes of an operation."""

    def edit(graph: dict[str, Any]) -> None:
        found = [node for node in graph["nodes"] if node["op"] == op]
        assert found
        for node in found:
            node["fields"].update(fields)

    return edit


def renamed(plan: dict[str, Any]) -> None:
    """Another name for the first population."""
    next(t for t in plan["tensors"] if t["record"] == "spike")["name"] = "other"


def waiting(plan: dict[str, Any]) -> None:
    """A population, as the first step, that waits for ever."""
    plan["steps"][0]["kernel"] = {
        "name": "neuron",
        "source": "i32",
        "state": "i32",
        "positions": 1,
        "channels": 1,
        "leaky": False,
        "reset": "subtract",
        "order": "integrate-fire",
        "signed": False,
        "constant": False,
        "wait": 2_000_000_000,
    }


def called(name: str) -> Edit:
    return lambda graph: graph["nodes"][2].update(name=name)


REFUSED: dict[str, tuple[dict[str, Edit | bytes], str]] = {
    "scale of the plan": (
        {"plan": lambda p: p["encoding"].update(scale=10**400)},
        "cpu/plan.json is not readable JSON: 1",
    ),
    "renamed tensor": ({"plan": renamed}, "records other populations"),
    "no record": (
        {"plan": lambda p: [t.update(record="none") for t in p["tensors"]]},
        "records other populations",
    ),
    "other output": (
        {"plan": lambda p: p["outputs"][0].update(name="other")},
        "gives another output",
    ),
    "longest window": (
        {"plan": lambda p: p.update(longest=2**31 - 1)},
        "claims a longer window than can be proved",
    ),
    "window of the plan": (
        {"plan": lambda p: p.update(timesteps=10**12)},
        f"1000000000000 is not in 1..{LONGEST_WINDOW}",
    ),
    "wait of the plan": ({"plan": waiting}, "wait 2000000000, not 0 to"),
    "window": ({"graph": lambda g: g["meta"].update(timesteps=10**12)}, "time steps is 1000000"),
    "window as text": ({"graph": lambda g: g["meta"].update(timesteps="8")}, "time steps is '8'"),
    "proof": ({"graph": lambda g: g["meta"].update(quantize=[8])}, "what quantize proved is [8]"),
    "proved window": (
        {"graph": lambda g: g["meta"].update(quantize={"timesteps": "8"})},
        "the window that quantize proved is '8'",
    ),
    "bounds": (
        {"graph": lambda g: g["meta"].update(quantize={"bounds": 8})},
        "the bounds that quantize proved are 8",
    ),
    "wait": ({"graph": nodes("neuron", wait=10**12)}, "wait 1000000000000, not 0 to"),
    "padding": ({"graph": nodes("conv", padding=[[10**9, 0], [10**9, 0]])}, "elements"),
    "name": ({"graph": called("a\x1b[2J\nb")}, r"'a\x1b[2J\nb', which holds control characters"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_member_that_lies_is_refused(name: str, compiled: Path, tmp_path: Path) -> None:
    edits, words = REFUSED[name]
    path = changed(compiled / "cpu.snnc", tmp_path, **edits)
    open_artifact(path).check()
    with pytest.raises(ArtifactError) as caught:
        evaluate(path, np.zeros((1, 2, 6, 6), np.float32))
    shown = caught.value.message
    assert words in shown and caught.value.exit_code == 2
    assert all(line.isprintable() for line in shown.split("\n  "))


def padded(padding: int) -> Graph:
    """A few bytes of weights, and a result of (4 + 2 * padding) squared."""
    graph = Graph(Stage.SNN)
    graph.add("x", Input(shape=(1, 4, 4)))
    graph.add("encode", EncodeDirect(scale=1 / 255), ["x"])
    weight = graph.set_param("w", np.ones((1, 1, 1, 1), np.int8))
    sides = ((padding, padding), (padding, padding))
    graph.add("conv", Conv(weight=weight, padding=sides), ["encode"])
    graph.add("act", Neuron(threshold=9), ["conv"])
    graph.add("out", Readout(scale=0.5), ["act"])
    graph.outputs = ("out",)
    return graph


@pytest.mark.parametrize(("padding", "timesteps"), [(10_000, 1), (500, LONGEST_WINDOW)])
@pytest.mark.parametrize("target", ["cpu", "reference"])
def test_a_run_that_does_not_fit_into_memory(target: str, padding: int, timesteps: int) -> None:
    backend = parse_one(target, Registry(BACKENDS))
    x = np.ones((1, 1, 4, 4), np.float32)
    program = load_program(backend, padded(padding), timesteps)
    with pytest.raises(DataError, match=f"a window of {timesteps} steps") as caught:
        program.run(x)
    assert caught.value.hint == "use a shorter window"
    assert load_program(backend, padded(3), 2).run(x).output.shape == (1, 1, 10, 10)


def test_the_budget_of_a_run() -> None:
    assert run_fits(RUN_BYTES, 0) and not run_fits(RUN_BYTES + 1, 1000)
    large = RUN_BYTES // RUN_RATIO + 1
    assert run_fits(RUN_RATIO * large, large) and not run_fits(RUN_RATIO * large + 1, large)


def test_windows_have_a_limit(compiled: Path) -> None:
    for target in ("cpu", "reference"):
        program = snnc.load(compiled / f"{target}.snnc")
        with pytest.raises(DataError, match=f"{10**12} steps; the longest has {LONGEST_WINDOW}"):
            program.run(np.zeros((1, 2, 6, 6), np.float32), timesteps=10**12)


@pytest.mark.parametrize("data", [b"\xff\xfe", b"[" * 100_000, b"{"])
def test_files_of_a_target_that_are_no_json(
    data: bytes, compiled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = changed(compiled / "cpu.snnc", tmp_path, plan=data)
    assert run(["inspect", str(path), "--plan"]) == 2
    shown = capsys.readouterr().err
    assert "is not readable JSON" in shown and "Traceback" not in shown


def test_a_fifo_is_no_artifact(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.snnc")
    assert not is_artifact(tmp_path / "a.snnc")
    with pytest.raises(ArtifactError, match="not a regular file"):
        open_artifact(tmp_path / "a.snnc")
