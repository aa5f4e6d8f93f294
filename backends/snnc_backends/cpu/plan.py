"""The buffers, kernels and constants of a network as plain data, without graph or LLVM.

`plan.json` may come from an untrusted source. Every kernel states the type and size of what it
reads and writes, and `Plan.from_json` refuses a plan whose buffers or constants differ.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Self, cast

import numpy as np
from numpy.typing import NDArray

from snnc.encoding import CODES, Encoded
from snnc.errors import ArtifactError, one_line
from snnc.jsontext import parse_json
from snnc.memory import LONGEST_WINDOW
from snnc.native.code import Machine
from snnc_backends.cpu.kernels import DTYPES, KERNELS, Kernel, Port, Table
from snnc_backends.cpu.kernels.base import one_of, require
from snnc_backends.cpu.number_types import ALIGNMENT, LARGEST

VERSION = 5
READABLE = (1, 2, 3, 4, VERSION)
"""Version 1 has no kernels of several nodes and no late readouts, version 2 no layers with neurons
that wait, version 3 no dense layers of real inputs, version 4 none of tiles; what they have is the
same."""
TALLY = "tally"
_DAMAGE = (ValueError, KeyError, TypeError, AttributeError, ArithmeticError, RecursionError)
_RECORDS = ("none", "spike", "signed", "count")


@dataclass(frozen=True)
class Tensor:
    """A buffer: (T or 1, *spatial, C) of one sample.

    Attributes:
        name: the node of the graph that makes it.
        shape: shape of one sample in the graph, channels first.
        dtype: i8, i32, f32 or f64.
        constant: one step only.
        record: how a run reports it: none, spike, signed (spikes), or count; or tally, which is
            summed over samples and steps, and is in no file.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    constant: bool
    record: str = "none"

    @property
    def port(self) -> Port:
        """The buffer as kernels see it."""
        return Port(self.dtype, math.prod(self.shape), self.constant)

    @property
    def layout(self) -> tuple[int, ...]:
        """Shape of one step of the buffer, channels last."""
        return (*self.shape[1:], *self.shape[:1])


@dataclass(frozen=True)
class Tiled:
    """A kernel that multiplies tiles, and its arrays; see `Step`."""

    kernel: Kernel
    arrays: Mapping[str, int]


@dataclass(frozen=True)
class Step:
    """One kernel call: tensors by number, arrays by offset in `weights.bin`.

    `tiled` is what takes less time instead on a processor with tiles, and gives the same.
    """

    kernel: Kernel
    inputs: tuple[int, ...]
    output: int
    arrays: Mapping[str, int]
    tiled: Tiled | None = None

    def with_tiles(self) -> Self:
        """The step on a processor with tiles."""
        if self.tiled is None:
            return self
        return replace(self, kernel=self.tiled.kernel, arrays=self.tiled.arrays, tiled=None)


@dataclass(frozen=True)
class Encoding:
    """Fields of the graph's encoder, the tensor it reads and the one it makes.

    `mode` is a name of `snnc.encoding.CODES`.
    """

    mode: str
    scale: float | None
    lo: int
    hi: int
    source: int
    target: int

    def encode(
        self, x: NDArray[np.float32], steps: int, sample_ids: NDArray[np.int64], seed: int
    ) -> Encoded:
        """Events of a batch (N, *shape), as `snnc.encoding.Code.encode` gives them."""
        if self.scale is None:
            return Encoded(x[None], 0)
        code = CODES[self.mode](scale=self.scale, lo=self.lo, hi=self.hi)
        return code.encode(x, steps, sample_ids, seed)


@dataclass(frozen=True)
class Output:
    """A readout: its source, and the offset of its float64 scales.

    `count`: number of scales: 1, C, or one per element. `quantized`: its sum is an integer.
    `start`: see `snnc.readout_steps`.
    """

    name: str
    source: int
    scale: int
    count: int
    quantized: bool
    start: int = 0


@dataclass(frozen=True)
class Plan:
    """A network in the form in which it is run.

    Tensor 0 is the input; the first `analog` steps precede the encoding.
    `longest` is the longest window in which no integer can overflow.
    """

    timesteps: int
    longest: int
    analog: int
    tensors: tuple[Tensor, ...]
    steps: tuple[Step, ...]
    encoding: Encoding
    outputs: tuple[Output, ...]

    def on(self, machine: Machine) -> Plan:
        """The plan with the steps that a processor takes."""
        if not machine.tiles:
            return replace(self, steps=tuple(replace(step, tiled=None) for step in self.steps))
        return replace(self, steps=tuple(step.with_tiles() for step in self.steps))

    def to_json(self) -> bytes:
        """The content of `plan.json`; the same plan gives the same bytes."""
        data: dict[str, Any] = asdict(self) | {"version": VERSION}
        for step, text in zip(self.steps, data["steps"], strict=True):
            text["kernel"] = _kernel_text(step.kernel)
            if step.tiled is not None:
                text["tiled"]["kernel"] = _kernel_text(step.tiled.kernel)
        return json.dumps(data, indent=1, sort_keys=True).encode()

    @classmethod
    def from_json(cls, text: bytes, weights: NDArray[np.uint8]) -> Plan:
        """Read and check a plan. Raises `ArtifactError` for one that could not be run safely."""
        try:
            data = parse_json(text, "cpu/plan.json")
            version = data.get("version")
            if version not in READABLE:
                raise ArtifactError(
                    f"cpu/plan.json is of version {version!r:.20}, not 1 to {VERSION}"
                )
            plan = _read(data)
            _check(plan, weights)
        except ArtifactError:
            raise
        except _DAMAGE as error:
            reason = f"no {error}" if isinstance(error, KeyError) else one_line(error)
            raise ArtifactError(
                f"cpu/plan.json is damaged: {reason}", hint="compile the model again"
            ) from None
        return plan


def array_at(weights: NDArray[np.uint8], offset: int, table: Table) -> NDArray[Any]:
    """A view of an array of constants. Raises `ValueError` if it is not inside `weights`."""
    inside = 0 <= offset <= len(weights) - table.nbytes and offset % ALIGNMENT == 0
    require(inside, f"an array at {offset} outside the {len(weights)} bytes of cpu/weights.bin")
    return weights[offset : offset + table.nbytes].view(DTYPES[table.dtype])


def _read(data: dict[str, Any]) -> Plan:
    return Plan(
        timesteps=_int(data["timesteps"], 1, LONGEST_WINDOW),
        longest=_int(data["longest"], 1),
        analog=_int(data["analog"], 0),
        tensors=tuple(_tensor(item) for item in data["tensors"]),
        steps=tuple(_step(item) for item in data["steps"]),
        encoding=_encoding(data["encoding"]),
        outputs=tuple(_output(item) for item in data["outputs"]),
    )


def _int(value: Any, low: int, high: int = LARGEST) -> int:
    require(type(value) is int and low <= value <= high, f"{value!r:.40} is not in {low}..{high}")
    return cast(int, value)


def _text(value: Any) -> str:
    require(isinstance(value, str), f"{value!r:.40} is not a name")
    return cast(str, value)


def _tensor(item: dict[str, Any]) -> Tensor:
    shape = tuple(_int(n, 1) for n in item["shape"])
    require(len(shape) <= 32 and math.prod(shape) <= LARGEST, f"a tensor of shape {shape}")
    one_of("dtype", item["dtype"], ("i8", "i32", "f32", "f64"))
    one_of("record", item["record"], _RECORDS)
    require(type(item["constant"]) is bool, "constant is neither true nor false")
    integer = item["dtype"].startswith("i")
    require(item["record"] == "none" or integer, "records a tensor that is not of integers")
    return Tensor(_text(item["name"]), shape, item["dtype"], item["constant"], item["record"])


def _step(item: dict[str, Any]) -> Step:
    inputs = tuple(_int(i, 0) for i in item["inputs"])
    tiled = item.get("tiled")
    return Step(
        *(_kernel(item["kernel"]), inputs, _int(item["output"], 0), _arrays(item["arrays"])),
        tiled=None if tiled is None else Tiled(_kernel(tiled["kernel"]), _arrays(tiled["arrays"])),
    )


def _kernel(item: dict[str, Any]) -> Kernel:
    description = dict(item)
    name = description.pop("name")
    one_of("kernel", name, tuple(KERNELS))
    return KERNELS[name].from_json(description)


def _kernel_text(kernel: Kernel) -> dict[str, Any]:
    return {"name": kernel.name, **asdict(kernel)}


def _arrays(item: dict[str, Any]) -> dict[str, int]:
    return {_text(key): _int(offset, 0, 2**62) for key, offset in item.items()}


def _encoding(item: dict[str, Any]) -> Encoding:
    mode, scale = item["mode"], item["scale"]
    one_of("mode", mode, tuple(CODES))
    lo, hi = _int(item["lo"], -(2**24), 0), _int(item["hi"], 1, 2**24)
    require(
        (scale is None and CODES[mode].constant)
        or (isinstance(scale, float | int) and math.isfinite(scale) and scale > 0),
        f"an encoding with the scale {scale!r:.40}",
    )
    return Encoding(mode, scale, lo, hi, _int(item["source"], 0), _int(item["target"], 0))


def _output(item: dict[str, Any]) -> Output:
    require(type(item["quantized"]) is bool, "quantized is neither true nor false")
    return Output(
        name=_text(item["name"]),
        source=_int(item["source"], 0),
        scale=_int(item["scale"], 0, 2**62),
        count=_int(item["count"], 1),
        quantized=item["quantized"],
        start=_int(item.get("start", 0), 0, LONGEST_WINDOW - 1),
    )


def _check(plan: Plan, weights: NDArray[np.uint8]) -> None:
    """Every tensor is written once, before it is read, and fits the kernels that use it."""
    tensors, encoding = plan.tensors, plan.encoding
    numbers = (encoding.source, encoding.target, *(step.output for step in plan.steps))
    require(max(numbers) < len(tensors), "a tensor that the plan does not hold")
    require(bool(plan.outputs), "no outputs")
    require(plan.analog <= len(plan.steps), "more analog steps than steps")
    require(len({t.name for t in tensors}) == len(tensors), "two tensors of one name")
    written = {0}
    for number, step in enumerate(plan.steps):
        if number == plan.analog:
            _check_encoding(plan, written)
        where = f"step {number} ({step.kernel.name})"
        require(set(step.inputs) <= written, f"{where} reads a tensor that is not written yet")
        require(step.output not in written, f"{where} writes a tensor twice")
        for each in (step, *(() if step.tiled is None else (step.with_tiles(),))):
            _check_kernel(each, tensors, weights, where)
        written.add(step.output)
    if plan.analog == len(plan.steps):
        _check_encoding(plan, written)
    for output in plan.outputs:
        require(output.source in written and output.source != 0, f"{output.name} reads nothing")
        shape, integer = tensors[output.source].shape, tensors[output.source].dtype.startswith("i")
        require(integer or not output.quantized, f"{output.name}: a sum that is not an integer")
        fits = output.count in (1, *shape[:1], math.prod(shape))
        require(fits, f"{output.name}: {output.count} scales for the shape {shape}")
        array_at(weights, output.scale, Table("f64", output.count))
    require(len(written) == len(tensors) and encoding.target in written, "a tensor is never made")


def _check_kernel(
    step: Step, tensors: tuple[Tensor, ...], weights: NDArray[np.uint8], where: str
) -> None:
    """Its tensors and arrays are those that the kernel of a step reads and writes."""
    ports = tuple(tensors[i].port for i in step.inputs)
    require(ports == step.kernel.inputs(), f"{where}: inputs do not fit")
    require(tensors[step.output].port == step.kernel.output(), f"{where}: output does not fit")
    tables = step.kernel.arrays()
    require(set(tables) == set(step.arrays), f"{where}: wrong set of arrays")
    views = {k: array_at(weights, step.arrays[k], table) for k, table in tables.items()}
    step.kernel.check(views)


def _check_encoding(plan: Plan, written: set[int]) -> None:
    encoding, tensors = plan.encoding, plan.tensors
    require(encoding.source in written, "the encoding reads a tensor that is not written yet")
    require(encoding.target not in written, "the encoding writes a tensor twice")
    target = tensors[encoding.target]
    fits = target.shape == tensors[encoding.source].shape
    constant = CODES[encoding.mode].constant
    require(fits and target.constant is constant, "the encoding does not fit its tensors")
    require((target.dtype == "f32") == (encoding.scale is None), "encoding: wrong type")
    require(tensors[encoding.source].constant, "the encoding reads a tensor that varies in time")
    written.add(encoding.target)
