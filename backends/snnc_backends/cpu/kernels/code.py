"""The LLVM function of a kernel, and its arguments."""

from __future__ import annotations

from llvmlite import ir

from snnc.native.code import I64, POINTER, Emitter, Machine, Value


class Code(Emitter):
    """Generates the body of one function.

    Attributes:
        inputs, output, arrays, scratch, timesteps: its arguments.
    """

    def __init__(
        self, module: ir.Module, name: str, inputs: int, arrays: tuple[str, ...], machine: Machine
    ) -> None:
        count = inputs + 1 + len(arrays) + 1
        kind = ir.FunctionType(ir.VoidType(), [POINTER] * count + [I64])
        function = ir.Function(module, kind, name)
        function.linkage = "internal"
        for argument in function.args[:-1]:
            argument.add_attribute("noalias")
        super().__init__(function, machine)
        args = function.args
        self.inputs = args[:inputs]
        self.output = args[inputs]
        self.arrays = dict(zip(arrays, args[inputs + 1 : -2], strict=True))
        self.scratch, self.timesteps = args[-2], args[-1]

    def steps(self, constant: bool) -> Value:
        """The number of steps of a tensor."""
        return self.int(1) if constant else self.timesteps

    def step_of(self, t: Value, constant: bool) -> Value:
        """The row of a tensor at step t."""
        return self.int(0) if constant else t
