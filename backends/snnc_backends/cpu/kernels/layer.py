"""Layers with what follows them: sums with other currents, and neurons."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from snnc_backends.cpu.kernels.base import Arrays, Port, Table, one_of, positive, require
from snnc_backends.cpu.kernels.event_weights import digit_planes, event_limit
from snnc_backends.cpu.kernels.neuron import (
    Neuron,
    RoundingNeuron,
    TwoSidedNeuron,
    population,
)
from snnc_backends.cpu.kernels.windows import Windows
from snnc_backends.cpu.layout import spread
from snnc_backends.cpu.number_types import EXACT, THREE_DIGITS

if TYPE_CHECKING:
    from snnc_backends.cpu.site import Site

NEURONS: dict[str, type[Neuron]] = {
    kind.name: kind for kind in (Neuron, TwoSidedNeuron, RoundingNeuron)
}
STATES = {"i32": 4, "i64": 8, "f32": 4}
"""Types of a potential, and their sizes in bytes."""
MOST_SHIFT = 100
DIGITS = 3
"""Digits of weights of 24 bits."""


@dataclass(frozen=True, kw_only=True)
class Layer(Windows):
    """Base of kernels of a convolution or linear layer, and neurons behind it.

    The current is bias + weights * input * 2^-shift + the addends: each a current, or of i8, events
    that are multiplied by a factor per channel. Weights and input are integers. All steps of an
    output position are computed before the next position, so a potential stays in cache.

    Attributes:
        dtype: of the current: i32, or f32, and only then there is a shift.
        addends, addend_constant: types of the addends, and which are the same at all steps.
        neuron: the name of a kernel of neurons, or none: then the current is the result.
        state, leaky, reset, order, signed, wait: as of that kernel.
        every: neurons have parameters of their own, not per channel.
    """

    dtype: str
    shift: int
    out_channels: int
    bias: str
    addends: tuple[str, ...]
    addend_constant: tuple[bool, ...]
    neuron: str
    state: str
    leaky: bool
    reset: str
    order: str
    signed: bool
    every: bool
    wait: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        one_of("source", self.source, ("i8", "i32"))
        one_of("dtype", self.dtype, ("i32", "f32"))
        require(0 <= self.shift <= (MOST_SHIFT if self.dtype == "f32" else 0), "a wrong shift")
        one_of("bias", self.bias, ("none", "channel", "map"))
        one_of("neuron", self.neuron, ("none", *NEURONS))
        positive(out_channels=self.out_channels)
        require(len(self.addends) == len(self.addend_constant), "lists of different length")
        for addend in self.addends:
            one_of("addend", addend, ("i8", self.dtype))
        require(self.dilation_w == 1, "a kernel row with gaps")
        require(self.neuron != "none" or not self.wait, "a wait without neurons")
        _ = self.population

    @property
    def pixels(self) -> int:
        """Output positions."""
        return self.out_height * self.out_width

    @property
    def size(self) -> int:
        """Elements of the result in one step."""
        return self.pixels * self.out_channels

    @property
    def steady(self) -> bool:
        """Whether the current is the same at all steps."""
        return self.constant and all(self.addend_constant)

    @property
    def population(self) -> Neuron | None:
        """The neurons, or None."""
        if self.neuron == "none":
            return None
        return NEURONS[self.neuron](
            source=self.dtype,
            state=self.state,
            positions=1 if self.every else self.pixels,
            channels=self.size if self.every else self.out_channels,
            leaky=self.leaky,
            reset=self.reset,
            order=self.order,
            wait=self.wait,
            signed=self.signed,
            constant=self.steady,
        )

    def inputs(self) -> tuple[Port, ...]:
        more = zip(self.addends, self.addend_constant, strict=True)
        return (self.image, *(Port(dtype, self.size, constant) for dtype, constant in more))

    def output(self) -> Port:
        if self.neuron == "none":
            return Port(self.dtype, self.size, self.steady)
        return Port("i8", self.size, False)

    def weights(self) -> Table:
        """The table of the weights."""
        raise NotImplementedError

    def arrays(self) -> dict[str, Table]:
        tables = {"weight": self.weights()}
        if self.bias != "none":
            tables["bias"] = Table(
                self.dtype, self.out_channels if self.bias == "channel" else self.size
            )
        for number, addend in enumerate(self.addends):
            if addend == "i8":
                tables[f"factor{number}"] = Table(self.dtype, self.out_channels)
        neurons = self.population
        return tables if neurons is None else {**tables, **neurons.arrays()}

    def kept(self) -> int:
        """Bytes of the potentials and totals of all neurons."""
        neurons = self.population
        if neurons is None:
            return 0
        return self.size * (STATES[self.state] + (4 if neurons.corrects else 0))


@dataclass(frozen=True)
class Chain:
    """A layer and what follows it, as found in a graph.

    Attributes:
        layer: the convolution or linear layer.
        weight: its integers, (rows, columns, inputs, outputs); of 8 bits, or of 24 with a `scale`.
        scale: what an integer is worth, a power of two per output, or None: 2^-shift.
        fields: those of `Layer`.
        arrays: its constants but the weights.
        inputs: the nodes read: that of the layer, then the addends.
        absorbed: the nodes whose results are nowhere.
        longest: as in `Match`.
    """

    layer: Site
    weight: NDArray[Any]
    scale: NDArray[np.float32] | None
    fields: dict[str, Any]
    arrays: dict[str, Any]
    inputs: tuple[str, ...]
    absorbed: tuple[str, ...]
    longest: int

    @property
    def planes(self) -> NDArray[np.int8]:
        """The digits of the weights, (digits, rows, columns, inputs, outputs)."""
        digits, layer = 1 if self.scale is None else DIGITS, self.layer
        return layer.network.once(layer.name, "planes", lambda: digit_planes(self.weight, digits))

    @property
    def event_limit(self) -> int:
        """The most events of a window whose sums fit 16 bits, see `event_limit`."""
        layer, levels = self.layer, self.layer.inputs[0].levels
        return layer.network.once(layer.name, "limit", lambda: event_limit(self.planes, levels))


PLAIN = {
    "neuron": "none",
    "state": "i32",
    "leaky": False,
    "reset": "subtract",
    "order": "integrate-fire",
    "signed": False,
    "every": False,
    "wait": 0,
}
"""The fields of a layer without neurons."""


Whole = tuple[tuple[NDArray[Any], int] | None, NDArray[np.float32] | None]
"""Weights as integers with a shift, if they can be, and units of those that are rounded."""


def chain(site: Site) -> Chain | None:
    """The layer that ends in this node and takes integers; None where there is none."""
    if site.kind in ("conv", "linear"):
        return _chain(site, (), PLAIN, {}, (), 2**31 - 1)
    if site.kind != "neuron":
        return None
    before = site.source()
    if not before.unshared or before.kind not in ("conv", "linear", "add"):
        return None
    neurons, arrays, longest = population(site)
    same = ("state", "leaky", "reset", "order", "signed", "wait")
    fields = {name: getattr(neurons, name) for name in same}
    every = len(before.result.shape) > 1 and neurons.positions == 1
    fields |= {"neuron": neurons.name, "every": every}
    if before.kind != "add":
        return _chain(before, (), fields, arrays, (before.name,), longest)
    summed = [before.source(port) for port in range(len(before.sources))]
    layers = [each for each in summed if each.kind in ("conv", "linear") and each.unshared]
    if not layers:
        return None
    layer = max(layers, key=lambda each: each.weight().size)
    rest = tuple(each for each in summed if each.name != layer.name)
    return _chain(layer, rest, fields, arrays, (before.name, layer.name), longest)


def _chain(
    layer: Site,
    rest: tuple[Site, ...],
    fields: dict[str, Any],
    arrays: Arrays,
    absorbed: tuple[str, ...],
    longest: int,
) -> Chain | None:
    common, constants = layer.layer()
    summed_in_order = len(rest) < 2 or layer.result.quantized
    plain = layer.groups == 1 and common["dilation_w"] == 1 and summed_in_order
    if not plain or common["source"] not in ("i8", "i32"):
        return None
    bias = constants.get("bias")
    found, scale = layer.network.once(layer.name, "whole", lambda: _whole(layer, bias))
    if found is None:
        return None
    weight, shift = found
    del common["weight"]
    factors = [_factor(addend) for addend in rest]
    scaled = [factor is not None for factor in factors]
    read = [
        (addend.inputs[0], addend.sources[0]) if folded else (addend.result, addend.name)
        for addend, folded in zip(rest, scaled, strict=True)
    ]
    constants = {**constants, **arrays}
    constants |= {f"factor{n}": each for n, each in enumerate(factors) if each is not None}
    together = {
        **common,
        "shift": shift,
        **fields,
        "constant": layer.inputs[0].constant_in_time,
        "out_channels": layer.result.shape[0],
        "addends": tuple("i8" if folded else common["dtype"] for folded in scaled),
        "addend_constant": tuple(kind.constant_in_time for kind, _ in read),
    }
    inputs = (layer.sources[0], *(name for _, name in read))
    folded = (addend.name for addend, each in zip(rest, scaled, strict=True) if each)
    return Chain(layer, weight, scale, together, constants, inputs, (*absorbed, *folded), longest)


def _whole(layer: Site, bias: Any) -> Whole:
    """Weights as integers, and a shift, or units: `_integers` or else `_rounded`."""
    found = _integers(layer, bias)
    return _rounded(layer) if found is None and layer.dtype == "f32" else (found, None)


def _integers(layer: Site, bias: Any) -> tuple[NDArray[np.int8], int] | None:
    """The weights as integers of 8 bits in units of 2^-shift, and the shift; None if they are not.

    Real weights have to be such integers, and with the bias all sums so small that float32 holds
    them: then their sum is the same in any order.
    """
    weight = layer.laid_weight()[0]
    if layer.result.quantized:
        small = layer.weight_type == "i8" and layer.dtype == "i32"
        return (weight.astype(np.int8, copy=False), 0) if small else None
    found = on_grid(weight) if layer.dtype == "f32" else None
    if found is None:
        return None
    units, shift = found
    offset = np.ldexp(np.asarray(0 if bias is None else bias, np.float64), shift)
    if not np.array_equal(offset, np.rint(offset)):
        return None
    reach = np.abs(units.astype(np.float64)).sum((0, 1, 2)).max() * layer.inputs[0].levels
    return found if reach + np.abs(offset).max() <= EXACT else None


def _rounded(layer: Site) -> Whole:
    """Real weights as integers of 24 bits in a unit per output, and a shift of 0; and the units.

    A weight is off by 2^-23 of the largest of its output at most, twice as much as a number of
    float32 of that size. There are none where float32 does not hold the sums of the upper or lower
    bytes.
    """
    weight = layer.laid_weight()[0]
    peak = np.abs(weight).max((0, 1, 2)).astype(np.float64)
    if not np.isfinite(peak).all():
        return None, None
    shift = np.floor(np.log2(THREE_DIGITS / np.maximum(peak, 2.0**-MOST_SHIFT)))
    reach = np.prod(weight.shape[:-1]) * layer.inputs[0].levels * 128
    if np.abs(shift).max() > MOST_SHIFT or reach > EXACT:
        return None, None
    units = np.rint(weight * np.ldexp(weight.dtype.type(1), shift.astype(np.int64)))
    units = units.astype(np.int32)
    return (units, 0), np.ldexp(1.0, -shift.astype(np.int64)).astype(np.float32)


def on_grid(weight: NDArray[Any]) -> tuple[NDArray[np.int8], int] | None:
    """Real weights as integers of 8 bits in units of 2^-shift, and the shift; None if they are
    not."""
    peak = float(np.abs(weight).max())
    if not 0 < peak < np.inf:
        return None
    shift = int(np.floor(np.log2(127 / peak)))
    if not 0 <= shift <= MOST_SHIFT:
        return None
    units = weight
    for some in (weight[..., :1], weight):  # one output tells of most weights that they are not
        units = np.ldexp(some.astype(np.float64), shift)
        if not np.array_equal(units, np.rint(units)):
            return None
    return units.astype(np.int8), shift


def _factor(addend: Site) -> Any:
    """The factors per channel of events that are scaled and read by nobody else; else None."""
    if addend.kind != "scale" or not addend.unshared or addend.op.bias is not None:
        return None
    if addend.source_dtypes[0] != "i8":
        return None
    shape = addend.result.shape
    _, channels, arrays = spread({"factor": addend.array(addend.op.factor)}, shape)
    return arrays["factor"] if channels == shape[0] else None
