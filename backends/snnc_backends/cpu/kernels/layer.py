"""Layers of integers with what follows them: sums with other currents, and neurons."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from snnc_backends.cpu.kernels.base import Arrays, Port, Table, one_of, positive, require
from snnc_backends.cpu.kernels.neuron import (
    Neuron,
    RoundingNeuron,
    TwoSidedNeuron,
    population,
)
from snnc_backends.cpu.kernels.windows import Windows
from snnc_backends.cpu.layout import spread

if TYPE_CHECKING:
    from snnc_backends.cpu.site import Site

NEURONS: dict[str, type[Neuron]] = {
    kind.name: kind for kind in (Neuron, TwoSidedNeuron, RoundingNeuron)
}
STATES = {"i32": 4, "i64": 8}
"""Types of a potential, and their sizes in bytes."""


@dataclass(frozen=True, kw_only=True)
class Layer(Windows):
    """Base of kernels of a convolution or linear layer of integers, and neurons behind it.

    The current is bias + weights * input + the addends: each of i32, a current, or of i8, events
    that are multiplied by a factor per channel. All steps of an output position are computed before
    the next position, so a potential stays in cache.

    Attributes:
        addends, addend_constant: types of the addends, and which are the same at all steps.
        neuron: the name of a kernel of neurons, or none: then the current is the result.
        state, leaky, reset, order, signed: as of that kernel; it does not wait.
        every: neurons have parameters of their own, not per channel.
    """

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

    def __post_init__(self) -> None:
        super().__post_init__()
        one_of("source", self.source, ("i8", "i32"))
        one_of("bias", self.bias, ("none", "channel", "map"))
        one_of("neuron", self.neuron, ("none", *NEURONS))
        positive(out_channels=self.out_channels)
        require(len(self.addends) == len(self.addend_constant), "lists of different length")
        for addend in self.addends:
            one_of("addend", addend, ("i8", "i32"))
        require(self.dilation_w == 1, "a kernel row with gaps")
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
            source="i32",
            state=self.state,
            positions=1 if self.every else self.pixels,
            channels=self.size if self.every else self.out_channels,
            leaky=self.leaky,
            reset=self.reset,
            order=self.order,
            wait=0,
            signed=self.signed,
            constant=self.steady,
        )

    def inputs(self) -> tuple[Port, ...]:
        more = zip(self.addends, self.addend_constant, strict=True)
        return (self.image, *(Port(dtype, self.size, constant) for dtype, constant in more))

    def output(self) -> Port:
        if self.neuron == "none":
            return Port("i32", self.size, self.steady)
        return Port("i8", self.size, False)

    def weights(self) -> Table:
        """The table of the weights."""
        raise NotImplementedError

    def arrays(self) -> dict[str, Table]:
        tables = {"weight": self.weights()}
        if self.bias != "none":
            tables["bias"] = Table(
                "i32", self.out_channels if self.bias == "channel" else self.size
            )
        for number, addend in enumerate(self.addends):
            if addend == "i8":
                tables[f"factor{number}"] = Table("i32", self.out_channels)
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
        fields: those of `Layer`.
        arrays: its constants but the weights.
        inputs: the nodes read: that of the layer, then the addends.
        absorbed: the nodes whose results are nowhere.
        longest: as in `Match`.
    """

    layer: Site
    fields: dict[str, Any]
    arrays: dict[str, Any]
    inputs: tuple[str, ...]
    absorbed: tuple[str, ...]
    longest: int


PLAIN = {
    "neuron": "none",
    "state": "i32",
    "leaky": False,
    "reset": "subtract",
    "order": "integrate-fire",
    "signed": False,
    "every": False,
}
"""The fields of a layer without neurons."""


def chain(site: Site) -> Chain | None:
    """The layer of integers that ends in this node; None where there is none."""
    if site.kind in ("conv", "linear"):
        return _chain(site, (), PLAIN, {}, (), 2**31 - 1)
    if site.kind != "neuron" or site.op.wait or not site.inputs[0].quantized:
        return None
    before = site.source()
    if not before.unshared or before.kind not in ("conv", "linear", "add"):
        return None
    neurons, arrays, longest = population(site)
    fields = {
        name: getattr(neurons, name) for name in ("state", "leaky", "reset", "order", "signed")
    }
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
    weight, source = common.pop("weight"), common["source"]
    integers = weight == "i8" and common.pop("dtype") == "i32" and source in ("i8", "i32")
    if not integers or layer.groups != 1 or common["dilation_w"] != 1:
        return None
    addends, steady, inputs = list[str](), list[bool](), list[str]()
    constants = {**constants, **arrays}
    for number, addend in enumerate(rest):
        factor = _factor(addend)
        if factor is not None:
            constants[f"factor{number}"] = factor
            absorbed = (*absorbed, addend.name)
        read = addend.result if factor is None else addend.inputs[0]
        addends.append("i32" if factor is None else "i8")
        steady.append(read.constant_in_time)
        inputs.append(addend.name if factor is None else addend.sources[0])
    found = {
        **common,
        **fields,
        "constant": layer.inputs[0].constant_in_time,
        "out_channels": layer.result.shape[0],
        "addends": tuple(addends),
        "addend_constant": tuple(steady),
    }
    return Chain(layer, found, constants, (layer.sources[0], *inputs), absorbed, longest)


def _factor(addend: Site) -> Any:
    """The factors per channel of events that are scaled and read by nobody else; else None."""
    if addend.kind != "scale" or not addend.unshared or addend.op.bias is not None:
        return None
    if addend.source_dtypes[0] != "i8":
        return None
    shape = addend.result.shape
    _, channels, arrays = spread({"factor": addend.array(addend.op.factor)}, shape)
    return arrays["factor"] if channels == shape[0] else None
