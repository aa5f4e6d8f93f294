"""Exporters are plugins: the contract, the verb, and that nothing half written stays."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import safetensors.numpy

from snnc.artifact import write
from snnc.cli.main import run
from snnc.errors import Loc
from snnc.exporter import Fidelity, NodeFidelity
from snnc.ir.text import to_text
from snnc.plugins import EXPORTERS, Registry
from snnc.testing import assert_exporter_contract, quantized_cases

OWN = """\
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from snnc.exporter import Fidelity, NodeFidelity


@dataclass(frozen=True)
class Listing:
    \"\"\"Lists the nodes; refuses the op `refuse`, and is vague about `vague`.\"\"\"

    name: ClassVar[str] = "listing"
    refuse: str = ""
    vague: str = ""
    fault: str = ""

    def check(self, graph):
        kinds = {self.refuse: Fidelity.REFUSED, self.vague: Fidelity.APPROXIMATE}
        found = []
        for node in graph.nodes:
            kind = kinds.get(node.op.mnemonic, Fidelity.EXACT)
            said = ("", "") if kind is Fidelity.EXACT else ("a list has no such op", "drop it")
            found.append(NodeFidelity(node.op.mnemonic, node.name, node.loc, kind, *said))
        return found

    def export(self, graph, folder):
        (folder / "deep").mkdir()
        (folder / "deep" / "nodes.txt").write_text(" ".join(n.name for n in graph.nodes))
        if self.fault == "raises":
            raise RuntimeError("half way")
        if self.fault == "disk":
            raise OSError(28, "No space left on device")
        if self.fault == "untold":
            (folder / "more.txt").write_text("")
        return [Path("deep/nodes.txt")]
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with `net.snnc`; the exporter `listing` is installed as a package of its own."""
    site = tmp_path / "site"
    info = site / "acme_listing-1.0.dist-info"
    info.mkdir(parents=True)
    (site / "acme_listing.py").write_text(OWN)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-listing\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[snnc.exporters]\nlisting = acme_listing:Listing\n")
    monkeypatch.syspath_prepend(site)
    monkeypatch.delitem(sys.modules, "acme_listing", raising=False)
    here = tmp_path / "here"
    here.mkdir()
    write(here / "net.snnc", quantized_cases()[0].graph)
    monkeypatch.chdir(here)
    return here


@dataclass(frozen=True)
class Done:
    code: int
    out: str
    err: str


@pytest.fixture
def export(capsys: pytest.CaptureFixture[str]) -> Callable[..., Done]:
    def call(format: str, *options: str, output: str = "out") -> Done:
        code = run(["export", "net.snnc", "--format", format, "-o", output, *options])
        found = capsys.readouterr()
        return Done(code, found.out, found.err)

    return call


def test_the_exporter_we_ship_keeps_the_contract() -> None:
    assert_exporter_contract(Registry(EXPORTERS).get("text")())


def test_a_third_partys_exporter_keeps_the_contract(place: Path) -> None:
    listing = Registry(EXPORTERS).get("listing")
    assert_exporter_contract(listing())
    assert_exporter_contract(listing(refuse="maxpool", vague="neuron"))
    with pytest.raises(AssertionError, match="refuses every graph: .*a list has no such op"):
        assert_exporter_contract(listing(refuse="neuron"))
    with pytest.raises(AssertionError, match="returns .* but wrote"):
        assert_exporter_contract(listing(fault="untold"))


def test_text_and_arrays_are_those_of_the_graph(place: Path, export: Any) -> None:
    done = export("text")
    assert done.code == 0, done.err
    assert done.out.splitlines() == ["wrote out", "  arrays.safetensors", "  graph.txt"]
    graph = quantized_cases()[0].graph
    assert (place / "out" / "graph.txt").read_text() == to_text(graph)
    arrays = safetensors.numpy.load_file(place / "out" / "arrays.safetensors")
    assert sorted(arrays) == sorted(graph.params)
    for name, array in graph.params.items():
        np.testing.assert_array_equal(arrays[name], array)


def test_what_is_approximate_is_warned_of(place: Path, export: Any) -> None:
    done = export("listing{vague=neuron}", "--json")
    assert done.code == 0
    told = json.loads(done.out)
    assert told["kind"] == "export" and told["files"] == ["deep/nodes.txt"]
    assert told["format"] == "listing{vague=neuron}" and told["folder"] == str(place / "out")
    assert told["approximate"] and {each["op"] for each in told["approximate"]} == {"neuron"}
    warnings = [line for line in done.err.splitlines() if line.startswith("warning: ")]
    assert len(warnings) == len(told["approximate"])
    assert "approximate: a list has no such op; drop it" in warnings[0]


def test_everything_refused_is_listed_and_nothing_written(place: Path, export: Any) -> None:
    graph = quantized_cases()[0].graph
    refused = [node.name for node in graph.nodes if node.op.mnemonic == "neuron"]
    done = export("listing{refuse=neuron}")
    assert done.code == 3 and not done.out
    assert f"cannot take {len(refused)} nodes of this network" in done.err
    listed = "".join(f"\n    {name}" for name in refused)
    assert f"{len(refused)} x neuron: a list has no such op; drop it{listed}\n" in done.err
    assert os.listdir(place) == ["net.snnc"]


@pytest.mark.parametrize(
    ("fault", "code", "message"),
    [
        ("raises", 70, "a defect of snnc or of a plugin"),
        ("disk", 2, "cannot make out: No space left on device"),
        ("untold", 2, "tells of the files ['deep/nodes.txt'] and wrote"),
    ],
)
def test_nothing_half_written_stays(
    place: Path, export: Any, fault: str, code: int, message: str
) -> None:
    done = export(f"listing{{fault={fault}}}")
    assert done.code == code and message in done.err
    assert os.listdir(place) == ["net.snnc"]


def test_nothing_is_overwritten(place: Path, export: Any) -> None:
    (place / "empty").mkdir()
    assert export("text", output="empty").code == 0
    again = export("text", output="empty")
    assert again.code == 2 and "-o empty is not empty" in again.err
    file = export("text", output="net.snnc")
    assert file.code == 2 and "is no folder" in file.err
    (place / "link").symlink_to(place / "nowhere")
    assert export("text", output="link").code == 2
    lost = export("text", output="no/where")
    assert lost.code == 2 and "there is no folder" in lost.err


def test_a_wrong_format_is_told(place: Path, export: Any) -> None:
    done = export("txt")
    assert done.code == 2 and "did you mean 'text'?" in done.err and "listing" in done.err
    assert "unknown option 'x' of exporter text" in export("text{x=1}").err


def test_what_is_not_exact_needs_a_reason_and_a_remedy() -> None:
    with pytest.raises(ValueError, match="a reason and a remedy are needed"):
        NodeFidelity("neuron", "act", Loc(), Fidelity.REFUSED, "no such op")


@dataclass(frozen=True)
class Faulty:
    name: ClassVar[str] = "faulty"
    fault: str = ""

    def check(self, graph: Any) -> list[NodeFidelity]:
        if self.fault == "changes":
            graph.meta["seen"] = True
        nodes = list(graph.nodes)[1:] if self.fault == "forgets" else graph.nodes
        return [NodeFidelity(n.op.mnemonic, n.name, n.loc, Fidelity.EXACT) for n in nodes]

    def export(self, graph: Any, folder: Path) -> list[Path]:
        if self.fault == "nothing":
            return []
        text = str(folder) if self.fault == "elsewhere" else to_text(graph)
        (folder / "a.txt").write_text(text)
        return [Path("a.txt")]


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("changes", "changes the graph it was given"),
        ("forgets", "check lists"),
        ("nothing", "writes nothing"),
        ("elsewhere", "differently again"),
    ],
)
def test_the_contract_sees_every_fault(fault: str, message: str) -> None:
    assert_exporter_contract(Faulty(), cases=quantized_cases()[:1])
    with pytest.raises(AssertionError, match=message):
        assert_exporter_contract(Faulty(fault), cases=quantized_cases()[:1])
