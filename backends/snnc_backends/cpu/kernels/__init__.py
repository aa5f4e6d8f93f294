"""The kernels, one file each: parameters, buffers, and the LLVM IR they generate.

A file is imported when its kernel is used, so that a plan from a file imports only those it names.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

from snnc.lazy_names import lazy_name
from snnc_backends.cpu.kernels.base import DTYPES, Arrays, Kernel, Match, Port, Table, Work

if TYPE_CHECKING:
    from snnc_backends.cpu.kernels.add import Add
    from snnc_backends.cpu.kernels.code import Code
    from snnc_backends.cpu.kernels.concat import Concat
    from snnc_backends.cpu.kernels.conv import Conv
    from snnc_backends.cpu.kernels.count_maxpool import CountMaxPool
    from snnc_backends.cpu.kernels.dense_conv import DenseConv
    from snnc_backends.cpu.kernels.dense_layer import DenseLayer
    from snnc_backends.cpu.kernels.depthwise import Depthwise
    from snnc_backends.cpu.kernels.event_layer import EventLayer
    from snnc_backends.cpu.kernels.gather import Gather
    from snnc_backends.cpu.kernels.layer import Layer
    from snnc_backends.cpu.kernels.neuron import Neuron, RoundingNeuron, TwoSidedNeuron
    from snnc_backends.cpu.kernels.pool import Pool
    from snnc_backends.cpu.kernels.scale import Scale
    from snnc_backends.cpu.kernels.tile_layer import TileLayer
    from snnc_backends.cpu.kernels.windows import Windows

    PLAIN: tuple[type[Kernel], ...]
    """Kernels that compute one node each."""

_PLAIN = {
    "add": ("add", "Add"),
    "concat": ("concat", "Concat"),
    "conv": ("conv", "Conv"),
    "count-maxpool": ("count_maxpool", "CountMaxPool"),
    "depthwise": ("depthwise", "Depthwise"),
    "gather": ("gather", "Gather"),
    "neuron": ("neuron", "Neuron"),
    "pool": ("pool", "Pool"),
    "scale": ("scale", "Scale"),
    "two-sided-neuron": ("neuron", "TwoSidedNeuron"),
    "rounding-neuron": ("neuron", "RoundingNeuron"),
}
_KERNELS = {
    **_PLAIN,
    "dense-conv": ("dense_conv", "DenseConv"),
    "dense-layer": ("dense_layer", "DenseLayer"),
    "event-layer": ("event_layer", "EventLayer"),
    "tile-layer": ("tile_layer", "TileLayer"),
}
"""File and class of every kernel."""
_MORE = (("code", "Code"), ("layer", "Layer"), ("windows", "Windows"))
_HOMES = {
    f"{__name__}.{file}": tuple(name for home, name in (*_KERNELS.values(), *_MORE) if home == file)
    for file, _ in (*_KERNELS.values(), *_MORE)
}


class _Kernels(Mapping[str, type[Kernel]]):
    """The classes of kernels by name."""

    def __getitem__(self, name: str) -> type[Kernel]:
        file, kind = _KERNELS[name]
        return getattr(import_module(f"{__name__}.{file}"), kind)

    def __iter__(self) -> Iterator[str]:
        return iter(_KERNELS)

    def __len__(self) -> int:
        return len(_KERNELS)


KERNELS = _Kernels()
"""Every kernel a plan may name."""

__all__ = [
    "Add",
    "Arrays",
    "Code",
    "Concat",
    "Conv",
    "CountMaxPool",
    "DTYPES",
    "DenseConv",
    "DenseLayer",
    "Depthwise",
    "EventLayer",
    "Gather",
    "KERNELS",
    "Kernel",
    "Layer",
    "Match",
    "Neuron",
    "PLAIN",
    "Pool",
    "Port",
    "RoundingNeuron",
    "Scale",
    "Table",
    "TileLayer",
    "TwoSidedNeuron",
    "Windows",
    "Work",
]


def __getattr__(name: str) -> Any:
    """Import a class of kernels from where it lives."""
    if name == "PLAIN":
        return tuple(KERNELS[each] for each in _PLAIN)
    return lazy_name(__name__, _HOMES, name)
