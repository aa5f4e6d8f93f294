"""The picture of accuracy against an option of the target."""

from __future__ import annotations

from typing import Any

import pytest

from snnc.report.page import render
from snnc.report.variation import axis

pytest.importorskip("matplotlib")


@pytest.mark.parametrize(
    ("texts", "found"),
    [
        (["gaussian{sigma=0.01}", "gaussian{sigma=1e-1}"], ([0.01, 0.1], "sigma of gaussian")),
        (["pcm{seconds=20}", "pcm{seconds=86400}"], ([20, 86400], "seconds of pcm")),
        (["0", "0.5", "1"], ([0, 0.5, 1], "")),
        (["a{b=1 c=2}", "a{b=1 c=3}"], ([2, 3], "c of a")),
        (["a{b=1 c=2}", "a{b=2 c=3}"], (None, "")),
        (["ideal", "gaussian{sigma=0.1}"], (None, "")),
        (["layer", "column"], (None, "")),
        (["ideal"], (None, "")),
    ],
)
def test_an_axis_of_numbers_where_one_number_differs(texts: list[str], found: Any) -> None:
    assert axis(texts) == found


def report(values: list[str], **rows: float) -> dict[str, Any]:
    varied = {"option": "device", "values": [{"value": text, **rows} for text in values]}
    return {"kind": "eval", "samples": 50, "accuracy": 0.9, "varied": varied}


def test_accuracy_is_drawn_against_the_values() -> None:
    noise = ["gaussian{sigma=0.01}", "gaussian{sigma=0.3}"]
    page = render({**report(noise, accuracy=0.5, accuracy_std=0.1), "chips": 4})
    assert "<h3>Accuracy against sigma of gaussian</h3>" in page
    assert "over 4 chips" in page and ">0.3</text>" in page
    page = render(report(["ideal", "<b>"], agreement=0.5))
    assert "<h3>Agreement against device</h3>" in page and "&lt;b&gt;" in page
    assert "chips" not in page and "<b>&lt;" not in page


def test_nothing_is_drawn_without_figures() -> None:
    for alone in (report([]), report(["ideal"]), {"kind": "eval"}):
        assert "<svg" not in render(alone)
