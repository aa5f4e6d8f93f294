"""Spiking networks of four libraries as NIR files, with the spikes the library itself gives.

`python write.py FOLDER`, in an environment that has the libraries. Every case is a folder with
`net.nir` and `run.npz`: `x` (N, *shape), the input of every step, and `spikes_0`, `spikes_1`, …
(T, N, *shape) of every population in the order of the network.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import nir
import numpy as np
import torch
from torch import Tensor, nn

T, SAMPLES = 48, 16
Run = Callable[[Tensor], Sequence[Tensor]]
"""One step: the spikes of every population for a batch."""
Made = tuple[Any, Run, tuple[int, ...]]
"""A graph of NIR, the network, and the shape of a sample."""


def dense(seed: int) -> tuple[nn.Linear, nn.Linear]:
    """Two layers whose currents drive neurons well."""
    torch.manual_seed(seed)
    first, second = nn.Linear(6, 20), nn.Linear(20, 9)
    with torch.no_grad():
        first.weight.mul_(2.5).add_(0.1)
        second.weight.mul_(2.5).add_(0.1)
    return first, second


def snntorch(reset: str, beta: float) -> Made:
    """snnTorch: `Leaky` neurons with the delayed reset of its default."""
    import snntorch as snn
    from snntorch.export_nir import export_to_nir

    first, second = dense(0)

    def leaky(n: int, init_hidden: bool) -> Any:
        return snn.Leaky(
            beta=torch.full((n,), beta), threshold=torch.full((n,), 0.7),
            reset_mechanism=reset, init_hidden=init_hidden,
        )  # fmt: skip

    neurons, hidden = ([leaky(n, told) for n in (20, 9)] for told in (False, True))
    written = nn.Sequential(first, hidden[0], second, hidden[1])
    graph = export_to_nir(written, torch.zeros(6))
    potentials = [neuron.init_leaky() for neuron in neurons]

    def step(x: Tensor) -> list[Tensor]:
        one, potentials[0] = neurons[0](first(x), potentials[0])
        two, potentials[1] = neurons[1](second(one), potentials[1])
        return [one, two]

    return graph, step, (6,)


def norse(kind: str) -> Made:
    """Norse: `LIFBoxCell`, or `IAFCell`."""
    import norse.torch as library

    first, second = dense(1)
    if kind == "lif":
        cells = [
            library.LIFBoxCell(
                library.LIFBoxParameters(
                    tau_mem_inv=torch.full((n,), rate), v_th=torch.full((n,), 0.3),
                    v_leak=torch.zeros(n), v_reset=torch.zeros(n),
                )
            )
            for n, rate in ((20, 150.0), (9, 300.0))
        ]  # fmt: skip
    else:
        cells = [library.IAFCell(library.IAFParameters(v_th=torch.ones(n))) for n in (20, 9)]
    network = library.SequentialState(first, cells[0], second, cells[1])
    graph = library.to_nir(network, torch.zeros(1, 6))
    states: list[Any] = [None, None]

    def step(x: Tensor) -> list[Tensor]:
        one, states[0] = cells[0](first(x), states[0])
        two, states[1] = cells[1](second(one), states[1])
        return [one, two]

    return graph, step, (6,)


def spikingjelly(kind: str) -> Made:
    """SpikingJelly: a convolution, pooling, and `LIFNode` or `IFNode` with hard reset."""
    from spikingjelly.activation_based import layer, neuron, nir_exchange

    torch.manual_seed(2)
    if kind == "lif":
        made = [neuron.LIFNode(tau=3.0, decay_input=False, v_threshold=0.8) for _ in range(2)]
    else:
        made = [neuron.IFNode(v_threshold=0.9) for _ in range(2)]
    parts = [
        layer.Conv2d(2, 4, 3, padding=1), made[0], layer.AvgPool2d(2),
        layer.Flatten(), layer.Linear(36, 7), made[1],
    ]  # fmt: skip
    with torch.no_grad():
        parts[4].weight.mul_(4).add_(0.1)
    network = nn.Sequential(*parts)
    graph = nir_exchange.export_to_nir(network, torch.zeros(1, 2, 6, 6))
    for each in made:
        each.reset()

    def step(x: Tensor) -> list[Tensor]:
        one = made[0](parts[0](x))
        return [one, made[1](parts[4](parts[3](parts[2](one))))]

    return graph, step, (2, 6, 6)


def sinabs(kind: str) -> Made:
    """sinabs: `LIF` or `IAF` with one spike a step and no lower bound of the potential."""
    import sinabs.layers as layers
    from sinabs.activation import SingleSpike
    from sinabs.nir import to_nir

    first, second = dense(3)

    def neurons(n: int) -> Any:
        common = {"spike_fn": SingleSpike, "min_v_mem": None, "spike_threshold": torch.ones(n)}
        if kind == "iaf":
            return layers.IAFSqueeze(num_timesteps=1, **common)
        tau = torch.full((n,), 12.0)
        return layers.LIFSqueeze(num_timesteps=1, tau_mem=tau, norm_input=False, **common)

    parts = nn.Sequential(first, neurons(20), second, neurons(9))
    graph = to_nir(parts, torch.zeros(1, 6))
    for part in (parts[1], parts[3]):
        part.reset_states()

    def step(x: Tensor) -> list[Tensor]:
        one = parts[1](first(x))
        return [one, parts[3](second(one))]

    return graph, step, (6,)


CASES: dict[str, tuple[Callable[[], Made], str]] = {
    "snntorch-zero": (lambda: snntorch("zero", 0.9), "nir{dialect=snntorch reset=zero}"),
    "snntorch-subtract": (
        lambda: snntorch("subtract", 1.0), "nir{dialect=snntorch reset=subtract}",
    ),
    "norse-lif": (lambda: norse("lif"), "nir{dialect=norse}"),
    "norse-iaf": (lambda: norse("iaf"), "nir{dialect=norse}"),
    "spikingjelly-lif": (lambda: spikingjelly("lif"), "nir{dialect=spikingjelly}"),
    "spikingjelly-if": (lambda: spikingjelly("if"), "nir{dialect=spikingjelly}"),
    "sinabs-lif": (lambda: sinabs("lif"), "nir{dialect=sinabs}"),
    "sinabs-iaf": (lambda: sinabs("iaf"), "nir{dialect=sinabs}"),
}  # fmt: skip
"""By name: the network, and the frontend that reads it."""


def save(folder: Path, make: Callable[[], Made]) -> None:
    """Write one network, run it, and keep its spikes."""
    graph, step, shape = make()
    folder.mkdir(parents=True)
    nir.write(folder / "net.nir", graph)
    x = torch.rand(SAMPLES, *shape, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        steps = [[each.detach().clone() for each in step(x)] for _ in range(T)]
    spikes = {
        f"spikes_{i}": torch.stack(each).numpy() for i, each in enumerate(zip(*steps, strict=True))
    }
    np.savez(folder / "run.npz", x=x.numpy(), **spikes)


def main(folder: Path) -> int:
    """Save every case, and their list as `cases.json`; how many failed."""
    failed = 0
    for name, (make, _) in CASES.items():
        try:
            save(folder / name, make)
        except Exception as error:  # whatever a library raises: the others are still wanted
            print(f"{name} failed: {error!r}")
            failed += 1
    frontends = {name: frontend for name, (_, frontend) in CASES.items()}
    (folder / "cases.json").write_text(json.dumps(frontends))
    return failed


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])) > 0)
