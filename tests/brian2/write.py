"""Runs the network of examples/stdp_digits in f64, and keeps what Brian2 is compared with.

python tests/brian2/write.py FOLDER [DATA]

DATA are labelled images, `mnist:DIR#train[:20]`; without them, blobs at random are shown. Written
are the input spikes, the weights at the start, after the first image and at the end, the
excitatory spikes of every image, and processor seconds an image in f64 and f32.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "examples" / "stdp_digits"))

from constants import Presentation, Rule
from images import read
from network import Network, Poisson, Spikes

COUNT, IMAGES, SEED = 400, 20, 0


def shown_images(data: str | None) -> np.ndarray:
    """The images, (IMAGES, 784)."""
    if data:
        return read(data).images[:IMAGES]
    rng = np.random.default_rng(SEED)
    there = rng.random((IMAGES, 784)) < 0.15
    return (there * rng.integers(128, 256, there.shape)).astype(np.uint8)


def learn(dtype: str, shown: list[Spikes], silence: int) -> tuple[dict[str, np.ndarray], float]:
    """What the network does with the images, and the median of its processor seconds an image."""
    network = Network(COUNT, Rule(), SEED, dtype)
    found = {"start": network.learned.T.copy()}
    seconds = []
    for number, spikes in enumerate(shown):
        begin = time.process_time()
        network.normalise()
        found[f"spikes{number}"] = network.present(spikes, silence, learn=True)
        seconds.append(time.process_time() - begin)
        if number == 0:
            found["first"] = network.learned.T.copy()
    found["end"] = network.learned.T.copy()
    return found, float(np.median(seconds))


def main(folder: Path, data: str | None) -> None:
    """Run, and write."""
    folder.mkdir(parents=True, exist_ok=True)
    network, presentation = Network(1, Rule(), SEED), Presentation()
    source = Poisson((SEED,), presentation, network.neurons.dt)
    shown = [source.draw(image, 2, k) for k, image in enumerate(shown_images(data))]
    silence = network.neurons.steps(presentation.rest)
    found, seconds = learn("f64", shown, silence)
    _, fast = learn("f32", shown, silence)
    for number, spikes in enumerate(shown):
        steps = np.repeat(np.arange(spikes.steps), np.diff(spikes.starts))
        found[f"inputs{number}"] = np.stack([steps, spikes.spikes], 1)
    np.savez(folder / "run.npz", **found)
    facts = {
        "neurons": asdict(network.neurons),
        "rule": asdict(Rule()),
        "images": len(shown),
        "steps": shown[0].steps + silence,
        "seconds_f64": seconds,
        "seconds_f32": fast,
    }
    (folder / "facts.json").write_text(json.dumps(facts, indent=1))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else None)
