"""Cost and placement through the driver and the command line, and in the page."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import snnc
from snnc.artifact import open_artifact, write
from snnc.cli.main import run
from snnc.cost import inference, pooled
from snnc.driver import evaluate
from snnc.driver.running import run_on_data
from snnc.errors import ArtifactError
from snnc.ir import Neuron
from snnc.testing import Style, build, sample_inputs
from snnc_backends.crossbar.cost.technology_table import built_in

TARGET = "crossbar{rows=16 cols=32 cell-bits=2 technology=TABLE mesh=3x3}"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`ann.snnc`, `x.npy`, and `net.snnc` with a technology file that is not there any more."""
    place = tmp_path_factory.mktemp("cost")
    graph = build("plain", Style.ANN)
    x = sample_inputs(graph, 20)
    write(place / "ann.snnc", graph)
    np.save(place / "x.npy", x)
    table = place / "own.toml"
    tables = Path(snnc.__file__).parents[1] / "backends/snnc_backends/crossbar/cost/technology"
    shutil.copy(tables / f"{built_in()[0]}.toml", table)
    options: dict[str, Any] = {"recipe": "convert{bits=8}", "calibration": x, "timesteps": 4}
    target = TARGET.replace("TABLE", json.dumps(str(table)))
    snnc.compile(graph, output=place / "net.snnc", target=target, **options)
    table.unlink()
    return place


def command(capsys: pytest.CaptureFixture[str], *words: object) -> str:
    capsys.readouterr()
    code = run([str(word) for word in words])
    result = capsys.readouterr()
    assert code == 0, result.err
    return result.out


def test_one_figure_of_energy_on_the_console_in_json_and_in_the_page(
    capsys: pytest.CaptureFixture[str], folder: Path, tmp_path: Path
) -> None:
    pytest.importorskip("matplotlib")
    words = ("eval", folder / "net.snnc", "--data", folder / "x.npy")
    out = command(capsys, *words, "--report", tmp_path)
    document = json.loads(command(capsys, *words, "--json"))
    assert "energy" not in document, "that of a processor is no figure of a crossbar"
    cost = document["cost"]
    assert json.loads((tmp_path / "report.json").read_text())["cost"] == cost
    shown = f"{cost['energy_pj'] / 1e3:.4g} nJ"
    assert f"chip energy        {shown} per inference in " in out
    page = (tmp_path / "report.html").read_text()
    assert f"<b>{shown} an inference</b>" in page and f"<dd>{shown} <small>" in page
    proxy = cost["arithmetic_45nm_proxy_pj"]
    assert f"arithmetic proxy   {proxy / 1e3:.4g} nJ" in out
    parts = ("dynamic", "static", "input_output")
    assert sum(cost[f"{each}_energy_pj"] for each in parts) == pytest.approx(cost["energy_pj"])
    layers = cost["layers"].values()
    assert sum(row.get("arithmetic_45nm_proxy_pj", 0) for row in layers) == pytest.approx(proxy)
    assert sum(row["energy_pj"] for row in layers) == pytest.approx(
        cost["dynamic_energy_pj"] + cost["input_output_energy_pj"]
    )
    for title in ("Energy by layer and component", "Mesh", "Tile map", "Technology table"):
        assert title in page


def test_the_counts_are_those_of_the_activity(folder: Path) -> None:
    report = evaluate(folder / "net.snnc", str(folder / "x.npy")).report()
    counts, activity = report["cost"]["counts"], report["activity"]
    assert report["cost"]["basis"] == "measured"
    for layer, counted in activity["layers"].items():
        assert counts[layer]["conversion"] == pytest.approx(counted["conversions"])
        assert counts[layer]["row"] == pytest.approx(counted["rows_driven"])
    assert report["cost"]["conversions"] == pytest.approx(activity["per_inference"]["conversions"])
    shorter = evaluate(folder / "net.snnc", str(folder / "x.npy"), timesteps=2).report()["cost"]
    assert shorter["timesteps"] == 2 and shorter["energy_pj"] < report["cost"]["energy_pj"]
    assert shorter["latency_ns"] < report["cost"]["latency_ns"]


def test_run_tells_the_cost_that_eval_tells(
    capsys: pytest.CaptureFixture[str], folder: Path
) -> None:
    words = ("run", folder / "net.snnc", "--input", folder / "x.npy")
    measured = evaluate(folder / "net.snnc", str(folder / "x.npy")).report()["cost"]
    cost = json.loads(command(capsys, *words, "--json"))["cost"]
    assert cost.keys() == measured.keys() and cost["basis"] == "measured"
    assert cost["energy_pj"] == pytest.approx(measured["energy_pj"])
    for node, counts in measured["counts"].items():
        assert cost["counts"][node] == pytest.approx(counts)
    shown = f"chip energy        {cost['energy_pj'] / 1e3:.4g} nJ per inference in "
    assert shown in command(capsys, *words)


def test_batches_have_the_counts_of_all_their_samples(folder: Path) -> None:
    x, program = np.load(folder / "x.npy"), snnc.load(folder / "net.snnc")
    parts = [program.run(part, record="counts") for part in (x[:3], x[3:])]
    together = pooled([inference(part) for part in parts], [3, len(x) - 3])
    whole = inference(program.run(x, record="counts"))
    assert together.timesteps == whole.timesteps
    assert together.events == pytest.approx(whole.events)
    for node, counted in whole.activity.items():
        assert together.activity[node] == pytest.approx(counted)
    recorded = run_on_data(folder / "net.snnc", x, record="none")
    assert not recorded.counts, "counts of all samples would fill the memory"


def test_compile_costs_by_the_calibration_data(
    capsys: pytest.CaptureFixture[str], folder: Path
) -> None:
    """The same samples give the same counts when it is run."""
    out = command(capsys, "inspect", folder / "net.snnc")
    assert "counts             20 samples of the calibration data" in out and "hops bound" in out
    stored = json.loads(command(capsys, "inspect", folder / "net.snnc", "--json"))
    measured = evaluate(folder / "net.snnc", str(folder / "x.npy")).report()["cost"]
    assert stored["cost"]["energy_pj"] == pytest.approx(measured["energy_pj"])
    placement = stored["hardware"]["placement"]
    hops = sum(events.get("hop", 0.0) for events in measured["counts"].values())
    assert placement["hops"] == pytest.approx(hops)
    assert placement["hops_optimum"] == pytest.approx(placement["hops"])
    assert stored["hardware"]["totals"]["cores"] == len(placement["cores"])


def test_rates_of_a_file_take_the_place_of_data(folder: Path, tmp_path: Path) -> None:
    graph = open_artifact(folder / "net.snnc").graph()
    rates = {node.name: 0.25 for node in graph.nodes if isinstance(node.op, Neuron)}
    (tmp_path / "rates.json").write_text(json.dumps(rates))
    options = f"technology=isaac-32nm mesh=2x2 rates={json.dumps(str(tmp_path / 'rates.json'))}"
    done = snnc.compile(graph, target=f"crossbar{{{options}}}", passes="")
    cost = done.report["cost"]
    assert cost["basis"] == "rates of a file"
    size = {name: graph.type_of(name).size for name in rates}
    for name in rates:
        assert cost["events"][name] == 0.25 * size[name] * 4
    without = snnc.compile(graph, target="crossbar{technology=isaac-32nm mesh=2x2}", passes="")
    assert "cost" not in without.report
    assert any("no spike rates" in note for note in without.report["hardware"]["notes"])
    assert without.report["hardware"]["placement"]["rates"] == "uniform rates of 0.1"


def test_without_a_technology_nothing_is_told_and_the_notes_say_so(folder: Path) -> None:
    graph = open_artifact(folder / "net.snnc").graph()
    report = snnc.compile(graph, target="crossbar", passes="").report
    assert "cost" not in report and "placement" not in report["hardware"]
    notes = "; ".join(report["hardware"]["notes"])
    assert "no technology: energy" in notes and "no mesh: placement" in notes


@pytest.mark.parametrize(
    ("member", "pattern", "replacement"),
    [
        ("placement.json", r'"mesh":\[3,3\]', '"mesh":[99999,99999]'),
        ("placement.json", r'"x":\d+', '"x":77'),
        ("placement.json", r'"core":0', '"core":123456789'),
        ("technology.json", r'"value":[\d.]+', '"value":NaN'),
        ("technology.json", r'"node_nm":', '"node":'),
        ("mapping.json", r'"parts":\[\[0,', '"parts":[[987,'),
        ("mapping.json", r'"group",', ""),
        ("placement.json", r"^\{", "["),
    ],
)
def test_damaged_members_are_refused(
    folder: Path, member: str, pattern: str, replacement: str, tmp_path: Path
) -> None:
    artifact = open_artifact(folder / "net.snnc")
    files = {name: artifact.read(name) for name in artifact.names() if name.startswith("crossbar/")}
    text = files[f"crossbar/{member}"].decode()
    damaged = re.sub(pattern, replacement, text, count=1)
    assert damaged != text
    files[f"crossbar/{member}"] = damaged.encode()
    path = tmp_path / "damaged.snnc"
    write(path, artifact.graph(), target=artifact.manifest["target"], files=files)
    with pytest.raises(ArtifactError, match="damaged|not readable"):
        evaluate(path, str(folder / "x.npy"))
