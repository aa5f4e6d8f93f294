"""The exporter `sanafe`: its files sent by hand, spike by spike, give the packets of snnc."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from snnc.artifact import write
from snnc.driver import export_artifact
from snnc.errors import ArtifactError, UnsupportedError, UsageError
from snnc.interp import run_snn
from snnc.ir import Graph
from snnc.pipeline import format_spec
from snnc.testing import assert_exporter_contract, quantized_cases, random_graph
from snnc.transform import PassContext
from snnc_backends.crossbar import CrossbarBackend
from snnc_backends.crossbar.mapping.layer_shapes import layer_shapes
from snnc_backends.crossbar.mapping.mapping import layout
from snnc_backends.crossbar.mapping.placed_parts import parts_of
from snnc_backends.crossbar.placement.packets import fires
from snnc_backends.crossbar.placement.placement import from_json
from snnc_backends.crossbar.placement.traffic import traffic
from snnc_backends.exporters import sanafe
from snnc_backends.exporters.sanafe import SanafeExporter

TIMESTEPS = 3
SMALL = CrossbarBackend(rows=7, cols=9, cell_bits=2, mesh="4x3")


def artifact(graph: Graph, path: Path, backend: CrossbarBackend = SMALL) -> dict[str, Any]:
    """Compile to `path`; the content of placement.json."""
    graph.meta["timesteps"] = TIMESTEPS
    files = backend.lower(graph, PassContext(timesteps=TIMESTEPS))
    write(path, graph, target=format_spec(backend), files=files)
    return json.loads(files.get("crossbar/placement.json", b"{}"))


def sent(folder: Path) -> dict[str, Any]:
    """What the network does on the mesh: packets per link of cores, hops, groups of neurons."""
    architecture, network = ((folder / n).read_text() for n in ("arch.yaml", "snn.yaml"))
    height = int(re.findall(r"height: (\d+)", architecture)[0])
    tiles = [block.partition("\n") for block in architecture.split("- name: tile_")[1:]]
    last = {at: re.findall(r"input\[0\.\.(\d+)\]", block) for at, _, block in tiles}
    trains: dict[str, int] = {}
    names: dict[str, str] = {}
    for block in re.split(r"    - name: ", network)[1:]:
        group, _, node = block.partition("\n")[0].partition(" # ")
        names[group] = node
        for first, end, train in re.findall(r"- (\d+)(?:\.\.(\d+))?: \[spikes: \[(.*?)\]\]", block):
            for number in range(int(first), int(end or first) + 1):
                trains[f"{group}.{number}"] = train.count("1")
    tile = dict(re.findall(r"- (\w+\.\d+): \[core: (\d+)\.0", network))
    used = re.findall(r'\[core: (\d+)\.0, soma: "input\[(\d+)\]"', network)
    assert len(set(used)) == len(used), "every input neuron has a unit of its own"
    assert all(int(unit) <= int(last[at][0]) for at, unit in used)
    needed: defaultdict[str, set[str]] = defaultdict(set)
    for source, target in re.findall(r"- (\w+\.\d+) -> (rows\.\d+):", network):
        assert tile[target] not in needed[source], "one message per core"
        needed[source].add(tile[target])
    packets = hops = 0
    for source, targets in needed.items():
        x, y = divmod(int(tile[source]), height)
        for target in targets - {tile[source]}:
            a, b = divmod(int(target), height)
            packets += trains[source]
            hops += trains[source] * (abs(a - x) + abs(b - y))
    totals: defaultdict[str, int] = defaultdict(int)
    for neuron, count in trains.items():
        totals[names[neuron.partition(".")[0]]] += count
    return {"packets": packets, "hops": hops, "events": dict(totals)}


def counted(
    graph: Graph, placed: Mapping[str, Any], events: Mapping[str, float]
) -> dict[str, float]:
    """The same by the traffic of the placement that is stored."""
    mapped, placement = layout(graph, SMALL.chip(), TIMESTEPS), from_json(placed)
    shapes = layer_shapes(graph, mapped.chip, parts_of(mapped), TIMESTEPS)
    found = traffic(graph, shapes, placement.core_of, events, TIMESTEPS)
    return {"packets": found.spikes + found.sums, "hops": sum(placement.hops(found).values())}


@pytest.mark.parametrize("seed", [0, 4, 5, 11])
def test_every_message_is_a_packet(seed: int, tmp_path: Path) -> None:
    graph = random_graph(seed)
    placed = artifact(graph, tmp_path / "net.snnc")
    export_artifact(tmp_path / "net.snnc", "sanafe", tmp_path / "out")
    found = sent(tmp_path / "out")
    once = {n.name: float(graph.type_of(n.name).size) for n in graph.nodes if fires(n)}
    expected = counted(graph, placed, once)
    assert found["packets"] == expected["packets"] > 0
    assert found["hops"] == expected["hops"] > 0


def test_the_spikes_of_a_sample_are_sent(tmp_path: Path) -> None:
    graph = random_graph(5)
    artifact(graph, tmp_path / "net.snnc")
    shape = graph.type_of(graph.nodes[0].name).shape
    x = np.random.default_rng(0).random((2, *shape), np.float32) * 3
    np.save(tmp_path / "x.npy", x)
    spec = f'sanafe{{input="{tmp_path / "x.npy"}" sample=1}}'
    export_artifact(tmp_path / "net.snnc", spec, tmp_path / "out")
    events = sent(tmp_path / "out")["events"]
    nodes = [node.name for node in graph.nodes if fires(node) and node.name in events]
    values = run_snn(graph, x[1:], timesteps=TIMESTEPS, keep=nodes).values
    assert nodes and sum(events[name] for name in nodes) > 0
    assert {name: events[name] for name in nodes} == {
        name: int(values[name].abs().sum()) for name in nodes
    }


def test_what_cannot_be_written_is_told(
    small: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph = small()
    artifact(graph, tmp_path / "placed.snnc")
    artifact(graph, tmp_path / "plain.snnc", replace(SMALL, mesh="none"))
    with pytest.raises(UsageError, match="placed on a mesh"):
        export_artifact(tmp_path / "plain.snnc", "sanafe", tmp_path / "out")
    for spec, words in (
        ("input=none.npy", "No such file"),
        ("sample=1 input=x.npy", "no sample 1"),
    ):
        np.save(tmp_path / "x.npy", np.zeros((1, 2, 5, 5), np.float32))
        monkeypatch.chdir(tmp_path)
        with pytest.raises(UsageError, match=words):
            export_artifact(tmp_path / "placed.snnc", f"sanafe{{{spec}}}", tmp_path / "out")
    monkeypatch.setattr(sanafe, "MOST_SENDERS", 10)
    with pytest.raises(UnsupportedError, match="a unit of hardware for each"):
        export_artifact(tmp_path / "placed.snnc", "sanafe", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_damaged_mapping_is_an_error(small: Any, tmp_path: Path) -> None:
    graph = small()
    graph.meta["timesteps"] = TIMESTEPS
    files = SMALL.lower(graph, PassContext(timesteps=TIMESTEPS))
    damaged = {**files, "crossbar/placement.json": b'{"mesh": [4, 3]}'}
    write(tmp_path / "net.snnc", graph, target=format_spec(SMALL), files=damaged)
    with pytest.raises(ArtifactError, match="mapping is damaged"):
        export_artifact(tmp_path / "net.snnc", "sanafe", tmp_path / "out")


def test_the_contract() -> None:
    assert_exporter_contract(SanafeExporter(), cases=quantized_cases()[:3])
    with pytest.raises(ValueError, match="sample must not be negative"):
        SanafeExporter(sample=-1)
