"""Reads every network that `write.py` made, and compares all spikes with those of its library.

`python compare.py FOLDER`, in an environment that has snnc and none of the libraries. The exit
status is 1 if a spike differs, or a population is silent or always fires.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

from snnc.errors import SnncError
from snnc.frontends import load
from snnc.interp import run_snn
from snnc.ir import Neuron
from snnc.pipeline import parse_one
from snnc.plugins import FRONTENDS, Registry


def compare(folder: Path, frontend: str) -> tuple[int, int, float, float]:
    """Spikes that differ, spikes compared, and the smallest and largest rate of a population."""
    graph = load(str(folder / "net.nir"), frontend=parse_one(frontend, Registry(FRONTENDS)))
    stored = np.load(folder / "run.npz")
    wanted = [stored[name].astype(np.float64) for name in sorted(stored.files) if name != "x"]
    names = [node.name for node in graph if isinstance(node.op, Neuron)]
    steps = len(wanted[0])
    values = run_snn(graph, stored["x"], timesteps=steps, keep=names).values
    found = [values[name].numpy() for name in names]
    if len(found) != len(wanted):
        raise ValueError(f"{len(found)} populations, the library has {len(wanted)}")
    pairs = zip(found, wanted, strict=True)
    differing = sum(int((np.broadcast_to(a, b.shape) != b).sum()) for a, b in pairs)
    rates = [float(each.mean()) for each in wanted]
    return differing, sum(each.size for each in wanted), min(rates), max(rates)


def main(folder: Path) -> int:
    """Print a line for each network; how many are not as they have to be."""
    wrong = 0
    for name, frontend in json.loads((folder / "cases.json").read_text()).items():
        try:
            differing, compared, low, high = compare(folder / name, frontend)
        except (SnncError, ValueError, OSError) as error:
            wrong += 1
            print(f"{name}: WRONG: {error}")
            continue
        right = differing == 0 and low > 0.02 and high < 0.98
        wrong += not right
        rates = f"rates {low:.2f} to {high:.2f}"
        said = f"{differing} of {compared} spikes differ, {rates}"
        print(f"{name}: {'' if right else 'WRONG: '}{said}")
    print(f"{wrong} not as they have to be")
    return wrong


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])) > 0)
