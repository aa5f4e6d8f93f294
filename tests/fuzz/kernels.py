"""Descriptions of CPU kernels, drawn at random and run in guarded memory."""

from __future__ import annotations

import ctypes
import json
from collections.abc import Iterable
from dataclasses import fields
from math import prod
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from llvmlite import ir

from fuzz.edits import NUMBERS
from fuzz.guarded import Guarded
from snnc.errors import ArtifactError
from snnc.native.jit import Library, host
from snnc_backends.cpu.kernels import DTYPES, KERNELS, Kernel, Port, Table
from snnc_backends.cpu.module import kernel_functions
from snnc_backends.cpu.plan import ALIGNMENT, Encoding, Plan, Step
from snnc_backends.cpu.shared_code import emit_steps, scratch_bytes

SMALL = (1, 1, 1, 2, 2, 3, 4, 5, 7, 8, 9, 16, 17, 33)
WORDS = ("i8", "i32", "i64", "f32", "f64", "none", "channel", "map", "subtract", "zero")
ORDERS = ("integrate-fire", "fire-integrate")
ARGUMENTS = (
    *(ctypes.c_void_p,) * 3,
    ctypes.c_int64,
    ctypes.c_void_p,
    *(ctypes.c_int64,) * 2,
)
"""Of the function that `emit_steps` makes."""
MOST_VALUES, MOST_WORK = 1 << 20, 1 << 24


class Kernels:
    """One kernel: its parameters decide which memory it may touch."""

    name = "kernels"

    def __init__(self, kinds: Iterable[type[Kernel]] = KERNELS.values()) -> None:
        self._kinds = [*kinds]

    def write(self, rng: Random, place: Path) -> Path:
        kind = rng.choice(self._kinds)
        description: dict[str, Any] = {}
        for _ in range(200):  # most draws do not fit together
            description = {each.name: _value(rng, str(each.type)) for each in fields(kind)}
            _fit(rng, kind.name, description)
            if _accepted(kind, description) is not None:
                break
        path = place / "kernel.json"
        path.write_text(json.dumps({"kernel": kind.name, "fields": description}))
        return path

    def is_whole(self, path: Path) -> bool:
        found = json.loads(path.read_text())
        return _accepted(KERNELS[found["kernel"]], found["fields"]) is not None

    def use(self, path: Path, rng: Random) -> None:
        found = json.loads(path.read_text())
        kernel = _accepted(KERNELS[found["kernel"]], found["fields"])
        if kernel is None:
            raise ArtifactError("a description that kernels do not take")
        steps = rng.choice((1, 2, 3, 7))
        _require_small(kernel, steps)
        run_guarded(kernel, steps, rng)


def _value(rng: Random, kind: str) -> Any:
    if kind.startswith("tuple["):
        inner = kind.removeprefix("tuple[").split(",")[0]
        return [_value(rng, inner) for _ in range(rng.choice((1, 2, 2, 2, 3, 4)))]
    match kind:
        case "bool":
            return rng.random() < 0.5
        case "str":
            return rng.choice(WORDS if rng.random() < 0.9 else ORDERS)
        case _:
            whole = [n for n in NUMBERS if isinstance(n, int)]
            return rng.choice(whole) if rng.random() < 0.02 else rng.choice((*SMALL, 0, 0))


def _fit(rng: Random, name: str, description: dict[str, Any]) -> None:
    """Make the parts fit together, mostly, as far as a kernel asks for it."""
    if rng.random() < 0.05:
        return
    if "order" in description:
        description["order"] = rng.choice(ORDERS)
    if name.endswith("neuron"):
        real = rng.random() < 0.3
        description["source"] = "f32" if real else "i32"
        description["state"] = "f32" if real else rng.choice(("i32", "i64"))
        two_sided = name != "neuron"
        description["reset"] = "subtract" if two_sided else rng.choice(("subtract", "zero"))
        if two_sided:
            description |= {"signed": True, "order": "integrate-fire"}
    if name in ("conv", "depthwise"):
        description["source"], description["weight"], description["dtype"] = (
            rng.choice(words) for words in (("i8", "i32", "f32"), ("i8", "f32"), ("i32", "f32"))
        )
        description["bias"] = rng.choice(("none", "channel", "map"))
    if name == "conv":
        groups = rng.choice((1, 1, 2, 3))
        for each in ("channels", "out_channels"):
            description[each] = groups * rng.choice(SMALL)
        description["groups"] = groups
    if name in ("event-layer", "dense-layer", "tile-layer"):
        _fit_layer(rng, description)
    if name == "dense-conv":
        description |= {"source": "f32", "weight": rng.choice(("i8", "f32")), "dilation_w": 1}
        description |= {"shift": rng.choice((0, 7)), "bias": rng.choice(("none", "channel", "map"))}
    if name == "count-maxpool":
        description |= {each: rng.choice(("i8", "i32")) for each in ("source", "dtype")}
        description |= {"state": rng.choice(("i16", "i32")), "constant": False}
    if name == "concat":
        count = len(description["lengths"])
        description["sources"] = [rng.choice(("i8", "i32", "f32", "f64")) for _ in range(count)]
        description["constant"] = [rng.random() < 0.5 for _ in range(count)]


def _fit_layer(rng: Random, description: dict[str, Any]) -> None:
    """Make the parts of a fused layer fit together."""
    count = rng.choice((0, 0, 1, 2))
    description["source"] = rng.choice(("i8", "i8", "i32"))
    description["bias"] = rng.choice(("none", "channel", "map"))
    real = rng.random() < 0.3
    description |= {"dtype": "f32" if real else "i32", "shift": rng.choice((0, 7)) * real}
    description["addends"] = [rng.choice(("i8", description["dtype"])) for _ in range(count)]
    description["addend_constant"] = [rng.random() < 0.5 for _ in range(count)]
    description["neuron"] = rng.choice(("none", "neuron", "two-sided-neuron", "rounding-neuron"))
    description["state"] = "f32" if real else rng.choice(("i32", "i64"))
    description["reset"] = rng.choice(("subtract", "zero"))
    description["signed"] = rng.random() < 0.5
    if description["neuron"] not in ("none", "neuron"):
        description |= {"signed": True, "reset": "subtract", "order": "integrate-fire"}
    if description["reset"] == "zero":
        description["signed"] = False
    description["dilation_w"] = 1
    waits = description["neuron"] != "none" and rng.random() < 0.5
    description["wait"] = rng.choice((1, 2, 5, 20)) if waits else 0
    if "slab" in description:
        description["unit"] = rng.choice((16, 32, 64))
        description["slab"] = description["unit"] * rng.choice((1, 1, 2, 3, 8))
        description |= {"constant": False, "limit": rng.choice((1, 3, 258, 2**31 - 1))}
        description["digits"] = rng.choice((1, 3)) if real and not description["shift"] else 1
    elif "together" in description:
        together = rng.choice((1, 1, 2, 3, 4, 16))
        description |= {"together": together, "sets": rng.choice((1, 3, 8)) if together == 1 else 1}
        description |= {"source": "i8", "constant": False}
        description["digits"] = rng.choice((1, 3)) if real and not description["shift"] else 1
    else:
        description["lowest"] = rng.choice((0, 0, -1, -127, -128))
        same = waits and description["state"] == "i32" and not description["leaky"]
        description["summed"] = rng.choice((1, 2, 3, 255)) if same else 1


def _accepted(kind: type[Kernel], description: dict[str, Any]) -> Kernel | None:
    try:
        return kind.from_json(description)
    except (ValueError, TypeError, KeyError):
        return None


def _require_small(kernel: Kernel, steps: int) -> None:
    """Leave out what would take long, or much memory: that is no matter of memory safety."""
    ports = (*kernel.inputs(), kernel.output())
    sizes = [port.size for port in ports] + [each.count for each in kernel.arrays().values()]
    taps = prod(getattr(kernel, each, 1) for each in ("kernel_h", "kernel_w"))
    wait = getattr(kernel, "wait", 0)
    loops = kernel.output().size * taps * (steps + wait) * max(1, getattr(kernel, "channels", 1))
    if max(*sizes, kernel.scratch()) * steps > MOST_VALUES or loops > MOST_WORK:
        raise ArtifactError("a kernel that is too large to be tried")


def run_guarded(kernel: Kernel, steps: int, rng: Random) -> None:
    """Run a kernel whole, then in parts; every buffer has guard pages, which follow it or precede
    it at once. Raises `AssertionError` where the parts give another result.
    """
    numbers = np.random.default_rng(rng.getrandbits(32))
    at_end = rng.random() < 0.7
    ports = (*kernel.inputs(), kernel.output())
    buffers = [_buffer(port, steps, numbers, at_end=at_end) for port in ports]
    tables = kernel.arrays()
    offsets, size = dict[str, int](), 0
    for name, table in tables.items():
        offsets[name] = size
        size = -(-(size + table.nbytes) // ALIGNMENT) * ALIGNMENT
    last = next(reversed(tables), None)
    size = offsets[last] + tables[last].nbytes if last else 0
    weights = Guarded(size, at_end=at_end)
    views = {
        name: _fill(weights.values[offsets[name] :][: table.nbytes], name, table, kernel, numbers)
        for name, table in tables.items()
    }
    kernel.check(views)
    scratch = Guarded(kernel.scratch(), at_end=at_end, alignment=8)
    count = len(buffers)
    step = Step(kernel, tuple(range(count - 1)), count - 1, offsets)
    plan = Plan(steps, steps, 0, (), (step,), Encoding("direct", None, 0, 1, 0, 0), ())
    library = _library(plan)
    function = library.function("steps", *ARGUMENTS)
    pointers = (ctypes.c_void_p * count)(*(each.address for each in buffers))
    result, wholly = buffers[-1].values, b""
    for parts in (1, rng.choice((2, 3, 5))):
        result[:] = 85
        for part in rng.sample(range(parts), parts):
            scratch.values[:] = 85
            own = scratch.address - part * scratch_bytes(plan)
            memory = ctypes.addressof(pointers), weights.address, own
            function(*memory, steps, None, part, parts)
        wholly = wholly or result.tobytes()
    assert result.tobytes() == wholly, f"{kernel} gives another result in parts"


def _library(plan: Plan) -> Library:
    """The function `steps` of a plan, for which a part may be named."""
    target = host()
    module = ir.Module()
    functions = kernel_functions(module, plan, target.machine)
    emit_steps(module, plan, target.machine, functions).linkage = "external"
    return Library(str(module), ("steps",), target, None)


def _buffer(port: Port, steps: int, rng: np.random.Generator, *, at_end: bool) -> Guarded:
    itemsize = DTYPES[port.dtype].itemsize
    memory = Guarded(port.size * itemsize * (1 if port.constant else steps), at_end=at_end)
    _numbers(memory.values.view(DTYPES[port.dtype]), rng)
    return memory


def _numbers(values: np.ndarray, rng: np.random.Generator) -> None:
    """Small numbers, zeros, and the largest there are."""
    values[:] = rng.choice([0, 0, 1, -1, 100], len(values)).astype(values.dtype)
    if rng.random() < 0.3:
        bits = rng.integers(0, 256, values.nbytes, np.uint8)
        values.view(np.uint8)[:] = bits


def _fill(
    memory: np.ndarray, name: str, table: Table, kernel: Kernel, rng: np.random.Generator
) -> np.ndarray:
    """Constants of a table; positions lie inside the tensors, as `Kernel.check` demands."""
    values = memory.view(DTYPES[table.dtype])
    if name == "positions":
        values[:] = rng.integers(-1, kernel.inputs()[0].size, len(values))
    elif name.startswith("rows_"):
        size = getattr(kernel, "height" if name == "rows_y" else "width")
        start = rng.integers(0, size, len(values) // 2)
        values[:] = np.stack([start, rng.integers(start + 1, size + 1)], 1).reshape(-1)
    else:
        _numbers(values, rng)
    return values
