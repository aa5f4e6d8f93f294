"""What `table.py` measures: which networks, attacked how."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from benchmarks.robustness.networks import Kind, Network

Experiment = Literal["full", "timesteps", "leak", "leak after training", "eps", "draws"]
WINDOW = {"mnist": 8, "cifar10": 4}
FULL_EPS = {"mnist": 0.2, "cifar10": 8 / 255}
SWEEP_EPS = {"mnist": 0.05, "cifar10": 2 / 255}
"""At which about half of the images are still classified right; chosen on training images."""
WINDOWS = {"mnist": (2, 4, 8, 16), "cifar10": (2, 8)}
LEAKS = {"mnist": (0.9, 0.5), "cifar10": (0.5,)}
OTHER_EPS: Mapping[str, tuple[float, ...]] = {"mnist": (0.02, 0.1, 0.2), "cifar10": ()}
SPIKING: tuple[Kind, ...] = ("converted", "direct", "poisson")
TRAINED: tuple[Kind, ...] = ("direct", "poisson")
HARDENED: Mapping[str, tuple[Kind, ...]] = {"mnist": ("robust",), "cifar10": ()}
SEEDS = {"mnist": (0, 1, 2), "cifar10": (0,)}
"""Of networks of the two claims."""
INDEPENDENT = 10
"""Added to the seed of a network: that of the one on which inputs for transfer are made."""


@dataclass(frozen=True)
class Row:
    """One network under a set of attacks."""

    experiment: Experiment
    network: Network
    eps: float

    @property
    def name(self) -> str:
        """Of its entry in the results and of its files."""
        return f"{self.experiment.replace(' ', '-')}/{self.network.name}/eps{self.eps:.4g}"

    @property
    def source(self) -> Network:
        """The network on which inputs for transfer are made: an ANN, for an ANN a spiking one."""
        dataset, seed = self.network.dataset, self.network.seed + INDEPENDENT
        if self.network.kind == "ann":
            return Network(dataset, "direct", seed, WINDOW[dataset])
        return Network(dataset, "ann", seed)


def rows() -> Iterator[Row]:
    """All rows, in the order in which they are measured."""
    for dataset in WINDOW:
        for seed in SEEDS[dataset]:
            yield from _sweeps(dataset, seed)
        for kind in ("ann", *SPIKING, *HARDENED[dataset]):
            yield Row("full", _network(dataset, kind), FULL_EPS[dataset])
        for kind in HARDENED[dataset]:
            yield Row("eps", _network(dataset, kind), SWEEP_EPS[dataset])
        for eps in OTHER_EPS[dataset]:
            for kind in ("ann", *SPIKING, *HARDENED[dataset]):
                yield Row("eps", _network(dataset, kind), eps)
    yield from _draws()


def _draws() -> Iterator[Row]:
    """The most robust networks with a random input again, with more draws for a gradient."""
    for leak in (1.0, min(LEAKS["mnist"])):
        network = replace(_network("mnist", "poisson"), leak=leak)
        yield Row("draws", network, SWEEP_EPS["mnist"])


def _network(dataset: str, kind: Kind, seed: int = 0) -> Network:
    return Network(dataset, kind, seed, 0 if kind == "ann" else WINDOW[dataset])


def _sweeps(dataset: str, seed: int) -> Iterator[Row]:
    """The rows of the two claims for a seed; the middle of both sweeps stands once."""
    eps = SWEEP_EPS[dataset]
    yield Row("timesteps", _network(dataset, "ann", seed), eps)
    for window in sorted({*WINDOWS[dataset], WINDOW[dataset]}):
        for kind in SPIKING:
            yield Row("timesteps", Network(dataset, kind, seed, window), eps)
    for leak in LEAKS[dataset]:
        for kind in TRAINED:
            network = _network(dataset, kind, seed)
            yield Row("leak", replace(network, leak=leak), eps)
            if kind == "direct" or (dataset, seed) == ("mnist", 0):
                yield Row("leak after training", replace(network, changed=leak), eps)


def networks() -> Iterator[Network]:
    """All that are attacked or attack, each once."""
    found = [each for row in rows() for each in (row.network, row.source)]
    yield from dict.fromkeys(found)
