"""Code of the errors of a population's output: one pass over its input, nothing is stored of it.

A part is a sample. A block of channels runs through all steps of a position with its state in
registers, then goes to the next position.
"""

from __future__ import annotations

from dataclasses import dataclass

from llvmlite import ir

from snnc.native.code import POINTER, Emitter, Machine, Value

ERRORS = "neuron_errors"
PARAMETERS = ("threshold", "start", "bias", "value")
SLOTS = (
    "next", "samples", "positions", "channels", "step", "sample", "marks",
    "current", "target", "weight", *PARAMETERS, "ends", "shares", "sums",
)  # fmt: skip
"""Fields of the argument, eight bytes each.

next: the first sample that no thread has taken (incremented by the threads).
step, sample: distance of steps (0 if the input is constant) and of samples of the input.
marks: how many numbers of steps are judged; ends: those numbers, int64, in ascending order;
shares: float32 (marks), the part of the target that is wanted by then.
current: float32, (positions, channels) of a sample and step.
target, weight: float32 (samples, positions, channels); weight is read if the spec says so.
threshold, start, bias, value: float32 (channels).
sums: float32 (samples, marks, 2, channels), initially zero: of the errors, and of their squares.
"""


@dataclass(frozen=True)
class NeuronErrorSpec:
    """What the code depends on.

    Attributes:
        lanes: channels of a block; they divide the channels.
        weighted: whether errors are multiplied by a weight.
    """

    lanes: int
    weighted: bool


def text(spec: NeuronErrorSpec, machine: Machine) -> str:
    """LLVM IR of one function `void (ptr slots)`, `ERRORS`."""
    module = ir.Module("neuron_errors")
    kind = ir.FunctionType(ir.VoidType(), [POINTER])
    _Errors(spec, Emitter(ir.Function(module, kind, ERRORS), machine)).emit()
    return str(module)


class _Errors:
    def __init__(self, spec: NeuronErrorSpec, code: Emitter) -> None:
        self.spec, self.code = spec, code
        integers = ("samples", "positions", "channels", "step", "sample", "marks")
        self.slots: dict[str, Value] = {}
        for i, name in enumerate(SLOTS[1:], 1):
            value = code.load(code.function.args[0], "i64", i)
            address = code.builder.inttoptr(value, POINTER)
            self.slots[name] = value if name in integers else address

    def emit(self) -> None:
        """Code of a thread: take samples until none is left."""
        code, slots = self.code, self.slots
        with (
            code.taken(code.function.args[0], slots["samples"]) as sample,
            code.loop(0, slots["channels"], self.spec.lanes) as channel,
        ):
            self._channels(sample, channel)
        self.code.builder.ret_void()

    def _channels(self, sample: Value, channel: Value) -> None:
        """All positions of a block of channels."""
        code, b, slots, lanes = self.code, self.code.builder, self.slots, self.spec.lanes
        v = {name: code.load(slots[name], "f32", channel, lanes) for name in PARAMETERS}
        u, spikes = code.local("f32", lanes), code.local("f32", lanes)
        done = code.local("i64")
        with code.loop(0, slots["positions"]) as position:
            place = b.add(b.mul(position, slots["channels"]), channel)
            of_sample = b.mul(b.mul(sample, slots["positions"]), slots["channels"])
            own = b.add(of_sample, place)
            wanted = code.load(slots["target"], "f32", own, lanes)
            code.set(u, v["start"])
            code.set(spikes, code.zero("f32", lanes))
            code.set(done, code.int(0))
            first = b.add(b.mul(sample, slots["sample"]), place)
            with code.loop(0, slots["marks"]) as mark:
                end = code.load(slots["ends"], "i64", mark)
                with code.loop(code.get(done, "i64"), end) as t:
                    self._step(u, spikes, b.add(b.mul(t, slots["step"]), first), v)
                code.set(done, end)
                share = code.splat(code.load(slots["shares"], "f32", mark), "f32", lanes)
                given = code.mul("f32", code.get(spikes, "f32", lanes), v["value"])
                error = code.sub("f32", code.mul("f32", wanted, share), given)
                if self.spec.weighted:
                    error = code.mul("f32", error, code.load(slots["weight"], "f32", own, lanes))
                self._add(sample, mark, channel, error)

    def _step(self, u: Value, spikes: Value, place: Value, v: dict[str, Value]) -> None:
        """One step of a position: integrate, fire, reset by subtraction."""
        code, b, lanes = self.code, self.code.builder, self.spec.lanes
        driven = code.add("f32", code.load(self.slots["current"], "f32", place, lanes), v["bias"])
        p = code.add("f32", code.get(u, "f32", lanes), driven)
        fired = code.greater("f32", p, v["threshold"])
        code.set(u, b.select(fired, code.sub("f32", p, v["threshold"]), p))
        one = b.uitofp(fired, code.type("f32", lanes))
        code.set(spikes, code.add("f32", code.get(spikes, "f32", lanes), one))

    def _add(self, sample: Value, mark: Value, channel: Value, error: Value) -> None:
        """Add errors and their squares to the sums of a sample."""
        code, b, slots, lanes = self.code, self.code.builder, self.slots, self.spec.lanes
        row = b.mul(b.add(b.mul(sample, slots["marks"]), mark), code.int(2))
        for number, value in enumerate((error, code.mul("f32", error, error))):
            at = b.add(b.mul(b.add(row, code.int(number)), slots["channels"]), channel)
            total = code.add("f32", code.load(slots["sums"], "f32", at, lanes), value)
            code.store(total, slots["sums"], "f32", at)
