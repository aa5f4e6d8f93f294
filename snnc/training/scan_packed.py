"""The forward scan as machine code, with one bit of a byte for every spike."""

from __future__ import annotations

from llvmlite import ir

from snnc.native.code import I8, Value
from snnc.training.scan_forward import PARAMETERS, Forward
from snnc.training.train_like import STEPS


class Packed(Forward):
    """Code of the forward scan whose spikes are bytes, ceil(T / `STEPS`) of them per neuron."""

    def block(self, first: Value, row: Value, lanes: int) -> None:
        code, b = self.code, self.code.builder
        v = {name: self.parameter(name, row, lanes) for name in PARAMETERS}
        u, packed, bit = code.local("f32", lanes), code.local("i8", lanes), code.local("i8")
        code.set(u, v["v_init"])
        with code.loop(0, self.slots["steps"], STEPS) as begin:
            code.set(packed, code.zero("i8", lanes))
            code.set(bit, ir.Constant(I8, 1))
            stop = code.minimum(code.index(begin, STEPS), self.slots["steps"])
            with code.loop(begin, stop) as t:
                p, fired = self.step(code.get(u, "f32", lanes), t, first, v, lanes)
                code.set(u, self.reset(p, fired, v["threshold"], lanes))
                now = code.get(bit, "i8")
                spikes = b.select(fired, code.splat(now, "i8", lanes), code.zero("i8", lanes))
                code.set(packed, b.or_(code.get(packed, "i8", lanes), spikes))
                code.set(bit, b.shl(now, ir.Constant(I8, 1)))
            place = self.at(b.sdiv(begin, code.int(STEPS)), first)
            code.store(code.get(packed, "i8", lanes), self.slots["spikes"], "i8", place)
