"""What an inference takes, from the spikes of a run."""

from __future__ import annotations

from collections.abc import Mapping

from snnc.analysis.energy import energy
from snnc.ir import AnyNeuron, Graph


def expenses(graph: Graph, spikes: Mapping[str, float], timesteps: int) -> dict[str, float]:
    """Spikes, arithmetic energy and accesses to membrane potentials.

    Energy is the estimate of `snnc/analysis/energy.py`, its first layer computed once.

    Args:
        graph: the spiking network.
        spikes: by node, the mean number of spikes of an image.
        timesteps: the window.
    """
    sizes = {name: kind.size for name, kind in graph.types().items()}
    populations = [node.name for node in graph if isinstance(node.op, AnyNeuron)]
    neurons = sum(sizes[name] for name in populations)
    estimate = energy(graph, {name: spikes[name] / sizes[name] for name in spikes}, timesteps)
    additions = estimate.cost.ac * estimate.acs
    return {
        "neurons_in_all": neurons,
        "spikes_per_neuron": sum(spikes[name] for name in populations) / neurons,
        "energy_of_ann": estimate.once_pj / estimate.ann_pj,
        "first_layer_share": 1 - additions / estimate.once_pj,
        "membrane_accesses": membrane_accesses(graph, timesteps),
    }


def membrane_accesses(graph: Graph, timesteps: int) -> int:
    """Every neuron reads and writes its potential in every step of the window and of its wait."""
    neurons = [node for node in graph if isinstance(node.op, AnyNeuron)]
    return sum(2 * graph.type_of(n.name).size * (timesteps + n.op.wait) for n in neurons)
