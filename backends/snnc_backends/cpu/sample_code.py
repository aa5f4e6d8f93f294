"""One sample from its input to its output as one function, for plans that need no numpy between."""

from __future__ import annotations

from math import prod

import numpy as np
from llvmlite import ir

from snnc.native.code import I1, I64, POINTER, Emitter, Machine, Value
from snnc_backends.cpu.plan import TALLY, Encoding, Plan

SAMPLE = "sample"
FACTS = 2
"""Numbers that are added up by the function: elements clipped, elements that are NaN."""


def in_one_call(plan: Plan) -> bool:
    """Whether the function exists: the same input at all steps, and a readout of one axis.

    A single real number is left to numpy, which adds up a long window of it in another order.
    """
    source = plan.tensors[plan.outputs[0].source]
    return (
        plan.encoding.mode == "direct"
        and not plan.analog
        and len(source.shape) == 1
        and (source.dtype.startswith("i") or source.shape[0] > 1)
        and not any(tensor.record == TALLY for tensor in plan.tensors)
    )


def emit_sample(
    module: ir.Module,
    plan: Plan,
    machine: Machine,
    run: ir.Function,
    shared: ir.Function | None,
) -> None:
    """`void sample(x, buffers, weights, scratch, T, sums, outputs, facts, team)`.

    It encodes x, float32 and channels first, as `snnc.encoding.direct` does where the plan has a
    scale, runs the plan, and writes the sums of the readout (i64, or f64 of real numbers) and
    float32(float64(sum) * scale / number of steps read), of the steps of `snnc.readout_steps`.
    Where x holds NaN it counts them, and does no more. The plan is run by the threads of `team`;
    by this one if that is null, or without the function `shared`.
    """
    kind = ir.FunctionType(ir.VoidType(), [POINTER] * 4 + [I64] + [POINTER] * 4)
    code = Emitter(ir.Function(module, kind, SAMPLE), machine)
    x, buffers, weights, scratch, steps, sums, outputs, facts, team = code.function.args
    wrong = _encode(code, plan, x, _buffer(code, buffers, plan.encoding.target), facts)
    with code.builder.if_then(code.builder.icmp_signed("==", wrong, code.int(0))):
        _run(code, run, shared, [buffers, weights, scratch, steps], team)
        source = _buffer(code, buffers, plan.outputs[0].source)
        _read_out(code, plan, source, weights, steps, (sums, outputs))
    code.builder.ret_void()


def _run(
    code: Emitter,
    run: ir.Function,
    shared: ir.Function | None,
    arguments: list[Value],
    team: Value,
) -> None:
    b = code.builder
    if shared is None:
        b.call(run, arguments)
        return
    alone = b.icmp_unsigned("==", b.ptrtoint(team, I64), code.int(0))
    with b.if_else(alone) as (then, otherwise):
        with then:
            b.call(run, arguments)
        with otherwise:
            b.call(shared, [*arguments, team])


def _buffer(code: Emitter, buffers: Value, number: int) -> Value:
    address = code.builder.gep(buffers, [code.int(number)], source_etype=POINTER)
    return code.builder.load(address, typ=POINTER)


def _encode(code: Emitter, plan: Plan, x: Value, target: Value, facts: Value) -> Value:
    """Write the encoded input; returns how many elements are NaN."""
    b, tensor = code.builder, plan.tensors[plan.encoding.target]
    channels = tensor.shape[0] if tensor.shape else 1
    pixels = prod(tensor.shape) // channels
    counts = [code.local("i64") for _ in range(FACTS)]
    for count in counts:
        code.set(count, code.int(0))
    with code.loop(0, pixels) as p, code.loop(0, channels) as c:
        value = code.load(x, "f32", code.index((c, pixels), p))
        nan = b.fcmp_unordered("uno", value, value)
        kept, clipped = value, ir.Constant(I1, 0)
        if plan.encoding.scale is not None:
            kept, clipped = _rounded(code, plan.encoding, value, nan)
        for count, found in zip(counts, (clipped, nan), strict=True):
            code.set(count, b.add(code.get(count, "i64"), b.zext(found, I64)))
        where = code.index((p, channels), c)
        code.store(code.convert(kept, "f32", tensor.dtype), target, tensor.dtype, where)
    for number, count in enumerate(counts):
        total = b.add(code.load(facts, "i64", number), code.get(count, "i64"))
        code.store(total, facts, "i64", number)
    return code.get(counts[1], "i64")


def _rounded(code: Emitter, encoding: Encoding, value: Value, nan: Value) -> tuple[Value, Value]:
    """The value in units of the scale, a whole number of the range, and whether it was clipped."""
    b, single = code.builder, code.type("f32")
    factor = ir.Constant(single, float(np.float32(1 / (encoding.scale or 1))))
    low, high = (ir.Constant(single, float(n)) for n in (encoding.lo, encoding.hi))
    name = "llvm.rint.f32"
    kind = ir.FunctionType(single, [single])
    rint = b.module.globals.get(name) or ir.Function(b.module, kind, name)
    q = b.call(rint, [b.fmul(value, factor)])
    below, above = b.fcmp_ordered("<", q, low), b.fcmp_ordered(">", q, high)
    kept = b.select(below, low, b.select(above, high, q))
    return b.select(nan, code.zero("f32"), kept), b.or_(below, above)


def _read_out(
    code: Emitter,
    plan: Plan,
    source: Value,
    weights: Value,
    steps: Value,
    results: tuple[Value, Value],
) -> None:
    output, b = plan.outputs[0], code.builder
    tensor = plan.tensors[output.source]
    size = prod(tensor.shape)
    scales = code.at(weights, "i8", output.scale)
    wide = "i64" if tensor.dtype.startswith("i") else "f64"
    late = b.icmp_signed(">", steps, code.int(output.start))
    begin = b.select(late, code.int(output.start), code.int(0))
    read = b.sub(steps, begin)
    total = code.local(wide)
    with code.loop(0, size) as i:
        code.set(total, code.zero(wide))
        first, end = (0, 1) if tensor.constant else (begin, steps)
        with code.loop(first, end) as t:
            value = code.load(source, tensor.dtype, code.index((t, size), i))
            value = code.convert(value, tensor.dtype, wide)
            code.set(total, code.add(wide, code.get(total, wide), value))
        found = code.get(total, wide)
        if tensor.constant:
            found = code.mul(wide, found, code.convert(read, "i64", wide))
        code.store(found, results[0], wide, i)
        scale = code.load(scales, "f64", code.int(0) if output.count == 1 else i)
        scaled = b.fmul(code.convert(found, wide, "f64"), scale)
        answer = b.fdiv(scaled, code.convert(read, "i64", "f64"))
        code.store(code.convert(answer, "f64", "f32"), results[1], "f32", i)
