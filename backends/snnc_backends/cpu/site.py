"""A node of a graph as kernels see it while the graph is lowered."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from snnc import ir
from snnc.ir.integer_bounds import longest_window
from snnc_backends.cpu.layout import channels_last, plane
from snnc_backends.cpu.storage import storage, weight_type

Array = NDArray[Any]
Kept = TypeVar("Kept")
KINDS: Mapping[type[ir.Op], str] = {
    ir.Conv: "conv",
    ir.Linear: "linear",
    ir.Scale: "scale",
    ir.Add: "add",
    ir.SumPool: "sum-pool",
    ir.CountMaxPool: "count-maxpool",
    ir.Maximum: "max-pool",
    ir.Neuron: "neuron",
    ir.TwoSidedNeuron: "neuron",
    ir.Concat: "concat",
    ir.Rearrange: "rearrange",
}
"""What kernels call an op; the first entry that fits."""


@dataclass(frozen=True)
class Network:
    """A graph that is lowered, and what was computed for the whole of it.

    Attributes:
        bounds: on |x| of every integer tensor.
        rates: events per element and step of every tensor; see `snnc_backends.cpu.rates`.
        timesteps: the window.
        kept: what `once` has made.
    """

    graph: ir.Graph
    types: Mapping[str, ir.TensorType]
    bounds: Mapping[str, int]
    rates: Mapping[str, float]
    timesteps: int
    kept: dict[tuple[str, str], Any] = field(
        default_factory=dict[tuple[str, str], Any], compare=False
    )

    def once(self, layer: str, what: str, make: Callable[[], Kept]) -> Kept:
        """Something of a layer that several kernels ask for, made when the first one does."""
        if (layer, what) not in self.kept:
            self.kept[layer, what] = make()
        return self.kept[layer, what]


@dataclass(frozen=True)
class Site:
    """A node while it is lowered."""

    network: Network
    node: ir.Node

    @property
    def op(self) -> Any:
        """The op of the node; its class is that of `kind`."""
        return self.node.op

    @cached_property
    def kind(self) -> str:
        """What kernels call its op: a value of `KINDS`, or "" for what has no kernel."""
        return next((name for kind, name in KINDS.items() if isinstance(self.op, kind)), "")

    @property
    def name(self) -> str:
        """The name of the node."""
        return self.node.name

    @cached_property
    def sources(self) -> tuple[str, ...]:
        """The nodes it reads."""
        return self.network.graph.inputs_of(self.name)

    @cached_property
    def inputs(self) -> tuple[ir.TensorType, ...]:
        """The types of what it reads."""
        return tuple(self.network.types[source] for source in self.sources)

    @cached_property
    def result(self) -> ir.TensorType:
        """The type of what it gives."""
        return self.network.types[self.name]

    @property
    def dtype(self) -> str:
        """How its result is stored."""
        return storage(self.result)

    @property
    def source_dtypes(self) -> tuple[str, ...]:
        """How what it reads is stored."""
        return tuple(map(storage, self.inputs))

    @property
    def constant(self) -> bool:
        """Whether its result is the same at all steps."""
        return self.result.constant_in_time or self.result.signal is ir.Signal.ANALOG

    @property
    def longest_window(self) -> int:
        """The longest window in which a potential of this population stays within 32 bits."""
        graph, bounds = self.network.graph, self.network.bounds
        return longest_window(graph, self.node, bounds[self.sources[0]])

    @property
    def rounds(self) -> bool:
        """Whether a two-sided population fires beyond half its threshold."""
        return isinstance(self.op, ir.TwoSidedNeuron) and self.op.rounds

    @property
    def two_sided(self) -> bool:
        """Whether it is a population of two-sided neurons."""
        return isinstance(self.op, ir.TwoSidedNeuron)

    def array(self, value: Any) -> Array:
        """The array behind a parameter of the op."""
        return self.network.graph.array(value)

    def source(self, port: int = 0) -> Site:
        """The node that it reads at a port."""
        return Site(self.network, self.network.graph.node(self.sources[port]))

    @property
    def unshared(self) -> bool:
        """Whether one other node reads its result, once, and nobody else."""
        return len(self.node.users) == 1 and self.name not in self.network.graph.outputs

    @property
    def pulses(self) -> bool:
        """Whether the events it reads are all 1."""
        x = self.inputs[0]
        return x.signal is ir.Signal.SPIKE and not x.signed and x.levels == 1

    def planes(self) -> dict[str, Any]:
        """The fields of a kernel from planes of channels to planes: types and sizes."""
        x, y = self.inputs[0], self.result
        return {
            "source": storage(x),
            "dtype": storage(y),
            "height": plane(x.shape)[0],
            "width": plane(x.shape)[1],
            "channels": x.shape[0],
            "out_height": plane(y.shape)[0],
            "out_width": plane(y.shape)[1],
            "constant": self.constant,
        }

    def weight(self) -> Array:
        """The weights of a layer, (outputs, inputs of a group, rows, columns)."""
        weight = self.array(self.op.weight)
        return weight.reshape(*weight.shape[:2], *((1, 1, *weight.shape[2:])[-2:]))

    def window(self) -> dict[str, int]:
        """The fields of `Windows` that are no sizes of tensors; a 1-d layer is one row high."""
        kernel = self.weight().shape[2:]
        if self.kind == "linear":
            stride, dilation, pads = (1, 1), (1, 1), ((0, 0), (0, 0))
        else:
            stride, dilation = ((1, *each)[-2:] for each in (self.op.stride, self.op.dilation))
            pads = ((0, 0), *self.op.padding)[-2:]
        return {
            "kernel_h": kernel[0],
            "kernel_w": kernel[1],
            "stride_h": stride[0],
            "stride_w": stride[1],
            "dilation_h": dilation[0],
            "dilation_w": dilation[1],
            "pad_top": pads[0][0],
            "pad_left": pads[1][0],
        }

    @property
    def groups(self) -> int:
        """Groups of channels of a layer."""
        return self.op.matrices

    def layer(self) -> tuple[dict[str, Any], dict[str, Array]]:
        """The fields that layers have in common, and their bias."""
        kind, arrays = self.bias()
        fields = {**self.planes(), "weight": self.weight_type, "bias": kind, **self.window()}
        return fields, arrays

    @property
    def weight_type(self) -> str:
        """How the weights of a layer are stored."""
        return weight_type(self.weight(), self.dtype)

    def laid_weight(self) -> Array:
        """The weights, (groups, rows, columns, inputs, outputs)."""
        weight, groups = self.weight(), self.groups
        outputs, inputs, *kernel = weight.shape
        split = weight.reshape(groups, outputs // groups, inputs, *kernel)
        return split.transpose(0, 3, 4, 2, 1)

    def bias(self) -> tuple[str, dict[str, Array]]:
        """How the bias of a layer is stored: none, channel or map; and its array."""
        if self.op.bias is None:
            return "none", {}
        array, shape = self.array(self.op.bias), self.result.shape
        if array.shape == shape and len(shape) > 1:
            return "map", {"bias": channels_last(array)}
        return "channel", {"bias": np.broadcast_to(array, shape[:1])}

    def pooling(self) -> tuple[dict[str, Any], dict[str, Array]]:
        """The fields and arrays of a kernel over windows."""
        rows = (*(((0, 1),),) * (2 - len(self.op.windows)), *self.op.windows)
        return self.planes(), {"rows_y": np.array(rows[0]), "rows_x": np.array(rows[1])}
