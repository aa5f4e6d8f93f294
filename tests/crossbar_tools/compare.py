"""Compares snnc's wires with badcrossbar and its hops with SANA-FE, and prints a table.

`python compare.py FOLDER`, in an environment that has the tools and not snnc; FOLDER is what
`write.py` wrote. The exit status is 1 if a case differs.

Wires: badcrossbar solves the nodal equations with a volt on one word line after the other; the
currents of the bit lines are the effective conductances, within 1e-8 of the largest. Hops: SANA-FE
simulates the messages; those between two cores, and their hops, are the packets and hops of snnc.
Where real spikes are sent, snnc spreads those of a population evenly over its elements: within 10 %
of SANA-FE's.
"""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path

import badcrossbar
import numpy as np
import sanafe

WITHIN = 1e-8
EVENLY = 0.1


def wires(case: Path) -> tuple[str, bool]:
    """Largest difference of an effective conductance, relative to the largest of them."""
    with np.load(case / "tile.npz") as stored:
        tile = dict(stored)
    cells, below = tile["cells_us"], int(tile["below"])
    rows, columns = cells.shape
    empty = np.zeros((below, columns))
    with np.errstate(divide="ignore"):
        resistances = 1e6 / np.vstack([cells, empty])
    volts = np.eye(rows + below)[:, :rows]
    solved = badcrossbar.compute(
        volts, resistances, r_i=float(tile["ohm"]), node_voltages=False, all_currents=False
    )
    found = np.atleast_2d(np.array(solved.currents.output)) * 1e6
    error = np.abs(found - tile["effective_us"]).max() / found.max()
    return f"largest difference {error:.1e}", bool(error <= WITHIN)


def hops(case: Path) -> tuple[str, bool]:
    """Messages between cores and their hops, of both."""
    ours = json.loads((case / "expected.json").read_text())
    architecture = sanafe.load_arch(case / "arch.yaml")
    chip = sanafe.SpikingChip(architecture)
    chip.load(sanafe.load_net(case / "snn.yaml", architecture))
    done = chip.sim(ours["steps"], timing_model="simple", message_trace=True, perf_trace=True)
    trace = [m for step in done["message_trace"] for m in step if not m["placeholder"]]
    packets = sum(m["src_tile_id"] != m["dest_tile_id"] for m in trace)
    total = sum(done["perf_trace"]["hops"])
    said = f"packets {packets} and {ours['packets']:.0f}, hops {total} and {ours['hops']:.0f}"
    allowed = EVENLY if case.name.endswith("-spikes") else 1e-9
    pairs = ((packets, ours["packets"]), (total, ours["hops"]))
    return said, total > 0 and all(abs(a - b) <= allowed * a for a, b in pairs)


def main(folder: Path) -> int:
    """Print a line for each case; how many differ."""
    logging.disable()
    wrong = 0
    for kind, compare in (("wires", wires), ("hops", hops)):
        for case in sorted(path for path in (folder / kind).iterdir() if path.is_dir()):
            said, right = compare(case)
            wrong += not right
            print(f"{kind:5} {case.name:24} {'' if right else 'WRONG: '}{said}", flush=True)
    print(f"{wrong} differ")
    return wrong


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])) > 0)
