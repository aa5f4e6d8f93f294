"""CPU plans that are changed at random; those that are taken are run in guarded memory."""

from __future__ import annotations

import ctypes
import json
from pathlib import Path
from random import Random

import numpy as np

from fuzz.edits import edited_json, flipped, json_text
from fuzz.guarded import Guarded
from snnc.errors import ArtifactError
from snnc.native.jit import Library, host
from snnc.testing import quantized_cases, snn_cases
from snnc_backends.cpu.kernels import DTYPES
from snnc_backends.cpu.lower import lower
from snnc_backends.cpu.module import ANALOG, RUN, build
from snnc_backends.cpu.plan import Plan
from snnc_backends.cpu.program import ARGUMENTS

STEPS = 3
MOST_BYTES = 1 << 24


class Plans:
    """Plans of small networks with their constants."""

    name = "plans"

    def __init__(self) -> None:
        cases = (*quantized_cases(), *snn_cases())
        lowered = [lower(case.graph, STEPS) for case in cases]
        self._bases = [(json.loads(plan.to_json()), weights) for plan, weights in lowered]

    def write(self, rng: Random, place: Path) -> Path:
        document, weights = rng.choice(self._bases)
        if rng.randrange(3):
            document = edited_json(rng, document, 2)
        if rng.randrange(3) == 0:
            weights = flipped(rng, weights)
        (place / "weights.bin").write_bytes(weights)
        path = place / "plan.json"
        path.write_bytes(json_text(rng, document))
        return path

    def is_whole(self, path: Path) -> bool:
        try:
            return isinstance(json.loads(path.read_bytes()), dict)
        except (ValueError, RecursionError):
            return False

    def use(self, path: Path, rng: Random) -> None:
        weights = (path.parent / "weights.bin").read_bytes()
        at_end = rng.random() < 0.7
        constants = Guarded(len(weights), at_end=at_end)
        constants.values[:] = np.frombuffer(weights, np.uint8)
        plan = Plan.from_json(path.read_bytes(), constants.values)
        run_guarded(plan.on(host().machine), constants, at_end=at_end)


def run_guarded(plan: Plan, constants: Guarded, *, at_end: bool) -> None:
    """Both functions of a plan, with every tensor in guarded memory of its own."""
    steps = min(plan.timesteps, STEPS)
    sizes = [
        port.size * DTYPES[port.dtype].itemsize * (1 if port.constant else steps)
        for port in (tensor.port for tensor in plan.tensors)
    ]
    waits = [getattr(step.kernel, "wait", 0) for step in plan.steps]
    scratch = max([step.kernel.scratch() for step in plan.steps], default=0)
    if max(*sizes, scratch) > MOST_BYTES or max(waits, default=0) > 1 << 12:
        raise ArtifactError("a plan that is too large to be tried")
    buffers = [Guarded(size, at_end=at_end) for size in sizes]
    for buffer in buffers:
        buffer.values[:] = 1
    working = Guarded(scratch, at_end=at_end, alignment=8)
    target = host()
    library = Library(build(plan, target.machine), (ANALOG, RUN), target, None)
    pointers = (ctypes.c_void_p * len(buffers))(*(each.address for each in buffers))
    for name, count in ((ANALOG, 1), (RUN, steps)):
        function = library.function(name, *ARGUMENTS)
        function(ctypes.addressof(pointers), constants.address, working.address, count)
