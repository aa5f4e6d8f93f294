"""The machine code of a population."""

from __future__ import annotations

from llvmlite import ir

from snnc.native.code import POINTER, Emitter, Machine
from snnc.training.scan_backward import Backward
from snnc.training.scan_forward import BACKWARD, FORWARD, Forward, ScanSpec
from snnc.training.scan_packed import Packed


def text(spec: ScanSpec, machine: Machine) -> str:
    """LLVM IR of one function `void (ptr slots)`: `BACKWARD` with a slope, else `FORWARD`."""
    module = ir.Module("scan")
    kind = ir.FunctionType(ir.VoidType(), [POINTER])
    function = ir.Function(module, kind, BACKWARD if spec.slope else FORWARD)
    emitter = Emitter(function, machine)
    (Backward if spec.slope else Packed if spec.packed else Forward)(spec, emitter).emit()
    return str(module)
