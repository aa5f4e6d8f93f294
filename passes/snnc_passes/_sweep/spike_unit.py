"""What the mean of a node over the window is a whole multiple of."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod

from torch import Tensor

from snnc.interp.ops import Constant
from snnc.ir import Graph
from snnc_passes._sweep.event_layer import spikes_of
from snnc_passes._sweep.spike_train import SpikeTrain


def spike_unit(
    graph: Graph, name: str, constant: Constant, trains: Mapping[str, SpikeTrain], most: int
) -> Tensor | None:
    """(C,) what one spike adds to the mean over the window; None if it is not the same everywhere.

    None, too, for nodes that are no spikes of a single population, or more than `most` of them.

    Args:
        graph: an `snn` graph.
        name: a node between two populations.
        constant: gives the value of a parameter.
        trains: by population.
        most: the largest number of spikes.
    """
    spikes = spikes_of(graph, name, constant)
    if spikes is None:
        return None
    train, channels = trains[spikes.population], graph.type_of(name).shape[0]
    if train.gain is None or train.gain.numel() not in (1, channels):
        return None
    if train.largest() * train.steps * prod(spikes.pool) > most:
        return None
    unit = (train.gain.flatten() * spikes.gain / train.steps).expand(channels)
    return unit if bool((unit != 0).all()) else None
