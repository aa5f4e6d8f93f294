"""Every operation of the IR.

Ops are frozen data, each with its equation and shape inference. The graph stores the arrays; ops
refer to them by `Ref`. `infer` takes the types of the inputs and the parameters, and returns the
type of the result or raises `OpError`. A new one stands in one of the modules below and in its
`OPS`.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from snnc.ir import elementwise, encode, endpoints, neuron, pool, rearrange, weighted
from snnc.ir.op import Op

MODULES = (endpoints, weighted, elementwise, pool, rearrange, encode, neuron)
OPS: tuple[type[Op], ...] = tuple(op for module in MODULES for op in module.OPS)
MNEMONICS: Mapping[str, type[Op]] = MappingProxyType({op.mnemonic: op for op in OPS})
"""The operations by the name they have in text and JSON."""
