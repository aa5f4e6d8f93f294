"""Tables of what learning gives: what stands against the ANN, and blanks for what is not kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.learning.report import START, STOP, write_tables


def row(arm: str, seed: int, exact: float, **more: Any) -> dict[str, Any]:
    energy = {
        "ann_energy_pj": 9.0,
        "energy_pj": 3.0,
        "energy_first_layer_every_step_pj": 4.5,
        "ac_pj": 0.9,
        "ac_per_inference": 2.0,
    }
    figures = {"timesteps": 4, "spikes_per_neuron": 0.5, "energy": energy} if arm != "ANN" else {}
    own = {"experiment": "resnet20", "dataset": "resnet20", "arm": arm, "seed": seed}
    return {**own, "accuracy": {"exact": exact}, **figures, **more}


def lines(tmp_path: Path, *rows: dict[str, Any]) -> list[list[str]]:
    page = tmp_path / "page.md"
    page.write_text(f"before\n{START}\nold\n{STOP}\nafter\n", encoding="utf-8")
    write_tables(page, {f"{each['arm']}/{each['seed']}": each for each in rows})
    text = page.read_text(encoding="utf-8")
    assert text.startswith("before\n") and text.endswith("after\n") and "old" not in text
    table = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table]


def test_what_is_held_against_the_ann(tmp_path: Path) -> None:
    ann, chip = row("ANN", 0, 0.92), {"membrane_accesses": 2_637_824, "crossbar_uj": 617.0}
    learnt = [
        row("few-steps, T=4", seed, exact, agreement=agreed, latency_timesteps=61, **chip)
        for seed, exact, agreed in ((0, 0.88, 0.90), (1, 0.89, 0.92))
    ]
    old = row("learnt, T=4", 0, 0.85)
    heads, _, *table = lines(tmp_path, ann, *learnt, old)
    assert heads[3:6] == ["gap (points)", "agreement, all (%)", "latency"]
    cells = {line[0]: line[1:] for line in table}
    assert cells["ANN"] == ["", "92.00", *[""] * 9]
    few = ["88.50 ± 0.71", "3.50 ± 0.71", "91.00 ± 1.41", "61"]
    assert cells["few-steps, T=4"][1:5] == few
    assert cells["learnt, T=4"][1:5] == ["85.00", "7.00", "", ""]
    assert cells["few-steps, T=4"][-2:] == ["2.64", "617.00 ± 0.00"]
    assert cells["learnt, T=4"][5:] == ["0.50", "3.00", "40.00", "2.00", "", ""]


def test_without_agreement_the_table_is_as_it_was(tmp_path: Path) -> None:
    heads, *_ = lines(tmp_path, row("ANN", 0, 0.92), row("learnt, T=4", 0, 0.85))
    assert "gap (points)" not in heads and len(heads) == 9
