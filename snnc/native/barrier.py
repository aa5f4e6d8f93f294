"""A barrier in machine code: threads that run parts of one function wait for each other in it.

Its memory is a block of `NBYTES`, all zero but for the number of threads. The last thread to come
begins a new phase, by which the others see that they may go on. They look at it again and again for
a while, then sleep in the kernel until the last one wakes them: neither an idle thread nor one that
waits for a thread whose core is taken away keeps a core busy. Source of the scheme: Mellor-Crummey
and Scott, "Algorithms for scalable synchronization on shared-memory multiprocessors", 1991
(centralized barrier), and Drepper, "Futexes are tricky", 2011.

Within a job a thread looks for longer than it takes to wake one. Else, where one thread is late
once, the others sleep, are late in their turn by what waking takes, and so on at all barriers. One
that had to sleep makes it half as long up to the next job, as the others may need its core.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from types import MappingProxyType

from llvmlite import ir

from snnc.native.code import I1, I8, I32, I64, POINTER, Emitter, Machine, Value

LINE = 128
"""Bytes between words that different threads write: two lines of a cache, which come together."""
PHASE, ARRIVED, SLEEPING, PARTS, LOOKS = 0, LINE, 2 * LINE, 3 * LINE, 4 * LINE
"""Where the words of a barrier, i32 each, are in its memory."""
NBYTES = 5 * LINE
IDLE_LOOKS, MOST_LOOKS = 2000, 12000
"""How often a thread looks at the phase before it sleeps: when it waits for a job, and at most
within one. A look takes 24 ns on a Zen 4, and up to 40 elsewhere."""
FUTEX: Mapping[str, int] = MappingProxyType({"x86_64": 202, "aarch64": 98, "riscv64": 98})
"""Number of the system call `futex` of Linux, by architecture."""
WAIT, WAKE = 128, 129
"""Its operations, on memory of one process."""
EVERYBODY = (1 << 31) - 1
NAME = "barrier"


def can_wait() -> bool:
    """Whether this system has the system call by which threads sleep at a barrier."""
    return sys.platform == "linux" and os.uname().machine in FUTEX


def barrier(module: ir.Module, machine: Machine) -> ir.Function:
    """`void barrier(ptr memory, i1 idle)`: returns when all threads have called it.

    Only for a machine of an architecture in `FUTEX`. It returns at once for null. `idle`: the
    thread waits for a job. `look_again` is to be called before a job is given.
    """
    if NAME in module.globals:
        return module.globals[NAME]
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), [POINTER, I1]), NAME)
    function.linkage = "internal"
    function.attributes.add("noinline")
    _Barrier(Emitter(function, machine)).emit()
    return function


def look_again(code: Emitter, memory: Value) -> None:
    """Let threads look at the phase as often as they should."""
    word = code.at(memory, "i8", LOOKS)
    code.builder.atomic_rmw("xchg", word, ir.Constant(I32, MOST_LOOKS), "monotonic")


class _Barrier:
    def __init__(self, code: Emitter) -> None:
        self.code = code
        self.memory, self.idle = code.function.args

    def emit(self) -> None:
        b = self.code.builder
        alone = b.icmp_unsigned("==", b.ptrtoint(self.memory, I64), self.code.int(0))
        with b.if_then(alone):
            b.ret_void()
        phase = self._word(PHASE)
        before = b.load_atomic(phase, "acquire", 4, typ=I32)
        others = b.atomic_rmw("add", self._word(ARRIVED), ir.Constant(I32, 1), "acq_rel")
        parts = b.load(self._word(PARTS), typ=I32)
        last = b.icmp_signed("==", b.add(others, ir.Constant(I32, 1)), parts)
        with b.if_else(last) as (then, otherwise):
            with then:
                self._release(phase)
            with otherwise:
                self._wait(phase, before)
        b.ret_void()

    def _release(self, phase: Value) -> None:
        """Begin the next phase, and wake those who sleep."""
        b = self.code.builder
        b.atomic_rmw("xchg", self._word(ARRIVED), ir.Constant(I32, 0), "monotonic")
        b.atomic_rmw("add", phase, ir.Constant(I32, 1), "seq_cst")
        sleeping = b.load_atomic(self._word(SLEEPING), "seq_cst", 4, typ=I32)
        with b.if_then(b.icmp_signed("!=", sleeping, ir.Constant(I32, 0))):
            self._futex(phase, WAKE, self.code.int(EVERYBODY))

    def _wait(self, phase: Value, before: Value) -> None:
        """Look for a new phase, then sleep until there is one.

        A thread counts itself as sleeping first, and the kernel lets it sleep only while the phase
        is the old one: either the last thread sees the count, or the kernel the new phase.
        """
        code, b = self.code, self.code.builder
        looks = code.local("i32")
        within = b.load_atomic(self._word(LOOKS), "monotonic", 4, typ=I32)
        code.set(looks, b.select(self.idle, ir.Constant(I32, IDLE_LOOKS), within))

        def same() -> Value:
            return b.icmp_signed("==", b.load_atomic(phase, "acquire", 4, typ=I32), before)

        def again() -> Value:
            return b.and_(same(), b.icmp_signed(">", code.get(looks, "i32"), code.zero("i32")))

        with code.repeat(again):
            code.set(looks, b.sub(code.get(looks, "i32"), ir.Constant(I32, 1)))
            self._pause()
        with b.if_then(same()):
            half = b.select(self.idle, within, b.ashr(within, ir.Constant(I32, 1)))
            b.atomic_rmw("xchg", self._word(LOOKS), half, "monotonic")
            sleeping = self._word(SLEEPING)
            b.atomic_rmw("add", sleeping, ir.Constant(I32, 1), "seq_cst")
            with code.repeat(same):
                self._futex(phase, WAIT, b.sext(before, I64))
            b.atomic_rmw("sub", sleeping, ir.Constant(I32, 1), "seq_cst")

    def _word(self, offset: int) -> Value:
        return self.code.builder.gep(self.memory, [self.code.int(offset)], source_etype=I8)

    def _pause(self) -> None:
        """Leave the core to its other thread, if it has two."""
        code, name = self.code, "llvm.x86.sse2.pause"
        if code.machine.architecture != "x86_64":
            return
        module = code.builder.module
        kind = ir.FunctionType(ir.VoidType(), [])
        code.builder.call(module.globals.get(name) or ir.Function(module, kind, name), [])

    def _futex(self, word: Value, operation: int, value: Value) -> None:
        """The system call, through libc; without a limit of time."""
        code, b = self.code, self.code.builder
        module = b.module
        kind = ir.FunctionType(I64, [I64], var_arg=True)
        function = module.globals.get("syscall") or ir.Function(module, kind, "syscall")
        number, none = code.int(FUTEX[code.machine.architecture]), code.int(0)
        b.call(function, [number, word, code.int(operation), value, none, none, none])
