"""The intermediate representation: what a graph is and what it means."""

from snnc.ir.graph import Array, Graph
from snnc.ir.node import Node
from snnc.ir.op import Op, OpError, array_of, broadcast_to_sample
from snnc.ir.ops import (
    Add,
    AvgPool,
    BatchNorm,
    Conv,
    Encode,
    Input,
    Linear,
    MaxPool,
    Neuron,
    Readout,
    Relu,
    Scale,
    SumPool,
)
from snnc.ir.rearrange import Concat, Pad, Permute, Reshape, Slice
from snnc.ir.types import Ref, Signal, Stage, TensorType, Windows
from snnc.ir.verify import problems, verify

__all__ = [
    "Add",
    "Array",
    "AvgPool",
    "BatchNorm",
    "Concat",
    "Conv",
    "Encode",
    "Graph",
    "Input",
    "Linear",
    "MaxPool",
    "Neuron",
    "Node",
    "Op",
    "OpError",
    "Pad",
    "Permute",
    "Readout",
    "Ref",
    "Relu",
    "Reshape",
    "Scale",
    "Signal",
    "Slice",
    "Stage",
    "SumPool",
    "TensorType",
    "Windows",
    "array_of",
    "broadcast_to_sample",
    "problems",
    "verify",
]
