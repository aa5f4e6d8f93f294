"""The kernels, one file each: parameters, buffers, and the LLVM IR they generate."""

from __future__ import annotations

from snnc_backends.cpu.kernels.add import Add
from snnc_backends.cpu.kernels.base import DTYPES, Arrays, Kernel, Match, Port, Table, Work
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
from snnc_backends.cpu.kernels.windows import Windows

PLAIN: tuple[type[Kernel], ...] = (
    *(Add, Concat, Conv, CountMaxPool, Depthwise, Gather, Neuron, Pool, Scale),
    *(TwoSidedNeuron, RoundingNeuron),
)
"""Kernels that compute one node each."""
KERNELS: dict[str, type[Kernel]] = {
    kind.name: kind for kind in (*PLAIN, DenseConv, DenseLayer, EventLayer)
}
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
    "TwoSidedNeuron",
    "Windows",
    "Work",
]
