"""One sample by several threads: every thread runs all steps of a plan, each its part of them.

A kernel that says it `shares` computes the part with a given number: a contiguous range of slabs of
output channels times output positions, so that with as many slabs as threads a weight is read by
one core. What a neuron adds up is added by one thread, in the same order for any number of threads.
Other kernels run on part 0. Between two steps, one of which is shared, all meet at a barrier.

Working memory is per thread; buffers are common.
"""

from __future__ import annotations

import ctypes
from collections.abc import Mapping, Sequence

from llvmlite import ir

from snnc.native.barrier import NBYTES, PARTS, barrier, look_again
from snnc.native.code import I1, I8, I32, I64, POINTER, Emitter, Machine, Value
from snnc_backends.cpu.kernels import Kernel
from snnc_backends.cpu.number_types import ALIGNMENT
from snnc_backends.cpu.plan import Plan, Step

SERVE, STOP, SHARED = "serve", "stop", "shared"
SERVE_ARGUMENTS = (ctypes.c_void_p, ctypes.c_int64)
STOP_ARGUMENTS = (ctypes.c_void_p,)
SHARED_ARGUMENTS = (*(ctypes.c_void_p,) * 3, ctypes.c_int64, ctypes.c_void_p)
"""Of the functions that `emit_shared` names."""
JOB_BYTES = 32
"""A job: buffers, weights, scratch, T, of 8 bytes each; no buffers in the last one."""
WORKING, IDLE = (ir.Constant(I1, n) for n in (0, 1))
"""What a thread does that calls the barrier."""
Kinds = Mapping[Kernel, ir.Function]


def scratch_bytes(plan: Plan) -> int:
    """Working memory of one thread; a multiple of `ALIGNMENT`."""
    most = max([step.kernel.scratch() for step in plan.steps], default=0)
    return -(-most // ALIGNMENT) * ALIGNMENT


def call_step(
    b: ir.IRBuilder,
    step: Step,
    kernel: ir.Function,
    arguments: Sequence[Value],
    part: tuple[Value, Value] | None = None,
) -> None:
    """Call the kernel of a step; the arguments are buffers, weights, scratch and T.

    `part`: number of the part that is to be done, and number of parts; None for all of it.
    """
    buffers, weights, scratch, timesteps = arguments
    tensors = [
        b.load(b.gep(buffers, [ir.Constant(I64, i)], source_etype=POINTER), typ=POINTER)
        for i in (*step.inputs, step.output)
    ]
    arrays = [
        b.gep(weights, [ir.Constant(I64, step.arrays[key])], source_etype=I8)
        for key in step.kernel.arrays()
    ]
    part = part or (ir.Constant(I64, 0), ir.Constant(I64, 1))
    b.call(kernel, [*tensors, *arrays, scratch, timesteps, *part])


def emit_steps(module: ir.Module, plan: Plan, machine: Machine, functions: Kinds) -> ir.Function:
    """`void steps(buffers, weights, scratch, T, team, part, parts)`: a part of all steps.

    `scratch` is that of part 0, the others' follow; `team` is null where there is one part.
    """
    kind = ir.FunctionType(ir.VoidType(), [POINTER] * 3 + [I64, POINTER, I64, I64])
    code = Emitter(ir.Function(module, kind, "steps"), machine)
    code.function.linkage = "internal"
    buffers, weights, scratch, timesteps, team, part, parts = code.function.args
    b, meet = code.builder, barrier(module, machine)
    own = code.at(scratch, "i8", code.index((part, scratch_bytes(plan))))
    first = b.icmp_signed("==", part, code.int(0))
    before = False
    for number, step in enumerate(plan.steps[plan.analog :]):
        arguments, shares = (buffers, weights, own, timesteps), step.kernel.shares
        if number and (shares or before):
            b.call(meet, [team, WORKING])
        before = shares
        if shares:
            call_step(b, step, functions[step.kernel], arguments, (part, parts))
            continue
        with b.if_then(first):
            call_step(b, step, functions[step.kernel], arguments)
    b.ret_void()
    return code.function


def emit_shared(module: ir.Module, machine: Machine, steps: ir.Function) -> ir.Function:
    """The functions of a team of threads (`snnc.native.team`) that run `steps` together.

    `void shared(buffers, weights, scratch, T, team)` gives the job and does part 0 of it,
    `void serve(team, part)` does another part of every job, and `void stop(team)` ends that.
    """
    meet = barrier(module, machine)
    _emit_serve(module, machine, steps, meet)
    _emit_stop(module, machine, meet)
    kind = ir.FunctionType(ir.VoidType(), [POINTER] * 3 + [I64, POINTER])
    code = Emitter(ir.Function(module, kind, SHARED), machine)
    *job, team = code.function.args
    for number, value in enumerate(job):
        code.builder.store(value, code.at(team, "i8", NBYTES + 8 * number), align=8)
    look_again(code, team)
    code.builder.call(meet, [team, WORKING])
    code.builder.call(steps, [*job, team, code.int(0), _parts(code, team)])
    code.builder.call(meet, [team, WORKING])
    code.builder.ret_void()
    return code.function


def _emit_serve(module: ir.Module, machine: Machine, steps: ir.Function, meet: ir.Function) -> None:
    kind = ir.FunctionType(ir.VoidType(), [POINTER, I64])
    code = Emitter(ir.Function(module, kind, SERVE), machine)
    (team, part), b = code.function.args, code.builder

    def wait() -> Value:
        b.call(meet, [team, IDLE])
        return b.icmp_unsigned("!=", b.ptrtoint(_job(code, team)[0], I64), code.int(0))

    with code.repeat(wait):
        b.call(steps, [*_job(code, team), team, part, _parts(code, team)])
        b.call(meet, [team, WORKING])
    b.ret_void()


def _emit_stop(module: ir.Module, machine: Machine, meet: ir.Function) -> None:
    kind = ir.FunctionType(ir.VoidType(), [POINTER])
    code = Emitter(ir.Function(module, kind, STOP), machine)
    (team,) = code.function.args
    code.builder.store(ir.Constant(POINTER, None), code.at(team, "i8", NBYTES), align=8)
    code.builder.call(meet, [team, WORKING])
    code.builder.ret_void()


def _job(code: Emitter, team: Value) -> list[Value]:
    """What a job says, as `shared` has written it."""
    kinds = (POINTER, POINTER, POINTER, I64)
    return [
        code.builder.load(code.at(team, "i8", NBYTES + 8 * number), align=8, typ=kind)
        for number, kind in enumerate(kinds)
    ]


def _parts(code: Emitter, team: Value) -> Value:
    parts = code.builder.load(code.at(team, "i8", PARTS), typ=I32, align=4)
    return code.builder.zext(parts, I64)
