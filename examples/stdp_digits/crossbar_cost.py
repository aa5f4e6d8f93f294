"""Tiles, area and energy of the synapses on a crossbar, dense against compressed.

    python examples/stdp_digits/crossbar_cost.py --test 'mnist:DIR#test' DENSE.npz COMPRESSED.npz

The 784 x n matrix is one `Linear` whose inputs fire as often as is counted on the test images;
conductances and lateral inhibition of the neurons are no part of the cost. The networks are files
of `stdp_digits.py` or `table.py`.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from constants import Neurons, Presentation
from experiment import TEST
from images import read
from network import Poisson
from numpy.typing import NDArray

from snnc import ir
from snnc.pipeline import parse_one
from snnc.plugins import BACKENDS, Registry
from snnc.transform import PassContext

DENSE_BITS, CELL_BITS = 8, 4
IMAGES = 1000


@dataclass(frozen=True)
class Matrix:
    """Integer weights, (inputs, neurons), of `bits` bits with their sign."""

    weights: NDArray[np.int8]
    bits: int

    def without_empty_rows(self) -> tuple[Matrix, NDArray[np.bool_]]:
        """The matrix of the inputs that have a weight, and which these are."""
        used = self.weights.any(1)
        return Matrix(self.weights[used], self.bits), used


def matrix(path: Path) -> Matrix:
    """The weights of a stored network: levels as they are, others rounded to `DENSE_BITS` bits."""
    with np.load(path) as file:
        learned, kept = file["learned"].T, file["kept"].T != 0
        distance, number = (float(value) for value in file["levels"])
    if not number:
        largest = 2 ** (DENSE_BITS - 1) - 1
        return Matrix(np.rint(learned * largest * kept).astype(np.int8), DENSE_BITS)
    levels = np.clip(np.floor(learned / distance + 0.5), 1, number)
    return Matrix((levels * kept).astype(np.int8), CELL_BITS + 1)


def graph(weights: Matrix, steps: int) -> ir.Graph:
    """Poisson inputs, the matrix, and a neuron for each of its columns."""
    inputs = len(weights.weights)
    made = ir.Graph(ir.Stage.SNN)
    made.add("pixels", ir.Input(shape=(inputs,)))
    encode = ir.EncodePoisson(scale=1 / 255, hi=8000 // Presentation().intensity)
    made.add("inputs", encode, ["pixels"])
    weight = made.set_param("synapses.weight", np.ascontiguousarray(weights.weights.T))
    made.add("synapses", ir.Linear(weight=weight), ["inputs"])
    threshold = made.set_param("threshold", np.int32(1000))
    made.add("neurons", ir.Neuron(threshold=threshold), ["synapses"])
    made.add("out", ir.Readout(), ["neurons"])
    made.outputs = ("out",)
    made.meta["timesteps"] = steps
    return made


def cost(weights: Matrix, spikes: float, fired: float, steps: int) -> dict[str, float]:
    """Figures of the crossbar backend, for `spikes` input spikes and `fired` others an image."""
    inputs, neurons = weights.weights.shape
    rates = {"inputs": spikes / (inputs * steps), "neurons": fired / (neurons * steps)}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rates.json"
        path.write_text(json.dumps(rates))
        text = (
            f"crossbar{{technology=isaac-32nm cell-bits={CELL_BITS} weight-bits={weights.bits}"
            f" rates={json.dumps(str(path))}}}"
        )
        target = parse_one(text, Registry(BACKENDS))
        files = target.lower(graph(weights, steps), PassContext(timesteps=steps))
    totals = json.loads(files["crossbar/figures.json"])["totals"]
    told = json.loads(files["crossbar/cost.json"])
    return {
        "rows": inputs,
        "tiles": totals["tiles"],
        "area_mm2": told["area_um2"] / 1e6,
        "tiles_energy_nj": told["tiles_energy_pj"] / 1e3,
        "energy_nj": told["energy_pj"] / 1e3,
        "conversions": told["conversions"],
    }


def counted(test: str) -> tuple[NDArray[np.float64], int]:
    """Mean spikes of every input an image, and the steps of an image."""
    source = Poisson((0, TEST), Presentation(), Neurons().dt)
    images = read(test).images[:IMAGES]
    total = np.zeros(images.shape[1])
    for number, image in enumerate(images):
        shown = source.draw(image, Presentation().intensity, number)
        total += np.bincount(shown.spikes, minlength=len(total))
    return total / len(images), source.steps


def main() -> None:
    """Print the figures of both networks, and keep them."""
    assert __doc__ is not None
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--test", required=True, help="test data, e.g. mnist:DIR#test")
    parser.add_argument("--neuron-spikes", type=float, default=20.0, help="of all, an image")
    parser.add_argument("--results", type=Path, help="JSON file to write")
    parser.add_argument("networks", nargs="+", type=Path)
    given = parser.parse_args()
    spikes, steps = counted(given.test)
    found: dict[str, dict[str, float]] = {}
    for path in given.networks:
        whole = matrix(path)
        part, used = whole.without_empty_rows()
        fired = given.neuron_spikes
        found[path.stem] = cost(whole, float(spikes.sum()), fired, steps)
        found[f"{path.stem}, rows in use"] = cost(part, float(spikes[used].sum()), fired, steps)
    print(f"{'':40} rows  tiles  area mm2  energy of tiles nJ")
    for name, figures in found.items():
        print(
            f"{name:40} {figures['rows']:4}  {figures['tiles']:5}  {figures['area_mm2']:8.3f}"
            f"  {figures['tiles_energy_nj']:18.1f}"
        )
    if given.results:
        given.results.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
