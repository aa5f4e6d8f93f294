"""The page of a diagnosis: its findings, its table, its pictures; names are not trusted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import snnc
from snnc.report.page import render
from snnc.testing import Style, build, sample_inputs

pytest.importorskip("matplotlib")
Report = dict[str, Any]


@pytest.fixture(scope="module")
def diagnosed() -> Report:
    """Of a network whose batch norms were never trained."""
    graph = build("plain", Style.ANN)
    found = snnc.diagnose(
        graph, calibration=sample_inputs(graph, 40) * 40, recipe="convert{bits=8}", timesteps=6
    )
    return json.loads(json.dumps({**found.report(), "model": "net.py:build", "data": "x.npz"}))


def test_findings_come_first_then_errors(diagnosed: Report) -> None:
    page = render(diagnosed)
    assert diagnosed["findings"], "nothing to show"
    first = diagnosed["findings"][0]
    assert first["severity"] == "fault" and f": {first['cause']}</h3>" in page
    assert "diagnosed" in page and "Try: " in page
    assert page.index("<h2>Findings</h2>") < page.index("<h2>Errors</h2>")
    for row in diagnosed["layer_errors"]:
        assert f"<td>{row['name']}</td>" in page
        assert f"{100 * row['error']:.1f} %" in page
    assert page.count("<svg") == 2 and "rounding" in page
    assert "<script" not in page and "http://" not in page.replace("http://www.w3.org", "")
    assert render(diagnosed) == page


def test_a_healthy_network_says_so(diagnosed: Report) -> None:
    page = render({**diagnosed, "findings": []})
    assert "No fault found." in page and "Try: " not in page


def test_what_a_model_names_is_text(diagnosed: Report) -> None:
    text = json.dumps(diagnosed).replace("act1", "<script>alert(1)</script>&$x^2$")
    page = render(json.loads(text))
    assert "<script" not in page and "&lt;script&gt;" in page


def test_keys_may_be_missing(diagnosed: Report) -> None:
    for key in ("findings", "layer_errors", "over_t", "samples"):
        assert render({k: v for k, v in diagnosed.items() if k != key})
    bare = [{"name": "a", "silent": 1.0}]
    assert "<td>a</td>" in render({"kind": "diagnose", "layer_errors": bare, "findings": [{}]})


def test_every_key_is_documented(diagnosed: Report, repository: Path) -> None:
    documented = (repository / "docs" / "report.md").read_text()
    rows = [diagnosed, *diagnosed["layer_errors"], *diagnosed["over_t"], *diagnosed["findings"]]
    named = {key for row in rows for key in row}
    named |= {key for each in diagnosed["batch_norms"].values() for key in each}
    named |= {key for each in diagnosed["folding"].values() for key in each}
    assert sorted(key for key in named if f"`{key}`" not in documented) == []
