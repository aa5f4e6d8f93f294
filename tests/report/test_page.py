"""The page: it stands alone, holds what the report holds, and trusts no name."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from snnc.report.page import render
from snnc.report.tiles import tile_map

pytest.importorskip("matplotlib")
Report = dict[str, Any]
HOSTILE = '<script>alert("1")</script>&$x^2$'
VOID = {"meta", "path", "use", "rect", "wbr", "br", "circle"}


class _Tags(HTMLParser):
    """Every tag closed in its turn; attributes that load something are collected."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: Counter[str] = Counter()
        self.loads: list[str] = []
        self.ids: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen[tag] += 1
        for name, value in attrs:
            if name in ("src", "href", "xlink:href", "data", "srcset"):
                self.loads.append(value or "")
            if name == "id":
                self.ids.append(value or "")
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag


def parsed(page: str) -> _Tags:
    """The page, read to its end."""
    tags = _Tags()
    tags.feed(page)
    tags.close()
    assert tags.open == []
    return tags


@pytest.fixture(scope="module")
def page_of_compiled(compiled: Report) -> str:
    return render(compiled)


@pytest.fixture(scope="module")
def page_of_measured(measured: Report) -> str:
    return render(measured)


def test_a_compilation_shows_layers_pictures_and_where_it_came_from(
    compiled: Report, page_of_compiled: str
) -> None:
    page = page_of_compiled
    tags = parsed(page)
    titles = re.findall(r"<h3>(.*?)</h3>", page)
    assert titles == [
        "Agreement over the window",
        "Spikes per layer",
        "Spikes of one sample",
        "Rate against the ANN&#x27;s activation",
        "Time of the compilation",
    ]
    assert tags.seen["svg"] == 5
    for row in compiled["layers"]:
        assert f">{row['name']}</" in page
    error = compiled["observed"]["layers"]["act1"]["activation_error"]
    assert f"{100 * error:.1f} %" in page
    assert compiled["distributions"]["snnc"] in page and compiled["calibration"]["digest"] in page
    assert "Not calibrated" not in page


def test_an_evaluation_is_complete_by_itself(measured: Report, page_of_measured: str) -> None:
    page = page_of_measured
    parsed(page)
    assert f"{100 * measured['accuracy']:.2f} %" in page
    assert "Accuracy over the window" in page and "Spikes of one sample" in page
    assert "convert{bits=8}" in page and "act1" in page
    assert "error vs ANN" not in page, "nothing to compare with: there was no --compare"


def test_it_stands_alone(
    compiled: Report, page_of_measured: str, hardware: Callable[..., Any]
) -> None:
    for page in (page_of_measured, render({**compiled, "hardware": hardware(40)})):
        tags = parsed(page)
        assert all(link.startswith("#") for link in tags.loads)
        assert set(re.findall(r"url\((.)", page)) <= {"#"}
        assert "http://" not in page and "https://" not in page and "@import" not in page
        assert not tags.seen["script"] and not tags.seen["link"]
        assert len(tags.ids) == len(set(tags.ids))
        used = {link[1:] for link in tags.loads} | set(re.findall(r"url\(#([^)]+)\)", page))
        assert used <= set(tags.ids)


def test_light_and_dark_name_the_same_colours(page_of_compiled: str) -> None:
    page = page_of_compiled
    light, dark = (
        set(re.findall(r"(--[\w-]+):", block))
        for block in re.findall(r":root \{(.*?)\}", page, re.S)
    )
    assert light == dark
    assert set(re.findall(r"var\((--[\w-]+)\)", page)) <= light
    svg = "".join(re.findall(r"<svg.*?</svg>", page, re.S))
    assert not re.search(r"#[0-9a-f]{6}\b", svg), "a colour that the style sheet does not know"


def test_what_a_model_names_is_text(compiled: Report, hardware: Callable[..., Any]) -> None:
    text = json.dumps({**compiled, "hardware": hardware(9)})
    quoted = json.dumps(HOSTILE)[1:-1]
    for name in ("act1", "conv1", "fold-batchnorm"):
        text = text.replace(name, quoted)
    report = {**json.loads(text), "model": HOSTILE, "target": HOSTILE, "data": HOSTILE}
    page = render(report)
    assert "<script" not in page and not parsed(page).seen["script"]
    assert "&lt;script&gt;" in page and "&amp;$x^2$" in page
    assert "&lt;noise&gt; &amp; drift" in page
    odd = json.loads(text.replace(quoted, "卷積\\u202e\\u0007层$_{"))
    assert "卷積" in render(odd), "names in any script, controls and mathematics left alone"


def test_max_pools_are_told_by_kind(compiled: Report) -> None:
    assert "<dt>max pools" not in render(compiled)
    page = render({**compiled, "max_pools": {"count": 2, "or": 1}})
    assert "<dt>max pools of counts</dt><dd>2" in page and "<dt>max pools by OR</dt><dd>1" in page


def test_the_same_report_gives_the_same_bytes(
    compiled: Report, page_of_compiled: str, tmp_path: Path
) -> None:
    (tmp_path / "r.json").write_text(json.dumps(compiled))
    code = (
        "import json, sys; from snnc.report.page import render; "
        "sys.stdout.write(render(json.load(open(sys.argv[1]))))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "r.json")],
        capture_output=True,
        check=True,
        env={**os.environ, "PYTHONHASHSEED": "7", "PYTHONIOENCODING": "utf-8"},
    )
    assert done.stdout.decode() == page_of_compiled


@pytest.mark.parametrize("kind", ["compile", "eval", "anything"])
def test_every_key_may_be_missing(kind: str) -> None:
    tags = parsed(render({"kind": kind}))
    assert tags.seen["h1"] == 1 and not tags.seen["svg"]
    alone = {"kind": kind, "layers": [{"name": "a", "op": "conv"}], "observed": {"layers": {}}}
    alone["observed"] |= {"samples": 0, "data": "calibration"}
    assert "<td>a</td>" in render(alone)


def test_silence_can_be_drawn(compiled: Report) -> None:
    report = json.loads(json.dumps(compiled))
    for row in report["observed"]["layers"].values():
        row |= {"rate": 0.0, "spikes_per_inference": 0.0}
        row["scatter"] = {"activation": [0.0, 0.0], "decoded": [0.0, 0.0]}
        row.pop("activation_error")
    for layer in report["observed"]["raster"]["layers"]:
        layer |= {"row": [], "step": []}
    report["observed"]["agreement"] = [{"timesteps": 1, "agreement": 1.0}]
    assert parsed(render(report)).seen["svg"] == 4, "one window is no curve"


def test_it_is_loud_without_calibration(compiled: Report) -> None:
    page = render({**compiled, "calibrated": False, "calibration": None})
    assert page.index("Not calibrated.") < page.index("<h2>")


def test_hardware_has_its_totals_notes_layers_and_tiles(
    compiled: Report, hardware: Callable[..., Any]
) -> None:
    report = {**compiled, "hardware": hardware(9)}
    report["activity"] = {"per_inference": {"reads": 12345.0}, "layers": {"act1": {"reads": 5.5}}}
    page = render(report)
    assert "energy (pJ)</th>" in page and "1,234" in page
    assert "area (µm²)" in page and "50.00 %" in page and "62.50 %" in page
    assert "9 tiles." in page and "12,345" in page and "5.5" in page
    filled = re.search(r'aria-label="Tile map">.*?</svg>', page, re.S)
    assert filled is not None
    outlines = re.findall(r' d="([^"]*)"', filled[0])
    assert sorted(path.count("M") for path in outlines)[-6:] == [3] * 6, "outlines, and filled"


def test_parts_of_shared_tiles_lie_where_they_are(hardware: Callable[..., Any]) -> None:
    figures = hardware(6)
    for part in figures["tiles"]:
        part.update(tile=part["tile"] // 2, rows=32, cols=32, top=96 * (part["tile"] % 2), left=64)
    drawn = tile_map({"hardware": figures})
    assert drawn is not None and "3 tiles, a box for each of 6 parts." in drawn.caption
    for part in figures["tiles"]:
        del part["top"], part["left"]
    corner = tile_map({"hardware": figures})
    assert corner is not None and corner.svg != drawn.svg


def test_many_tiles_stay_legible_and_small(compiled: Report, hardware: Callable[..., Any]) -> None:
    page = render({**compiled, "hardware": hardware(20_000)})
    assert "20,000 tiles, 2,999 of them drawn" in page
    assert len(page.encode()) < 2_000_000
