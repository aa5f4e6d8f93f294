"""The intermediate representation: graphs, operations, types, verification."""

from snnc.ir.elementwise import Add, BatchNorm, Identity, Relu, Scale
from snnc.ir.encode import Encode, EncodeDirect, EncodeLatency, EncodePoisson
from snnc.ir.endpoints import Input, Readout
from snnc.ir.graph import Array, Graph
from snnc.ir.kinds import Maximum, Pool, Rearrange, Stateful, Weighted
from snnc.ir.neuron import AnyNeuron, Neuron, TwoSidedNeuron, waits_for_input
from snnc.ir.node import Node
from snnc.ir.op import Op, OpError, array_of, broadcast_to_sample
from snnc.ir.pool import AvgPool, CountMaxPool, MaxPool, SumPool
from snnc.ir.rearrange import Concat, Pad, Permute, Reshape, Slice, Upsample
from snnc.ir.types import Ref, Shape, Signal, Stage, TensorType, Windows
from snnc.ir.verify import problems, verify
from snnc.ir.weighted import Conv, Linear

__all__ = [
    "Add",
    "AnyNeuron",
    "Array",
    "AvgPool",
    "BatchNorm",
    "Concat",
    "Conv",
    "CountMaxPool",
    "Encode",
    "EncodeDirect",
    "EncodeLatency",
    "EncodePoisson",
    "Graph",
    "Identity",
    "Input",
    "Linear",
    "MaxPool",
    "Maximum",
    "Neuron",
    "Node",
    "Op",
    "OpError",
    "Pad",
    "Permute",
    "Pool",
    "Readout",
    "Rearrange",
    "Ref",
    "Relu",
    "Reshape",
    "Scale",
    "Shape",
    "Signal",
    "Slice",
    "Stage",
    "Stateful",
    "SumPool",
    "TensorType",
    "TwoSidedNeuron",
    "Upsample",
    "Weighted",
    "Windows",
    "array_of",
    "broadcast_to_sample",
    "problems",
    "verify",
    "waits_for_input",
]
