"""Tables of the conversion benchmark: cells, groups of draws, what stands beside what."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.conversion.report import (
    any_time_table,
    drawn,
    fixed_table,
    group_table,
    integer_table,
    latency_table,
    readme_table,
    tables,
)
from benchmarks.conversion.table import between, peer_gaps

TAKES = {
    "spikes_per_neuron": 1.25,
    "energy_of_ann": 0.42,
    "first_layer_share": 0.031,
    "membrane_accesses": 3_000_000,
    "crossbar_uj": 170.26,
    "compile_processor_seconds": 40.4,
    "compile_peak_gb": 1.14,
}


def row(neurons: str, timesteps: int, gap: float, draw: int = 0, **others: Any) -> dict[str, Any]:
    """A row of ResNet-20 with real values; the first draw saw all images."""
    return {
        "network": "resnet20",
        "neurons": neurons,
        "precision": "float",
        "draw": draw,
        "timesteps": timesteps,
        "window": timesteps,
        "latency_timesteps": timesteps,
        "readout_start": 0,
        "prefixes": {},
        "gap_points": gap,
        "gap_interval_95": 1.5,
        "judged": 1017,
        "images": 10_000 if draw == 0 else 1017,
        "ann_accuracy": 0.9164,
        "agreement": 0.9 + draw / 100,
        **TAKES,
        **others,
    }


def cells(text: str, line: int = 0) -> Sequence[str]:
    """The cells of a line below the heads."""
    return [cell.strip() for cell in text.splitlines()[2 + line].strip("|").split("|")]


def test_draws_stand_side_by_side_with_their_mean() -> None:
    rows = [row("synchronous", 8, gap, draw) for draw, gap in ((2, 4.0), (0, 1.0), (1, 2.5))]
    line = cells(fixed_table(drawn(rows)))
    assert line[:4] == ["ResNet-20, CIFAR-10", "synchronous", "8", "8"]
    assert line[4:7] == ["1.00 ± 1.50 · 2.50 ± 1.50 · 4.00 ± 1.50", "2.50", "90.00"]
    assert line[7:] == ["1.25", "42.0", "3.1", "3.00", "170.3", "40", "1.14"]


def test_agreement_on_fewer_images_says_so() -> None:
    rows = [row("synchronous", 64, 1.0, draw, images=1017) for draw in range(2)]
    assert cells(fixed_table(drawn(rows)))[6] == "90.00 · 91.00 (of 1017)"


def test_integers_stand_below_real_values() -> None:
    below = {"below_float_points": 0.3, "below_float_interval_95": 0.6}
    below |= {"agreement_below_float_points": 0.42, "agreement_below_float_interval_95": 0.2}
    equal = {"verified_images": 64, "values_differing": {"cpu": 0, "crossbar": 0}}
    four = row("signed", 8, 1.0, precision="4 bits", **below, **equal)
    eight = {**four, "precision": "8 bits", "values_differing": {"cpu": 0, "crossbar": 7}}
    text = integer_table(drawn([four, eight, row("signed", 8, 0.7)]))
    assert len(text.splitlines()) == 4
    assert cells(text)[2] == "8 bits" and cells(text)[-1] == "no: 7 values differ"
    assert cells(text, 1)[2:10] == (
        ["4 bits", "8", "1.00 ± 1.50", "1.00", "0.30 ± 0.60", "0.30", "90.00", "0.42"]
    )
    assert cells(text, 1)[-1] == "yes (64 images)"


def test_any_time_stands_beside_networks_made_for_the_window() -> None:
    early = {"gap_points": 9.5, "gap_interval_95": 2.0, "agreement": 0.8}
    one = row("any time", 32, 0.2, prefixes={"8": early}, readout_start=6)
    text = any_time_table(drawn([one, row("synchronous", 8, 3.5)]))
    assert cells(text)[1:8] == ["8", "6", "9.50 ± 2.00", "9.50", "80.00", "3.50", "90.00"]
    assert cells(text, 1)[1:8] == ["32", "6", "0.20 ± 1.50", "0.20", "90.00", "", ""]
    assert len(cells(text)) == len(cells(text, 1)) == 15


def test_groups_stand_beside_single_neurons() -> None:
    chip = {"crossbar_rows": 5707, "crossbar_tiles": 87, "crossbar_latency_us": 1934.2}
    single = {"neurons_in_all": 200, **chip}
    groups = row("split", 4, 0.9, neurons_in_all=500, **{**chip, "crossbar_latency_us": 3328.8})
    same, twice, other = (row("synchronous", t, 3.5, **single) for t in (4, 8, 16))
    text = group_table(drawn([same, twice, other, groups]))
    assert [cells(text, line)[1:3] for line in range(3)] == (
        [["split", "4"], ["synchronous", "4"], ["synchronous", "8"]]
    )
    assert len(text.splitlines()) == 5
    assert cells(text)[3:7] == ["0.90 ± 1.50", "0.90", "90.00", "1.50"]
    assert cells(text)[-3:] == ["5,707", "87", "3329"] and cells(text, 1)[6] == "0.00"
    assert group_table(drawn([same, twice])) == ""


def test_latency_stands_beside_the_fixed_window_and_the_peer() -> None:
    chosen = row("latency", 8, 2.5, window=6, readout_start=3)
    rounded = {**row("synchronous", 8, 99.0), "precision": "8 bits"}
    text = latency_table(
        drawn([chosen, row("synchronous", 8, 3.5), rounded]), {("resnet20", 8): [20.0, 18.0]}
    )
    assert cells(text)[1:6] == ["synchronous", "8", "6", "3", "2.50 ± 1.50"]
    assert cells(text)[8:11] == ["3.50", "90.00", "19.00"]
    assert latency_table(drawn([row("synchronous", 8, 3.5)]), {}) == ""


def test_all_tables_say_what_their_figures_are() -> None:
    rows = [row("synchronous", 8, 3.5), row("any time", 32, 0.2)]
    text = tables(rows, {})
    assert text.startswith("Real values:\n\n| network |")
    assert "A given latency" not in text
    assert "the ANN has 91.64 % on the 1017 test images" in text
    assert "any time" not in readme_table(rows)


def test_tables_are_put_between_their_marks() -> None:
    page = "a\n<!-- t -->\nold\n<!-- /t -->\nb"
    assert between(page, "t", "new") == "a\n<!-- t -->\nnew\n<!-- /t -->\nb"


def test_the_peer_is_read_within_the_window(tmp_path: Path) -> None:
    judged = [
        {"readout": readout, "timesteps": 8, "gap": gap}
        for readout, gap in (("all", 30.0), ("within", 20.0), ("within", 18.0))
    ]
    for network in ("", "resnet56"):
        found = {"test_images": judged, **({"network": network} if network else {})}
        path = tmp_path / f"spikingjelly_conversion{network}.json"
        path.write_text(json.dumps(found))
    assert peer_gaps(tmp_path) == {("resnet20", 8): [20.0, 18.0], ("resnet56", 8): [20.0, 18.0]}
