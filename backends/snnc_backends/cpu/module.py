"""From a plan to one LLVM module: a function per distinct kernel, and those that call them."""

from __future__ import annotations

from collections.abc import Sequence

from llvmlite import ir

from snnc.native.code import I64, POINTER, Emitter, Machine
from snnc_backends.cpu.kernels import Code, Kernel
from snnc_backends.cpu.plan import Plan, Step
from snnc_backends.cpu.sample_code import emit_sample, in_one_call
from snnc_backends.cpu.shared_code import call_step, emit_shared, emit_steps

ANALOG, RUN = "analog", "run"


def build(plan: Plan, machine: Machine, shares: bool = False) -> str:
    """IR text with two functions, `analog` (before the encoding) and `run` (after it).

    Both are `void (ptr buffers, ptr weights, ptr scratch, i64 T)`, where `buffers` is an array of
    pointers, one per tensor of the plan. Where `in_one_call` says so there is `sample` too, and if
    threads are to share a sample, the functions of `emit_shared`.
    """
    module = ir.Module("plan")
    functions = kernel_functions(module, plan, machine)
    _driver(module, ANALOG, plan.steps[: plan.analog], functions)
    shared = None
    if shares:
        steps = emit_steps(module, plan, machine, functions)
        run = _run(module, machine, steps)
        shared = emit_shared(module, machine, steps)
    else:  # parts are constants then, which makes simpler code
        run = _driver(module, RUN, plan.steps[plan.analog :], functions)
    if plan.outputs and in_one_call(plan):
        emit_sample(module, plan, machine, run, shared)
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
    """All of the steps."""
    kind = ir.FunctionType(ir.VoidType(), [POINTER, POINTER, POINTER, I64])
    function = ir.Function(module, kind, name)
    b = ir.IRBuilder(function.append_basic_block("entry"))
    for step in steps:
        call_step(b, step, functions[step.kernel], function.args)
    b.ret_void()
    return function


def _run(module: ir.Module, machine: Machine, steps: ir.Function) -> ir.Function:
    """All of the steps that can be done in parts."""
    kind = ir.FunctionType(ir.VoidType(), [POINTER, POINTER, POINTER, I64])
    code = Emitter(ir.Function(module, kind, RUN), machine)
    nobody = ir.Constant(POINTER, None)
    code.builder.call(steps, [*code.function.args, nobody, code.int(0), code.int(1)])
    code.builder.ret_void()
    return code.function
