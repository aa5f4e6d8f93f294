"""What an inference takes, from the spikes of a run."""

from __future__ import annotations

from collections.abc import Mapping

from snnc.analysis.energy import energy
from snnc.ir import AnyNeuron, Graph


def expenses(graph: Graph, spikes: Mapping[str, float], timesteps: int) -> dict[str, float]:
    """Spikes, arithmetic energy and accesses to membrane potentials.

    Every neuron reads and writes its potential in every step of the window and of its wait: two
    accesses. Energy is the estimate of `snnc/analysis/energy.py`, its first layer computed once.

    Args:
        graph: the spiking network.
        spikes: by node, the mean number of spikes of an image.
        timesteps: the window.
    """
    sizes = {name: kind.size for name, kind in graph.types().items()}
    steps = {n.name: timesteps + n.op.wait for n in graph if isinstance(n.op, AnyNeuron)}
    neurons = sum(sizes[name] for name in steps)
    estimate = energy(graph, {name: spikes[name] / sizes[name] for name in spikes}, timesteps)
    additions = estimate.cost.ac * estimate.acs
    return {
        "neurons_in_all": neurons,
        "spikes_per_neuron": sum(spikes[name] for name in steps) / neurons,
        "energy_of_ann": estimate.once_pj / estimate.ann_pj,
        "first_layer_share": 1 - additions / estimate.once_pj,
        "membrane_accesses": 2 * sum(sizes[name] * count for name, count in steps.items()),
    }
