"""From a plan to one LLVM module: a function per distinct kernel, and two that call them."""

from __future__ import annotations

from collections.abc import Sequence

from llvmlite import ir

from snnc.native.code import I8, I64, POINTER, Machine, Value
from snnc_backends.cpu.kernels import Code, Kernel
from snnc_backends.cpu.plan import Plan, Step
from snnc_backends.cpu.sample_code import emit_sample, in_one_call

ANALOG, RUN = "analog", "run"


def build(plan: Plan, machine: Machine) -> str:
    """IR text with two functions, `analog` (before the encoding) and `run` (after it).

    Both are `void (ptr buffers, ptr weights, ptr scratch, i64 T)`, where `buffers` is an array of
    pointers, one per tensor of the plan. Where `in_one_call` says so there is a third, `sample`.
    """
    module = ir.Module("plan")
    functions = kernel_functions(module, plan, machine)
    _driver(module, ANALOG, plan.steps[: plan.analog], functions)
    run = _driver(module, RUN, plan.steps[plan.analog :], functions)
    if plan.outputs and in_one_call(plan):
        emit_sample(module, plan, machine, run)
    return str(module)


def kernel_functions(module: ir.Module, plan: Plan, machine: Machine) -> dict[Kernel, ir.Function]:
    """A function for each kernel of a plan."""
    functions: dict[Kernel, ir.Function] = {}
    for step in plan.steps:
        if step.kernel not in functions:
            functions[step.kernel] = _kernel(module, step.kernel, len(functions), machine)
    return functions


def _kernel(module: ir.Module, kernel: Kernel, number: int, machine: Machine) -> ir.Function:
    code = Code(
        module,
        f"{kernel.name}_{number}",
        len(kernel.inputs()),
        tuple(kernel.arrays()),
        machine,
    )
    kernel.emit(code)
    code.builder.ret_void()
    return code.function


def _driver(
    module: ir.Module, name: str, steps: Sequence[Step], functions: dict[Kernel, ir.Function]
) -> ir.Function:
    kind = ir.FunctionType(ir.VoidType(), [POINTER, POINTER, POINTER, I64])
    function = ir.Function(module, kind, name)
    b = ir.IRBuilder(function.append_basic_block("entry"))
    for step in steps:
        call_step(b, step, functions[step.kernel], function.args)
    b.ret_void()
    return function


def call_step(b: ir.IRBuilder, step: Step, kernel: ir.Function, arguments: Sequence[Value]) -> None:
    """Call the kernel of a step; the arguments are buffers, weights, scratch and T."""
    buffers, weights, scratch, timesteps = arguments
    tensors = [
        b.load(b.gep(buffers, [ir.Constant(I64, i)], source_etype=POINTER), typ=POINTER)
        for i in (*step.inputs, step.output)
    ]
    arrays = [
        b.gep(weights, [ir.Constant(I64, step.arrays[key])], source_etype=I8)
        for key in step.kernel.arrays()
    ]
    b.call(kernel, [*tensors, *arrays, scratch, timesteps])
