"""Working memory of a run."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnc.memory import run_fits
from snnc_backends.cpu.answer import Answer
from snnc_backends.cpu.kernels import DTYPES
from snnc_backends.cpu.plan import ALIGNMENT, TALLY, Plan
from snnc_backends.cpu.shared_code import scratch_bytes

Array = NDArray[Any]


def aligned(size: int) -> NDArray[np.uint8]:
    """`size` bytes whose address is a multiple of 64."""
    memory = np.empty(size + ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % ALIGNMENT
    return memory[start : start + size]


class Workspace:
    """Memory for all tensors of a plan, one sample at a time.

    Buffers whose lifetimes do not overlap share memory, unless all are read after the run.

    Args:
        steps: the window.
        everything: whether all buffers are read after the run.
        parameters: bytes of the constants, by which `snnc.memory.run_fits` judges the memory that
            one thread takes.
        parts: threads that run a sample together, each with scratch memory of its own.

    Raises:
        MemoryError: there is not enough memory, or a run may not take so much.

    Attributes:
        steps: as given.
        pointers, scratch: addresses that the compiled code takes.
    """

    def __init__(
        self, plan: Plan, steps: int, everything: bool, parameters: int, parts: int = 1
    ) -> None:
        self.steps, self._everything, self._parts = steps, everything, parts
        self._plan = plan
        offsets, size = _place(plan, [self._bytes(i) for i in range(len(plan.tensors))], everything)
        scratch = scratch_bytes(plan)
        if not run_fits(size + scratch, parameters):
            raise MemoryError
        self._arena = aligned(size)
        self._offsets = offsets
        self._scratch = aligned(scratch * parts)
        base = self._arena.ctypes.data
        self._table = np.array([base + offset for offset in offsets], np.uintp)
        self._fed: dict[int, Array] = {}
        self.pointers = self._table.ctypes.data
        self.scratch = self._scratch.ctypes.data

    @cached_property
    def answer(self) -> Answer:
        """Where the function `sample` writes."""
        return Answer(self._plan)

    @property
    def nbytes(self) -> int:
        """Bytes of all buffers and of the scratch memory."""
        return len(self._arena) + len(self._scratch)

    def fits(self, steps: int, everything: bool, parts: int) -> bool:
        """Whether it is the memory for such a run; that for more parts is."""
        same = (steps, everything) == (self.steps, self._everything)
        return same and parts <= self._parts

    def feed(self, number: int, value: Array) -> None:
        """Use `value`, contiguous and in the buffer's layout, as tensor `number`."""
        self._fed[number] = value
        self._table[number] = value.ctypes.data

    def own(self, number: int) -> None:
        """Use memory of the workspace as tensor `number` again."""
        if self._fed.pop(number, None) is not None:
            self._table[number] = self._arena.ctypes.data + self._offsets[number]

    def view(self, number: int) -> Array:
        """The tensor of the last run, (T or 1, *spatial, C)."""
        tensor = self._plan.tensors[number]
        shape = (1 if tensor.constant else self.steps, *tensor.layout)
        if number in self._fed:
            return self._fed[number].reshape(shape)
        start = self._offsets[number]
        memory = self._arena[start : start + self._bytes(number)]
        return memory.view(DTYPES[tensor.dtype]).reshape(shape)

    def _bytes(self, number: int) -> int:
        port = self._plan.tensors[number].port
        return port.size * DTYPES[port.dtype].itemsize * (1 if port.constant else self.steps)


def _place(plan: Plan, sizes: list[int], everything: bool) -> tuple[list[int], int]:
    """Offsets of all tensors and the total size: first fit, in order of writing."""
    born, dies = _lives(plan, everything)
    offsets = [0] * len(sizes)
    live: list[int] = []
    total = 0
    for number in sorted(range(len(sizes)), key=born.__getitem__):
        live = [i for i in live if dies[i] >= born[number]]
        taken = sorted((offsets[i], offsets[i] + sizes[i]) for i in live)
        place = 0
        for start, stop in taken:
            if place + sizes[number] <= start:
                break
            place = max(place, -(-stop // ALIGNMENT) * ALIGNMENT)
        offsets[number] = place
        live.append(number)
        total = max(total, place + sizes[number])
    return offsets, total


def _lives(plan: Plan, everything: bool) -> tuple[list[int], list[int]]:
    """The step in which each tensor is written, and the last one that needs it."""
    end = len(plan.steps)
    born, dies = [0] * len(plan.tensors), [0] * len(plan.tensors)
    for number, step in enumerate(plan.steps):
        born[step.output] = dies[step.output] = number
        for source in step.inputs:
            dies[source] = number
    tallies = (i for i, tensor in enumerate(plan.tensors) if tensor.record == TALLY)
    for kept in (plan.encoding.source, *(output.source for output in plan.outputs), *tallies):
        dies[kept] = end
    return born, [end] * len(dies) if everything else dies
