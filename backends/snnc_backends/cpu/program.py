"""A loaded plan, ready to run. Does not import torch, networkx or the graph."""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from snnc.aligned_memory import ALIGNMENT, aligned
from snnc.errors import DataError
from snnc.memory import ENCODED_BYTES
from snnc.native.cache import ObjectCache
from snnc.native.jit import Host, Library, host
from snnc.target import Record, RunResult, checked_input, checked_window
from snnc_backends.cpu.identity import identity
from snnc_backends.cpu.kernels import DTYPES, Table
from snnc_backends.cpu.module import ANALOG, RUN, build
from snnc_backends.cpu.plan import Plan, array_at
from snnc_backends.cpu.results import Collector
from snnc_backends.cpu.sample_code import FACTS, SAMPLE, in_one_call
from snnc_backends.cpu.workspace import Workspace

if TYPE_CHECKING:
    from snnc.step_times import StepTimes

CHUNK = 16
"""Most samples that a thread encodes at a time."""
SAMPLE_ARGUMENTS = (
    *(ctypes.c_void_p,) * 4,
    ctypes.c_int64,
    *(ctypes.c_void_p,) * 3,
)
"""Argument types of the function `sample`; see `snnc_backends.cpu.sample_code`."""
ARGUMENTS = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64)
"""Argument types of the functions of a plan: buffers, weights, scratch, timesteps."""

Array = NDArray[Any]


def load(
    plan_text: bytes,
    weights: bytes | Array,
    threads: int,
    cache: ObjectCache | None,
    target: Host | None = None,
) -> CpuProgram:
    """A program from the two files of an artifact. Raises `ArtifactError`.

    `target`: the processor that code is made for; None for this one.
    """
    return compiled(*checked_plan(plan_text, weights), threads, cache, target=target)


def checked_plan(plan_text: bytes, weights: bytes | Array) -> tuple[Plan, Array]:
    """The plan and the constants in the two files of an artifact. Raises `ArtifactError`."""
    blob = in_memory(weights)
    return Plan.from_json(plan_text, blob), blob


def in_memory(weights: bytes | Array) -> Array:
    """The content of `weights.bin`, at an address that vectors are read from.

    It is `weights` itself, which then must not change, where that is an array at such an address.
    """
    if isinstance(weights, np.ndarray) and weights.ctypes.data % ALIGNMENT == 0:
        return weights
    blob = aligned(len(weights))
    blob[:] = np.frombuffer(weights, np.uint8)
    return blob


@dataclass(frozen=True)
class SampleKeys:
    """A tensor of one i64 that holds the key of the sample, for kernels with random numbers.

    Attributes:
        tensor: its number.
        of: the key, 64 bits, of a sample with this identity.
    """

    tensor: int
    of: Callable[[int], int]


def compiled(
    plan: Plan,
    blob: Array,
    threads: int,
    cache: ObjectCache | None,
    keys: SampleKeys | None = None,
    target: Host | None = None,
) -> CpuProgram:
    """A program of a plan that has been checked, or that was made here."""
    target = host() if target is None else target
    names = (ANALOG, RUN, *((SAMPLE,) if in_one_call(plan) else ()))
    known = None if cache is None else identity(plan)
    library = Library(lambda: build(plan, target.machine), names, target, cache, known)
    return CpuProgram(plan, blob, library, threads or len(os.sched_getaffinity(0)), keys)


class CpuProgram:
    """A network that runs on the CPU.

    Attributes:
        timesteps: the artifact's window.
        plan: buffers, kernels and constants.
        compiled: False when the kernels came from the cache.
    """

    def __init__(
        self,
        plan: Plan,
        weights: Array,
        library: Library,
        threads: int,
        keys: SampleKeys | None = None,
    ) -> None:
        self.timesteps = plan.timesteps
        self.plan = plan
        self.compiled = library.compiled
        self.threads = threads
        self._weights = weights
        self._start = weights.ctypes.data
        self._keys = keys
        self._library = library
        self._analog = library.function(ANALOG, *ARGUMENTS)
        self._run = library.function(RUN, *ARGUMENTS)
        one_call = keys is None and in_one_call(plan)
        self._sample = library.function(SAMPLE, *SAMPLE_ARGUMENTS) if one_call else None
        self._free: list[Workspace] = []
        self._lock = threading.Lock()

    def run(
        self,
        x: NDArray[np.float32],
        *,
        timesteps: int | None = None,
        record: Record = "none",
        sample_ids: NDArray[np.int64] | None = None,
        seed: int = 0,
        prefixes: tuple[int, ...] = (),
    ) -> RunResult:
        """Run a batch (N, *shape); see `snnc.target.Program`. Raises `DataError`."""
        steps = checked_window(timesteps, self.timesteps, record, prefixes)
        self._check_longest(steps)
        if record == "none" and not prefixes and sample_ids is None and self._takes(x):
            return self._run_samples(x, steps)
        batch, ids = checked_input(x, self.plan.tensors[0].shape, sample_ids)
        collector = Collector(self.plan, self._scale(), len(batch), steps, record, prefixes)

        def part(rows: range) -> int:
            with self._workspace(steps, record != "none") as space:
                return self._part(space, batch, ids, seed, rows, collector)

        clipped = sum(self._spread(part, self._parts(len(batch), steps)))
        encoder = self.plan.tensors[self.plan.encoding.target].name
        return collector.result({"saturated": {encoder: clipped}})

    def step_times(
        self,
        x: NDArray[np.float32],
        *,
        timesteps: int | None = None,
        seed: int = 0,
        runs: int = 1,
    ) -> StepTimes:
        """When the steps behind the encoding began; see `snnc.step_times.TimesSteps`."""
        from snnc_backends.cpu.step_times import step_times

        steps = checked_window(timesteps, self.timesteps, "none", ())
        self._check_longest(steps)
        batch, ids = checked_input(x[:1], self.plan.tensors[0].shape, None)

        def prepared(everything: bool) -> Workspace:
            space = Workspace(self.plan, steps, everything, len(self._weights))
            collector = Collector(self.plan, self._scale(), 1, steps, "none", ())
            self._part(space, batch, ids, seed, range(1), collector)
            return space

        return step_times(self.plan, self._weights, self._library.target, prepared, runs)

    def _takes(self, x: NDArray[Any]) -> bool:
        """Whether a batch can go through the function `sample` as it is."""
        return (
            self._sample is not None
            and type(x) is np.ndarray
            and x.dtype == np.float32
            and x.flags.c_contiguous
            and x.shape[1:] == self.plan.tensors[0].shape
            and x.ndim > 0
            and len(x) > 0
        )

    def _run_samples(self, x: NDArray[np.float32], steps: int) -> RunResult:
        """Run a batch by the function `sample`, one call for each sample."""
        shape = (len(x), *self.plan.tensors[self.plan.outputs[0].source].shape)
        sums, outputs = np.empty(shape, np.int64), np.empty(shape, np.float32)

        def part(rows: range) -> int:
            return self._rows(x, steps, sums, outputs, rows)

        whole = len(x) == 1
        clipped = part(range(1)) if whole else sum(self._spread(part, self._parts(len(x), steps)))
        stats = {"saturated": {self.plan.tensors[self.plan.encoding.target].name: clipped}}
        readout = sums if self.plan.outputs[0].quantized else None
        return RunResult(output=outputs, readout=readout, stats=stats, timesteps=steps)

    def _rows(
        self, x: NDArray[np.float32], steps: int, sums: Array, outputs: Array, rows: range
    ) -> int:
        """Run the samples `rows`; returns the number of clipped input values."""
        facts = (ctypes.c_int64 * FACTS)()
        arrays = [(_address(each), each.strides[0]) for each in (x, sums, outputs)]
        assert self._sample is not None
        with self._workspace(steps, False) as space:
            space.own(self.plan.encoding.target)
            weights, pointers, scratch = self._start, space.pointers, space.scratch
            for row in rows:
                source, total, answer = (start + row * stride for start, stride in arrays)
                self._sample(source, pointers, weights, scratch, steps, total, answer, facts)
        if facts[1]:
            checked_input(x, self.plan.tensors[0].shape, None)
        return facts[0]

    def _check_longest(self, steps: int) -> None:
        if steps > self.plan.longest:
            raise DataError(
                f"a window of {steps} steps; the integers of this network are "
                f"proved not to overflow for at most {self.plan.longest}"
            )

    def _scale(self) -> Array:
        output = self.plan.outputs[0]
        return array_at(self._weights, output.scale, Table("f64", output.count))

    def _parts(self, samples: int, steps: int) -> list[range]:
        """The batch in chunks: limited in memory, and enough of them for all threads."""
        port = self.plan.tensors[self.plan.encoding.target].port
        encoded_bytes = port.size * DTYPES[port.dtype].itemsize * (1 if port.constant else steps)
        fair = -(-samples // (2 * self.threads))
        size = max(1, min(CHUNK, fair, ENCODED_BYTES // encoded_bytes))
        return [range(i, min(i + size, samples)) for i in range(0, samples, size)]

    def _spread(self, part: Callable[[range], int], parts: list[range]) -> Iterator[int]:
        workers = min(self.threads, len(parts))
        if workers == 1:
            yield from map(part, parts)
            return
        with ThreadPoolExecutor(workers, "snnc-cpu") as pool:
            yield from pool.map(part, parts)

    @contextmanager
    def _workspace(self, steps: int, everything: bool) -> Iterator[Workspace]:
        """Working memory of one thread, reused by the next part of the same kind."""
        with self._lock:
            fitting = [w for w in self._free if w.kind == (steps, everything)]
            self._free = fitting
            space = fitting.pop() if fitting else None
        try:
            space = space or Workspace(self.plan, steps, everything, len(self._weights))
        except MemoryError:
            raise DataError(
                f"no memory for a window of {steps} steps", hint="use a shorter window"
            ) from None
        try:
            yield space
        finally:
            with self._lock:
                self._free.append(space)

    def _part(
        self,
        space: Workspace,
        batch: NDArray[np.float32],
        ids: NDArray[np.int64],
        seed: int,
        rows: range,
        collector: Collector,
    ) -> int:
        """Run the samples `rows`; returns the number of clipped input values."""
        encoding = self.plan.encoding
        chosen = slice(rows.start, rows.stop)
        values, clipped = encoding.encode(
            self._before_encoding(space, batch[chosen]), space.steps, ids[chosen], seed
        )
        tensor = self.plan.tensors[encoding.target]
        laid = np.moveaxis(values, 2, -1) if tensor.shape else values
        laid = np.ascontiguousarray(np.moveaxis(laid, 1, 0), DTYPES[tensor.dtype])
        weights = self._start
        for number, row in enumerate(rows):
            space.feed(encoding.target, laid[number])
            if self._keys is not None:
                key = np.array([self._keys.of(int(ids[row]))], np.uint64)
                space.feed(self._keys.tensor, key.view(np.int64))
            self._run(space.pointers, weights, space.scratch, space.steps)
            collector.take(row, space)
        return clipped

    def _before_encoding(self, space: Workspace, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """The input of the encoder, channels first."""
        if not self.plan.analog:
            return batch
        encoding, tensors = self.plan.encoding, self.plan.tensors
        first, last = tensors[0], tensors[encoding.source]
        out = np.empty((len(batch), *last.layout), np.float32)
        laid = np.moveaxis(batch, 1, -1) if first.shape else batch
        for sample, result in zip(laid.astype(np.float64), out, strict=True):
            space.feed(0, np.ascontiguousarray(sample))
            self._analog(space.pointers, self._start, space.scratch, 1)
            result[...] = space.view(encoding.source)[0]
        return np.ascontiguousarray(np.moveaxis(out, -1, 1)) if last.shape else out


def _address(array: Array) -> int:
    return array.__array_interface__["data"][0]
