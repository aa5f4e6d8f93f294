"""Every operation of the IR.

Ops are frozen data, each with its equation and shape inference. The graph stores the arrays; ops
refer to them by `Ref`. `infer` takes the types of the inputs and the parameters, and returns the
type of the result or raises `OpError`.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from snnc.ir.elementwise import Add, BatchNorm, Relu, Scale
from snnc.ir.encode import EncodeDirect, EncodeLatency, EncodePoisson
from snnc.ir.endpoints import Input, Readout
from snnc.ir.neuron import Neuron
from snnc.ir.op import Op
from snnc.ir.pool import AvgPool, MaxPool, SumPool
from snnc.ir.rearrange import Concat, Pad, Permute, Reshape, Slice
from snnc.ir.weighted import Conv, Linear

OPS: tuple[type[Op], ...] = (
    Input, Conv, Linear, BatchNorm, Relu, Scale, Add, AvgPool, SumPool, MaxPool,
    Reshape, Permute, Slice, Pad, Concat, EncodeDirect, EncodePoisson, EncodeLatency,
    Neuron, Readout,
)  # fmt: skip
MNEMONICS: Mapping[str, type[Op]] = MappingProxyType({op.mnemonic: op for op in OPS})
"""The operations by the name they have in text and JSON."""
